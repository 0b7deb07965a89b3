/* The fit: it learns, its bytes do not depend on threads or interruptions, and what goes wrong ends clearly. */
#include "train/small_run.h"

static int syncs;

/* In the place of the C library's: how often something waited for the disk. */
int fsync(int fd)
{
    (void)fd;
    syncs++;
    return 0;
}

/* All weights of the graph as one array; the caller frees it. */
static float *weights_of(const ngi_graph *g, size_t *bytes)
{
    int64_t total = 0;
    for (int i = 0; i < g->n_weights; i++)
        total += ngi_shape_count(&g->weights[i].shape);
    float *all = malloc((size_t)total * sizeof *all), *to = all;
    for (int i = 0; i < g->n_weights; i++) {
        memcpy(to, g->weights[i].data, (size_t)ngi_shape_count(&g->weights[i].shape) * sizeof *to);
        to += ngi_shape_count(&g->weights[i].shape);
    }
    *bytes = (size_t)total * sizeof *all;
    return all;
}

static int steps_left, steps_taken;

static int count_down(void *user, const ngi_fit_state *s, int64_t places)
{
    (void)user;
    assert_true(s->place <= places);
    steps_taken++;
    return --steps_left == 0;
}

/* Runs from start or checkpoint for `steps` updates; true when it came to its end. */
static bool run_steps(small_run *r, int steps, bool resume)
{
    ngi_fit *fit;
    ng_error err;
    r->o.resume = resume;
    r->o.on_step = count_down;
    steps_left = steps;
    CHECK_OK(ngi_fit_create(&r->o, &fit, &err), err);
    ng_status status = ngi_fit_run(fit, &err);
    ngi_fit_free(fit);
    if (status != NG_OK && status != NG_E_CANCELLED)
        fail_msg("%s", err.text);
    return status == NG_OK;
}

/* Everything that can be switched on at once. */
static void use_all(small_run *r)
{
    ng_error err;
    static ngi_augment augment;
    CHECK_OK(
        ngi_augment_parse("flip=horizontal,rotation=0.1,brightness=0.1,mixup=0.2,cutmix=0.5", &augment, &err),
        err);
    r->o.augment = &augment;
    r->o.trained = r->trained;
    r->o.balanced_sampler = r->o.balanced_weights = true;
    r->o.loss.label_smoothing = 0.1;
    r->o.patience = 50;
    for (int s = 0; s < 2; s++) {
        r->o.stages[s].optimizer.ema = 0.9;
        r->o.stages[s].optimizer.clip_norm = 1;
        r->o.stages[s].schedule.warmup_steps = 2;
    }
}

static void learns(void **state)
{
    (void)state;
    small_run r;
    ngi_fit *fit;
    ng_error err;
    small_open(&r, 2);
    small_compute(&r);
    r.o.stages[0].epochs = 30;
    r.o.trained = r.trained;
    r.o.stages[0].schedule.rate = 3e-2;
    r.o.stages[1].schedule.rate = 5e-3;
    r.o.stages[1].epochs = 20;
    CHECK_OK(ngi_fit_create(&r.o, &fit, &err), err);
    CHECK_OK(ngi_fit_run(fit, &err), err);
    int n;
    const ngi_epoch *h = ngi_fit_history(fit, &n);
    assert_int_equal(n, 50);
    assert_true(h[29].val_loss < h[0].val_loss && h[29].loss < h[0].loss);
    assert_true(h[49].val_loss < 0.7 * h[29].val_loss);
    CHECK_NEAR(h[49].val_accuracy, 1, 0.15);
    assert_int_equal(h[49].stage, NGI_STAGE_TOP);
    int64_t items[100], judged, n_items = ngi_fit_items(&r.data, &r.features, NGI_SPLIT_VAL, items);
    double loss, accuracy, best = 1e9;
    for (int i = 30; i < n; i++)
        best = fmin(best, h[i].val_loss);
    CHECK_OK(ngi_fit_evaluate(fit, items, n_items, &loss, &accuracy, NULL, &judged, &err), err);
    CHECK_NEAR(loss, best, 0); /* the best weights were put back */
    assert_int_equal(judged, n_items);
    CHECK_NEAR(h[ngi_fit_best_epoch(fit) - 1].val_loss, best, 0);
    ngi_fit_free(fit);
    small_close(&r);
}

