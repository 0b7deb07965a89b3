/* The formulas of attention.h, sums in double. */
#include "train/attention.h"

double ngi_attention_outside(const float *act, const float *slope, const float *region, int cells,
                             int channels, double scale, double *work, float *act_grad, float *slope_grad)
{
    double all = 0, outside = 0;
    for (int p = 0; p < cells; p++) {
        double map = 0;
        for (int k = 0; k < channels; k++)
            map += (double)slope[k] * act[(int64_t)p * channels + k];
        work[p] = map > 0 ? map : 0 * map; /* what is not a number stays none */
        all += work[p];
        outside += work[p] * (1 - region[p]);
    }
    if (!(all > 0))
        return all == 0 ? 0 : all;
    double share = outside / all;
    for (int p = 0; p < cells; p++) {
        const float *a = act + (int64_t)p * channels;
        float grad = (float)(scale * (1 - region[p] - share) / all);
        for (int k = 0; act_grad && work[p] > 0 && k < channels; k++)
            act_grad[(int64_t)p * channels + k] += slope[k] * grad;
        for (int k = 0; slope_grad && work[p] > 0 && k < channels; k++)
            slope_grad[k] += a[k] * grad;
    }
    return share;
}
