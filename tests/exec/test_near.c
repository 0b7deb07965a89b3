/* Runs near a base are whole runs to the last bit: random networks, rectangles from nothing to everything, at the rim too,
 * several in a batch, every instruction set and back end; and they do less. */
#include "exec/net.h"

#include "exec/cone.h"
#include "exec/rect.h"
#include "exec/session.h"

static ng_error err;

/* ---- Networks of layers that look around, of which some fill a map in one step ------------------ */

static ngi_attr random_window(const ngi_shape *s)
{
    static const int sizes[][2] = {{1, 1}, {3, 3}, {5, 5}, {7, 7}, {1, 7},
                                   {7, 1}, {1, 3}, {3, 1}, {2, 2}, {1, 1}};
    const int *k = sizes[net_int(0, 9)];
    bool fits = s->dim[0] > 2 * k[0] && s->dim[1] > 2 * k[1];
    ngi_attr a =
        net_window(k[0], k[1], net_int(0, 3) ? 1 : net_int(1, 3), 1, fits ? net_int(0, 2) > 0 : true);
    if (a.stride_h == 1 && net_int(0, 7) == 0)
        a.dilation_h = a.dilation_w = fits && s->dim[0] > 4 * k[0] && s->dim[1] > 4 * k[1] ? 2 : 1;
    return a;
}

static int random_conv(ngi_graph *g, int node)
{
    static const ngi_activation acts[] = {NGI_ACT_RELU, NGI_ACT_RELU6, NGI_ACT_SILU, NGI_ACT_LEAKY_RELU};
    ngi_attr a = random_window(&g->nodes[node].shape);
    int r = net_int(0, 7)
                ? net_conv(g, node, a, net_int(0, 3) ? 16 * net_int(1, 3) : net_int(3, 40), net_int(0, 1))
                : net_depthwise(g, node, a, 1, true);
    if (net_int(0, 1))
        r = net_batchnorm(g, r, true, true);
    return net_int(0, 4) ? net_activation(g, acts[net_int(0, 3)], r) : r;
}

static int random_pool(ngi_graph *g, int node)
{
    const ngi_shape *s = &g->nodes[node].shape;
    int k = net_int(2, 3);
    bool small = s->dim[0] < 6 || s->dim[1] < 6;
    ngi_attr a = net_window(k, k, small ? 1 : net_int(1, 3), 1, small || net_int(0, 1));
    return net_op(g, net_int(0, 1) ? NGI_OP_AVG_POOL : NGI_OP_MAX_POOL, &a, node);
}

static int random_branches(ngi_graph *g, int node)
{
    ngi_attr a = net_window(1, 1, 1, 1, true), wide = net_window(3, 3, 1, 1, true), c;
    ngi_attr_init(&c);
    c.axis = 2;
    int narrow = net_activation(g, NGI_ACT_RELU, net_conv(g, node, a, 16, true));
    int other = net_activation(g, NGI_ACT_RELU, net_conv(g, narrow, wide, 24, true));
    int mean = net_conv(g, net_op(g, NGI_OP_AVG_POOL, &wide, node), a, 32, true);
    int apart = net_int(0, 1) ? node : narrow; /* something that cannot be written in place */
    return net_node_of(g, NGI_OP_CONCAT, &c, 4, (int[]){narrow, other, mean, apart}, NULL);
}

static int random_layer(ngi_graph *g, int node)
{
    ngi_attr a;
    ngi_attr_init(&a);
    switch (net_int(0, 9)) {
    case 0:
    case 1:
        return random_pool(g, node);
    case 2:
        return random_branches(g, node);
    case 3:
        return net_op2(g, NGI_OP_ADD, node,
                       net_conv(g, node, net_window(3, 3, 1, 1, true), (int)net_channels(g, node), true));
    case 4:
        a.pad = (ngi_pad){net_int(0, 2), net_int(0, 2), net_int(0, 2), net_int(0, 2)};
        return net_op(g, NGI_OP_ZERO_PAD, &a, node);
    case 5:
        a.pad = (ngi_pad){1, 0, 0, 1};
        return g->nodes[node].shape.dim[0] > 4 && g->nodes[node].shape.dim[1] > 4
                   ? net_op(g, NGI_OP_CROP, &a, node)
                   : node;
    case 6:
        return net_op(g, NGI_OP_IDENTITY, NULL, node);
    default:
        return random_conv(g, node);
    }
}

