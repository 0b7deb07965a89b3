/* Every method of the table, on two small networks: it runs, or refuses with a reason; its map is finite, the same twice,
 * in a batch, on any number of threads and on every back end; no failing allocation does harm; and what the formulas
 * promise holds. */
#include "exec/net.h"

#include "attr/attr.h"
#include "attr/slic.h"

enum { SIDE = 12, BATCH = 3, CLASSES = 4 };

/* Few samples, so that the test is quick; the table's own names. */
static const char *quick_parameters(const ng_method_info *m)
{
    static const struct {
        const char *name, *text;
    } rows[] = {{"smoothgrad", "samples=3"},
                {"vargrad", "samples=3"},
                {"integratedgradients", "steps=5"},
                {"guidedig", "steps=5"},
                {"rise", "samples=20"},
                {"occlusion", "window=6,stride=3"},
                {"lime", "samples=30,segments=6"},
                {"kernelshap", "samples=30,segments=6"},
                {"dff", "iterations=20"},
                {"xrai", "steps=3,segments=2"},
                {"extremalperturbation", "iterations=5,cells=4"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, m->name) == 0)
            return rows[i].text;
    return "";
}

typedef struct scene {
    ngi_graph *g;
    ngi_head head;
    int layer; /* explained by methods at a layer */
    float *input;
    float black[3], white[3];
} scene;

static int add_layer(ngi_graph *g, const char *name, int node)
{
    ng_error err = {0};
    int layer;
    CHECK_OK(ngi_graph_add_layer(g, name, "Test", true, &layer, &err), err);
    g->layers[layer].node = node;
    g->nodes[node].layer = layer;
    return layer;
}

/* pooled: convolutions, global average pooling, dense: the head of CAM. Else a shortcut and hidden layers. */
static scene make_scene(bool pooled)
{
    scene s = {.g = net_new(), .white = {1, 1, 1}};
    ngi_attr plain;
    ng_error err = {0};
    ngi_attr_init(&plain);
    net_random_state = 99;
    int x = net_image(s.g, SIDE, SIDE, 3);
    add_layer(s.g, "image", x);
    int c1 = net_activation(s.g, NGI_ACT_RELU, net_conv(s.g, x, net_window(3, 3, 1, 1, true), 6, true));
    int c2 = net_batchnorm(s.g, net_conv(s.g, c1, net_window(3, 3, 2, 1, true), 8, true), true, true);
    int last = net_activation(s.g, NGI_ACT_RELU, c2), logits;
    s.layer = add_layer(s.g, "last", last);
    if (pooled)
        logits = net_dense(s.g, net_op(s.g, NGI_OP_GLOBAL_AVG, &plain, last), CLASSES, true);
    else {
        int side = net_conv(s.g, last, net_window(3, 3, 1, 1, true), 8, true);
        int sum = net_activation(s.g, NGI_ACT_RELU, net_op2(s.g, NGI_OP_ADD, last, side));
        plain.target = ngi_shape_of(1, (int64_t)-1);
        int flat = net_op(s.g, NGI_OP_RESHAPE, &plain, sum);
        logits =
            net_dense(s.g, net_activation(s.g, NGI_ACT_RELU, net_dense(s.g, flat, 9, true)), CLASSES, true);
    }
    ngi_attr_init(&plain);
    int output = net_op(s.g, NGI_OP_SOFTMAX, &plain, logits);
    net_output(s.g, output);
    CHECK_OK(ngi_graph_infer(s.g, &err), err);
    s.head = ngi_head_of(s.g);
    assert_int_equal(s.head.logits, logits);
    s.input = net_floats(BATCH * SIDE * SIDE * 3);
    for (int i = 0; i < BATCH * SIDE * SIDE * 3; i++)
        s.input[i] = 0.5f + 0.5f * s.input[i];
    return s;
}

static void free_scene(scene *s)
{
    free(s->input);
    ngi_graph_free(s->g);
}

