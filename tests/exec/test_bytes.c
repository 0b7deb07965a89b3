/* What lies as bytes between 8-bit layers: every activation of a small inception is compared with float32's, step by step, so
 * that a wrong scale or a concatenation of parts that do not share theirs is seen where it happens; which nodes are bytes and
 * which must stay float32; batches, threads and weights from the cache. On processors without such kernels there are no bytes,
 * and all the rest must hold. */
#include "exec/net.h"

#include "base/cache.h"
#include "exec/calibrate.h"
#include "exec/plan.h"

enum { IMAGES = 3, NETWORKS = 100 };

static ng_error err;

typedef struct scene {
    ngi_graph *g;
    int input, stem, pooled, mixed, inner, outer, last, logits;
    float *x; /* [IMAGES] */
    ngi_calibration *ranges;
} scene;

static int conv(ngi_graph *g, int from, int h, int w, int stride, bool same, int out)
{
    return net_activation(
        g, NGI_ACT_RELU,
        net_batchnorm(g, net_conv(g, from, net_window(h, w, stride, 1, same), out, false), true, true));
}

static int concat(ngi_graph *g, int n, const int *parts)
{
    ngi_attr a;
    ngi_attr_init(&a);
    a.axis = 2;
    return net_node_of(g, NGI_OP_CONCAT, &a, n, parts, NULL);
}

static int pool(ngi_graph *g, ngi_op op, int from, int side, int stride, bool same)
{
    ngi_attr a = net_window(side, side, stride, 1, same);
    return net_op(g, op, &a, from);
}

/* Inception's ways: a mean before a 1x1, a maximum beside strides, concatenations in concatenations. Both the parts' and the
 * layers' ranges differ by far. */
static void build(scene *s)
{
    ngi_graph *g = s->g;
    s->input = net_image(g, 33, 31, 3);
    s->stem = conv(g, s->input, 3, 3, 1, true, 24);
    int x = conv(g, s->stem, 3, 3, 1, true, 40);
    s->pooled = pool(g, NGI_OP_MAX_POOL, x, 3, 2, false);
    int mean = conv(g, pool(g, NGI_OP_AVG_POOL, s->pooled, 3, 1, true), 1, 1, 1, true, 20);
    int one = conv(g, s->pooled, 1, 1, 1, true, 48);
    int tall = conv(g, conv(g, s->pooled, 1, 7, 1, true, 36), 7, 1, 1, true, 28);
    s->mixed = concat(g, 3, (int[]){one, tall, mean});
    s->inner =
        concat(g, 2, (int[]){conv(g, s->mixed, 3, 3, 2, false, 33), conv(g, s->mixed, 3, 3, 2, false, 17)});
    s->outer = concat(g, 2, (int[]){s->inner, pool(g, NGI_OP_MAX_POOL, s->mixed, 3, 2, false)});
    s->last = conv(g, s->outer, 3, 3, 1, true, 32);
    s->logits = net_dense(g, net_op(g, NGI_OP_GLOBAL_AVG, NULL, s->last), 5, true);
    net_output(g, s->logits);
}

/* Louder channels: a scale of its own for each of these layers. */
static void spread(ngi_graph *g)
{
    int k = 0;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == NGI_OP_BATCHNORM) {
            ngi_weight *gamma = &g->weights[g->nodes[i].weights[0]];
            for (int64_t c = 0; c < ngi_shape_count(&gamma->shape); c++)
                gamma->data[c] *= k % 3 == 0 ? 3.0f : k % 3 == 1 ? 1.0f : 0.6f;
            k++;
        }
}

static scene make_scene(void)
{
    scene s = {.g = net_new()};
    net_random_state = 11;
    build(&s);
    spread(s.g);
    CHECK_OK(ngi_graph_infer(s.g, &err), err);
    s.x = net_floats(IMAGES * net_count(s.g, s.input));
    CHECK_OK(ngi_calibration_create(s.g, s.logits, &s.ranges, &err), err);
    for (int i = 0; i < IMAGES; i++)
        CHECK_OK(ngi_calibration_add(s.ranges, s.x + i * net_count(s.g, s.input), &err), err);
    return s;
}

static void drop_scene(scene *s)
{
    ngi_calibration_free(s->ranges);
    free(s->x);
    ngi_graph_free(s->g);
}