typedef struct scene {
    ngi_graph *g;
    int taps[8], n_taps, root;
    int64_t count;          /* of the input */
    const ngi_shape *shape; /* of the input */
} scene;

static scene make_scene(void)
{
    scene s = {.g = net_new()};
    ngi_attr plain;
    ngi_attr_init(&plain);
    int in = net_image(s.g, net_int(5, 40), net_int(5, 40), net_int(0, 1) ? 3 : 16), node = in;
    for (int i = net_int(2, 8); i > 0; i--) {
        node = random_layer(s.g, node);
        if (s.n_taps < 6 && net_int(0, 5) == 0)
            s.taps[s.n_taps++] = node;
    }
    s.taps[s.n_taps++] = node;
    s.root = net_dense(s.g, net_op(s.g, NGI_OP_GLOBAL_AVG, &plain, node), 5, true);
    s.taps[s.n_taps++] = s.root;
    net_output(s.g, net_op(s.g, NGI_OP_SOFTMAX, &plain, s.root));
    s.shape = &s.g->nodes[in].shape;
    s.count = ngi_shape_count(s.shape);
    return s;
}

static ngi_plan *plan_of(const scene *s, int batch, int threads, const char *backend)
{
    ngi_plan *p;
    ngi_plan_opts o = {.batch = batch,
                       .threads = threads,
                       .backend = backend,
                       .taps = s->taps,
                       .n_taps = s->n_taps,
                       .root = s->root};
    CHECK_OK(ngi_plan_create(s->g, &o, &p, &err), err);
    return p;
}

static ngi_rect random_rect(int64_t h, int64_t w)
{
    ngi_rect r = {net_int(0, (int)h - 1), 0, net_int(0, (int)w - 1), 0};
    r.y1 = net_int((int)r.y0, (int)h);
    r.x1 = net_int((int)r.x0, (int)w);
    switch (net_int(0, 5)) {
    case 0: /* the last corner */
        return (ngi_rect){r.y0, h, r.x0, w};
    case 1: /* the first */
        return (ngi_rect){0, r.y1, 0, r.x1};
    case 2:
        return (ngi_rect){r.y0, r.y0 + 1, r.x0, r.x0 + 1};
    case 3:
        return net_int(0, 3) ? r : (ngi_rect){0, h, 0, w};
    default: /* or nothing */
        return r;
    }
}

/* Images of the base with other values in a rectangle each. */
static float *near_images(const scene *s, const float *base, int n)
{
    float *x = net_floats(n * s->count);
    int64_t h = s->shape->dim[0], w = s->shape->dim[1], c = s->shape->dim[2];
    for (int i = 0; i < n; i++) {
        ngi_rect r = random_rect(h, w);
        for (int64_t y = 0; y < h; y++)
            for (int64_t k = 0; k < w; k++)
                if (y < r.y0 || y >= r.y1 || k < r.x0 || k >= r.x1)
                    memcpy(x + i * s->count + (y * w + k) * c, base + (y * w + k) * c, (size_t)c * sizeof *x);
    }
    return x;
}

static void check_same(const scene *s, const ngi_run_session *a, const ngi_run_session *b, int n,
                       const char *backend)
{
    for (int t = 0; t < s->n_taps; t++) {
        size_t bytes = (size_t)(n * net_count(s->g, s->taps[t])) * sizeof(float);
        if (memcmp(ngi_run_activation(a, s->taps[t]), ngi_run_activation(b, s->taps[t]), bytes) != 0)
            fail_msg("%s: %s differs from that of a whole run\n%s", backend, s->g->nodes[s->taps[t]].name,
                     ngi_plan_kernels(a->plan));
    }
}

static void check_net(uint32_t seed, const char *backend, int threads)
{
    net_random_state = seed;
    scene s = make_scene();
    int batch = net_int(1, 4);
    ngi_plan *p = plan_of(&s, batch, threads, backend);
    ngi_run_session *whole, *near;
    ngi_base *b;
    float *base = net_floats(s.count);
    CHECK_OK(ngi_run_session_create(p, &whole, &err), err);
    CHECK_OK(ngi_run_session_create(p, &near, &err), err);
    CHECK_OK(ngi_base_create(near, (const float *const[]){base}, &b, &err), err);
    for (int round = 0; round < 4; round++) {
        int n = net_int(1, batch);
        float *x = near_images(&s, base, n);
        CHECK_OK(ngi_run_forward(whole, (const float *const[]){x}, n, &err), err);
        CHECK_OK(ngi_run_forward_near(near, b, 2, (const float *const[]){x}, n, &err), err);
        check_same(&s, near, whole, n, backend);
        free(x);
    }
    ngi_base_free(b);
    ngi_run_session_free(near);
    ngi_run_session_free(whole);
    ngi_plan_free(p);
    free(base);
    ngi_graph_free(s.g);
}

