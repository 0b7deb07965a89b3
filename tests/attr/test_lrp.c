/* LRP's gamma rule on one convolution whose inputs and outputs have both signs, by its formula. */
#include "attr/scene.h"

enum { PIXELS = SIDE * SIDE, DEPTH = 3, WIDTH = 5 };

static double above(double x)
{
    return x > 0 ? x : 0;
}

static double below(double x)
{
    return x < 0 ? x : 0;
}

static double stable(double z)
{
    return z + (z >= 0 ? 1e-6 : -1e-6);
}

/* A pixel's relevance from its outputs' r [WIDTH]: for z > 0 what is positive counts 1 + gamma times, for z < 0 what is
 * negative. */
static double pixel_by_gamma(const float *x, const float *w, const float *b, const double *r, double gamma)
{
    double sum = 0;
    for (int j = 0; j < WIDTH; j++) {
        double z = b[j], all, share = 0;
        for (int i = 0; i < DEPTH; i++)
            z += x[i] * w[i * WIDTH + j];
        all = b[j] + gamma * (z > 0 ? above(b[j]) : below(b[j]));
        for (int i = 0; i < DEPTH; i++) {
            double term = x[i] * w[i * WIDTH + j];
            term += gamma * (z > 0 ? above(term) : below(term));
            share += term;
            all += term;
        }
        sum += share * r[j] / stable(all);
    }
    return sum;
}

static void gamma_is_its_formula(void **state)
{
    (void)state;
    scene s = {.g = net_new(), .white = {1, 1, 1}, .input = net_floats(BATCH * PIXELS * DEPTH)};
    ng_error err = {0};
    ngi_attr plain;
    ngi_attr_init(&plain);
    int image = net_image(s.g, SIDE, SIDE, DEPTH);
    add_layer(s.g, "image", image);
    int conv = net_conv(s.g, image, net_window(1, 1, 1, 1, true), WIDTH, true);
    s.layer = add_layer(s.g, "last", conv);
    int logits = net_dense(s.g, net_op(s.g, NGI_OP_GLOBAL_AVG, &plain, conv), CLASSES, true);
    net_output(s.g, net_op(s.g, NGI_OP_SOFTMAX, &plain, logits));
    CHECK_OK(ngi_graph_infer(s.g, &err), err);
    s.head = ngi_head_of(s.g);
    const ngi_node *c = &s.g->nodes[conv], *d = &s.g->nodes[logits];
    const float *w = s.g->weights[c->weights[0]].data, *b = s.g->weights[c->weights[1]].data,
                *dense = s.g->weights[d->weights[0]].data, *bias = s.g->weights[d->weights[1]].data;
    double mean[WIDTH] = {0}, score = bias[1], expected[PIXELS], most = 0;
    for (int p = 0; p < PIXELS; p++)
        for (int j = 0; j < WIDTH; j++) {
            double z = b[j];
            for (int i = 0; i < DEPTH; i++)
                z += s.input[p * DEPTH + i] * w[i * WIDTH + j];
            mean[j] += z / PIXELS;
        }
    for (int j = 0; j < WIDTH; j++)
        score += mean[j] * dense[j * CLASSES + 1];
    for (int p = 0; p < PIXELS; p++) {
        double r[WIDTH];
        for (int j = 0; j < WIDTH; j++) {
            double z = b[j];
            for (int i = 0; i < DEPTH; i++)
                z += s.input[p * DEPTH + i] * w[i * WIDTH + j];
            r[j] = z / PIXELS / stable(mean[j]) * mean[j] * dense[j * CLASSES + 1] * score / stable(score);
        }
        expected[p] = pixel_by_gamma(s.input + p * DEPTH, w, b, r, 0.5);
        most = fmax(most, fabs(expected[p]));
    }
    const ngi_method *m = ngi_method_find("lrp", &err);
    ng_map map =
        map_of(&s, "ref", 1, m,
               (request){.class_index = 1, .threads = 1, .parameters = "preset=epsilon-gamma,gamma=0.5"});
    for (int p = 0; p < PIXELS; p++)
        if (!(fabs(map.signed_data[p] - expected[p]) <= 1e-4 * most))
            fail_msg("pixel %d: %g, expected %g", p, map.signed_data[p], expected[p]);
    ng_map_clear(&map);
    free_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gamma_is_its_formula)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