static ngi_plan *make_plan(const scene *s, ngi_plan_opts o)
{
    ngi_plan *p;
    o.batch = o.batch ? o.batch : 1;
    o.threads = o.threads ? o.threads : 1;
    o.backend = o.backend ? o.backend : "int8";
    o.root = s->logits;
    o.ranges = ngi_calibration_ranges(s->ranges);
    CHECK_OK(ngi_plan_create(s->g, &o, &p, &err), err);
    return p;
}

static bool has_bytes(const ngi_plan *p)
{
    return p->backends[0]->bytes != NULL;
}

/* ---- Every activation -------------------------------------------------------------------------- */

/* The share of the root of the mean square by which a step's output is off. */
static double distance(const ngi_plan *p, const ngi_step *step, const void *out, const float *wanted)
{
    int64_t channels = step->out_shape->dim[step->out_shape->rank - 1],
            pixels = ngi_shape_count(step->out_shape) / channels,
            stride = p->stride[step->node] ? p->stride[step->node] : channels;
    float levels = p->levels[step->node];
    double off = 0, all = 0;
    for (int64_t i = 0; i < pixels; i++)
        for (int64_t c = 0; c < channels; c++) {
            double found = levels ? ((const uint8_t *)out)[i * stride + c] / (double)levels
                                  : ((const float *)out)[i * stride + c],
                   d = found - wanted[i * channels + c];
            off += d * d;
            all += (double)wanted[i * channels + c] * wanted[i * channels + c];
        }
    return sqrt(off / all);
}

/* Runs the plan's steps one by one, as a session does. */
static void check_steps(const scene *s, const ngi_plan *p, const ngi_run_session *plain)
{
    void *contexts[NGI_MAX_BACKENDS] = {NULL};
    char *block = ngi_alloc_aligned(p->bytes);
    assert_non_null(block);
    for (int b = 0; b < p->n_backends; b++)
        if (p->backends[b]->context_create)
            CHECK_OK(p->backends[b]->context_create(1, &contexts[b], &err), err);
    memcpy(block + ngi_plan_place(p, s->input), s->x, (size_t)net_count(s->g, s->input) * sizeof *s->x);
    for (int i = 0; i < p->n_steps; i++) {
        const ngi_step *step = &p->steps[i].step;
        const float *in[NGI_MAX_INPUTS];
        for (int k = 0; k < step->n_inputs; k++)
            in[k] = (const float *)(block + ngi_plan_place(p, step->inputs[k]));
        ngi_run run = {.n = 1,
                       .in = in,
                       .out = (float *)(block + ngi_plan_place(p, step->node)),
                       .out_stride = p->stride[step->node],
                       .scratch = block,
                       .context = contexts[p->steps[i].backend]};
        CHECK_OK(p->steps[i].kernel.forward(&p->steps[i].kernel, &run, &err), err);
        double off = distance(p, step, run.out, ngi_run_activation(plain, step->node));
        if (!(off <= 0.04))
            fail_msg("%s (%s) is off by %.3g", s->g->nodes[step->node].name, p->steps[i].kernel.name, off);
    }
    for (int b = 0; b < p->n_backends; b++)
        if (contexts[b])
            p->backends[b]->context_free(contexts[b]);
    ngi_free_aligned(block);
}

static void activations_are_float32s(void **state)
{
    (void)state;
    scene s = make_scene();
    ngi_plan *p = make_plan(&s, (ngi_plan_opts){0});
    int *all = malloc((size_t)p->n_steps * sizeof *all);
    assert_non_null(all);
    for (int i = 0; i < p->n_steps; i++)
        all[i] = p->steps[i].step.node;
    ngi_plan *q = make_plan(&s, (ngi_plan_opts){.backend = "auto", .taps = all, .n_taps = p->n_steps});
    ngi_run_session *plain;
    CHECK_OK(ngi_run_session_create(q, &plain, &err), err);
    const float *input = s.x;
    CHECK_OK(ngi_run_forward(plain, &input, 1, &err), err);
    check_steps(&s, p, plain);
    ngi_run_session_free(plain);
    ngi_plan_free(p);
    ngi_plan_free(q);
    free(all);
    drop_scene(&s);
}