static void near_runs_are_whole_runs(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 80; seed++)
        check_net(seed, "auto", 1 + (int)(seed % 4));
    for (uint32_t seed = 81; seed <= 90; seed++) {
        check_net(seed, "onednn", 1);
        check_net(seed, "ref", 1);
        check_net(seed, "bf16", 1);
    }
}

static void with_every_instruction_set(void **state)
{
    (void)state;
    static const char *const names[] = {"avx2", "plain"};
    const char *old = getenv("NETGAZE_MAX_ISA");
    char *kept = old ? strdup(old) : NULL;
    for (int i = 0; i < 2; i++) {
        setenv("NETGAZE_MAX_ISA", names[i], 1);
        for (uint32_t seed = 200; seed < 225; seed++)
            check_net(seed, "auto", 1);
    }
    if (kept)
        setenv("NETGAZE_MAX_ISA", kept, 1);
    else
        unsetenv("NETGAZE_MAX_ISA");
    free(kept);
}

/* ---- Parts of one step ------------------------------------------------------------------------- */

/* One step's kernel writes what it says it does, and no pixel more. */
static void check_part(uint32_t seed)
{
    net_random_state = seed;
    ngi_graph *g = net_new();
    int in = net_image(g, net_int(12, 40), net_int(12, 40), net_int(16, 40)), node = random_conv(g, in);
    if (net_int(0, 2) == 0)
        node = random_pool(g, node);
    net_output(g, node);
    ngi_plan *p;
    ngi_run_session *s;
    ngi_plan_opts o = {.batch = 1, .threads = 1 + (int)seed % 4, .root = node};
    CHECK_OK(ngi_plan_create(g, &o, &p, &err), err);
    CHECK_OK(ngi_run_session_create(p, &s, &err), err);
    const ngi_kernel *k = &p->steps[p->n_steps - 1].kernel;
    float *x = net_floats(net_count(g, in));
    CHECK_OK(ngi_run_forward(s, (const float *const[]){x}, 1, &err), err);
    int64_t count = net_count(g, node), c = net_channels(g, node), w = g->nodes[node].shape.dim[1];
    float *all = malloc((size_t)count * sizeof *all), *out = (float *)(s->block + ngi_plan_place(p, node));
    memcpy(all, out, (size_t)count * sizeof *all);
    ngi_rect part = random_rect(g->nodes[node].shape.dim[0], w), wanted = part;
    if (p->n_steps == 1 && k->reach && !ngi_rect_empty(part)) {
        ngi_rect reads = k->reach(k, &part);
        assert_true(ngi_rect_equal(ngi_rect_join(wanted, part), part)); /* wider, if anything */
        assert_true(ngi_rect_equal(ngi_rect_meet(reads, ngi_map_all(&g->nodes[in].shape)), reads));
        for (int64_t i = 0; i < count; i++)
            out[i] = -12345;
        float *seen = (float *)s->steps[0].in[0];
        for (int64_t i = 0, ic = net_channels(g, in), iw = g->nodes[in].shape.dim[1]; i < net_count(g, in);
             i++) {
            int64_t y = i / ic / iw, at = i / ic % iw;
            if (y < reads.y0 || y >= reads.y1 || at < reads.x0 || at >= reads.x1)
                seen[i] = NAN; /* nobody looks there */
        }
        CHECK_OK(ngi_session_step(s, 0, 1, &part, &err), err);
        for (int64_t i = 0; i < count; i++) {
            int64_t y = i / c / w, at = i / c % w;
            bool inside = y >= part.y0 && y < part.y1 && at >= part.x0 && at < part.x1;
            float expected = inside ? all[i] : -12345;
            if (memcmp(&out[i], &expected, sizeof expected) != 0)
                fail_msg("seed %u, %s: pixel %d %d: %g, not %g", seed, k->name, (int)y, (int)at,
                         (double)out[i], (double)expected);
        }
    }
    free(x);
    free(all);
    ngi_run_session_free(s);
    ngi_plan_free(p);
    ngi_graph_free(g);
}

static void a_part_is_what_it_says(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 250; seed++)
        check_part(seed);
}

