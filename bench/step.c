/* bench-step MODEL INPUT.npy THREADS LAYER: netgaze's side of the training steps of bench/compare.py. INPUT is a batch
 * [n,h,w,c], image i is of class i modulo the number of classes. Reads a line, does it, answers with a line:
 *   step             milliseconds of one update: forward, softmax cross-entropy, gradients of the kernels and biases behind LAYER
 *                    (norms stay as they are), plain SGD at rate 0.001
 *   save step FILE   writes the losses of all steps so far */
#include <math.h>
#include <string.h>

#include "bench.h"
#include "format/format.h"
#include "train/trunk.h"

#define RATE 1e-3f

typedef struct worker {
    ngi_graph *g;
    ngi_trunk *trunk;
    ng_array input;
    bool *trained; /* [n_weights] */
    float **grads; /* [n_weights]; NULL: not trained */
    double *each;  /* [n] losses of the images */
    float losses[4096];
    int64_t steps;
    int classes, threads;
} worker;

/* Logits [n,classes] -> the gradient of the batch's mean cross-entropy. */
static void rest(void *context, int thread, int64_t first, int n, const float *logits, float *grad)
{
    (void)thread;
    const worker *w = context;
    for (int i = 0; i < n; i++, logits += w->classes, grad += w->classes) {
        int truth = (int)((first + i) % w->classes);
        double top = logits[0], sum = 0;
        for (int k = 1; k < w->classes; k++)
            top = fmax(top, logits[k]);
        for (int k = 0; k < w->classes; k++)
            sum += exp(logits[k] - top);
        for (int k = 0; k < w->classes; k++)
            grad[k] = (float)((exp(logits[k] - top) / sum - (k == truth)) / (double)w->input.shape[0]);
        w->each[first + i] = log(sum) - (logits[truth] - top);
    }
}

static void nothing_to_add(void *context, int thread)
{
    (void)context;
    (void)thread;
}

static void step(worker *w)
{
    const ngi_trunk_step how = {w, rest, nothing_to_add};
    for (int i = 0; i < w->g->n_weights; i++)
        if (w->grads[i])
            memset(w->grads[i], 0, (size_t)ngi_shape_count(&w->g->weights[i].shape) * sizeof(float));
    must(ngi_trunk_train(w->trunk, w->input.data, w->input.shape[0], &how, w->grads, &err));
    for (int i = 0; i < w->g->n_weights; i++) {
        int64_t count = w->grads[i] ? ngi_shape_count(&w->g->weights[i].shape) : 0;
        float *weight = w->g->weights[i].data;
        const float *grad = w->grads[i];
        for (int64_t k = 0; k < count; k++)
            weight[k] -= RATE * grad[k];
    }
    must(ngi_trunk_update(w->trunk, &err));
    double sum = 0;
    for (int64_t i = 0; i < w->input.shape[0]; i++)
        sum += w->each[i] / (double)w->input.shape[0];
    if (w->steps < (int64_t)(sizeof w->losses / sizeof *w->losses))
        w->losses[w->steps++] = (float)sum;
}

static int node_of_layer(const ngi_graph *g, const char *name)
{
    for (int i = 0; i < g->n_layers; i++)
        if (strcmp(g->layers[i].name, name) == 0)
            return g->layers[i].node;
    fprintf(stderr, "there is no layer '%s'\n", name);
    exit(2);
}

static void open_trunk(worker *w, const char *layer)
{
    ngi_activation act;
    bool softmax;
    int from = node_of_layer(w->g, layer), logits = ngi_graph_logits(w->g, &act, &softmax);
    w->classes = (int)ngi_shape_count(&w->g->nodes[logits].shape);
    w->trained = must_have(calloc((size_t)w->g->n_weights, sizeof *w->trained));
    w->grads = must_have(calloc((size_t)w->g->n_weights, sizeof *w->grads));
    w->each = must_have(calloc((size_t)w->input.shape[0], sizeof *w->each));
    for (int i = 0; i < w->g->n_nodes; i++) {
        const ngi_node *n = &w->g->nodes[i];
        bool learns = n->op == NGI_OP_CONV2D || n->op == NGI_OP_DENSE;
        for (int k = 0; k < 2 && learns && i != from && ngi_graph_reaches(w->g, from, i); k++) {
            int index = n->weights[k];
            if (index < 0 || w->trained[index])
                continue;
            w->trained[index] = true;
            size_t count = (size_t)ngi_shape_count(&w->g->weights[index].shape);
            w->grads[index] = must_have(malloc(count * sizeof(float)));
        }
    }
    ngi_trunk_opts opts = {.features = logits, .trained = w->trained, .threads = w->threads, .micro = 4};
    must(ngi_trunk_create(w->g, &opts, &w->trunk, &err));
}

static void close_trunk(worker *w)
{
    ngi_trunk_free(w->trunk);
    for (int i = 0; i < w->g->n_weights; i++)
        free(w->grads[i]);
    free(w->grads);
    free(w->trained);
    free(w->each);
    ng_array_clear(&w->input);
}

int main(int argc, char **argv)
{
    static worker w;
    ngi_model_file file;
    if (argc != 5) {
        fprintf(stderr, "usage: %s MODEL INPUT.npy THREADS LAYER\n", argv[0]);
        return 2;
    }
    must(ngi_model_file_load(argv[1], NULL, &file, &err));
    must(ng_npy_load(argv[2], &w.input, &err));
    w.threads = atoi(argv[3]);
    w.g = file.graph;
    open_trunk(&w, argv[4]);
    printf("ready netgaze %s\n", ng_version());
    fflush(stdout);
    char line[4096], path[4000];
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "save step %3999s", path) == 1) {
            must(ng_npy_save(path, 1, &w.steps, w.losses, &err));
            printf("saved\n");
        } else if (strcmp(line, "step\n") == 0) {
            double start = milliseconds(clock_of(w.threads));
            step(&w);
            printf("%.6f\n", milliseconds(clock_of(w.threads)) - start);
        }
        fflush(stdout);
    }
    close_trunk(&w);
    ngi_model_file_clear(&file);
    return 0;
}
