/* --baseline: an image, or the mean of a folder's images, as what methods with a baseline compare with. Images are brought
 * to the network's input as those that are explained are; the mean is taken there, in double. */
#include "explain.h"

#include <stdlib.h>
#include <string.h>

/* Adds one image's (or array's) values to sums [count]; *n counts them. */
static ng_status add_image(const explain_job *j, const char *path, size_t count, double *sums, int *n,
                           ng_error *err)
{
    picture p = {0};
    ng_status status = picture_load(j->model, path, &j->fit, &p, err);
    for (int i = 0; i < p.n && status == NG_OK; i++) {
        const float *x = picture_input(&p, i);
        for (size_t k = 0; k < count; k++)
            sums[k] += x[k];
        ++*n;
    }
    picture_clear(&p);
    return status;
}

int read_baseline(explain_job *j)
{
    const ng_model_info *info = &j->info;
    size_t count = (size_t)info->input_height * (size_t)info->input_width * (size_t)info->input_channels;
    char *path = strdup(j->s->baseline);
    settings of = *j->s;
    inputs in = {0};
    of.arguments = &path;
    of.n_arguments = 1;
    double *sums = calloc(count, sizeof *sums);
    j->baseline = malloc(count * sizeof *j->baseline);
    int code = path && sums && j->baseline ? find_inputs(&of, 0, NULL, &in) : say_out_of_memory(), n = 0;
    for (int i = 0; i < in.count && code == EXIT_DONE; i++) {
        ng_error err = {0};
        if (add_image(j, in.paths[i], count, sums, &n, &err) != NG_OK) {
            complain("--baseline: %s: %s", in.paths[i], err.text);
            code = EXIT_USAGE;
        }
    }
    for (size_t k = 0; k < count && code == EXIT_DONE; k++)
        j->baseline[k] = (float)(sums[k] / n);
    inputs_clear(&in);
    free(sums);
    free(path);
    return code;
}