/* ---- Which are bytes --------------------------------------------------------------------------- */

static void parts_share_their_levels(void **state)
{
    (void)state;
    scene s = make_scene();
    ngi_plan *p = make_plan(&s, (ngi_plan_opts){0});
    if (has_bytes(p)) {
        const ngi_span *r = ngi_calibration_ranges(s.ranges);
        assert_true(p->levels[s.pooled] > 0);
        assert_true(p->levels[s.pooled] == 255 / r[s.pooled].high);
        /* mixed goes through a maximum into outer, so all parts of both are one group, and its widest range counts */
        float widest = r[s.mixed].high > r[s.outer].high ? r[s.mixed].high : r[s.outer].high;
        assert_true(p->levels[s.mixed] == 255 / widest);
        assert_true(p->levels[s.outer] == p->levels[s.mixed] && p->levels[s.inner] == p->levels[s.mixed]);
        for (int c = 0; c < 2; c++) {
            const ngi_node *n = &s.g->nodes[c ? s.mixed : s.outer];
            for (int k = 0; k < n->n_inputs; k++)
                assert_true(p->levels[n->inputs[k]] == p->levels[s.mixed]);
        }
        assert_true(p->levels[s.pooled] != p->levels[s.mixed]);
    }
    /* the image, and what float32 kernels write or read */
    assert_true(p->levels[s.input] == 0 && p->levels[s.stem] == 0 && p->levels[s.last] == 0);
    ngi_plan_free(p);
    drop_scene(&s);
}

static void check_tap(const scene *s, int tap, bool gradient)
{
    ngi_plan *p = make_plan(s, gradient ? (ngi_plan_opts){.grads = &tap, .n_grads = 1}
                                        : (ngi_plan_opts){.taps = &tap, .n_taps = 1}),
             *q = make_plan(s, (ngi_plan_opts){.backend = "auto", .taps = &tap, .n_taps = 1});
    ngi_run_session *a, *b;
    CHECK_OK(ngi_run_session_create(p, &a, &err), err);
    CHECK_OK(ngi_run_session_create(q, &b, &err), err);
    const float *input = s->x;
    CHECK_OK(ngi_run_forward(a, &input, 1, &err), err);
    CHECK_OK(ngi_run_forward(b, &input, 1, &err), err);
    assert_true(p->levels[tap] == 0);
    const float *found = ngi_run_activation(a, tap), *wanted = ngi_run_activation(b, tap);
    double off = 0, all = 0;
    for (int64_t i = 0; i < net_count(s->g, tap); i++) {
        off += (found[i] - wanted[i]) * (found[i] - wanted[i]);
        all += wanted[i] * wanted[i];
    }
    assert_true(sqrt(off / all) <= 0.02);
    for (int i = 0; gradient && i < s->g->n_nodes; i++)
        assert_true(!p->on_path[i] || p->levels[i] == 0);
    ngi_run_session_free(a);
    ngi_run_session_free(b);
    ngi_plan_free(p);
    ngi_plan_free(q);
}

/* Float32 where somebody looks, or a gradient comes through; the rest may stay bytes. */
static void what_is_seen_is_float32(void **state)
{
    (void)state;
    scene s = make_scene();
    int taps[] = {s.pooled, s.mixed, s.inner, s.outer, s.last};
    for (size_t i = 0; i < sizeof taps / sizeof *taps; i++) {
        check_tap(&s, taps[i], false);
        check_tap(&s, taps[i], true);
    }
    drop_scene(&s);
}

/* ---- The same numbers -------------------------------------------------------------------------- */

static void run(const scene *s, ngi_plan *p, int n, float *logits)
{
    ngi_run_session *r;
    const float *input = s->x;
    CHECK_OK(ngi_run_session_create(p, &r, &err), err);
    CHECK_OK(ngi_run_forward(r, &input, n, &err), err);
    memcpy(logits, ngi_run_activation(r, s->logits),
           (size_t)(n * net_count(s->g, s->logits)) * sizeof *logits);
    ngi_run_session_free(r);
}

