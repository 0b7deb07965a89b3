/* A mirrored image in a mirrored network: every method's map is the mirrored map, for the logits are the same numbers. Those of
 * which it need not hold are listed with the reason, and the list is held to be no longer than it must. */
#include "attr/scene.h"

/* What is drawn by place, or begins at a place, does not turn with the image. */
static const struct {
    const char *method, *parameters, *why;
} unequal[] = {
    {"smoothgrad", "", "noise is drawn pixel by pixel"},
    {"vargrad", "", "noise is drawn pixel by pixel"},
    {"rise", "", "masks are drawn"},
    {"lime", "", "superpixels take ties, and samples their numbers, in reading order"},
    {"kernelshap", "", "superpixels take ties, and samples their numbers, in reading order"},
    {"dff", "", "a factorisation depends on its beginning, which is drawn cell by cell"},
    {"extremalperturbation", "", "the area's ranking takes the mask's first ties in reading order"},
};

/* Other parameters than the quick ones, under which a method is as symmetric as its formula. */
static const struct {
    const char *method, *parameters;
} symmetric[] = {
    {"occlusion", "window=7,stride=3"}, /* windows to the edge on both sides */
    {"extremalperturbation", "variant=meaningful,iterations=5,cells=4"},
    {"xrai", "steps=3,segments=2"},
};

static const char *why_unequal(const char *method, const char *parameters)
{
    for (size_t i = 0; i < sizeof unequal / sizeof *unequal; i++)
        if (strcmp(unequal[i].method, method) == 0 && strcmp(unequal[i].parameters, parameters) == 0)
            return unequal[i].why;
    return NULL;
}

/* values [rows,width,depth] from right to left. */
static void mirror(float *values, int64_t rows, int64_t width, int64_t depth)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t x = 0; x < width / 2; x++)
            for (int64_t c = 0; c < depth; c++) {
                float *a = values + (r * width + x) * depth + c;
                float *b = values + (r * width + width - 1 - x) * depth + c, kept = *a;
                *a = *b;
                *b = kept;
            }
}

/* The network that sees mirrored images as the other sees them: kernels, and the rows of a Dense layer behind a flattened
 * one, from right to left. */
static void mirror_weights(ngi_graph *g)
{
    for (int i = 0; i < g->n_nodes; i++) {
        const ngi_node *n = &g->nodes[i];
        if (n->op != NGI_OP_CONV2D && n->op != NGI_OP_DENSE)
            continue;
        ngi_weight *w = &g->weights[n->weights[0]];
        const int64_t *d = w->shape.dim;
        const ngi_node *before = &g->nodes[n->inputs[0]];
        if (n->op == NGI_OP_CONV2D)
            mirror(w->data, d[0], d[1], d[2] * d[3]);
        else if (before->op == NGI_OP_RESHAPE) {
            const int64_t *from = g->nodes[before->inputs[0]].shape.dim;
            mirror(w->data, from[0], from[1], from[2] * d[1]);
        }
    }
}

static scene make_mirrored(bool pooled)
{
    scene s = make_scene(pooled);
    mirror_weights(s.g);
    mirror(s.input, BATCH * SIDE, SIDE, 3);
    return s;
}

/* The largest difference of b's cells and a's mirrored ones, relative to the largest. */
static double unlike(const ng_map *a, const ng_map *b)
{
    double most = 1e-12, worst = 0;
    for (int i = 0; i < a->height * a->width; i++) {
        int other = i / a->width * a->width + a->width - 1 - i % a->width;
        double difference = fabs((double)a->signed_data[i] - b->signed_data[other]);
        most = fmax(most, fabs((double)a->signed_data[i]));
        worst = difference > worst || isnan(difference) ? difference : worst;
    }
    return worst / most;
}

static void check_method(const scene *s, const scene *mirrored, const ngi_method *m, const char *backend,
                         const char *parameters)
{
    request q = {.class_index = 1, .threads = 2, .parameters = *parameters ? parameters : NULL};
    ng_map a = map_of(s, backend, BATCH, m, q), b = map_of(mirrored, backend, BATCH, m, q);
    double found = unlike(&a, &b);
    const char *why = why_unequal(m->info.name, parameters);
    if (!why && !(found <= 2e-5))
        fail_msg("%s %s on %s: mirrored maps differ by %.2g of the largest value", m->info.name, parameters,
                 backend, found);
    if (why && found <= 2e-5)
        fail_msg("%s: listed as unequal since %s, but its maps are equal", m->info.name, why);
    ng_map_clear(&a);
    ng_map_clear(&b);
}

static void mirrored_images_have_mirrored_maps(void **state)
{
    (void)state;
    static const char *const backends[] = {"ref", "onednn", "auto"};
    for (int pooled = 0; pooled < 2; pooled++) {
        scene s = make_scene(pooled), mirrored = make_mirrored(pooled);
        for (int i = 0; i < ngi_method_count(); i++) {
            const ngi_method *m = ngi_method_at(i);
            if (m->check(s.g, m->info.at_layer ? s.layer : ngi_attr_input_layer(s.g), NULL) != NG_OK)
                continue;
            for (int k = 0; k < 3; k++) {
                bool special = false;
                for (size_t p = 0; p < sizeof symmetric / sizeof *symmetric; p++)
                    if (strcmp(symmetric[p].method, m->info.name) == 0) {
                        check_method(&s, &mirrored, m, backends[k], symmetric[p].parameters);
                        special = true;
                    }
                if (!special || why_unequal(m->info.name, ""))
                    check_method(&s, &mirrored, m, backends[k], "");
            }
        }
        free_scene(&s);
        free_scene(&mirrored);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mirrored_images_have_mirrored_maps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
