/* Where an item's object is: its mask, or else its box; and what is behind it. Grey images of 0 (beside the object) to
 * 255 (on it). */
#ifndef NGI_DATA_REGION_H
#define NGI_DATA_REGION_H

#include "data/data.h"

/* Whether the item has a mask or a box. */
bool ngi_region_known(const ngi_data_item *item);
/* The object's region in an image of width x height: the mask, brought to that size and scaled so that its largest value is
 * 255 (files of 0 and 1 are as good as files of 0 and 255), or the box, filled. Of an item whose region is known. */
NG_NODISCARD ng_status ngi_region_load(const ngi_data_item *item, int width, int height, ng_image *out,
                                       ng_error *err);

/* Mean of plane [h,w] over each cell of a gh x gw grid, cells being equal parts of the plane. */
void ngi_region_pool(const float *plane, int h, int w, float *grid, int gh, int gw);

/* Paints over the object: the box around it is tiled with the largest of the four rectangles beside it (Xiao, Engstrom,
 * Ilyas, Madry 2020, "Noise or Signal: The Role of Image Backgrounds in Object Recognition", Only-BG-T). False, and nothing
 * is done, where there is no such rectangle of at least an eighth of the side. */
bool ngi_region_remove(ng_image *image, const ng_image *region);
/* The object of `image` on the pixels of `background`, in place; all of one size. */
void ngi_region_paste(ng_image *image, const ng_image *region, const ng_image *background);

#endif