typedef struct runner {
    ngi_plan *plan;
    ngi_run_session *run;
    ngi_pool *pool;
    float seed[BATCH * CLASSES];
    int n;
} runner;

static ng_status open_runner(const scene *s, const char *backend, int n, runner *r, ng_error *err)
{
    const int grads[] = {s->g->layers[s->layer].node, s->g->inputs[0]};
    const int taps[] = {s->head.logits, s->g->inputs[0]};
    ngi_plan_opts o = {.batch = n,
                       .threads = 1,
                       .backend = backend,
                       .taps = taps,
                       .n_taps = 2,
                       .grads = grads,
                       .n_grads = 2,
                       .root = s->head.logits};
    *r = (runner){.n = n};
    NGI_TRY(ngi_plan_create(s->g, &o, &r->plan, err));
    NGI_TRY(ngi_run_session_create(r->plan, &r->run, err));
    NGI_TRY(ngi_pool_create(r->plan, &r->pool, err));
    const float *input = s->input;
    return ngi_run_forward(r->run, &input, n, err);
}

static void close_runner(runner *r)
{
    ngi_pool_free(r->pool);
    ngi_run_session_free(r->run);
    ngi_plan_free(r->plan);
}

typedef struct request {
    int index, class_index, threads;
    ng_target target;
    const char *parameters;
    ng_smooth smooth;
    bool eigen;
    double seconds;
} request;

static ng_status explain(const scene *s, runner *r, const ngi_method *m, request q, ng_map *map,
                         ng_error *err)
{
    ngi_attr_job job = {.graph = s->g,
                        .head = &s->head,
                        .run = r->run,
                        .pool = r->pool,
                        .n = r->n,
                        .index = q.index,
                        .input = s->input + (int64_t)q.index * SIDE * SIDE * 3,
                        .black = s->black,
                        .white = s->white,
                        .layer = m->info.at_layer ? s->layer : ngi_attr_input_layer(s->g),
                        .probability = 0.5f,
                        .bad_layer = -1,
                        .seed = r->seed,
                        .smooth = q.smooth,
                        .eigen = q.eigen,
                        .seconds = q.seconds,
                        .threads = q.threads};
    const float *z = ngi_run_activation(r->run, s->head.logits) + q.index * CLASSES;
    const char *text = q.parameters ? q.parameters : quick_parameters(&m->info);
    NGI_TRY(ngi_parameters_read(&m->info, text, job.parameters, err));
    NGI_TRY(ngi_target_init(&s->head, q.target, q.class_index, -1, 0.6, z, &job.target, err));
    *map = (ng_map){0};
    return ngi_attribute(m, &job, map, err);
}

static ng_map map_of(const scene *s, const char *backend, int n, const ngi_method *m, request q)
{
    runner r;
    ng_map map;
    ng_error err = {0};
    CHECK_OK(open_runner(s, backend, n, &r, &err), err);
    CHECK_OK(explain(s, &r, m, q, &map, &err), err);
    close_runner(&r);
    return map;
}

static void check_near(const ngi_method *m, const char *what, const ng_map *a, const ng_map *b,
                       double tolerance)
{
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->width, b->width);
    double most = 1e-12;
    for (int i = 0; i < a->height * a->width; i++)
        most = fmax(most, fabs((double)a->signed_data[i]));
    for (int i = 0; i < a->height * a->width; i++)
        if (!(fabs((double)a->signed_data[i] - b->signed_data[i]) <= tolerance * most))
            fail_msg("%s, %s: cell %d is %.9g and %.9g", m->info.name, what, i, a->signed_data[i],
                     b->signed_data[i]);
}

