/* Samples of any depth to 8 bits: linear between two ends. 0..65535 gives (v + 128) / 257, the rounding that
 * the PNG specification recommends for 16 to 8 bits. */
#include "image/levels.h"

#include <math.h>

void ngi_range_u16(const uint16_t *in, size_t n, double *low, double *high)
{
    uint16_t min = UINT16_MAX, max = 0;
    for (size_t i = 0; i < n; i++) {
        min = in[i] < min ? in[i] : min;
        max = in[i] > max ? in[i] : max;
    }
    *low = n ? min : 0;
    *high = max;
}

void ngi_range_float(const float *in, size_t n, double *low, double *high)
{
    float min = INFINITY, max = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(in[i]))
            continue;
        min = fminf(min, in[i]);
        max = fmaxf(max, in[i]);
    }
    *low = min <= max ? min : 0;
    *high = min <= max ? max : 0;
}

static uint8_t level(double v, double low, double high)
{
    double at = (v - low) / (high - low) * 255.0 + 0.5;
    if (!(at > 0)) /* NaN too: 0 / 0 of an empty range, or a sample that is no number */
        return 0;
    return at >= 255 ? 255 : (uint8_t)at;
}

void ngi_levels_u16(const uint16_t *in, size_t n, double low, double high, uint8_t *out)
{
    uint8_t table[UINT16_MAX + 1];
    for (int v = 0; v <= UINT16_MAX; v++)
        table[v] = level(v, low, high);
    for (size_t i = 0; i < n; i++)
        out[i] = table[in[i]];
}

void ngi_levels_float(const float *in, size_t n, double low, double high, uint8_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = level(in[i], low, high);
}
