/* What the methods' formulas promise, on two small networks: identities, completeness, conservation; and that long work can be
 * given up. */
#include "attr/scene.h"

#include "attr/slic.h"

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
    int cells = LAST_SIDE * LAST_SIDE;
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
                {"kernelshap", "baseline=black,segments=6,samples=64,compactness=100", 1e-4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ng_map map = map_of(&s, "ref", 1, method(rows[i].name),
                            (request){.class_index = 2, .threads = 1, .parameters = rows[i].parameters});
        double sum = sum_of(&map);
        if (strcmp(rows[i].name, "kernelshap") == 0) { /* a superpixel's value stands at each of its pixels */
            sum = 0;
            int labels[SIDE * SIDE], count, seen = 0;
            ng_error err = {0};
            CHECK_OK(ngi_slic(s.input, SIDE, SIDE, 3, 1, 6, 100, labels, &count, &err), err);
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
    CHECK_OK(ngi_slic(s.input, SIDE, SIDE, 3, 1, 4, 100, labels, &n, &err), err);
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
    ng_map map = map_of(&s, "ref", 1, method("kernelshap"),
                        (request){.class_index = 1,
                                  .threads = 2,
                                  .parameters = "baseline=black,segments=4,samples=64,compactness=100"});
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

/* A flat baseline ties in every window of a maximum pooling: which of equal values is the largest by rounding says nothing. */
static void ties_of_a_flat_baseline_do_not_show(void **state)
{
    (void)state;
    scene s = {.g = net_new(), .white = {1, 1, 1}, .input = net_floats(BATCH * SIDE * SIDE * 3)};
    ng_error err = {0};
    ngi_attr plain, window = net_window(3, 3, 2, 1, false);
    ngi_attr_init(&plain);
    int image = net_image(s.g, SIDE, SIDE, 3);
    add_layer(s.g, "image", image);
    int conv =
        net_conv(s.g, net_op(s.g, NGI_OP_MAX_POOL, &window, image), net_window(3, 3, 1, 1, true), 6, true);
    s.layer = add_layer(s.g, "last", conv);
    int logits = net_dense(s.g, net_op(s.g, NGI_OP_GLOBAL_AVG, &plain, conv), CLASSES, true);
    net_output(s.g, net_op(s.g, NGI_OP_SOFTMAX, &plain, logits));
    CHECK_OK(ngi_graph_infer(s.g, &err), err);
    s.head = ngi_head_of(s.g);
    float flat[SIDE * SIDE * 3], rounded[SIDE * SIDE * 3];
    for (int i = 0; i < SIDE * SIDE * 3; i++) {
        flat[i] = 0.25f;
        rounded[i] = 0.25f + 1e-7f * net_float();
    }
    request q = {.class_index = 1, .threads = 1, .parameters = "baseline=given", .baseline = flat};
    ng_map a = map_of(&s, "ref", 1, method("deeplift"), q);
    q.baseline = rounded;
    ng_map b = map_of(&s, "ref", 1, method("deeplift"), q);
    check_near(method("deeplift"), "with a rounded baseline", &a, &b, 1e-4);
    CHECK_NEAR(sum_of(&a), logit_of(&s, s.input, 1) - logit_of(&s, flat, 1), 1e-4);
    ng_map_clear(&a);
    ng_map_clear(&b);
    free_scene(&s);
}

/* A dense layer of every cell's channels is a convolution of 1x1, and its biases have a place as those of one have. */
static void fullgrad_knows_a_dense_layer_of_cells(void **state)
{
    (void)state;
    ng_map maps[2];
    for (int dense = 0; dense < 2; dense++) {
        scene s = {.g = net_new(), .white = {1, 1, 1}};
        ng_error err = {0};
        ngi_attr plain;
        ngi_attr_init(&plain);
        net_random_state = 5;
        int image = net_image(s.g, SIDE, SIDE, 3),
            first = net_conv(s.g, image, net_window(3, 3, 1, 1, true), 6, true);
        add_layer(s.g, "image", image);
        int relu = net_activation(s.g, NGI_ACT_RELU, first);
        int cells = dense ? net_dense(s.g, relu, 5, true)
                          : net_conv(s.g, relu, net_window(1, 1, 1, 1, true), 5, true);
        net_random_state = 7;
        const ngi_node *n = &s.g->nodes[cells];
        for (int k = 0; k < 2; k++) {
            ngi_weight *w = &s.g->weights[n->weights[k]];
            for (int64_t i = 0; i < ngi_shape_count(&w->shape); i++)
                w->data[i] = net_float();
        }
        int last = net_activation(s.g, NGI_ACT_RELU, cells);
        s.layer = add_layer(s.g, "last", last);
        int logits = net_dense(s.g, net_op(s.g, NGI_OP_GLOBAL_AVG, &plain, last), CLASSES, true);
        net_output(s.g, net_op(s.g, NGI_OP_SOFTMAX, &plain, logits));
        CHECK_OK(ngi_graph_infer(s.g, &err), err);
        s.head = ngi_head_of(s.g);
        s.input = net_floats(BATCH * SIDE * SIDE * 3);
        maps[dense] = map_of(&s, "ref", 1, method("fullgrad"), (request){.class_index = 1, .threads = 1});
        free_scene(&s);
    }
    check_near(method("fullgrad"), "as a convolution", &maps[0], &maps[1], 1e-5);
    ng_map_clear(&maps[0]);
    ng_map_clear(&maps[1]);
}

/* A score that depends on nothing has no map, whatever the method does on the way; methods that do not look at the class, or weigh
 * channels whose scores are equal, have one. */
static void a_score_that_looks_at_nothing_has_no_map(void **state)
{
    (void)state;
    static const char *const blind[] = {"scorecam", "eigencam", "kpcacam", "fem", "randomcam", "dff"};
    scene s = make_scene(true);
    const ngi_node *dense = &s.g->nodes[s.head.logits];
    for (int k = 0; k < 2; k++) {
        ngi_weight *w = &s.g->weights[dense->weights[k]];
        memset(w->data, 0, (size_t)ngi_shape_count(&w->shape) * sizeof *w->data);
    }
    for (int i = 0; i < ngi_method_count(); i++) {
        const ngi_method *m = ngi_method_at(i);
        bool looks = true;
        for (size_t k = 0; k < sizeof blind / sizeof *blind; k++)
            looks = looks && strcmp(m->info.name, blind[k]) != 0;
        static const char *const ways[] = {NULL, "variant=meaningful,iterations=3",
                                           "variant=torchray,iterations=3"};
        bool several = strcmp(m->info.name, "extremalperturbation") == 0;
        for (int w = 0; w < (several ? 3 : 1) && looks; w++) {
            ng_map map =
                map_of(&s, "ref", 1, m, (request){.class_index = 1, .threads = 1, .parameters = ways[w]});
            if (map.status != NG_MAP_CONSTANT || map.signed_min != 0 || map.signed_max != 0 ||
                strstr(map.note, "-0"))
                fail_msg("%s: %g to %g: '%s'", m->info.name, map.signed_min, map.signed_max, map.note);
            ng_map_clear(&map);
        }
    }
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
    assert_non_null(strstr(map.note, "1 of 1000 masks in the time given"));
    ng_map_clear(&map);
    close_runner(&r);
    free_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identities_of_a_pooled_head),
        cmocka_unit_test(attributions_add_up),
        cmocka_unit_test(relevance_is_conserved_without_biases),
        cmocka_unit_test(kernel_shap_is_exact_where_it_can_be),
        cmocka_unit_test(occlusion_of_a_constant_image_by_its_colour_is_zero),
        cmocka_unit_test(ties_of_a_flat_baseline_do_not_show),
        cmocka_unit_test(fullgrad_knows_a_dense_layer_of_cells),
        cmocka_unit_test(a_score_that_looks_at_nothing_has_no_map),
        cmocka_unit_test(long_work_can_be_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