static void threads(void **state)
{
    (void)state;
    size_t bytes;
    float *first = NULL;
    for (int n = 1; n <= 4; n++) {
        small_run r;
        small_open(&r, n);
        small_compute(&r);
        use_all(&r);
        assert_true(run_steps(&r, 1 << 30, false));
        float *w = weights_of(r.graph, &bytes);
        if (first)
            assert_memory_equal(first, w, bytes);
        else
            first = malloc(bytes), memcpy(first, w, bytes);
        free(w);
        small_close(&r);
    }
    free(first);
}

static void micro_batches(void **state)
{
    (void)state;
    size_t bytes;
    float *first = NULL;
    static const int sizes[] = {8, 3, 1};
    for (int i = 0; i < 3; i++) {
        small_run r;
        small_open(&r, 2);
        small_compute(&r);
        use_all(&r);
        r.o.micro = sizes[i];
        assert_true(run_steps(&r, 1 << 30, false));
        float *w = weights_of(r.graph, &bytes);
        for (size_t k = 0; first && k < bytes / sizeof *w; k++)
            CHECK_NEAR(w[k], first[k], 2e-4);
        if (!first)
            first = malloc(bytes), memcpy(first, w, bytes);
        free(w);
        small_close(&r);
    }
    free(first);
}

/* Stopped after every k-th update, in a new process as far as memory goes. */
static void goes_on(void **state)
{
    (void)state;
    size_t bytes;
    float *whole = NULL;
    static const int pieces[] = {1 << 30, 1, 2, 3, 7};
    for (int p = 0; p < 5; p++) {
        small_run r;
        small_open(&r, 1 + p % 2);
        small_compute(&r);
        use_all(&r);
        r.o.checkpoint = r.checkpoint;
        steps_taken = 0;
        bool done = run_steps(&r, pieces[p], false);
        int runs = 1;
        while (!done) {
            ngi_graph_free(
                r.graph); /* nothing of the graph's state is used: weights come from the checkpoint */
            r.graph = small_net();
            r.o.graph = r.graph;
            ng_error err;
            CHECK_OK(ngi_train_head_find(r.graph, NGI_HEAD_MOST, 0.3, &r.o.head, &err), err);
            done = run_steps(&r, pieces[p], true);
            runs++;
        }
        assert_int_equal(steps_taken, 4 * 5); /* 32 images in batches of 8: none was done twice */
        assert_true(p == 0 ? runs == 1 : runs > 2);
        float *w = weights_of(r.graph, &bytes);
        if (whole)
            assert_memory_equal(whole, w, bytes);
        else
            whole = malloc(bytes), memcpy(whole, w, bytes);
        free(w);
        small_close(&r);
    }
    free(whole);
}

static void other_checkpoint(void **state)
{
    (void)state;
    small_run r;
    ng_error err;
    ngi_fit *fit;
    small_open(&r, 1);
    small_compute(&r);
    r.o.checkpoint = r.checkpoint;
    syncs = 0;
    assert_false(run_steps(&r, 3, false));
    assert_int_equal(syncs, 1); /* it is on the disk */
    r.o.key = "other";
    r.o.resume = true;
    CHECK_FAILS(ngi_fit_create(&r.o, &fit, &err), NG_E_ARGUMENT, err, "another run");
    r.o.key = "test";
    FILE *f = fopen(r.checkpoint, "r+");
    fseek(f, -70, SEEK_END);
    fputc(123, f);
    fclose(f);
    CHECK_FAILS(ngi_fit_create(&r.o, &fit, &err), NG_E_ARGUMENT, err, "damaged");
    small_close(&r);
}