static void batches_and_threads_change_nothing(void **state)
{
    (void)state;
    scene s = make_scene();
    float one[5], all[IMAGES * 5], first[IMAGES * 5] = {0};
    for (int threads = 1; threads <= 3; threads++) {
        ngi_plan *p = make_plan(&s, (ngi_plan_opts){.batch = IMAGES, .threads = threads}),
                 *q = make_plan(&s, (ngi_plan_opts){.threads = threads});
        run(&s, p, IMAGES, all);
        run(&s, q, 1, one);
        assert_memory_equal(one, all, sizeof one);
        if (threads == 1)
            memcpy(first, all, sizeof all);
        for (int i = 0; i < IMAGES * 5; i++)
            assert_true(fabsf(all[i] - first[i]) <= 1e-5f * fabsf(first[i]) + 1e-6f);
        assert_true(memcmp(all, all + 5, sizeof one) != 0);
        ngi_plan_free(p);
        ngi_plan_free(q);
    }
    drop_scene(&s);
}

/* Wider than make_scene's: small packs are not kept. */
static void weights_come_from_the_cache(void **state)
{
    (void)state;
    char *folder = make_folder();
    scene s = {.g = net_new()};
    net_random_state = 3;
    s.input = net_image(s.g, 26, 25, 3);
    int x = conv(s.g, s.input, 3, 3, 1, true, 128);
    x = conv(s.g, conv(s.g, conv(s.g, x, 3, 3, 1, true, 192), 3, 3, 2, true, 256), 3, 3, 1, true, 256);
    s.logits = net_dense(s.g, net_op(s.g, NGI_OP_GLOBAL_AVG, NULL, x), 5, true);
    net_output(s.g, s.logits);
    CHECK_OK(ngi_graph_infer(s.g, &err), err);
    s.x = net_floats(net_count(s.g, s.input));
    CHECK_OK(ngi_calibration_create(s.g, s.logits, &s.ranges, &err), err);
    CHECK_OK(ngi_calibration_add(s.ranges, s.x, &err), err);
    float made[5], found[5];
    for (int i = 0; i < 2; i++) {
        ngi_plan *p = make_plan(&s, (ngi_plan_opts){.cache = folder, .identity = "a net"});
        assert_int_equal(p->pack != NULL, i);
        run(&s, p, 1, i ? found : made);
        for (int k = 0; k < s.g->n_weights && has_bytes(p);
             k++) /* whoever reads a kernel again gets no number */
            for (int64_t j = 0;
                 s.g->weights[k].shape.rank == 4 && j < ngi_shape_count(&s.g->weights[k].shape); j++)
                s.g->weights[k].data[j] = NAN;
        ngi_plan_free(p);
    }
    assert_memory_equal(made, found, sizeof made);
    drop_scene(&s);
    remove_folder(folder);
}

/* ---- Random networks --------------------------------------------------------------------------- */

/* Something that may be made of bytes, or of something else in between, of a node. */
static int random_layer(ngi_graph *g, int from)
{
    int out = net_int(1, 5) * 8 + (net_int(0, 3) ? 0 : net_int(1, 7)), k = net_int(0, 2) * 2 + 1;
    switch (net_int(0, 9)) {
    case 0:
        return pool(g, NGI_OP_MAX_POOL, from, 3, 1, true);
    case 1:
        return conv(g, pool(g, NGI_OP_AVG_POOL, from, 3, 1, true), 1, 1, 1, true, out);
    case 2:
        return net_op(g, NGI_OP_IDENTITY, NULL, from);
    case 3:
        return net_activation(g, net_int(0, 1) ? NGI_ACT_SILU : NGI_ACT_RELU6,
                              net_conv(g, from, net_window(k, 1, 1, 1, true), out, true));
    case 4:
        return net_conv(g, from, net_window(1, k, 1, 1, true), out, true);
    default:
        return conv(g, from, k, k, 1, true, out);
    }
}

