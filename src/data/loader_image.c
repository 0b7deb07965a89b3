/* One image of a batch: read, fitted, its object laid on another background, augmented, preprocessed; and where its object
 * is then. */
#include "data/loader.h"

#include "base/random.h"
#include "data/region.h"

#include <string.h>

#define SWAP_STREAM 0x73776170 /* "swap" */

enum { DRAW_SWAP, DRAW_DONOR };

static bool wants_grid(const ngi_loader_options *o)
{
    return o->grid_h > 0 && o->grid_w > 0;
}

int64_t ngi_loader_work(const ngi_loader_options *o)
{
    int64_t pixels = (int64_t)o->height * o->width;
    return pixels * o->channels + (wants_grid(o) ? 2 * pixels : 0);
}

/* `region` becomes the object's at the network's input size, if it is wanted. */
static ng_status fit_image(const ngi_loader_options *o, const ng_image_opts *opts, int64_t item,
                           bool with_region, ng_image *out, ng_image *region, ng_error *err)
{
    ng_image whole, place = {0};
    NGI_TRY(ng_image_load(o->data->items[item].path, opts, &whole, err));
    ng_status status = ng_image_fit(&whole, o->width, o->height, o->fit, o->resample, 0, out, NULL, err);
    if (status == NG_OK && with_region)
        status = ngi_region_load(&o->data->items[item], whole.width, whole.height, &place, err);
    if (status == NG_OK && with_region)
        status =
            ng_image_fit(&place, o->width, o->height, o->fit, NG_RESAMPLE_PIL_BILINEAR, 0, region, NULL, err);
    ng_image_clear(&place);
    ng_image_clear(&whole);
    if (status != NG_OK)
        ng_image_clear(out);
    return status;
}

/* The image on whose background the item's object is laid in this epoch; -1: none. */
static int64_t donor_of(const ngi_loader_options *o, int64_t item, int64_t draw)
{
    uint64_t seed = ngi_random_bits(o->seed, SWAP_STREAM, (uint64_t)o->epoch), stream = (uint64_t)draw;
    if (o->n_donors < 1 || !(ngi_random_uniform(seed, stream, DRAW_SWAP) < o->background_swap))
        return -1;
    int64_t donor = (int64_t)(ngi_random_uniform(seed, stream, DRAW_DONOR) * (double)o->n_donors);
    if (o->donors[donor] == item)
        donor = (donor + 1) % o->n_donors;
    return o->donors[donor];
}

/* A donor that cannot be read, or that is all object, is passed over: the image stays as it is. */
static ng_status swap_background(const ngi_loader_options *o, const ng_image_opts *opts, int64_t donor,
                                 ng_image *image, const ng_image *region, ng_error *err)
{
    ng_image other = {0}, place = {0};
    ng_error why;
    ng_status status = fit_image(o, opts, donor, true, &other, &place, &why);
    if (status == NG_OK && ngi_region_remove(&other, &place))
        ngi_region_paste(image, region, &other);
    ng_image_clear(&other);
    ng_image_clear(&place);
    return status == NG_E_MEMORY ? ngi_fail(err, status, "%s", why.text) : NG_OK;
}

/* work [2,h,w] */
static void place_on_grid(const ngi_loader_options *o, const ngi_augment_draw *draw, const ng_image *region,
                          float *work, float *grid)
{
    int64_t pixels = (int64_t)o->height * o->width;
    float *plane = work, *moved = work + pixels;
    for (int64_t i = 0; i < pixels; i++)
        plane[i] = region->data[i] / 255.0f;
    if (draw && ngi_augment_warp(&draw->move, o->augment->fill, plane, moved, o->height, o->width, 1))
        plane = moved;
    ngi_region_pool(plane, o->height, o->width, grid, o->grid_h, o->grid_w);
}

/* Augmentation and preprocessing of the fitted image. work [h,w,c] */
static ng_status finish(const ngi_loader_options *o, const ngi_augment_draw *draw, const ng_image *image,
                        float *work, float *out, ng_error *err)
{
    int64_t count = (int64_t)o->height * o->width;
    if (!draw)
        return ngi_preprocess_apply(o->preprocess, image->data, count, o->channels, out, err);
    for (int64_t i = 0; i < count * o->channels; i++)
        out[i] = image->data[i];
    ngi_augment_apply(draw, o->augment->fill, out, work, o->height, o->width, o->channels);
    return ngi_preprocess_floats(o->preprocess, out, count, o->channels, err);
}

ng_status ngi_loader_image(const ngi_loader_options *o, const ng_image_opts *opts, int64_t item, int64_t draw,
                           float *work, float *out, float *grid, ng_error *err)
{
    bool known = ngi_region_known(&o->data->items[item]);
    int64_t donor = known ? donor_of(o, item, draw) : -1;
    ng_image image, region = {0};
    NGI_TRY(fit_image(o, opts, item, known && (grid || donor >= 0), &image, &region, err));
    ng_status status = donor >= 0 ? swap_background(o, opts, donor, &image, &region, err) : NG_OK;
    ngi_augment_draw change;
    if (o->augment)
        ngi_augment_draw_image(o->augment, o->seed, o->epoch, draw, o->height, o->width, &change);
    if (status == NG_OK)
        status = finish(o, o->augment ? &change : NULL, &image, work, out, err);
    if (grid && known && status == NG_OK)
        place_on_grid(o, o->augment ? &change : NULL, &region,
                      work + (int64_t)o->height * o->width * o->channels, grid);
    else if (grid)
        *grid = -1;
    ng_image_clear(&image);
    ng_image_clear(&region);
    return status;
}
