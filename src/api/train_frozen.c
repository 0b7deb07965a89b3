/* The second stage without augmentation sees the same images each epoch: what the frozen part of the network says of them is
 * computed once and kept in a mapped file until the run is done. */
#include "api/train.h"

#include <stdio.h>
#include <string.h>

#define MOST_BYTES ((int64_t)8 << 30) /* of the file */

static bool images_never_change(const ngi_training *t)
{
    bool augmented = strcmp(t->o.augment, "none") != 0 && *t->o.augment;
    return !augmented && t->o.attention == 0 && t->o.background_swap == 0;
}

ng_status ngi_training_freeze(ngi_training *t, ng_error *err)
{
    const ngi_graph *g = t->model->graph;
    char text[64], key[NGI_HASH_TEXT];
    const ngi_loader_options images = ngi_training_images(t);
    if (!t->trained || !images_never_change(t))
        return NG_OK;
    t->frozen_node = ngi_trunk_frozen(g, t->trained, t->head.features);
    if (t->frozen_node < 0 || g->nodes[t->frozen_node].n_inputs == 0) /* the images themselves */
        return NG_OK;
    int64_t width = ngi_shape_count(&g->nodes[t->frozen_node].shape);
    if (width > NGI_FEATURES_WIDTH || width * t->data.n_items > MOST_BYTES / (int64_t)sizeof(float))
        return NG_OK;
    snprintf(text, sizeof text, "frozen up to %d of %d", t->frozen_node, t->o.base_layer);
    NGI_TRY(ngi_features_key(&images, t->base->file.hash, text, key, err));
    ng_error why;
    ng_status status = ngi_features_open(t->frozen_path, key, t->data.n_items, width, &t->frozen, &why);
    if (status == NG_E_MEMORY)
        return ngi_fail(err, status, "%s", why.text);
    if (status == NG_OK)
        return ngi_training_compute(t, t->frozen_node, &t->frozen, err);
    ngi_training_tell(t, NG_TRAIN_NOTE, "the frozen layers are computed anew each epoch: %s", why.text);
    return NG_OK;
}