/* Runs `check` for every method that applies to the network. */
static void for_all(void (*check)(const scene *s, const ngi_method *m))
{
    for (int pooled = 0; pooled < 2; pooled++) {
        scene s = make_scene(pooled);
        int ran = 0;
        for (int i = 0; i < ngi_method_count(); i++) {
            const ngi_method *m = ngi_method_at(i);
            ng_error err = {0};
            ng_status status = m->check(s.g, m->info.at_layer ? s.layer : ngi_attr_input_layer(s.g), &err);
            if (status == NG_OK) {
                check(&s, m);
                ran++;
            } else if (strlen(err.text) < 20)
                fail_msg("%s refuses without a reason: '%s'", m->info.name, err.text);
        }
        assert_true(ran >= ngi_method_count() - 1); /* CAM wants the pooled head */
        free_scene(&s);
    }
}

static void check_shape_and_sameness(const scene *s, const ngi_method *m)
{
    ng_map a = map_of(s, "auto", 1, m, (request){.class_index = 1, .threads = 1});
    int side = m->info.at_input ? SIDE : SIDE / 2;
    assert_int_equal(a.height, side);
    assert_int_equal(a.width, side);
    for (int i = 0; i < side * side; i++) {
        assert_true(isfinite(a.signed_data[i]));
        assert_true(a.data[i] == (a.signed_data[i] > 0 ? a.signed_data[i] : 0));
    }
    assert_true(a.status == NG_MAP_OK || *a.note);
    ng_map b = map_of(s, "auto", 1, m, (request){.class_index = 1, .threads = 1});
    ng_map c = map_of(s, "auto", 1, m, (request){.class_index = 1, .threads = 3});
    assert_memory_equal(a.signed_data, b.signed_data, (size_t)(side * side) * sizeof(float));
    assert_memory_equal(a.signed_data, c.signed_data, (size_t)(side * side) * sizeof(float));
    ng_map_clear(&a);
    ng_map_clear(&b);
    ng_map_clear(&c);
}

static void check_batch_and_backends(const scene *s, const ngi_method *m)
{
    ng_map first = map_of(s, "ref", 1, m, (request){.class_index = 2, .threads = 1});
    ng_map batch = map_of(s, "ref", BATCH, m, (request){.class_index = 2, .threads = 1});
    ng_map onednn = map_of(s, "onednn", 1, m, (request){.class_index = 2, .threads = 1});
    ng_map fast = map_of(s, "auto", BATCH, m, (request){.class_index = 2, .threads = 2});
    check_near(m, "alone and in a batch", &first, &batch, 1e-5);
    check_near(m, "ref and onednn", &first, &onednn, 1e-4);
    check_near(m, "ref and auto", &first, &fast, 1e-4);
    ng_map_clear(&first);
    ng_map_clear(&batch);
    ng_map_clear(&onednn);
    ng_map_clear(&fast);
}

static void check_allocations_of(const scene *s, const ngi_method *m, request q)
{
    ng_error err = {0};
    ng_map map = {0};
    for (long k = 1, succeeded = 0; !succeeded; k++) {
        runner r;
        CHECK_OK(open_runner(s, "ref", 1, &r, &err), err);
        ngi_alloc_fail_at(k);
        ng_status status = explain(s, &r, m, q, &map, &err);
        ngi_alloc_fail_at(0);
        if (status == NG_OK)
            succeeded = 1;
        else if (status != NG_E_MEMORY)
            fail_msg("%s, allocation %ld: %s: %s", m->info.name, k, ng_status_name(status), err.text);
        else
            assert_null(map.data);
        ng_map_clear(&map);
        close_runner(&r);
        if (k > 2000)
            fail_msg("%s: still fails after %ld allocations", m->info.name, k);
    }
}

