/* render --norm class|dataset: one scale for all the maps of a method at a layer, up to the largest value that any of the
 * sidecars named has: of the same class, or of all. Maps are then comparable by their colours. */
#include "explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool wants_scales(const settings *s)
{
    return s->norm && (strcmp(s->norm, "class") == 0 || strcmp(s->norm, "dataset") == 0);
}

/* The maps that share a scale with this one; to be freed. */
static char *key_of(const settings *s, const json_t *sidecar)
{
    const char *method = json_string_value(json_object_get(sidecar, "method")),
               *layer = json_string_value(json_object_get(sidecar, "layer"));
    json_int_t index =
        strcmp(s->norm, "class") == 0 ? json_integer_value(json_object_get(sidecar, "index")) : -1;
    char *key;
    int n = asprintf(&key, "%s\n%s\n%lld", method ? method : "", layer ? layer : "", (long long)index);
    return n < 0 ? NULL : key;
}

static double extent(const json_t *sidecar, const char *key)
{
    double value = fabs(json_number_value(json_object_get(sidecar, key)));
    return isfinite(value) ? value : 0;
}

json_t *read_scales(const settings *s)
{
    json_t *scales = json_object();
    for (int i = 0; scales && i < s->n_arguments; i++) {
        json_t *sidecar =
            json_load_file(s->arguments[i], 0, NULL); /* what cannot be read is said when it is drawn */
        char *key = sidecar ? key_of(s, sidecar) : NULL;
        if (key) {
            const json_t *so_far = json_object_get(scales, key);
            double raw = fmax(extent(sidecar, "max"), json_number_value(json_array_get(so_far, 0))),
                   both = fmax(fmax(extent(sidecar, "signed_min"), extent(sidecar, "signed_max")),
                               json_number_value(json_array_get(so_far, 1)));
            json_object_set_new(scales, key, json_pack("[f, f]", raw, both));
        }
        free(key);
        json_decref(sidecar);
    }
    return scales;
}

bool use_scale(const settings *s, const json_t *scales, const json_t *sidecar, ng_render_opts *opts)
{
    char *key = key_of(s, sidecar);
    const json_t *pair = key ? json_object_get(scales, key) : NULL;
    free(key);
    if (!pair)
        return false;
    float high = (float)json_number_value(json_array_get(pair, opts->use_signed ? 1 : 0));
    opts->norm = high > 0 ? NG_NORM_RANGE : NG_NORM_MAX;
    opts->norm_low = opts->use_signed ? -high : 0;
    opts->norm_high = high;
    return true;
}
