/* A map held against the map of what it shows (Poppi et al., "Revisiting the evaluation of class activation mapping for
 * explainability", 2021). */
#include "api/api.h"
#include "metrics/faithfulness.h"

/* The relu'd map at the input's size; flat: it is constant. */
typedef struct large {
    ng_map map;
    bool flat;
} large;

static void enlarge(const ng_map *map, int h, int w, float *room, large *out)
{
    float low, high;
    ngi_map_scale(map, h, w, room);
    ngi_min_max(room, (int64_t)h * w, &low, &high);
    *out = (large){{.height = h, .width = w, .data = room, .signed_data = room}, high <= low};
}

static ng_status map_again(const ng_session *s, const float *input, const ng_explain_opts *opts, ng_map *out,
                           ng_error *err)
{
    ng_session *other;
    NGI_TRY(ng_session_clone(s, &other, err));
    ng_status status = ng_session_run(other, input, 1, err);
    if (status == NG_OK)
        status = ng_explain(other, 0, opts, out, err);
    ng_session_free(other);
    return status;
}

/* room: [h,w] twice, then [h,w,c]. */
static ng_status compare(const ng_session *s, const ngi_attr_job *job, const ng_map *map,
                         const ng_explain_opts *opts, float *room, double *out, ng_error *err)
{
    ngi_shape shape = ngi_attr_input_shape(job->graph);
    int h = (int)shape.dim[0], w = (int)shape.dim[1];
    float *input = room + 2 * (int64_t)h * w;
    large first, second;
    ng_map again = {0};
    ng_similarity alike;
    enlarge(map, h, w, room, &first);
    ngi_mask_input(job, room, input);
    NGI_TRY(map_again(s, input, opts, &again, err));
    enlarge(&again, h, w, room + (int64_t)h * w, &second);
    ng_map_clear(&again);
    NGI_TRY(ng_map_similarity(&first.map, &second.map, &alike, err));
    *out = first.flat || second.flat ? 0 : (1 + alike.pearson) / 2;
    return NG_OK;
}

ng_status ng_map_coherency(const ng_session *s, int index, const ng_map *map, const ng_explain_opts *opts,
                           double *out, ng_error *err)
{
    *out = 0;
    ng_explain_opts request;
    ng_explain_opts_init(&request);
    if (opts)
        request = *opts;
    if (!map || !map->data || map->height < 1 || map->width < 1)
        return ngi_fail(err, NG_E_ARGUMENT, "coherency needs a map with cells");
    request.class_index = map->class_index;
    ng_explain_opts plain = request;
    plain.layer = map->layer;
    ngi_attr_job job;
    NGI_TRY(ngi_session_job(s, index, &plain, &job, err));
    ngi_shape shape = ngi_attr_input_shape(job.graph);
    size_t count = (size_t)(shape.dim[0] * shape.dim[1] * (shape.dim[2] + 2));
    float *room = ngi_alloc(count, sizeof *room);
    if (!room)
        return ngi_fail_memory(err, count * sizeof *room);
    ng_status status = compare(s, &job, map, &request, room, out, err);
    ngi_free(room);
    return status;
}