/* The versions of a mirrored image are those of the image: the smoothed maps are each other's mirror images, to the bit. */
static void check_smoothing(const scene *s, const ngi_method *m)
{
    scene mirrored = *s;
    mirrored.input = net_floats(BATCH * SIDE * SIDE * 3);
    for (int row = 0; row < SIDE; row++)
        for (int x = 0; x < SIDE; x++)
            memcpy(mirrored.input + (row * SIDE + x) * 3, s->input + (row * SIDE + SIDE - 1 - x) * 3,
                   3 * sizeof(float));
    request q = {.class_index = 1, .threads = 2, .smooth = NG_SMOOTH_FLIP};
    bool superpixels = strcmp(m->info.name, "lime") == 0 || strcmp(m->info.name, "kernelshap") == 0;
    q.parameters = superpixels ? "samples=30,segments=16,compactness=100" : NULL; /* noise has no segments */
    ng_map a = map_of(s, "auto", 1, m, q), b = map_of(&mirrored, "auto", 1, m, q);
    for (int i = 0; i < a.height * a.width; i++) {
        float other = b.signed_data[i / a.width * a.width + a.width - 1 - i % a.width];
        if (a.signed_data[i] != other)
            fail_msg("%s: cell %d is %.9g, mirrored %.9g", m->info.name, i, a.signed_data[i], other);
    }
    q.smooth = NG_SMOOTH_SCALED;
    ng_map c = map_of(s, "auto", BATCH, m, q);
    assert_true(c.signed_min >= 0 && c.signed_max <= 1);
    assert_non_null(strstr(c.note, c.status == NG_MAP_OK ? "6 maps" : ""));
    ng_map_clear(&a);
    ng_map_clear(&b);
    ng_map_clear(&c);
    free(mirrored.input);
}

/* Where it applies, eigen smoothing is the leading component; elsewhere it is refused. */
static void check_eigen(const scene *s, const ngi_method *m)
{
    request q = {.class_index = 1, .threads = 1, .eigen = true};
    if (m->info.sums_channels) {
        ng_map a = map_of(s, "ref", 1, m, q), b = map_of(s, "ref", BATCH, m, q);
        check_near(m, "eigen smoothing alone and in a batch", &a, &b, 1e-4);
        assert_true(fabsf(a.signed_max) >= fabsf(a.signed_min));
        ng_map_clear(&a);
        ng_map_clear(&b);
        return;
    }
    runner r;
    ng_map map;
    ng_error err = {0};
    CHECK_OK(open_runner(s, "ref", 1, &r, &err), err);
    CHECK_FAILS(explain(s, &r, m, q, &map, &err), NG_E_UNSUPPORTED, err, "eigengradcam");
    close_runner(&r);
}

static void check_allocations(const scene *s, const ngi_method *m)
{
    request q = {.class_index = 1, .threads = 1};
    check_allocations_of(s, m, q);
    q.smooth = NG_SMOOTH_FLIP;
    q.eigen = m->info.sums_channels;
    if (strcmp(m->info.name, "gradcam") == 0 || strcmp(m->info.name, "layercam") == 0)
        check_allocations_of(s, m, q);
}

static void smoothed_maps_mirror_exactly(void **state)
{
    (void)state;
    for_all(check_smoothing);
}

static void eigen_smoothing_applies_or_is_refused(void **state)
{
    (void)state;
    for_all(check_eigen);
}

/* Next to no time: a map all the same, and what it is worth where it is a mean of samples. */
static void check_hurry(const scene *s, const ngi_method *m)
{
    static const char *const means[] = {"rise", "lime", "kernelshap", "smoothgrad", "vargrad"};
    request q = {.class_index = 1, .threads = 1, .seconds = 1e-9};
    bool needs_two = strcmp(m->info.name, "integratedgradients") == 0 || strcmp(m->info.name, "xrai") == 0;
    for (size_t i = 0; i < sizeof means / sizeof *means; i++)
        if (strcmp(m->info.name, means[i]) == 0)
            q.target = NG_TARGET_PROBABILITY; /* above zero, so that the note is the method's */
    runner r;
    ng_map map;
    ng_error err = {0};
    CHECK_OK(open_runner(s, "ref", BATCH, &r, &err), err);
    ng_status status = explain(s, &r, m, q, &map, &err);
    if (needs_two && status == NG_E_LIMIT) /* the time was up before the first gradient */
        assert_non_null(strstr(err.text, "give more"));
    else
        CHECK_OK(status, err);
    for (size_t i = 0; i < sizeof means / sizeof *means; i++)
        if (strcmp(m->info.name, means[i]) == 0 && map.status == NG_MAP_OK &&
            !strstr(map.note, "standard error"))
            fail_msg("%s: no standard error in '%s'", m->info.name, map.note);
    ng_map_clear(&map);
    close_runner(&r);
}

