/* Measuring kernels, in the public API. */
#include "exec/tune.h"
#include "api/api.h"

#include <stdio.h>
#include <string.h>

static void copy_row(const ngi_tune_row *from, ng_tune_row *to)
{
    snprintf(to->shape, sizeof to->shape, "%s", from->shape);
    to->layers = from->steps;
    to->chosen = from->chosen;
    for (int i = 0; i < 2; i++) {
        snprintf(to->kernel[i], sizeof to->kernel[i], "%s", from->kernel[i]);
        to->milliseconds[i] = from->milliseconds[i];
    }
}

ng_status ng_model_tune(const ng_model *model, int threads, int repeats, ng_tune_result *out, ng_error *err)
{
    *out = (ng_tune_result){0};
    ngi_tune_row *rows;
    int n;
    NGI_TRY(ngi_tune(model->graph, model->head.logits, threads, repeats, model->cache, &rows, &n, err));
    out->rows = ngi_alloc_zero((size_t)n, sizeof *out->rows);
    for (int i = 0; i < n && out->rows; i++)
        copy_row(&rows[i], &out->rows[i]);
    ngi_free(rows);
    if (!out->rows)
        return ngi_fail_memory(err, (size_t)n * sizeof *out->rows);
    out->row_count = n;
    out->kept = model->cache != NULL;
    return NG_OK;
}

void ng_tune_result_clear(ng_tune_result *result)
{
    ngi_free(result->rows);
    *result = (ng_tune_result){0};
}
