/* Maps that look at no weights: what a method's map must be more than. */
#include "explain.h"

#include <math.h>
#include <stdlib.h>

ng_status make_edges(const ng_model_info *info, const float *x, ng_map *out, ng_error *err)
{
    int height = info->input_height, width = info->input_width, c = info->input_channels;
    *out = (ng_map){.height = height, .width = width};
    out->data = calloc((size_t)height * (size_t)width, sizeof *out->data);
    for (int y = 1; out->data && y < height - 1; y++)
        for (int k = 1; k < width - 1; k++)
            for (int i = 0; i < c; i++) {
                const float *p = x + (y * width + k) * c + i;
                int row = width * c;
                double gx = p[c - row] + 2.0 * p[c] + p[c + row] - p[-c - row] - 2.0 * p[-c] - p[-c + row];
                double gy =
                    p[row - c] + 2.0 * p[row] + p[row + c] - p[-row - c] - 2.0 * p[-row] - p[-row + c];
                out->data[y * width + k] += (float)sqrt(gx * gx + gy * gy);
            }
    return out->data ? NG_OK : fail_memory(err);
}

ng_status make_centre(const ng_model_info *info, ng_map *out, ng_error *err)
{
    int height = info->input_height, width = info->input_width;
    *out = (ng_map){.height = height, .width = width};
    out->data = calloc((size_t)height * (size_t)width, sizeof *out->data);
    for (int y = 0; out->data && y < height; y++)
        for (int x = 0; x < width; x++) {
            double dy = (y + 0.5) / height - 0.5, dx = (x + 0.5) / width - 0.5;
            out->data[y * width + x] = (float)exp(-8 * (dx * dx + dy * dy)); /* deviation: a quarter */
        }
    return out->data ? NG_OK : fail_memory(err);
}