static void a_time_limit_gives_the_map_so_far(void **state)
{
    (void)state;
    for_all(check_hurry);
}

/* Time enough changes nothing but the order of sums; half of the places still estimate the whole. */
static void a_part_of_the_way_estimates_the_whole(void **state)
{
    (void)state;
    scene s = make_scene(false);
    request q = {.class_index = 2, .threads = 1, .parameters = "steps=64"};
    const ngi_method *m = ngi_method_find("integratedgradients", NULL);
    ng_map all = map_of(&s, "ref", 1, m, q);
    q.seconds = 1e6;
    ng_map timed = map_of(&s, "ref", 1, m, q);
    check_near(m, "with time enough", &all, &timed, 1e-5);
    ng_map_clear(&all);
    ng_map_clear(&timed);
    free_scene(&s);
}

static void every_map_is_sound_and_repeats(void **state)
{
    (void)state;
    for_all(check_shape_and_sameness);
}

static void batches_and_back_ends_agree(void **state)
{
    (void)state;
    for_all(check_batch_and_backends);
}

static void failing_allocations_do_no_harm(void **state)
{
    (void)state;
    for_all(check_allocations);
}

/* ---- What the formulas promise ---------------------------------------------------------------- */

static const ngi_method *method(const char *name)
{
    ng_error err = {0};
    const ngi_method *m = ngi_method_find(name, &err);
    if (!m)
        fail_msg("%s", err.text);
    return m;
}

static double logit_of(const scene *s, const float *input, int c)
{
    runner r;
    ng_error err = {0};
    scene other = *s;
    other.input = (float *)input;
    CHECK_OK(open_runner(&other, "ref", 1, &r, &err), err);
    double z = ngi_run_activation(r.run, s->head.logits)[c];
    close_runner(&r);
    return z;
}

static double sum_of(const ng_map *map)
{
    return ngi_sum(map->signed_data, (int64_t)map->height * map->width);
}

/* GAP -> Dense: Grad-CAM = HiResCAM / Z = XGrad-CAM = ShapleyCAM = CAM / Z; HiResCAM sums to the logit less its bias. */
static void identities_of_a_pooled_head(void **state)
{
    (void)state;
    scene s = make_scene(true);
    request q = {.class_index = 1, .threads = 1};
    int cells = SIDE / 2 * SIDE / 2;
    ng_map cam = map_of(&s, "ref", 1, method("cam"), q), grad = map_of(&s, "ref", 1, method("gradcam"), q);
    const char *const same[] = {"hirescam", "xgradcam", "shapleycam"};
    for (int i = 0; i < cells; i++)
        CHECK_NEAR(cam.signed_data[i] / cells, grad.signed_data[i], 1e-5 * fabs((double)grad.signed_max));
    for (size_t k = 0; k < sizeof same / sizeof *same; k++) {
        ng_map other = map_of(&s, "ref", 1, method(same[k]), q);
        check_near(method(same[k]), "as Grad-CAM", &grad, &other, 1e-5);
        if (k == 0) {
            const ngi_node *dense = &s.g->nodes[s.head.logits];
            double bias = s.g->weights[dense->weights[1]].data[1];
            CHECK_NEAR(sum_of(&other), logit_of(&s, s.input, 1) - bias, 1e-4);
        }
        ng_map_clear(&other);
    }
    ng_map_clear(&cam);
    ng_map_clear(&grad);
    free_scene(&s);
}

