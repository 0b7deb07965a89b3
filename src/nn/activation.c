/* Activation functions and their derivatives: the formulas of keras/src/activations/activations.py (Keras
 * 3.15, TensorFlow back end); hard_sigmoid_2 is Keras 2's. Piecewise linear ones are float loops that the
 * compiler vectorises; the others are computed in double and rounded once. Not a number stays one.
 * At a kink the derivative is TensorFlow's. */
#include "nn/graph.h"

#include <math.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
/* Lets the compiler turn x > a ? b : c into a blend; it changes exception flags only, never a value. */
#pragma GCC optimize("no-trapping-math")
/* In place is allowed, so the pointers may be equal; they never overlap otherwise. */
#define NO_CARRIED_DEPENDENCE _Pragma("GCC ivdep")
#else
#define NO_CARRIED_DEPENDENCE
#endif

#define SELU_ALPHA     1.6732632423543772848170429916717
#define SELU_SCALE     1.0507009873554804934193349852946
#define SQRT_HALF      0.70710678118654752440 /* sqrt(1/2) */
#define SQRT_2_OVER_PI 0.79788456080286535588
#define INV_SQRT_2PI   0.39894228040143267794
#define GELU_CUBIC     0.044715 /* Hendrycks & Gimpel 2016 */

const char *ngi_activation_name(ngi_activation a)
{
    static const char *const names[] = {
#define NGI_ACT_NAME(kind, text) [NGI_ACT_##kind] = text,
        NGI_ACTIVATION_LIST(NGI_ACT_NAME)
#undef NGI_ACT_NAME
    };
    return (unsigned)a < NGI_ACT_COUNT ? names[a] : "?";
}

bool ngi_activation_has_kink(const ngi_activation_attr *a)
{
    switch (a->kind) {
    case NGI_ACT_RELU:
    case NGI_ACT_RELU6:
    case NGI_ACT_SELU:
    case NGI_ACT_HARD_SIGMOID:
    case NGI_ACT_HARD_SIGMOID_2:
    case NGI_ACT_HARD_SILU:
    case NGI_ACT_HARD_TANH:
    case NGI_ACT_LEAKY_RELU:
    case NGI_ACT_SOFT_SHRINK:
    case NGI_ACT_HARD_SHRINK:
    case NGI_ACT_THRESHOLD:
    case NGI_ACT_SPARSE_SIGMOID:
        return true;
    case NGI_ACT_ELU:
        return a->alpha != 1;
    default:
        return false;
    }
}

/* exp(x) = scale * (1 + q) with scale a power of two, relative error below 1e-11; no branches, so that
 * loops vectorise. Arguments are clamped to +-200, far outside what a float can tell from 0 and infinity. */
static inline double exp_parts(double x, double *scale)
{
    const double shift = 0x1.8p52; /* adding it leaves the rounded integer in the low bits */
    x = x > 200.0 ? 200.0 : x;
    x = x < -200.0 ? -200.0 : x;
    double t = x * 1.44269504088896340736 + shift;
    double k = t - shift;
    double r = x - k * 0.69314718055994530942; /* |r| <= ln(2)/2: the series' rest is below 7e-12 */
    double q = 1.0 / 362880;
    q = q * r + 1.0 / 40320;
    q = q * r + 1.0 / 5040;
    q = q * r + 1.0 / 720;
    q = q * r + 1.0 / 120;
    q = q * r + 1.0 / 24;
    q = q * r + 1.0 / 6;
    q = q * r + 1.0 / 2;
    uint64_t bits;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits + 1023) << 52;
    memcpy(scale, &bits, sizeof *scale);
    return q * r * r + r;
}

static inline double exp_fast(double x)
{
    double scale, q = exp_parts(x, &scale);
    return scale * q + scale;
}

static inline double expm1_fast(double x)
{
    double scale, q = exp_parts(x, &scale);
    return scale * q + (scale - 1.0);
}

