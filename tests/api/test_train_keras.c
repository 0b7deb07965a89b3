/* Training step by step against Keras 3 (tests/fixtures/make_train_fixtures.py): the same start, batches and updates give
 * the same losses to 1e-4 and, after one step and after fifty, the same weights to 1e-3. */
#include "check.h"
#include "format/format.h"
#include "train/fit.h"

enum { STEPS = 50, SIDE = 16 };

typedef struct keras_case {
    const char *name;
    bool norms, weighted;
    double smoothing;
    ngi_optimizer optimizer;
    double rate;
} keras_case;

typedef struct losses {
    double ours[STEPS];
    int n, stop_after;
    double before; /* the epoch's sum */
} losses;

static int note_loss(void *user, const ngi_fit_state *s, int64_t places)
{
    losses *l = user;
    (void)places;
    if (s->seen == 8)
        l->before = 0;
    assert_in_range(l->n, 0, STEPS - 1);
    l->ours[l->n++] = (s->sum_loss - l->before) / 8; /* batches of 8 throughout */
    l->before = s->sum_loss;
    return l->n == l->stop_after;
}

static void load(const char *name, ngi_model_file *out)
{
    char path[4300];
    ng_error err;
    snprintf(path, sizeof path, NETGAZE_FIXTURES "/train/%s", name);
    CHECK_OK(ngi_model_file_load(path, NULL, out, &err), err);
}

static const ngi_weight *weight_of(const ngi_graph *g, const char *name)
{
    for (int i = 0; i < g->n_weights; i++)
        if (strcmp(g->weights[i].name, name) == 0)
            return &g->weights[i];
    fail_msg("no weight %s", name);
    return NULL;
}

/* Largest difference, relative to the weight's largest value. */
static void check_weights(const ngi_graph *ours, const char *file)
{
    ngi_model_file theirs;
    load(file, &theirs);
    for (int i = 0; i < theirs.graph->n_weights; i++) {
        const ngi_weight *a = &theirs.graph->weights[i], *b = weight_of(ours, a->name);
        double scale = 0;
        int64_t n = ngi_shape_count(&a->shape);
        for (int64_t k = 0; k < n; k++)
            scale = fmax(scale, fabs((double)a->data[k]));
        for (int64_t k = 0; k < n; k++)
            if (!(fabs((double)a->data[k] - b->data[k]) <= 1e-3 * scale))
                fail_msg("%s: %s[%d] is %g, Keras has %g", file, a->name, (int)k, b->data[k], a->data[k]);
    }
    ngi_model_file_clear(&theirs);
}

static void check_losses(const char *name, const losses *l, int n)
{
    char path[4300];
    snprintf(path, sizeof path, NETGAZE_FIXTURES "/train/%s.txt", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (int i = 0; i < n; i++) {
        double theirs;
        assert_int_equal(fscanf(f, "%lf", &theirs), 1);
        CHECK_NEAR(l->ours[i], theirs, 1e-4 * theirs);
    }
    fclose(f);
}

/* What --unfreeze would mark: kernels and biases behind "first", with norms gamma and beta of "left_norm". */
static bool is_trained(const char *weight, bool norms)
{
    static const char *const names[] = {"left/", "right/", "last/", "left_norm/beta"};
    for (int i = 0; i < 3 + norms; i++)
        if (strncmp(weight, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void run_case(const keras_case *c, int steps, const char *backend)
{
    ngi_model_file file;
    ngi_dataset data;
    ngi_features features;
    bool trained[64] = {0};
    losses l = {.stop_after = steps};
    ng_error err;
    char result[64];
    static const char key[NGI_HASH_TEXT] = "0123456789abcdef0123456789abcde";
    load("start.h5", &file);
    CHECK_OK(ngi_dataset_scan(NETGAZE_FIXTURES "/train/images", &data, &err), err);
    CHECK_OK(ngi_features_open(NULL, key, data.n_items, 10, &features, &err), err);
    for (int64_t i = 0; i < data.n_items; i++)
        ngi_features_set(&features, i); /* the images are there; the values are not looked at */
    for (int i = 0; i < file.graph->n_weights; i++)
        trained[i] = is_trained(file.graph->weights[i].name, c->norms);
    ngi_fit_opts o = {.graph = file.graph,
                      .features = &features,
                      .trained = trained,
                      .images = {.data = &data,
                                 .height = SIDE,
                                 .width = SIDE,
                                 .channels = 3,
                                 .fit = NG_FIT_SQUASH,
                                 .resample = NG_RESAMPLE_PIL_BILINEAR,
                                 .preprocess = NGI_PREPROCESS_TF,
                                 .threads = 2},
                      .stages = {{.epochs = 0}, {.epochs = STEPS / 2, .optimizer = c->optimizer}},
                      .loss = {.kind = NGI_LOSS_SOFTMAX, .label_smoothing = c->smoothing},
                      .batch = 8,
                      .micro = 3,
                      .balanced_weights = c->weighted,
                      .seed = 21,
                      .keep_last = true,
                      .backend = backend,
                      .on_step = note_loss,
                      .user = &l};
    ngi_schedule_init(&o.stages[1].schedule, NGI_SCHEDULE_CONSTANT, c->rate);
    CHECK_OK(ngi_train_head_find(file.graph, NGI_HEAD_MOST, 0, &o.head, &err), err);
    assert_int_equal(o.head.n, 2);
    ngi_fit *fit;
    CHECK_OK(ngi_fit_create(&o, &fit, &err), err);
    ng_status status = ngi_fit_run(fit, &err);
    if (status != NG_OK && status != NG_E_CANCELLED)
        fail_msg("%s", err.text);
    snprintf(result, sizeof result, "%s-%d.h5", c->name, steps);
    check_losses(c->name, &l, steps);
    check_weights(file.graph, result);
    ngi_fit_free(fit);
    ngi_features_clear(&features);
    ngi_dataset_clear(&data);
    ngi_model_file_clear(&file);
}

static void equals_keras(void **state)
{
    (void)state;
    keras_case cases[] = {{.name = "adam", .smoothing = 0.1, .rate = 0.003},
                          {.name = "sgd", .norms = true, .weighted = true, .rate = 0.01},
                          {.name = "adamw", .norms = true, .rate = 0.003}};
    ngi_optimizer_init(&cases[0].optimizer, NGI_OPTIMIZER_ADAM);
    ngi_optimizer_init(&cases[1].optimizer, NGI_OPTIMIZER_SGD);
    ngi_optimizer_init(&cases[2].optimizer, NGI_OPTIMIZER_ADAMW);
    cases[1].optimizer.momentum = 0.9;
    cases[1].optimizer.clip_norm = 0.5;
    cases[2].optimizer.weight_decay = 0.01;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_case(&cases[i], 1, "auto");
        run_case(&cases[i], STEPS, "auto");
        run_case(&cases[i], STEPS, "ref");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_keras)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