/* Nodes of one size, whichever are joined, read twice or left; then a smaller size. */
static void build_random(scene *s)
{
    ngi_graph *g = s->g;
    s->input = net_image(g, net_int(7, 30), net_int(7, 30), net_int(1, 12));
    int nodes[16] = {conv(g, s->input, 3, 3, 1, true, 24)}, n = 1;
    for (int ops = net_int(3, 12); ops > 0; ops--) {
        int a = nodes[net_int(0, n - 1)], b = nodes[net_int(0, n - 1)], c = nodes[n - 1];
        switch (net_int(0, 5)) {
        case 0:
            nodes[n++] = net_int(0, 1) ? concat(g, 2, (int[]){a, c}) : concat(g, 3, (int[]){a, b, c});
            break;
        case 1:
            nodes[0] =
                net_int(0, 1) ? pool(g, NGI_OP_MAX_POOL, c, 3, 2, true) : conv(g, c, 3, 3, 2, true, 32);
            n = 1;
            break;
        default:
            nodes[n++] = random_layer(g, net_int(0, 2) ? c : a);
        }
    }
    s->last = nodes[n - 1];
    s->logits = net_dense(g, net_op(g, NGI_OP_GLOBAL_AVG, NULL, s->last), 5, true);
    net_output(g, s->logits);
}

static scene random_scene(uint32_t seed)
{
    scene s = {.g = net_new()};
    net_random_state = seed;
    build_random(&s);
    CHECK_OK(ngi_graph_infer(s.g, &err), err);
    s.x = net_floats(IMAGES * net_count(s.g, s.input));
    CHECK_OK(ngi_calibration_create(s.g, s.logits, &s.ranges, &err), err);
    for (int i = 0; i < IMAGES; i++)
        CHECK_OK(ngi_calibration_add(s.ranges, s.x + i * net_count(s.g, s.input), &err), err);
    return s;
}

/* The largest difference to float32, in shares of the largest score. */
static float off_from_float32(const scene *s, ngi_plan *p)
{
    ngi_plan *q = make_plan(s, (ngi_plan_opts){.batch = IMAGES, .backend = "auto"});
    float found[IMAGES * 5], wanted[IMAGES * 5], most = 0, off = 0;
    run(s, p, IMAGES, found);
    run(s, q, IMAGES, wanted);
    for (int i = 0; i < IMAGES * 5; i++) {
        most = fmaxf(most, fabsf(wanted[i]));
        off = fmaxf(off, fabsf(found[i] - wanted[i]));
    }
    ngi_plan_free(q);
    return off / most;
}

/* Nodes shared, joined and joined again, seen or not: batches of images against float32. */
static void random_networks(void **state)
{
    (void)state;
    int able = 0, bytes = 0;
    for (uint32_t seed = 1; seed <= NETWORKS; seed++) {
        scene s = random_scene(seed);
        int tap = net_int(0, s.g->n_nodes - 1);
        ngi_plan *p = make_plan(
            &s, (ngi_plan_opts){
                    .batch = IMAGES, .threads = net_int(1, 2), .taps = &tap, .n_taps = net_int(0, 1)});
        float off = off_from_float32(&s, p);
        if (!(off <= 0.01f))
            fail_msg("network %u is off by %.3g", seed, (double)off);
        able += has_bytes(p);
        for (int i = 0; i < s.g->n_nodes; i++)
            bytes += p->levels[i] > 0;
        ngi_plan_free(p);
        drop_scene(&s);
    }
    assert_true(bytes >= 2 * able);
}

/* Whichever allocation fails, the plan or session says so and nothing is left behind. */
static void failing_allocations(void **state)
{
    (void)state;
    scene s = make_scene();
    ngi_plan_opts o = {.batch = 1,
                       .threads = 1,
                       .backend = "int8",
                       .root = s.logits,
                       .ranges = ngi_calibration_ranges(s.ranges)};
    ng_status status = NG_E_MEMORY;
    long k = 1;
    for (; status == NG_E_MEMORY; k++) {
        ngi_plan *p;
        ngi_run_session *r = NULL;
        ngi_alloc_fail_at(k);
        status = ngi_plan_create(s.g, &o, &p, &err);
        if (status == NG_OK)
            status = ngi_run_session_create(p, &r, &err);
        ngi_alloc_fail_at(0);
        assert_true(status == NG_OK || status == NG_E_MEMORY);
        ngi_run_session_free(r);
        ngi_plan_free(p);
    }
    assert_int_equal(status, NG_OK);
    assert_true(k > 50);
    drop_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_are_float32s),    cmocka_unit_test(parts_share_their_levels),
        cmocka_unit_test(what_is_seen_is_float32),     cmocka_unit_test(batches_and_threads_change_nothing),
        cmocka_unit_test(weights_come_from_the_cache), cmocka_unit_test(random_networks),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
