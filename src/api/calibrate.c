/* Calibration for 8-bit kernels, in the public API. */
#include "exec/calibrate.h"
#include "api/api.h"

struct ng_calibration {
    ngi_calibration *inner;
};

ng_status ng_calibration_create(const ng_model *model, ng_calibration **out, ng_error *err)
{
    *out = ngi_alloc_zero(1, sizeof **out);
    if (!*out)
        return ngi_fail_memory(err, sizeof **out);
    ng_status status = ngi_calibration_create(model->graph, model->head.logits, &(*out)->inner, err);
    if (status != NG_OK) {
        ngi_free(*out);
        *out = NULL;
    }
    return status;
}

ng_status ng_calibration_add(ng_calibration *c, const float *input, ng_error *err)
{
    return ngi_calibration_add(c->inner, input, err);
}

const ngi_span *ngi_calibration_of(const ng_calibration *c)
{
    return c ? ngi_calibration_ranges(c->inner) : NULL;
}

void ng_calibration_free(ng_calibration *c)
{
    if (!c)
        return;
    ngi_calibration_free(c->inner);
    ngi_free(c);
}