static inline double sigmoid(double x)
{
    return 1.0 / (1.0 + exp_fast(-x));
}

static inline double tanh_fast(double x)
{
    double e = expm1_fast(2.0 * x);
    return e / (e + 2.0);
}

static double softplus(double x)
{
    return (x > 0.0 ? x : 0.0) + log1p(exp(-fabs(x)));
}

static inline double gelu_tanh_inner(double x)
{
    return tanh_fast(SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x));
}

/* tanh(softplus(x)) */
static inline double mish_factor(double x)
{
    double e = exp_fast(x > 40.0 ? 40.0 : x);
    double square = e * (e + 2.0);
    return square / (square + 2.0);
}

static inline float clip(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

/* keras.layers.ReLU with every parameter. */
static inline float relu_any(const ngi_activation_attr *a, float x)
{
    float y = x <= a->threshold ? 0.0f : x;
    if (!isinf(a->max_value))
        y = clip(y, 0.0f, a->max_value);
    return a->alpha != 0.0f && x < a->threshold ? y - a->alpha * (a->threshold - x) : y;
}

static inline float relu_any_slope(const ngi_activation_attr *a, float x)
{
    if (x < a->threshold)
        return a->alpha;
    if (x == a->threshold)
        return 0.0f;
    if (isinf(a->max_value))
        return 1.0f;
    if (a->threshold == 0.0f && a->max_value == 6.0f) /* Keras calls relu6 then */
        return x < 6.0f ? 1.0f : 0.0f;
    return x >= 0.0f && x <= a->max_value ? 1.0f : 0.0f;
}

/* The ReLU parameters that amount to x > 0 ? x : slope * x. */
static bool is_plain_relu(const ngi_activation_attr *a)
{
    return isinf(a->max_value) && a->threshold == 0.0f;
}

static void leaky_relu(float slope, const float *x, float *y, int64_t n)
{
    NO_CARRIED_DEPENDENCE
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : slope * x[i];
}

static void relu(const ngi_activation_attr *a, const float *x, float *y, int64_t n)
{
    if (is_plain_relu(a) && a->alpha != 0.0f) {
        leaky_relu(a->alpha, x, y, n);
    } else if (is_plain_relu(a)) {
        NO_CARRIED_DEPENDENCE
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] <= 0.0f ? 0.0f : x[i];
    } else {
        for (int64_t i = 0; i < n; i++)
            y[i] = relu_any(a, x[i]);
    }
}

/* One loop of a case: v is the float argument, d the same in double. */
#define MAP(expression)                   \
    do {                                  \
        NO_CARRIED_DEPENDENCE             \
        for (int64_t i = 0; i < n; i++) { \
            const float v = x[i];         \
            const double d = v;           \
            (void)d;                      \
            y[i] = (float)(expression);   \
        }                                 \
        return;                           \
    } while (0)

/* clang-format off: one line a formula */
static void activate_piecewise(const ngi_activation_attr *a, const float *x, float *y, int64_t n)
{
    const float t = a->threshold, alpha = a->alpha;
    switch (a->kind) {
    case NGI_ACT_RELU6:
        MAP(clip(v, 0.0f, 6.0f));
    case NGI_ACT_SOFTSIGN:
        MAP(v / (1.0f + fabsf(v)));
    case NGI_ACT_HARD_SIGMOID:
        MAP(clip(v + 3.0f, 0.0f, 6.0f) / 6.0f);
    case NGI_ACT_HARD_SIGMOID_2:
        MAP(clip(0.2f * v + 0.5f, 0.0f, 1.0f));
    case NGI_ACT_HARD_SILU:
        MAP(v * (clip(v + 3.0f, 0.0f, 6.0f) / 6.0f));
    case NGI_ACT_HARD_TANH:
        MAP(clip(v, -1.0f, 1.0f));
    case NGI_ACT_SOFT_SHRINK:
        MAP(v > t ? v - t : v < -t ? v + t : v * 0.0f);
    case NGI_ACT_HARD_SHRINK:
        MAP(fabsf(v) <= t ? 0.0f : v);
    case NGI_ACT_THRESHOLD:
        MAP(v <= t ? alpha : v);
    case NGI_ACT_SQUAREPLUS:
        MAP((d + sqrt(d * d + alpha)) * 0.5);
    case NGI_ACT_SPARSE_PLUS:
        MAP(v <= -1.0f ? 0.0f : v >= 1.0f ? v : 0.25f * (v + 1.0f) * (v + 1.0f));
    case NGI_ACT_SPARSE_SIGMOID:
        MAP(v <= -1.0f ? 0.0f : v >= 1.0f ? 1.0f : 0.5f * (v + 1.0f));
    default:
        break;
    }
}

