#include "attr/baseline.h"

#include <math.h>
#include <string.h>

/* One axis of a Gaussian, cut at four standard deviations (scipy.ndimage.gaussian_filter1d, mode "nearest"): n lines of
 * `length` values, `step` apart. */
static void blur_axis(const float *x, float *y, int64_t length, int64_t step, int64_t lines,
                      const double *weights, int radius)
{
    for (int64_t line = 0; line < lines; line++) {
        int64_t start = line / step * step * length + line % step;
        for (int64_t i = 0; i < length; i++) {
            double sum = 0;
            for (int k = -radius; k <= radius; k++) {
                int64_t at = i + k < 0 ? 0 : i + k >= length ? length - 1 : i + k;
                sum += weights[k < 0 ? -k : k] * x[start + at * step];
            }
            y[start + i * step] = (float)sum;
        }
    }
}

static ng_status blur(const float *x, const ngi_shape *s, double deviation, float *out, ng_error *err)
{
    int radius = (int)(4 * deviation + 0.5);
    int64_t count = ngi_shape_count(s);
    double *weights = ngi_alloc((size_t)radius + 1, sizeof *weights), sum = 0;
    float *middle = ngi_alloc((size_t)count, sizeof *middle);
    if (weights && middle) {
        for (int k = 0; k <= radius; k++) {
            weights[k] = deviation > 0 ? exp(-0.5 * k * k / (deviation * deviation)) : 1;
            sum += weights[k] * (k ? 2 : 1);
        }
        for (int k = 0; k <= radius; k++)
            weights[k] /= sum;
        int64_t h = s->dim[0], w = s->dim[1], c = s->dim[2];
        blur_axis(x, middle, h, w * c, w * c, weights, radius);
        blur_axis(middle, out, w, c, h * c, weights, radius);
    }
    bool fine = weights && middle;
    ngi_free(weights);
    ngi_free(middle);
    return fine ? NG_OK : ngi_fail_memory(err, (size_t)count * sizeof *middle);
}

ng_status ngi_baseline_make(const ngi_attr_job *job, ngi_baseline kind, double deviation, float *out,
                            ng_error *err)
{
    ngi_shape s = ngi_attr_input_shape(job->graph);
    int64_t count = ngi_shape_count(&s), channels = s.dim[2];
    if (kind == NGI_BASELINE_GIVEN && !job->baseline)
        return ngi_fail(
            err, NG_E_ARGUMENT,
            "baseline=given, but no baseline was given: ng_explain_opts.baseline, or --baseline IMAGE");
    if (kind == NGI_BASELINE_GIVEN) {
        memcpy(out, job->baseline, (size_t)count * sizeof *out);
        return NG_OK;
    }
    if (kind == NGI_BASELINE_BLUR)
        return blur(job->input, &s, deviation, out, err);
    for (int64_t c = 0; c < channels; c++) {
        double value = 0;
        if (kind == NGI_BASELINE_BLACK || kind == NGI_BASELINE_GREY)
            value += job->black[c] * (kind == NGI_BASELINE_GREY ? 0.5 : 1);
        if (kind == NGI_BASELINE_WHITE || kind == NGI_BASELINE_GREY)
            value += job->white[c] * (kind == NGI_BASELINE_GREY ? 0.5 : 1);
        for (int64_t i = c; kind == NGI_BASELINE_MEAN && i < count; i += channels)
            value += job->input[i] / ((double)count / (double)channels);
        for (int64_t i = c; i < count; i += channels)
            out[i] = (float)value;
    }
    return NG_OK;
}
