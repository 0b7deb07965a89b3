#include "attr/partial.h"

#include "base/random.h"

#include <math.h>
#include <stdio.h>

void ngi_partial_order(int *list, int n)
{
    for (int i = n; i > 1; i--) {
        int k = (int)(ngi_random_uniform(0, 0, (uint64_t)i) * i), kept = list[i - 1];
        list[i - 1] = list[k];
        list[k] = kept;
    }
}

double ngi_partial_error(const ngi_partial *p, const ng_map *map)
{
    if (p->n < 2)
        return -1;
    double sum = 0, rest = 1 - (double)p->n / p->total;
    for (int64_t i = 0; i < p->cells; i++) {
        double squares = 0, value = map->signed_data[i];
        for (int s = 0; s < p->n; s++) {
            double w = p->n * p->weights[p->seen[s]], a = p->act[i * p->channels + p->seen[s]];
            double term = p->ratio ? w * (a - value) : w * a - value;
            squares += term * term;
        }
        sum += sqrt(rest * squares / (p->n - 1) / p->n);
    }
    return sum / (double)p->cells;
}

const char *ngi_error_text(char text[NGI_ERROR_TEXT], double error, const ng_map *map)
{
    float low, high;
    ngi_min_max(map->signed_data, (int64_t)map->height * map->width, &low, &high);
    if (error < 0)
        snprintf(text, NGI_ERROR_TEXT, "standard error not known");
    else
        snprintf(text, NGI_ERROR_TEXT, "standard error of a value %.3g, %.2g of the map's range", error,
                 high > low ? error / ((double)high - low) : 0);
    return text;
}

void ngi_partial_note(ng_map *map, const char *what, int n, int total, double error)
{
    char text[NGI_ERROR_TEXT];
    snprintf(map->note, sizeof map->note, "%d of %d %s in the time given, drawn at random; %s", n, total,
             what, ngi_error_text(text, error, map));
}
