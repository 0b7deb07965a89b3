/* A data set of small pictures of three kinds and a small network with batch norms to train on it. */
#ifndef NETGAZE_TESTS_SMALL_RUN_H
#define NETGAZE_TESTS_SMALL_RUN_H

#include "exec/net.h"
#include "image/image.h"
#include "train/fit.h"

static const char small_key[NGI_HASH_TEXT] = "0123456789abcdef0123456789abcde";

enum { SMALL_SIDE = 12, SMALL_CLASSES = 3, SMALL_EACH = 14 };

/* Class c is bright in channel c; noise over it. */
static inline void small_picture(const char *path, int class_index, uint32_t seed)
{
    ng_error err;
    ng_image image;
    CHECK_OK(ngi_image_create(SMALL_SIDE, SMALL_SIDE, 3, &image, &err), err);
    net_random_state = seed;
    for (int k = 0; k < SMALL_SIDE * SMALL_SIDE * 3; k++)
        image.data[k] = (uint8_t)(net_int(0, 170) + (k % 3 == class_index ? 60 : 0));
    CHECK_OK(ng_image_save(&image, path, &err), err);
    ng_image_clear(&image);
}

static inline void small_data(const char *folder, ngi_dataset *out)
{
    char path[4300];
    ng_error err;
    for (int c = 0; c < SMALL_CLASSES; c++) {
        snprintf(path, sizeof path, "mkdir '%s/%c'", folder, 'a' + c);
        assert_int_equal(system(path), 0);
        for (int i = 0; i < SMALL_EACH; i++) {
            snprintf(path, sizeof path, "%s/%c/%02d.png", folder, 'a' + c, i);
            small_picture(path, c, (uint32_t)(c * 100 + i + 1));
        }
    }
    CHECK_OK(ngi_dataset_scan(folder, out, &err), err);
    CHECK_OK(ngi_dataset_split(out, 0.25, 0, 3, &err), err);
}

/* conv - norm - relu - conv - norm - relu - pooling - dense - softmax. */
static inline ngi_graph *small_net(void)
{
    net_random_state = 17;
    ngi_graph *g = net_new();
    ngi_attr a;
    ngi_attr_init(&a);
    int node = net_image(g, SMALL_SIDE, SMALL_SIDE, 3);
    for (int i = 0; i < 2; i++) {
        node = net_conv(g, node, net_window(3, 3, 1 + i, 1, true), 16, false);
        node = net_activation(g, NGI_ACT_RELU, net_batchnorm(g, node, i == 1, true));
    }
    node = net_dense(g, net_op(g, NGI_OP_GLOBAL_AVG, &a, node), SMALL_CLASSES, true);
    a.axis = 0;
    net_output(g, net_op(g, NGI_OP_SOFTMAX, &a, node));
    return g;
}

typedef struct small_run {
    ngi_dataset data;
    char *folder, *checkpoint;
    ngi_graph *graph;
    ngi_features features;
    bool trained[64];
    ngi_fit_opts o;
} small_run;

static inline void small_open(small_run *r, int threads)
{
    ng_error err;
    *r = (small_run){.folder = make_folder()};
    small_data(r->folder, &r->data);
    r->checkpoint = malloc(4300);
    snprintf(r->checkpoint, 4300, "%s/checkpoint", r->folder);
    r->graph = small_net();
    r->o = (ngi_fit_opts){.graph = r->graph,
                          .features = &r->features,
                          .images = {.data = &r->data,
                                     .height = SMALL_SIDE,
                                     .width = SMALL_SIDE,
                                     .channels = 3,
                                     .fit = NG_FIT_SQUASH,
                                     .resample = NG_RESAMPLE_PIL_BILINEAR,
                                     .preprocess = NGI_PREPROCESS_TF,
                                     .threads = threads},
                          .batch = 8,
                          .micro = 3,
                          .seed = 11,
                          .key = "test",
                          .stages = {{.epochs = 3}, {.epochs = 2}}};
    CHECK_OK(ngi_train_head_find(r->graph, NGI_HEAD_MOST, 0.3, &r->o.head, &err), err);
    ngi_train_head_initialise(&r->o.head, 1);
    for (int s = 0; s < 2; s++) {
        ngi_optimizer_init(&r->o.stages[s].optimizer, NGI_OPTIMIZER_ADAM);
        ngi_schedule_init(&r->o.stages[s].schedule, NGI_SCHEDULE_COSINE, s ? 1e-3 : 1e-2);
    }
    for (int i = 0; i < r->o.head.features; i++)
        if (r->graph->nodes[i].op == NGI_OP_CONV2D)
            r->trained[r->graph->nodes[i].weights[0]] = true;
}

static inline ngi_features_run small_features(const small_run *r)
{
    ngi_features_run run = {.images = r->o.images, .graph = r->graph, .features = r->o.head.features};
    ngi_trunk_opts opts = {.features = r->o.head.features, .threads = r->o.images.threads, .micro = 2};
    ng_error err;
    CHECK_OK(ngi_trunk_create(r->graph, &opts, &run.trunk, &err), err);
    return run;
}

static inline void small_compute(small_run *r)
{
    ng_error err;
    ngi_features_run run = small_features(r);
    CHECK_OK(
        ngi_features_open(NULL, small_key, r->data.n_items, ngi_features_width(&run), &r->features, &err),
        err);
    CHECK_OK(ngi_features_compute(&r->features, &run, &err), err);
    ngi_trunk_free(run.trunk);
}

static inline void small_close(small_run *r)
{
    ngi_features_clear(&r->features);
    ngi_dataset_clear(&r->data);
    ngi_graph_free(r->graph);
    remove_folder(r->folder);
    free(r->checkpoint);
}

#endif