void ngi_activate(const ngi_activation_attr *a, const float *x, float *y, int64_t n)
{
    const double alpha = a->alpha;
    switch (a->kind) {
    case NGI_ACT_LINEAR:
    case NGI_ACT_COUNT:
        if (x != y)
            memcpy(y, x, (size_t)n * sizeof *x);
        return;
    case NGI_ACT_RELU:
        relu(a, x, y, n);
        return;
    case NGI_ACT_LEAKY_RELU:
        leaky_relu(a->alpha, x, y, n);
        return;
    case NGI_ACT_SIGMOID:
        MAP(sigmoid(d));
    case NGI_ACT_TANH:
        MAP(tanh_fast(d));
    case NGI_ACT_ELU:
        MAP(d > 0.0 ? d : alpha * expm1_fast(d));
    case NGI_ACT_SELU:
        MAP(d > 0.0 ? SELU_SCALE * d : SELU_SCALE * SELU_ALPHA * expm1_fast(d));
    case NGI_ACT_CELU:
        MAP(d > 0.0 ? d : alpha * expm1_fast(d / alpha));
    case NGI_ACT_GELU:
        MAP(0.5 * d * erfc(-d * SQRT_HALF));
    case NGI_ACT_GELU_TANH:
        MAP(0.5 * d * (1.0 + gelu_tanh_inner(d)));
    case NGI_ACT_SILU:
        MAP(d * sigmoid(d));
    case NGI_ACT_SOFTPLUS:
        MAP(softplus(d));
    case NGI_ACT_EXPONENTIAL:
        MAP(exp_fast(d));
    case NGI_ACT_MISH:
        MAP(d * mish_factor(d));
    case NGI_ACT_LOG_SIGMOID:
        MAP(-softplus(-d));
    case NGI_ACT_TANH_SHRINK:
        MAP(d - tanh(d));
    default:
        activate_piecewise(a, x, y, n);
        return;
    }
}
/* clang-format on */
#undef MAP

/* dx = dy * slope. */
#define MAP(slope)                            \
    do {                                      \
        NO_CARRIED_DEPENDENCE                 \
        for (int64_t i = 0; i < n; i++) {     \
            const float v = x[i];             \
            const double d = v;               \
            (void)d;                          \
            dx[i] = (float)(dy[i] * (slope)); \
        }                                     \
        return;                               \
    } while (0)

static inline double hard_silu_slope(double x)
{
    if (x <= -3.0)
        return 0.0;
    return x >= 3.0 ? 1.0 : (2.0 * x + 3.0) / 6.0;
}

static inline double gelu_slope(double x)
{
    return 0.5 * erfc(-x * SQRT_HALF) + x * INV_SQRT_2PI * exp_fast(-0.5 * x * x);
}

static inline double gelu_tanh_slope(double x)
{
    double t = gelu_tanh_inner(x);
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * SQRT_2_OVER_PI * (1.0 + 3.0 * GELU_CUBIC * x * x);
}

static inline double mish_slope(double x)
{
    double t = mish_factor(x);
    return t + x * (1.0 - t * t) * sigmoid(x);
}

static inline double square(double x)
{
    return x * x;
}