static void diverges(void **state)
{
    (void)state;
    for (int stage = 0; stage < 2; stage++) {
        small_run r;
        ng_error err;
        ngi_fit *fit;
        small_open(&r, 2);
        small_compute(&r);
        r.o.checkpoint = r.checkpoint;
        r.o.trained = r.trained;
        ngi_optimizer_init(&r.o.stages[stage].optimizer, NGI_OPTIMIZER_SGD);
        r.o.stages[stage].schedule.rate = 1e30;
        CHECK_OK(ngi_fit_create(&r.o, &fit, &err), err);
        CHECK_FAILS(ngi_fit_run(fit, &err), NG_E_LIMIT, err, "diverged");
        assert_non_null(strstr(err.text, "step"));
        ngi_fit_free(fit);
        if (stage == 1) { /* what was good is kept: the head's end */
            r.o.resume = true;
            CHECK_OK(ngi_fit_create(&r.o, &fit, &err), err);
            assert_true(ngi_fit_resumed(fit));
            ngi_fit_free(fit);
        }
        small_close(&r);
    }
}

/* An image that is gone in the second stage is left out and counted. */
static void image_gone(void **state)
{
    (void)state;
    small_run r;
    ng_error err;
    ngi_fit *fit;
    small_open(&r, 2);
    small_compute(&r);
    r.o.trained = r.trained;
    for (int64_t i = 0; i < r.data.n_items; i++)
        if (r.data.items[i].split == NGI_SPLIT_TRAIN) {
            assert_int_equal(unlink(r.data.items[i].path), 0);
            break;
        }
    CHECK_OK(ngi_fit_create(&r.o, &fit, &err), err);
    CHECK_OK(ngi_fit_run(fit, &err), err);
    int n;
    const ngi_epoch *h = ngi_fit_history(fit, &n);
    assert_int_equal(h[0].skipped, 0);
    assert_int_equal(h[n - 1].skipped, 1);
    assert_int_equal(h[n - 1].images, h[0].images - 1);
    ngi_fit_free(fit);
    small_close(&r);
}

/* A stage that makes things worse gives back what it began with; patience ends it. */
static void worse(void **state)
{
    (void)state;
    small_run r;
    ng_error err;
    ngi_fit *fit;
    size_t bytes;
    small_open(&r, 2);
    small_compute(&r);
    assert_true(run_steps(&r, 1 << 30, false));
    float *head = weights_of(r.graph, &bytes);
    ngi_train_head_initialise(&r.o.head, 1);
    r.o.trained = r.trained;
    r.o.stages[1].epochs = 100;
    r.o.stages[1].schedule.kind = NGI_SCHEDULE_CONSTANT;
    r.o.stages[1].schedule.rate = 3;
    ngi_optimizer_init(&r.o.stages[1].optimizer, NGI_OPTIMIZER_ADAM);
    r.o.patience = 2;
    CHECK_OK(ngi_fit_create(&r.o, &fit, &err), err);
    CHECK_OK(ngi_fit_run(fit, &err), err);
    int n;
    ngi_fit_history(fit, &n);
    assert_int_equal(n, 3 + 2);
    float *w = weights_of(r.graph, &bytes);
    assert_memory_equal(w, head, bytes);
    free(w);
    free(head);
    ngi_fit_free(fit);
    small_close(&r);
}

/* Frozen weights and batch norms stay as they are, to the bit. */
static void frozen(void **state)
{
    (void)state;
    small_run r;
    ng_error err;
    small_open(&r, 2);
    small_compute(&r);
    use_all(&r);
    bool head[64] = {0};
    ngi_graph *before = small_net();
    for (int i = 0; i < r.o.head.n; i++)
        head[r.o.head.dense[i].kernel_index] = head[r.o.head.dense[i].bias_index] = true;
    assert_true(run_steps(&r, 1 << 30, false));
    (void)err;
    for (int i = 0; i < r.graph->n_weights; i++) {
        size_t size = (size_t)ngi_shape_count(&before->weights[i].shape) * sizeof(float);
        bool same = memcmp(before->weights[i].data, r.graph->weights[i].data, size) == 0;
        assert_int_equal(same, !head[i] && !r.trained[i]);
    }
    ngi_graph_free(before);
    small_close(&r);
}

