/* The head: gradients against finite differences in double, dropout's rate, scale and independence of how a batch is cut. */
#include "train/head.h"
#include "base/random.h"
#include "exec/net.h"

static ngi_graph *make_net(int units, int *features, ngi_train_head *h, double dropout)
{
    ngi_graph *g = net_new();
    int in = net_image(g, 3, 3, 20);
    ngi_attr none;
    ngi_attr_init(&none);
    int pool = net_op(g, NGI_OP_GLOBAL_AVG, &none, in);
    int hidden = net_activation(g, NGI_ACT_RELU, net_dense(g, pool, units, true));
    int logits = net_dense(g, net_op(g, NGI_OP_IDENTITY, &none, hidden), 4, true);
    none.axis = 0;
    net_output(g, net_op(g, NGI_OP_SOFTMAX, &none, logits));
    ng_error err;
    CHECK_OK(ngi_train_head_find(g, NGI_HEAD_MOST, dropout, h, &err), err);
    *features = pool;
    return g;
}

static void is_found(void **state)
{
    (void)state;
    ngi_train_head h;
    int pool;
    ngi_graph *g = make_net(9, &pool, &h, 0);
    assert_int_equal(h.features, pool);
    assert_int_equal(h.n, 2);
    assert_int_equal(h.dense[0].in, 20);
    assert_true(h.dense[0].relu && !h.dense[1].relu);
    assert_int_equal(ngi_train_head_classes(&h), 4);
    ngi_train_head last;
    ng_error err;
    CHECK_OK(ngi_train_head_find(g, 1, 0, &last, &err), err); /* the first is the base's own, its relu too */
    assert_int_equal(last.n, 1);
    assert_int_equal(g->nodes[last.features].op, NGI_OP_ACTIVATION);
    assert_ptr_equal(last.dense[0].kernel, h.dense[1].kernel);
    ngi_train_head_initialise(&h, 3);
    double limit = sqrt(6.0 / 29), most = 0, sum = 0;
    for (int i = 0; i < 180; i++) {
        most = fmax(most, fabs((double)h.dense[0].kernel[i]));
        sum += h.dense[0].kernel[i];
    }
    assert_true(most <= limit && most > 0.9 * limit);
    CHECK_NEAR(sum / 180, 0, 0.1 * limit);
    ngi_graph_free(g);
}

/* sum(seed * logits) in double. */
static double score(const ngi_train_head *h, ngi_head_work *w, const float *x, const float *seed, int n,
                    const ngi_head_draw *draw)
{
    const float *z = ngi_train_head_forward(h, w, x, n, draw);
    double sum = 0;
    for (int i = 0; i < n * 4; i++)
        sum += (double)z[i] * seed[i];
    return sum;
}

static void check_slope(const ngi_train_head *h, ngi_head_work *w, const float *x, const float *seed,
                        const ngi_head_draw *draw, float *value, double gradient)
{
    const float step = 1e-2f, kept = *value;
    *value = kept + step;
    double up = score(h, w, x, seed, 3, draw);
    *value = kept - step;
    double down = score(h, w, x, seed, 3, draw);
    *value = kept;
    CHECK_NEAR((up - down) / (2 * (double)step), gradient, 2e-3 * (1 + fabs(gradient)));
}

static void gradients(void **state)
{
    (void)state;
    ng_error err;
    for (int round = 0; round < 4; round++) {
        ngi_train_head h;
        int pool, units = round < 2 ? 9 : 8; /* eight are a vector of products themselves */
        ngi_graph *g = make_net(units, &pool, &h, round % 2 ? 0.4 : 0);
        ngi_train_head_initialise(&h, 5);
        for (int i = 0; i < units; i++)
            h.dense[0].bias[i] = 3; /* away from the relu's kink */
        ngi_head_work w;
        CHECK_OK(ngi_head_work_create(&h, 3, &w, &err), err);
        ngi_head_draw draw = {7, 2, 11};
        float *x = net_floats(60), *seed = net_floats(12), dx[60];
        float k0[180], b0[9], k1[36], b1[4], *kernels[] = {k0, k1}, *biases[] = {b0, b1};
        for (int i = 0; i < 36; i++) /* what is there is written over */
            k0[i] = b0[i / 4] = k1[i] = b1[i / 9] = 5;
        score(&h, &w, x, seed, 3, &draw);
        ngi_train_head_backward(&h, &w, seed, 3, &draw, kernels, biases, dx);
        for (int i = 0; i < 20 * units; i += 7)
            check_slope(&h, &w, x, seed, &draw, &h.dense[0].kernel[i], k0[i]);
        for (int i = 0; i < 4 * units; i++)
            check_slope(&h, &w, x, seed, &draw, &h.dense[1].kernel[i], k1[i]);
        for (int i = 0; i < 4; i++)
            check_slope(&h, &w, x, seed, &draw, &h.dense[1].bias[i], b1[i]);
        for (int i = 0; i < 60; i++)
            check_slope(&h, &w, x, seed, &draw, &x[i], dx[i]);
        free(x);
        free(seed);
        ngi_head_work_clear(&w);
        ngi_graph_free(g);
    }
}