/* clang-format off */
static void grad_piecewise(const ngi_activation_attr *a, const float *x, const float *dy, float *dx, int64_t n)
{
    const float t = a->threshold;
    switch (a->kind) {
    case NGI_ACT_RELU6: MAP(v > 0.0f && v < 6.0f ? 1.0f : 0.0f);
    case NGI_ACT_SOFTSIGN: MAP(1.0 / square(1.0 + fabs(d)));
    case NGI_ACT_HARD_SIGMOID: MAP(v > -3.0f && v < 3.0f ? 1.0 / 6.0 : 0.0);
    case NGI_ACT_HARD_SIGMOID_2: MAP(v >= -2.5f && v <= 2.5f ? 0.2f : 0.0f);
    case NGI_ACT_HARD_SILU: MAP(hard_silu_slope(d));
    case NGI_ACT_HARD_TANH: MAP(v >= -1.0f && v <= 1.0f ? 1.0f : 0.0f);
    case NGI_ACT_SOFT_SHRINK:
    case NGI_ACT_HARD_SHRINK: MAP(fabsf(v) > t ? 1.0f : 0.0f);
    case NGI_ACT_THRESHOLD: MAP(v > t ? 1.0f : 0.0f);
    case NGI_ACT_SQUAREPLUS: MAP(0.5 * (1.0 + d / sqrt(d * d + (double)a->alpha)));
    case NGI_ACT_SPARSE_PLUS: MAP(v <= -1.0f ? 0.0f : v >= 1.0f ? 1.0f : 0.5f * (v + 1.0f));
    case NGI_ACT_SPARSE_SIGMOID: MAP(v > -1.0f && v < 1.0f ? 0.5f : 0.0f);
    default: break;
    }
}

static void relu_grad(const ngi_activation_attr *a, const float *x, const float *dy, float *dx, int64_t n)
{
    const float slope = a->alpha;
    if (is_plain_relu(a))
        MAP(v > 0.0f ? 1.0f : slope);
    MAP(relu_any_slope(a, v));
}

void ngi_activate_grad(const ngi_activation_attr *a, const float *x, const float *dy, float *dx, int64_t n)
{
    const double alpha = a->alpha;
    switch (a->kind) {
    case NGI_ACT_LINEAR:
    case NGI_ACT_COUNT:
        if (dx != dy)
            memcpy(dx, dy, (size_t)n * sizeof *dx);
        return;
    case NGI_ACT_RELU: relu_grad(a, x, dy, dx, n); return;
    case NGI_ACT_LEAKY_RELU: MAP(v > 0.0f ? 1.0f : a->alpha);
    case NGI_ACT_SIGMOID: MAP(sigmoid(d) * sigmoid(-d));
    case NGI_ACT_TANH: MAP(1.0 - square(tanh_fast(d)));
    case NGI_ACT_ELU: MAP(d > 0.0 ? 1.0 : alpha * exp_fast(d));
    case NGI_ACT_SELU: MAP(d >= 0.0 ? SELU_SCALE : SELU_SCALE * SELU_ALPHA * exp_fast(d));
    case NGI_ACT_CELU: MAP(d > 0.0 ? 1.0 : exp_fast(d / alpha));
    case NGI_ACT_GELU: MAP(gelu_slope(d));
    case NGI_ACT_GELU_TANH: MAP(gelu_tanh_slope(d));
    case NGI_ACT_SILU: MAP(sigmoid(d) * (1.0 + d * sigmoid(-d)));
    case NGI_ACT_SOFTPLUS: MAP(sigmoid(d));
    case NGI_ACT_EXPONENTIAL: MAP(exp_fast(d));
    case NGI_ACT_MISH: MAP(mish_slope(d));
    case NGI_ACT_LOG_SIGMOID: MAP(sigmoid(-d));
    case NGI_ACT_TANH_SHRINK: MAP(square(tanh_fast(d)));
    default: grad_piecewise(a, x, dy, dx, n); return;
    }
}
/* clang-format on */