/* ---- How much is left -------------------------------------------------------------------------- */

/* Three 3x3 convolutions of a map of 36x36: a change of one pixel is one of 7x7 behind them, or of the tiles of 6x6 that are
 * rounded together with it. */
static void little_is_left_of_little(void **state)
{
    (void)state;
    scene s = {.g = net_new()};
    ngi_attr a = net_window(3, 3, 1, 1, true), plain;
    ngi_attr_init(&plain);
    int in = net_image(s.g, 36, 36, 16), node = in;
    for (int i = 0; i < 3; i++)
        node = net_activation(s.g, NGI_ACT_RELU, net_conv(s.g, node, a, 16, true));
    s.root = net_dense(s.g, net_op(s.g, NGI_OP_GLOBAL_AVG, &plain, node), 5, true);
    net_output(s.g, s.root);
    ngi_plan *p = plan_of(&s, 1, 1, "auto"), *ref = plan_of(&s, 1, 1, "ref");
    ngi_cone c, without;
    CHECK_OK(ngi_cone_init(&c, p, &err), err);
    CHECK_OK(ngi_cone_init(&without, ref, &err), err);
    without.changed[in] = c.changed[in] = (ngi_rect){20, 21, 5, 6};
    assert_true(ngi_cone_fill(&without, ref, 1) == 1); /* plain loops know no parts */
    assert_true(ngi_rect_equal(without.changed[node], ((ngi_rect){17, 24, 2, 9})));
    if (strstr(ngi_plan_kernels(p), "F(6x6,3x3)")) { /* not so without vectors */
        double left = ngi_cone_fill(&c, p, 1);       /* 2, 9 and 20 of 36 tiles */
        assert_true(ngi_rect_equal(c.changed[node], ((ngi_rect){6, 36, 0, 24})));
        CHECK_NEAR(left, (2 + 9 + 20) / 108.0, 0.01);
    }
    c.changed[in] = (ngi_rect){0};
    assert_true(ngi_cone_fill(&c, p, 1) == 0);
    c.changed[in] = (ngi_rect){0, 36, 0, 36};
    assert_true(ngi_cone_fill(&c, p, 1) == 1);
    ngi_cone_clear(&c);
    ngi_cone_clear(&without);
    ngi_plan_free(p);
    ngi_plan_free(ref);
    ngi_graph_free(s.g);
}

static void refusals_and_failing_allocations(void **state)
{
    (void)state;
    net_random_state = 7;
    scene s = make_scene();
    ngi_plan *p = plan_of(&s, 2, 1, "auto"), *other = plan_of(&s, 2, 1, "auto");
    ngi_run_session *run;
    ngi_base *b;
    float *x = net_floats(2 * s.count);
    const float *const inputs[] = {x};
    CHECK_OK(ngi_run_session_create(p, &run, &err), err);
    for (long k = 1;; k++) {
        ngi_alloc_fail_at(k);
        ng_status status = ngi_base_create(run, inputs, &b, &err);
        if (status == NG_OK)
            status = ngi_run_forward_near(run, b, 1, inputs, 2, &err);
        bool reached = ngi_alloc_count() >= k;
        ngi_alloc_fail_at(0);
        ngi_base_free(b);
        assert_int_equal(status, reached ? NG_E_MEMORY : NG_OK);
        if (!reached)
            break;
    }
    CHECK_OK(ngi_base_create(run, inputs, &b, &err), err);
    CHECK_FAILS(ngi_run_forward_near(run, b, 1, inputs, 3, &err), NG_E_ARGUMENT, err, "3 images");
    ngi_base_free(b);
    ngi_run_session *stranger;
    CHECK_OK(ngi_run_session_create(other, &stranger, &err), err);
    CHECK_OK(ngi_base_create(stranger, inputs, &b, &err), err);
    CHECK_FAILS(ngi_run_forward_near(run, b, 1, inputs, 1, &err), NG_E_ARGUMENT, err, "another plan");
    ngi_base_free(b);
    ngi_run_session_free(stranger);
    ngi_run_session_free(run);
    ngi_plan_free(p);
    ngi_plan_free(other);
    free(x);
    ngi_graph_free(s.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_runs_are_whole_runs),         cmocka_unit_test(with_every_instruction_set),
        cmocka_unit_test(a_part_is_what_it_says),           cmocka_unit_test(little_is_left_of_little),
        cmocka_unit_test(refusals_and_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
