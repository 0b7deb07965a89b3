#include "attr/reduce.h"

#include <math.h>

ng_status ngi_reduce_channels(const ngi_attr_job *job, ngi_reduce how, const double *values, int64_t cells,
                              int64_t channels, ng_map *map, ng_error *err)
{
    if (job->eigen)
        return ngi_attr_principal(values, cells, channels, map, err);
    for (int64_t i = 0; i < cells; i++) {
        double sum = 0;
        for (int64_t k = i * channels; k < (i + 1) * channels; k++)
            switch (how) {
            case NGI_REDUCE_SUM:
                sum += values[k];
                break;
            case NGI_REDUCE_ABS_SUM:
                sum += fabs(values[k]);
                break;
            case NGI_REDUCE_ABS_MAX:
                sum = fmax(sum, fabs(values[k]));
                break;
            case NGI_REDUCE_L2:
                sum += values[k] * values[k];
            }
        map->signed_data[i] = (float)(how == NGI_REDUCE_L2 ? sqrt(sum) : sum);
    }
    return NG_OK;
}