/* A function of the logit's gradient: its own gradient by the kernels, against differences. */
static double of_slope(const ngi_train_head *h, ngi_head_work *w, const float *x, const float *seed,
                       float *slope)
{
    ngi_train_head_forward(h, w, x, 1, NULL);
    ngi_train_head_slope(h, w, 2, slope);
    double sum = 0;
    for (int k = 0; k < 20; k++)
        sum += (double)seed[k] * slope[k];
    return sum;
}

static void slopes(void **state)
{
    (void)state;
    ng_error err;
    ngi_train_head h;
    int pool;
    ngi_graph *g = make_net(9, &pool, &h, 0.4);
    ngi_train_head_initialise(&h, 5);
    for (int i = 0; i < 9; i++)
        h.dense[0].bias[i] = i % 3 ? 3 : -3; /* some relus are shut */
    ngi_head_work w;
    CHECK_OK(ngi_head_work_create(&h, 3, &w, &err), err);
    float *x = net_floats(20), *seed = net_floats(20), slope[20], k0[180] = {0}, k1[36] = {0}, dx[20];
    float *kernels[] = {k0, k1}, b0[9] = {0}, b1[4] = {0}, unused0[180] = {0}, unused1[36] = {0};
    const float one[4] = {0, 0, 1, 0};
    of_slope(&h, &w, x, seed, slope);
    ngi_train_head_slope_backward(&h, &w, seed, kernels);
    ngi_train_head_forward(&h, &w, x, 1, NULL); /* the slope is the gradient by the features */
    ngi_train_head_backward(&h, &w, one, 1, NULL, (float *[]){unused0, unused1}, (float *[]){b0, b1}, dx);
    assert_memory_equal(slope, dx, sizeof dx);
    for (int i = 0; i < 180 + 36; i++) {
        float *value = i < 180 ? &h.dense[0].kernel[i] : &h.dense[1].kernel[i - 180], kept = *value;
        *value = kept + 1e-2f;
        double up = of_slope(&h, &w, x, seed, slope);
        *value = kept - 1e-2f;
        double down = of_slope(&h, &w, x, seed, slope);
        *value = kept;
        CHECK_NEAR((up - down) / 2e-2, i < 180 ? k0[i] : k1[i - 180], 1e-4);
    }
    free(x);
    free(seed);
    ngi_head_work_clear(&w);
    ngi_graph_free(g);
}

/* A head of one dense layer with the identity as its kernel shows the masks. */
static void dropout(void **state)
{
    (void)state;
    enum { WIDTH = 500, N = 40 };
    static float kernel[WIDTH * WIDTH], bias[WIDTH], x[N * WIDTH], parts[N * WIDTH];
    ngi_train_head h = {.n = 1, .dropout = 0.3, .dense = {{WIDTH, WIDTH, kernel, bias, 0, 0, false}}};
    for (int i = 0; i < WIDTH; i++)
        kernel[i * WIDTH + i] = 1;
    for (int i = 0; i < N * WIDTH; i++)
        x[i] = 1;
    ng_error err;
    ngi_head_work w;
    CHECK_OK(ngi_head_work_create(&h, N, &w, &err), err);
    ngi_head_draw draw = {1, 0, 0};
    const float *whole = ngi_train_head_forward(&h, &w, x, N, &draw);
    int kept = 0;
    for (int i = 0; i < N * WIDTH; i++) {
        kept += whole[i] != 0;
        assert_true(whole[i] == 0 || fabsf(whole[i] - 1 / 0.7f) < 1e-6f);
    }
    CHECK_NEAR(kept / (double)(N * WIDTH), 0.7, 0.015);
    memcpy(parts, whole, sizeof parts);
    draw.first = 30; /* the last ten alone */
    assert_memory_equal(ngi_train_head_forward(&h, &w, x, 10, &draw), parts + 30 * WIDTH,
                        10 * WIDTH * sizeof *x);
    draw.epoch = 1;
    assert_memory_not_equal(ngi_train_head_forward(&h, &w, x, 10, &draw), parts + 30 * WIDTH,
                            10 * WIDTH * sizeof *x);
    assert_memory_equal(ngi_train_head_forward(&h, &w, x, N, NULL), x, sizeof x); /* none when evaluated */
    ngi_head_work_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_found),
        cmocka_unit_test(gradients),
        cmocka_unit_test(slopes),
        cmocka_unit_test(dropout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
