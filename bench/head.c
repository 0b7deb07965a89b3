/* bench-head FEATURES.npy THREADS UNITS: netgaze's side of the head training of bench/compare.py. FEATURES are rows [n,width]
 * as a base's features would be, UNITS those of the dense layers, such as 256,6; row i is of class i modulo the last. It is the
 * stage "head" of netgaze train itself (src/train/fit.h): Adam at rate 0.0001, batches of 32 in the epoch's order, no dropout.
 * Reads a line, does it, answers with a line:
 *   epoch             milliseconds of one epoch
 *   save epoch FILE   writes the losses of all epochs so far
 *   save order FILE   writes which rows each of the first epochs takes, [ORDERS,n]
 *   save start FILE   writes the weights at the start: each layer's kernel [in,out] and bias, one after the other */
#include <string.h>

#include "bench.h"
#include "train/fit.h"
#include "train/order.h"

enum { MOST = 4096, ORDERS = 64, SEED = 1 };

typedef struct worker {
    ngi_graph *graph;
    ngi_train_head head;
    ng_array input; /* [n,width] */
    ngi_dataset data;
    ngi_features features;
    float losses[MOST];
    int64_t epochs;
    clockid_t clock;
    double began; /* the epoch; 0: none was asked for yet */
} worker;

/* The next node, of the layer 0. */
static void add_node(ngi_graph *g, ngi_op op, const ngi_attr *attr, const int *weights, int *at)
{
    const int from = *at;
    must(ngi_graph_add_node(g, ngi_op_name(op), op, attr, 0, &from, 1, weights, at, &err));
    must(ngi_node_infer(g, *at, &err));
}

/* Dense layers on features of `width`, with relu between them. */
static void make_graph(worker *w, const char *units)
{
    int at, layer;
    ngi_attr attr;
    ngi_attr_init(&attr);
    must(ngi_graph_create(&w->graph, &err));
    ngi_graph *g = w->graph;
    must(ngi_graph_add_layer(g, "head", "Dense", true, &layer, &err));
    must(ngi_graph_add_node(g, "features", NGI_OP_INPUT, &attr, layer, NULL, 0, NULL, &at, &err));
    g->nodes[at].shape = ngi_shape_of(1, w->input.shape[1]);
    for (char *end; *units; units = *end ? end + 1 : end) {
        int64_t in = g->nodes[at].shape.dim[0], out = strtol(units, &end, 10);
        ngi_shape kernel = ngi_shape_of(2, in, out), bias = ngi_shape_of(1, out);
        int weights[NGI_NODE_WEIGHTS] = {-1, -1, -1, -1};
        must(ngi_graph_add_weight(g, "kernel", &kernel, true, NULL, &weights[0], &err));
        must(ngi_graph_add_weight(g, "bias", &bias, true, NULL, &weights[1], &err));
        add_node(g, NGI_OP_DENSE, &attr, weights, &at);
        attr.act.kind = NGI_ACT_RELU;
        if (*end)
            add_node(g, NGI_OP_ACTIVATION, &attr, NULL, &at);
    }
    g->outputs = must_have(ngi_alloc(1, sizeof *g->outputs));
    g->outputs[g->n_outputs++] = at;
    must(ngi_train_head_find(g, NGI_HEAD_MOST, 0, &w->head, &err));
    ngi_train_head_initialise(&w->head, SEED);
}

static void save_start(const worker *w, const char *path)
{
    int64_t n = 0;
    for (int i = 0; i < w->graph->n_weights; i++)
        n += ngi_shape_count(&w->graph->weights[i].shape);
    float *all = must_have(malloc((size_t)n * sizeof *all)), *to = all;
    for (int i = 0; i < w->graph->n_weights; i++) {
        int64_t count = ngi_shape_count(&w->graph->weights[i].shape);
        memcpy(to, w->graph->weights[i].data, (size_t)count * sizeof *to);
        to += count;
    }
    must(ng_npy_save(path, 1, &n, all, &err));
    free(all);
}

