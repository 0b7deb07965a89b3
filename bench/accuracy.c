/* accuracy MODEL [COUNT]: the scores of COUNT (3) inputs of smoothed noise against a forward run in double, with Winograd
 * kernels and without; fails if one is further off than 1e-5 of the largest score. Run by `make bench`. */
#include <stdbool.h>

#include "bench.h"
#include "exec/exec.h"
#include "exec/forward64.h"
#include "format/format.h"

#define BOUND 1e-5

/* Values 0..1 that change slowly over the image, as photographs do. input [h,w,c] */
static void fill(const ngi_shape *s, unsigned seed, float *input)
{
    for (int64_t y = 0; y < s->dim[0]; y++)
        for (int64_t x = 0; x < s->dim[1]; x++)
            for (int64_t c = 0; c < s->dim[2]; c++) {
                unsigned noise = ((unsigned)(y * 7919 + x * 104729 + c) + seed) * 2654435761u;
                double smooth = sin((double)y / 23 + seed) * cos((double)x / 31 + (double)c) * 0.4 + 0.5;
                *input++ = (float)(smooth + 0.1 * ((double)(noise >> 8) / 16777216.0 - 0.5));
            }
}

static double distance(const ngi_graph *g, int logits, const float *input, const double *exact,
                       const char *backend)
{
    ngi_plan_opts o = {.batch = 1, .threads = 1, .backend = backend, .root = logits};
    ngi_plan *p;
    ngi_run_session *s;
    must(ngi_plan_create(g, &o, &p, &err));
    must(ngi_run_session_create(p, &s, &err));
    must(ngi_run_forward(s, &input, 1, &err));
    const float *scores = ngi_run_activation(s, logits);
    double most = 0, scale = 0;
    for (int64_t i = 0; i < ngi_shape_count(&g->nodes[logits].shape); i++) {
        scale = fmax(scale, fabs(exact[i]));
        most = scores[i] == scores[i] ? fmax(most, fabs(scores[i] - exact[i])) : INFINITY;
    }
    ngi_run_session_free(s);
    ngi_plan_free(p);
    return most / scale;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s MODEL [COUNT]\n", argv[0]);
        return 2;
    }
    ngi_model_file file;
    must(ngi_model_file_load(argv[1], NULL, &file, &err));
    const ngi_graph *g = file.graph;
    bool softmax;
    ngi_activation act;
    int logits = ngi_graph_logits(g, &act, &softmax), count = argc > 2 ? atoi(argv[2]) : 3;
    const ngi_shape *shape = &g->nodes[g->inputs[0]].shape;
    float *input = malloc((size_t)ngi_shape_count(shape) * sizeof *input);
    bool fine = input != NULL;
    for (int i = 0; fine && i < count; i++) {
        fill(shape, (unsigned)i + 1, input);
        double *exact = forward64(g, input, logits);
        double fast = distance(g, logits, input, exact, "auto"),
               direct = distance(g, logits, input, exact, "onednn");
        printf("input %d: %.2g with Winograd, %.2g without, of the largest score\n", i, fast, direct);
        fine = fast <= BOUND && direct <= BOUND;
        free(exact);
    }
    free(input);
    ngi_model_file_clear(&file);
    if (!fine)
        fprintf(stderr, "further off than %g\n", BOUND);
    return fine ? 0 : 1;
}
