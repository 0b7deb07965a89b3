/* Normalisations with fixed statistics (batch norm, affine), layer norm and softmax. */
#include "exec/ref/ref.h"

#include <math.h>

static ng_status alloc_coefficients(ngi_ref *k, int64_t channels, ng_error *err)
{
    k->coefficients = ngi_alloc((size_t)channels, 2 * sizeof(float));
    return k->coefficients ? NG_OK : ngi_fail_memory(err, (size_t)channels * 2 * sizeof(float));
}

static int64_t last_axis(const ngi_ref *k)
{
    const ngi_shape *s = k->step.in_shape[0];
    return s->dim[s->rank - 1];
}

/* y = (x - mean) / sqrt(variance + epsilon) * gamma + beta as x * scale + offset: how
 * tf.nn.batch_normalization computes it, with the coefficients in double. */
ng_status ngi_ref_batchnorm_prepare(ngi_ref *k, ng_error *err)
{
    const int64_t c = last_axis(k);
    const float *gamma = k->step.w[0], *beta = k->step.w[1], *mean = k->step.w[2], *variance = k->step.w[3];
    NGI_TRY(alloc_coefficients(k, c, err));
    for (int64_t i = 0; i < c; i++) {
        double scale = (gamma ? gamma[i] : 1.0) / sqrt((double)variance[i] + k->step.attr->epsilon);
        k->coefficients[i] = (float)scale;
        k->coefficients[c + i] = (float)((beta ? beta[i] : 0.0) - mean[i] * scale);
    }
    return NG_OK;
}

ng_status ngi_ref_affine_prepare(ngi_ref *k, ng_error *err)
{
    const int64_t c = last_axis(k);
    const ngi_node *node = &k->step.graph->nodes[k->step.root];
    const bool single_scale = k->step.graph->weights[node->weights[0]].shape.dim[0] == 1;
    const bool single_offset = k->step.graph->weights[node->weights[1]].shape.dim[0] == 1;
    NGI_TRY(alloc_coefficients(k, c, err));
    for (int64_t i = 0; i < c; i++) {
        k->coefficients[i] = k->step.w[0][single_scale ? 0 : i];
        k->coefficients[c + i] = k->step.w[1][single_offset ? 0 : i];
    }
    return NG_OK;
}

void ngi_ref_affine_forward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t c = last_axis(k), rows = run->n * (k->in_count / c);
    const float *restrict scale = k->coefficients, *restrict offset = k->coefficients + c;
    for (int64_t r = 0; r < rows; r++) {
        const float *restrict x = run->in[0] + r * c;
        float *restrict y = run->out + r * c;
        for (int64_t i = 0; i < c; i++)
            y[i] = x[i] * scale[i] + offset[i];
    }
}

void ngi_ref_affine_backward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t c = last_axis(k), rows = run->n * (k->in_count / c);
    const float *restrict scale = k->coefficients;
    for (int64_t r = 0; r < rows; r++) {
        const float *restrict grad = run->grad_out + r * c;
        float *restrict dx = run->grad_in[0] + r * c;
        if (run->accumulate[0])
            for (int64_t i = 0; i < c; i++)
                dx[i] += grad[i] * scale[i];
        else
            for (int64_t i = 0; i < c; i++)
                dx[i] = grad[i] * scale[i];
    }
}

/* ---- Layer normalisation --------------------------------------------------------------------- */

/* Elements normalised together: the axes from attr.axis on. */
static int64_t normalised(const ngi_ref *k)
{
    const ngi_shape *s = k->step.in_shape[0];
    int64_t count = 1;
    for (int i = k->step.attr->axis; i < s->rank; i++)
        count *= s->dim[i];
    return count;
}

size_t ngi_ref_layernorm_scratch(const ngi_ref *k)
{
    return (size_t)normalised(k) * sizeof(double);
}

typedef struct moments {
    double mean, inverse; /* inverse: 1 / sqrt(variance + epsilon) */
    double centre; /* what is subtracted: the mean, or 0 for rms (Keras's LayerNormalization(rms_scaling)
                             divides by the standard deviation, not by the root mean square) */
} moments;

/* Sum of (x - centre)^power, power 1 or 2: eight partial sums in a fixed order, which the compiler vectorises. */
static inline double sum_power(const float *x, int64_t n, double centre, int power)
{
    double lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++) {
            double d = x[i + l] - centre;
            lane[l] += power == 2 ? d * d : d;
        }
    for (int l = 0; i < n; i++, l++) {
        double d = x[i] - centre;
        lane[l] += power == 2 ? d * d : d;
    }
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