static void save_order(const worker *w, const char *path)
{
    int64_t n = w->data.n_items, shape[2] = {ORDERS, n};
    int64_t *items = must_have(malloc((size_t)n * sizeof *items)),
            *order = must_have(malloc((size_t)n * sizeof *order));
    float *all = must_have(malloc((size_t)(ORDERS * n) * sizeof *all));
    for (int64_t i = 0; i < n; i++)
        items[i] = i;
    for (int64_t e = 0; e < ORDERS; e++) {
        ngi_order_shuffle(items, n, SEED, e, order);
        for (int64_t i = 0; i < n; i++)
            all[e * n + i] = (float)order[i];
    }
    must(ng_npy_save(path, 2, shape, all, &err));
    free(all);
    free(order);
    free(items);
}

/* Answers lines until one asks for an epoch; not 0: there are no more. */
static int answer(worker *w)
{
    char line[4096], path[4000];
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "epoch\n") == 0) {
            w->began = milliseconds(w->clock);
            return 0;
        }
        if (sscanf(line, "save epoch %3999s", path) == 1)
            must(ng_npy_save(path, 1, &w->epochs, w->losses, &err));
        else if (sscanf(line, "save start %3999s", path) == 1)
            save_start(w, path);
        else if (sscanf(line, "save order %3999s", path) == 1)
            save_order(w, path);
        else
            continue;
        printf("saved\n");
        fflush(stdout);
    }
    return 1;
}

static int end_epoch(void *user, const ngi_epoch *history, int n)
{
    worker *w = user;
    printf("%.6f\n", milliseconds(w->clock) - w->began);
    fflush(stdout);
    if (w->epochs < MOST)
        w->losses[w->epochs++] = (float)history[n - 1].loss;
    return answer(w);
}

/* Items without files: the head only ever sees their features. */
static void make_data(worker *w, int classes)
{
    static const char key[NGI_HASH_TEXT] = "0123456789abcdef0123456789abcde";
    int64_t n = w->input.shape[0], width = w->input.shape[1];
    w->data = (ngi_dataset){.n_classes = classes, .n_items = n};
    w->data.items = must_have(calloc((size_t)n, sizeof *w->data.items));
    must(ngi_features_open(NULL, key, n, width, &w->features, &err));
    memcpy(w->features.rows, w->input.data, (size_t)(n * width) * sizeof *w->features.rows);
    for (int64_t i = 0; i < n; i++) {
        w->data.items[i].class_index = (int)(i % classes);
        w->data.items[i].split = NGI_SPLIT_TRAIN;
        ngi_features_set(&w->features, i);
    }
}

static void train(worker *w)
{
    ngi_fit_opts o = {.graph = w->graph,
                      .head = w->head,
                      .features = &w->features,
                      .images = {.data = &w->data, .threads = 1},
                      .stages = {{.epochs = MOST}},
                      .batch = 32,
                      .seed = SEED,
                      .keep_last = true,
                      .on_epoch = end_epoch,
                      .user = w};
    ngi_fit *fit;
    ngi_optimizer_init(&o.stages[0].optimizer, NGI_OPTIMIZER_ADAM);
    ngi_schedule_init(&o.stages[0].schedule, NGI_SCHEDULE_CONSTANT, 1e-4);
    make_data(w, ngi_train_head_classes(&w->head));
    must(ngi_fit_create(&o, &fit, &err));
    printf("ready netgaze %s\n", ng_version());
    fflush(stdout);
    if (!answer(w) && ngi_fit_run(fit, &err) != NG_E_CANCELLED)
        must(NG_E_INTERNAL);
    ngi_fit_free(fit);
}

int main(int argc, char **argv)
{
    static worker w;
    if (argc != 4) {
        fprintf(stderr, "usage: %s FEATURES.npy THREADS UNITS\n", argv[0]);
        return 2;
    }
    must(ng_npy_load(argv[1], &w.input, &err));
    w.clock = clock_of(atoi(argv[2]));
    make_graph(&w, argv[3]);
    train(&w);
    ngi_features_clear(&w.features);
    free(w.data.items);
    ng_array_clear(&w.input);
    ngi_graph_free(w.graph);
    return 0;
}