/* Only the second convolution is trained; the weights [*bytes] that come out. What lies before it is computed each time, or
 * kept. */
static float *train_second(bool keep, int threads, size_t *bytes)
{
    small_run r;
    ng_error err;
    ngi_features kept = {0};
    small_open(&r, threads);
    small_compute(&r);
    use_all(&r);
    r.o.augment = NULL;
    int first = 0, second = 0;
    for (int i = 0; i < r.o.head.features; i++)
        if (r.graph->nodes[i].op == NGI_OP_CONV2D)
            first = second, second = i;
    r.trained[r.graph->nodes[first].weights[0]] = false;
    int node = ngi_trunk_frozen(r.graph, r.trained, r.o.head.features);
    assert_int_equal(node, second - 1);
    if (keep) {
        ngi_trunk_opts opts = {.features = node, .threads = 2, .micro = 2};
        ngi_features_run run = {.images = r.o.images, .graph = r.graph, .features = node};
        CHECK_OK(ngi_trunk_create(r.graph, &opts, &run.trunk, &err), err);
        CHECK_OK(ngi_features_open(NULL, small_key, r.data.n_items, ngi_features_width(&run), &kept, &err),
                 err);
        CHECK_OK(ngi_features_compute(&kept, &run, &err), err);
        ngi_trunk_free(run.trunk);
        r.o.frozen = &kept;
        r.o.frozen_node = node;
    }
    r.o.checkpoint = r.checkpoint;
    bool done = run_steps(&r, 7, false);
    while (!done)
        done = run_steps(&r, 7, true);
    float *w = weights_of(r.graph, bytes);
    ngi_features_clear(&kept);
    small_close(&r);
    return w;
}

static void kept_is_as_computed(void **state)
{
    (void)state;
    size_t bytes;
    float *computed = train_second(false, 2, &bytes);
    for (int threads = 1; threads <= 3; threads++) {
        float *kept = train_second(true, threads, &bytes);
        assert_memory_equal(computed, kept, bytes);
        free(kept);
    }
    free(computed);
}

/* Where a way leads around, where all is trained, where nothing is. */
static void what_is_frozen(void **state)
{
    (void)state;
    ngi_graph *g = small_net();
    bool trained[64] = {false};
    int first = 0;
    while (g->nodes[first].op != NGI_OP_CONV2D)
        first++;
    assert_int_equal(ngi_trunk_frozen(g, trained, 7), 7);
    trained[g->nodes[first].weights[0]] = true;
    assert_int_equal(ngi_trunk_frozen(g, trained, 7), first - 1);
    ngi_graph_free(g);
    net_random_state = 3;
    g = net_new();
    int image = net_image(g, 6, 6, 3), stem = net_conv(g, image, net_window(1, 1, 1, 1, true), 3, false);
    int left = net_conv(g, stem, net_window(1, 1, 1, 1, true), 3, false);
    int right = net_conv(g, stem, net_window(1, 1, 1, 1, true), 3, false);
    int sum = net_op2(g, NGI_OP_ADD, left, right);
    memset(trained, 0, sizeof trained);
    trained[g->nodes[right].weights[0]] = true;
    assert_int_equal(ngi_trunk_frozen(g, trained, sum), stem); /* not `left`, which the other branch passes */
    ngi_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns),           cmocka_unit_test(threads),
        cmocka_unit_test(micro_batches),    cmocka_unit_test(goes_on),
        cmocka_unit_test(other_checkpoint), cmocka_unit_test(diverges),
        cmocka_unit_test(image_gone),       cmocka_unit_test(worse),
        cmocka_unit_test(frozen),           cmocka_unit_test(kept_is_as_computed),
        cmocka_unit_test(what_is_frozen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