static moments moments_of(const ngi_ref *k, const float *x, int64_t n)
{
    moments m = {.mean = sum_power(x, n, 0.0, 1) / (double)n};
    m.inverse = 1.0 / sqrt(sum_power(x, n, m.mean, 2) / (double)n + k->step.attr->epsilon);
    m.centre = k->step.attr->rms ? 0.0 : m.mean;
    return m;
}

void ngi_ref_layernorm_forward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t n = normalised(k), rows = run->n * (k->in_count / n);
    const float *gamma = k->step.w[0], *beta = k->step.attr->rms ? NULL : k->step.w[1];
    for (int64_t r = 0; r < rows; r++) {
        const float *x = run->in[0] + r * n;
        float *y = run->out + r * n;
        moments m = moments_of(k, x, n);
        for (int64_t i = 0; i < n; i++) {
            double v = (x[i] - m.centre) * m.inverse * (gamma ? gamma[i] : 1.0f);
            y[i] = (float)(beta ? v + beta[i] : v);
        }
    }
}

/* With g = gradient * gamma and y = (x - centre) * s: dx = s (g - [centred] mean(g))
 * - s^3 (x - mean) mean(g (x - centre)). */
void ngi_ref_layernorm_backward(const ngi_ref *k, const ngi_run *run)
{
    const int64_t n = normalised(k), rows = run->n * (k->in_count / n);
    const float *gamma = k->step.w[0];
    double *g = run->scratch; /* [n] */
    for (int64_t r = 0; r < rows; r++) {
        const float *x = run->in[0] + r * n, *grad = run->grad_out + r * n;
        float *dx = run->grad_in[0] + r * n;
        moments m = moments_of(k, x, n);
        double sum = 0.0, weighted = 0.0;
        for (int64_t i = 0; i < n; i++) {
            g[i] = (double)grad[i] * (gamma ? gamma[i] : 1.0f);
            sum += g[i];
            weighted += g[i] * (x[i] - m.centre);
        }
        double mean = k->step.attr->rms ? 0.0 : sum / (double)n;
        double slope = weighted / (double)n * m.inverse * m.inverse * m.inverse;
        for (int64_t i = 0; i < n; i++)
            g[i] = m.inverse * (g[i] - mean) - slope * (x[i] - m.mean);
        ngi_ref_store_double(dx, g, n, run->accumulate[0]);
    }
}

/* ---- Softmax --------------------------------------------------------------------------------- */

/* The tensor as [outer, length, inner], softmax along the middle. */
static void softmax_axes(const ngi_ref *k, int64_t *outer, int64_t *length, int64_t *inner)
{
    const ngi_shape *s = k->step.in_shape[0];
    *outer = *inner = 1;
    *length = s->dim[k->step.attr->axis];
    for (int i = 0; i < s->rank; i++)
        *(i < k->step.attr->axis ? outer : inner) *= i == k->step.attr->axis ? 1 : s->dim[i];
}

size_t ngi_ref_softmax_scratch(const ngi_ref *k)
{
    return (size_t)k->step.in_shape[0]->dim[k->step.attr->axis] * sizeof(double);
}

static void softmax_line(const float *x, float *y, int64_t length, int64_t stride, double *e)
{
    double sum = 0.0, most = x[0];
    for (int64_t i = 1; i < length; i++)
        most = x[i * stride] > most ? x[i * stride] : most;
    for (int64_t i = 0; i < length; i++) {
        e[i] = exp(x[i * stride] - most);
        sum += e[i];
    }
    for (int64_t i = 0; i < length; i++)
        y[i * stride] = (float)(e[i] / sum);
}

void ngi_ref_softmax_forward(const ngi_ref *k, const ngi_run *run)
{
    int64_t outer, length, inner;
    softmax_axes(k, &outer, &length, &inner);
    for (int64_t o = 0; o < run->n * outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            int64_t at = o * length * inner + i;
            softmax_line(run->in[0] + at, run->out + at, length, inner, run->scratch);
        }
}

/* dx = y (g - sum(g y)) */
void ngi_ref_softmax_backward(const ngi_ref *k, const ngi_run *run)
{
    int64_t outer, length, inner;
    softmax_axes(k, &outer, &length, &inner);
    for (int64_t o = 0; o < run->n * outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            int64_t at = o * length * inner + i;
            const float *y = run->out + at, *grad = run->grad_out + at;
            float *dx = run->grad_in[0] + at;
            double sum = 0.0;
            for (int64_t j = 0; j < length; j++)
                sum += (double)grad[j * inner] * y[j * inner];
            for (int64_t j = 0; j < length; j++) {
                double v = y[j * inner] * (grad[j * inner] - sum);
                dx[j * inner] = (float)(run->accumulate[0] ? dx[j * inner] + v : v);
            }
        }
}