static void attributions_add_up(void **state)
{
    (void)state;
    scene s = make_scene(false);
    float black[SIDE * SIDE * 3] = {0};
    double rise = logit_of(&s, s.input, 2) - logit_of(&s, black, 2);
    static const struct {
        const char *name, *parameters;
        double tolerance;
    } rows[] = {{"integratedgradients", "steps=300", 0.01},
                {"deeplift", "", 1e-4},
                {"kernelshap", "baseline=black,segments=6,samples=64", 1e-4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ng_map map = map_of(&s, "ref", 1, method(rows[i].name),
                            (request){.class_index = 2, .threads = 1, .parameters = rows[i].parameters});
        double sum = sum_of(&map);
        if (strcmp(rows[i].name, "kernelshap") == 0) { /* a superpixel's value stands at each of its pixels */
            sum = 0;
            int labels[SIDE * SIDE], count, seen = 0;
            ng_error err = {0};
            CHECK_OK(ngi_slic(s.input, SIDE, SIDE, 3, 1, 6, 10, labels, &count, &err), err);
            for (int p = 0; p < SIDE * SIDE; p++)
                if (labels[p] == seen) {
                    sum += map.signed_data[p];
                    seen++;
                }
            assert_int_equal(seen, count);
        }
        if (!(fabs(sum - rise) <= rows[i].tolerance * fabs(rise)))
            fail_msg("%s: sums to %g, the logit rises by %g", rows[i].name, sum, rise);
        ng_map_clear(&map);
    }
    free_scene(&s);
}

/* Without biases nothing is kept back: what LRP gives the pixels is the logit. z+ loses what goes to a branch in which nothing
 * speaks for its output: in the net with a shortcut only the rules that keep all terms are held to it. */
static void relevance_is_conserved_without_biases(void **state)
{
    (void)state;
    static const char *const presets[] = {"preset=epsilon-plus-flat", "preset=epsilon-plus",
                                          "preset=epsilon-gamma", "preset=epsilon-alpha2-beta1",
                                          "preset=epsilon"};
    for (int pooled = 0; pooled < 2; pooled++) {
        scene s = make_scene(pooled);
        for (int i = 0; i < s.g->n_nodes; i++) {
            const ngi_node *n = &s.g->nodes[i];
            bool norm = n->op == NGI_OP_BATCHNORM;
            for (int k = 1; k <= (norm ? 2 : 1); k++) /* biases; beta and mean */
                if (n->weights[k] >= 0)
                    memset(s.g->weights[n->weights[k]].data, 0,
                           (size_t)ngi_shape_count(&s.g->weights[n->weights[k]].shape) * sizeof(float));
        }
        double z = logit_of(&s, s.input, 1);
        for (size_t k = 0; k < sizeof presets / sizeof *presets; k++) {
            if (!pooled && (strstr(presets[k], "plus") || strstr(presets[k], "alpha")))
                continue;
            ng_map map = map_of(&s, "ref", 1, method("lrp"),
                                (request){.class_index = 1, .threads = 1, .parameters = presets[k]});
            if (!(fabs(sum_of(&map) - z) <= 2e-3 * fabs(z)))
                fail_msg("%s: relevance sums to %g, the logit is %g", presets[k], sum_of(&map), z);
            ng_map_clear(&map);
        }
        free_scene(&s);
    }
}

/* Few superpixels, all coalitions: Kernel SHAP's values are the Shapley values by their definition. */
static void kernel_shap_is_exact_where_it_can_be(void **state)
{
    (void)state;
    scene s = make_scene(false);
    int labels[SIDE * SIDE], n;
    ng_error err = {0};
    CHECK_OK(ngi_slic(s.input, SIDE, SIDE, 3, 1, 4, 10, labels, &n, &err), err);
    assert_true(n >= 2 && n <= 6);
    double scores[64], weight[8], phi[8] = {0};
    for (int set = 0; set < 1 << n; set++) {
        float x[SIDE * SIDE * 3] = {0};
        for (int p = 0; p < SIDE * SIDE; p++)
            if (set >> labels[p] & 1)
                memcpy(x + 3 * p, s.input + 3 * p, 3 * sizeof *x);
        scores[set] = logit_of(&s, x, 1);
    }
    double factorial[9] = {1};
    for (int k = 1; k <= n; k++)
        factorial[k] = factorial[k - 1] * k;
    for (int k = 0; k < n; k++)
        weight[k] = factorial[k] * factorial[n - 1 - k] / factorial[n];
    for (int k = 0; k < n; k++)
        for (int set = 0; set < 1 << n; set++)
            if (!(set >> k & 1))
                phi[k] += weight[__builtin_popcount((unsigned)set)] * (scores[set | 1 << k] - scores[set]);
    ng_map map = map_of(
        &s, "ref", 1, method("kernelshap"),
        (request){.class_index = 1, .threads = 2, .parameters = "baseline=black,segments=4,samples=64"});
    for (int p = 0; p < SIDE * SIDE; p++)
        CHECK_NEAR(map.signed_data[p], phi[labels[p]], 1e-4);
    ng_map_clear(&map);
    free_scene(&s);
}

static void occlusion_of_a_constant_image_by_its_colour_is_zero(void **state)
{
    (void)state;
    scene s = make_scene(false);
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        s.input[i] = 0.5f;
    ng_map map = map_of(&s, "ref", 1, method("occlusion"),
                        (request){.class_index = 1, .threads = 1, .parameters = "baseline=grey,window=4"});
    assert_int_equal(map.status, NG_MAP_CONSTANT);
    assert_true(map.signed_max == 0 && map.signed_min == 0);
    ng_map_clear(&map);
    free_scene(&s);
}

static int stop_at_once(void *context, int done, int total)
{
    (void)total;
    *(int *)context = done;
    return 1;
}

static void long_work_can_be_given_up(void **state)
{
    (void)state;
    scene s = make_scene(false);
    runner r;
    ng_error err = {0};
    ng_map map = {0};
    int done = -1;
    CHECK_OK(open_runner(&s, "ref", 1, &r, &err), err);
    const ngi_method *m = method("rise");
    ngi_attr_job job = {.graph = s.g,
                        .head = &s.head,
                        .run = r.run,
                        .pool = r.pool,
                        .n = 1,
                        .input = s.input,
                        .black = s.black,
                        .white = s.white,
                        .layer = ngi_attr_input_layer(s.g),
                        .bad_layer = -1,
                        .seed = r.seed,
                        .threads = 1,
                        .progress = stop_at_once,
                        .context = &done};
    CHECK_OK(ngi_parameters_read(&m->info, "samples=1000", job.parameters, &err), err);
    CHECK_FAILS(ngi_attribute(m, &job, &map, &err), NG_E_CANCELLED, err, "interrupted");
    assert_int_equal(done, 0);
    assert_null(map.data);
    job.progress = NULL;
    job.target.kind = NG_TARGET_PROBABILITY; /* above zero, so that the note is the method's */
    job.seconds = 1e-6;                      /* time for one round only: a map all the same, and its error */
    CHECK_OK(ngi_attribute(m, &job, &map, &err), err);
    assert_non_null(strstr(map.note, "1 masks"));
    ng_map_clear(&map);
    close_runner(&r);
    free_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_map_is_sound_and_repeats),
        cmocka_unit_test(batches_and_back_ends_agree),
        cmocka_unit_test(smoothed_maps_mirror_exactly),
        cmocka_unit_test(eigen_smoothing_applies_or_is_refused),
        cmocka_unit_test(failing_allocations_do_no_harm),
        cmocka_unit_test(a_time_limit_gives_the_map_so_far),
        cmocka_unit_test(a_part_of_the_way_estimates_the_whole),
        cmocka_unit_test(identities_of_a_pooled_head),
        cmocka_unit_test(attributions_add_up),
        cmocka_unit_test(relevance_is_conserved_without_biases),
        cmocka_unit_test(kernel_shap_is_exact_where_it_can_be),
        cmocka_unit_test(occlusion_of_a_constant_image_by_its_colour_is_zero),
        cmocka_unit_test(long_work_can_be_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
