/* What is trained on what: the data set, the new model, the stages. */
#include "api/train.h"

#include "data/duplicates.h"
#include "train/order.h"

#include <stdio.h>
#include <string.h>

/* ---- Data -------------------------------------------------------------------------------------- */

static void judge_classes(ngi_training *t)
{
    const ngi_dataset *d = &t->data;
    for (int c = 0; c < d->n_classes; c++) {
        int64_t n[NGI_SPLIT_COUNT], sum = 0;
        for (int s = 0; s < NGI_SPLIT_COUNT; s++)
            sum += n[s] = ngi_dataset_count(d, c, (ngi_split)s);
        if (d->multi_label) /* counts are by the first label */
            continue;
        if (sum == 1)
            ngi_training_tell(t, NG_TRAIN_WARNING,
                              "class '%s' has a single image: it is trained on, and never validated",
                              d->classes[c]);
        else if (n[NGI_SPLIT_TRAIN] == 0)
            ngi_training_tell(t, NG_TRAIN_WARNING, "class '%s' has no image to train on", d->classes[c]);
        else if (n[NGI_SPLIT_VAL] == 0 && t->o.val > 0)
            ngi_training_tell(t, NG_TRAIN_WARNING, "class '%s' has no image to validate on", d->classes[c]);
    }
}

static int show_duplicates(void *user, int64_t done, int64_t total)
{
    return ngi_training_show(user, NG_TRAIN_DUPLICATES, done, total);
}

static ng_status find_duplicates(ngi_training *t, ng_error *err)
{
    ngi_duplicates found = {0};
    const ngi_dataset *d = &t->data;
    t->out->duplicates_across = -1;
    if (!t->o.duplicates)
        return NG_OK;
    NGI_TRY(ngi_duplicates_find(d, t->o.threads, show_duplicates, t, &found, err));
    t->out->duplicates_across = 0;
    const ngi_duplicate *example = NULL;
    for (int64_t i = 0; i < found.n; i++)
        if (d->items[found.pairs[i].first].split != d->items[found.pairs[i].second].split) {
            t->out->duplicates_across++;
            example = example ? example : &found.pairs[i];
        }
    if (example)
        ngi_training_tell(t, NG_TRAIN_WARNING,
                          "%lld pairs of near-duplicates lie in two splits, such as %s (%s) and %s (%s): "
                          "validation figures "
                          "are too good. `netgaze duplicates` lists them; groups keep them together",
                          (long long)t->out->duplicates_across, d->items[example->first].path,
                          ngi_split_name(d->items[example->first].split), d->items[example->second].path,
                          ngi_split_name(d->items[example->second].split));
    ngi_duplicates_clear(&found);
    return NG_OK;
}

ng_status ngi_training_open_data(ngi_training *t, const char *data, ng_error *err)
{
    ngi_dataset *d = &t->data;
    ngi_data_options options = {.group_pattern = t->o.group};
    NGI_TRY(ngi_dataset_open(data, &options, d, err));
    if (d->n_classes < 2)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: one class, '%s': a classifier needs two at least", data,
                        d->classes[0]);
    if (!d->given_splits)
        NGI_TRY(ngi_dataset_split(d, t->o.val, t->o.test, t->o.seed, err));
    if (!t->o.loss)
        t->o.loss = d->multi_label ? "sigmoid" : "softmax";
    NGI_TRY(ngi_loss_find(t->o.loss, &t->loss.kind, err));
    if (d->multi_label && t->loss.kind != NGI_LOSS_SIGMOID)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "%s: images have several labels, which the loss '%s' does not take; use sigmoid",
                        data, t->o.loss);
    t->loss.label_smoothing = t->o.label_smoothing;
    t->loss.gamma = 2;
    t->loss.alpha = 0.25;
    judge_classes(t);
    return find_duplicates(t, err);
}

/* ---- The new model ----------------------------------------------------------------------------- */

static ng_status copy_labels(const ngi_dataset *d, ngi_model_file *f, ng_error *err)
{
    f->labels = ngi_alloc_zero((size_t)d->n_classes, sizeof *f->labels);
    if (!f->labels)
        return ngi_fail_memory(err, (size_t)d->n_classes * sizeof *f->labels);
    f->n_labels = d->n_classes;
    for (int i = 0; i < d->n_classes; i++)
        if (!(f->labels[i] = ngi_strdup(d->classes[i])))
            return ngi_fail_memory(err, strlen(d->classes[i]));
    return NG_OK;
}

static ng_status compose(ngi_training *t, ng_error *err)
{
    ngi_model_file file = {0};
    ngi_new_head head = {.pooling = t->o.pooling,
                         .hidden = t->o.hidden,
                         .n_hidden = t->o.hidden_count,
                         .dropout = t->o.dropout,
                         .classes = t->data.n_classes,
                         .activation = t->loss.kind == NGI_LOSS_SIGMOID ? "sigmoid" : "softmax"};
    size_t n = (size_t)t->base->graph->n_weights;
    if (!(t->weight_of = ngi_alloc(n ? n : 1, sizeof *t->weight_of)))
        return ngi_fail_memory(err, n * sizeof *t->weight_of);
    NGI_TRY(ngi_model_compose(&t->base->file, t->o.base_layer, &head, t->weight_of, &file, err));
    ngi_labels_free(file.labels, file.n_labels);
    ngi_free(file.preprocess);
    file.labels = NULL;
    file.n_labels = 0;
    file.preprocess = ngi_strdup(ngi_preprocess_name(t->base->preprocess));
    ng_status status = file.preprocess ? copy_labels(&t->data, &file, err) : ngi_fail_memory(err, 16);
    if (status != NG_OK) {
        ngi_model_file_clear(&file);
        return status;
    }
    return ngi_model_of_file(&file, t->path, NULL, &t->model, err);
}

static bool is_trainable(ngi_op op, bool norms)
{
    return op == NGI_OP_CONV2D || op == NGI_OP_DEPTHWISE || op == NGI_OP_DENSE ||
           (norms && op == NGI_OP_BATCHNORM);
}

/* Whether a node is of the layer, or of one of its layers where it is a model. */
static bool is_inside(const ngi_graph *g, const ngi_node *n, int layer)
{
    const char *name = g->layers[layer].name, *path = n->layer >= 0 ? g->layers[n->layer].name : "";
    size_t length = strlen(name);
    return n->layer == layer || (strncmp(path, name, length) == 0 && path[length] == '/');
}

/* The weights of the unfrozen layer and of everything behind it, up to the head: looked for in the base, whose layers may
 * have other names in the new model, and which knows models inside models. */
static ng_status mark_trained(ngi_training *t, ng_error *err)
{
    const ngi_graph *base = t->base->graph, *g = t->model->graph;
    int from = base->layers[t->o.unfreeze_layer].node, to = base->layers[t->o.base_layer].node, marked = 0;
    t->trained = ngi_alloc_zero((size_t)g->n_weights, sizeof *t->trained);
    if (!t->trained)
        return ngi_fail_memory(err, (size_t)g->n_weights);
    for (int i = 0; i <= to; i++) {
        const ngi_node *n = &base->nodes[i];
        bool behind =
            is_inside(base, n, t->o.unfreeze_layer) || (from >= 0 && ngi_graph_reaches(base, from, i));
        if (!behind || !is_trainable(n->op, t->o.train_norms) || !ngi_graph_reaches(base, i, to))
            continue;
        for (int k = 0; k < 2; k++) {
            int weight = n->weights[k] >= 0 ? t->weight_of[n->weights[k]] : -1;
            if (weight >= 0 && !g->weights[weight].constant) {
                marked += !t->trained[weight];
                t->trained[weight] = true;
            }
        }
    }
    return marked
               ? NG_OK
               : ngi_fail(err, NG_E_ARGUMENT,
                          "from the layer '%s' up to '%s', where the base is cut, there are no weights that "
                          "can be trained",
                          base->layers[t->o.unfreeze_layer].name, base->layers[t->o.base_layer].name);
}

/* A second stage that trains the head only. */
static ng_status mark_none(ngi_training *t, ng_error *err)
{
    size_t n = (size_t)t->model->graph->n_weights;
    t->trained = ngi_alloc_zero(n, sizeof *t->trained);
    return t->trained ? NG_OK : ngi_fail_memory(err, n);
}

/* Whether the data and the other options go with a loss on attention and with other backgrounds. */
static ng_status check_attention(const ngi_training *t, ng_error *err)
{
    const ng_train_opts *o = &t->o;
    if (o->attention == 0 && o->background_swap == 0)
        return NG_OK;
    const char *what = o->attention > 0 ? "a loss on attention" : "swapping backgrounds";
    if (!t->data.has_masks && !t->data.has_boxes)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "%s needs to know where the objects are: a CSV with a column mask or box", what);
    if (o->fine_epochs == 0)
        return ngi_fail(err, NG_E_ARGUMENT, "%s works in the second stage, which has no epochs", what);
    if (o->attention > 0 && t->data.multi_label)
        return ngi_fail(err, NG_E_ARGUMENT, "a loss on attention is for images of one label each");
    if (o->attention > 0 && strcmp(o->pooling, "avg") != 0)
        return ngi_fail(err, NG_E_ARGUMENT, "a loss on attention needs the pooling avg, not %s", o->pooling);
    if (o->attention > 0 && (t->augment.mixup.on || t->augment.cutmix.on))
        return ngi_fail(
            err, NG_E_ARGUMENT,
            "a loss on attention does not go with mixup and cutmix: a mixed image has two objects");
    return NG_OK;
}

ng_status ngi_training_make_model(ngi_training *t, ng_error *err)
{
    const ngi_graph *g = t->base->graph;
    if (t->o.base_layer < 0)
        t->o.base_layer = t->base->automatic_layer;
    if (t->o.base_layer < 0 || t->o.base_layer >= g->n_layers)
        return ngi_fail(err, NG_E_ARGUMENT,
                        "the base has no spatial layer before its head; name the layer to cut at");
    if (t->o.unfreeze_layer >= g->n_layers)
        return ngi_fail(err, NG_E_ARGUMENT, "layer %d: the base has layers 0 to %d", t->o.unfreeze_layer,
                        g->n_layers - 1);
    NGI_TRY(compose(t, err));
    NGI_TRY(ngi_train_head_find(t->model->graph, t->o.hidden_count + 1, t->o.dropout, &t->head, err));
    ngi_train_head_initialise(&t->head, t->o.seed);
    if (!t->o.augment)
        t->o.augment = "none";
    NGI_TRY(ngi_augment_parse(t->o.augment, &t->augment, err));
    NGI_TRY(check_attention(t, err));
    if (t->o.unfreeze_layer >= 0 && t->o.fine_epochs > 0)
        return mark_trained(t, err);
    if ((t->o.attention > 0 || t->o.background_swap > 0) && t->o.fine_epochs > 0)
        return mark_none(t, err);
    if (strcmp(t->o.augment, "none") != 0 && *t->o.augment)
        return ngi_fail(
            err, NG_E_ARGUMENT,
            "augmentation is for the second stage: the head learns from features that are computed once. "
            "Unfreeze a layer too, or leave it out");
    return NG_OK;
}

/* ---- Stages ------------------------------------------------------------------------------------ */

ng_status ngi_training_stage(const ngi_training *t, bool top, ngi_stage_opts *out, ng_error *err)
{
    const ng_train_opts *o = &t->o;
    ngi_optimizer_kind kind;
    ngi_schedule_kind schedule;
    NGI_TRY(ngi_optimizer_find(o->optimizer, &kind, err));
    NGI_TRY(ngi_schedule_find(o->schedule, &schedule, err));
    *out = (ngi_stage_opts){.epochs = top ? o->fine_epochs : o->epochs};
    ngi_optimizer_init(&out->optimizer, kind);
    if (kind == NGI_OPTIMIZER_SGD)
        out->optimizer.momentum = o->momentum;
    out->optimizer.epsilon = o->epsilon;
    if (o->weight_decay >= 0)
        out->optimizer.weight_decay = o->weight_decay;
    out->optimizer.clip_norm = o->clip;
    out->optimizer.ema = o->ema;
    ngi_schedule_init(&out->schedule, schedule, top ? o->fine_rate : o->rate);
    out->schedule.warmup_steps = o->warmup;
    if (o->patience > 0) /* a plateau is one before it ends the stage */
        out->schedule.patience = o->patience > 1 ? o->patience / 2 : 1;
    return NG_OK;
}

ngi_loader_options ngi_training_images(const ngi_training *t)
{
    const ngi_shape *in = &t->model->graph->nodes[t->model->graph->inputs[0]].shape;
    return (ngi_loader_options){.data = &t->data,
                                .height = (int)in->dim[0],
                                .width = (int)in->dim[1],
                                .channels = (int)in->dim[2],
                                .fit = t->o.fit,
                                .resample = t->o.resample,
                                .preprocess = t->model->preprocess,
                                .image = &t->image,
                                .threads = t->o.threads};
}

/* Everything that the result's bytes depend on. */
static void options_text(const ngi_training *t, char *text, size_t size)
{
    const ng_train_opts *o = &t->o;
    int n = snprintf(
        text, size,
        "%d %s %.17g %s %.17g %d %d %d %d %d %s %.17g %.17g %.17g %.17g %.17g %.17g %.17g %s %d %d %d "
        "%d %d %s %.17g %.17g %llu "
        "%d %lld %s",
        o->base_layer, o->pooling, o->dropout, o->loss, o->label_smoothing, o->epochs, o->fine_epochs,
        o->unfreeze_layer, o->train_norms, o->batch, o->optimizer, o->rate, o->fine_rate, o->momentum,
        o->epsilon, o->weight_decay, o->clip, o->ema, o->schedule, o->warmup, o->balanced_weights,
        o->balanced_sampler, o->patience, o->keep_last, o->augment, o->attention, o->background_swap,
        (unsigned long long)o->seed, o->micro_batch, (long long)o->memory, o->backend ? o->backend : "auto");
    for (int i = 0; i < o->hidden_count && n > 0 && (size_t)n < size; i++)
        n += snprintf(text + n, size - (size_t)n, " %d", o->hidden[i]);
}

ng_status ngi_training_find_key(ngi_training *t, ng_error *err)
{
    char text[2048], features[NGI_HASH_TEXT];
    const ngi_loader_options images = ngi_training_images(t);
    const char *cut = t->base->graph->layers[t->o.base_layer].name;
    snprintf(text, sizeof text, "%s %s", cut, t->o.pooling);
    NGI_TRY(ngi_features_key(&images, t->base->file.hash, text, features, err));
    ngi_hash h;
    NGI_TRY(ngi_hash_init(&h, err));
    ngi_hash_add(&h, features, sizeof features);
    options_text(t, text, sizeof text);
    ngi_hash_add(&h, text, strlen(text));
    for (int64_t i = 0; i < t->data.n_items; i++) {
        const ngi_data_item *item = &t->data.items[i];
        ngi_hash_add(&h, &item->split, sizeof item->split);
        ngi_hash_add(&h, &item->class_index, sizeof item->class_index);
        if (item->n_labels)
            ngi_hash_add(&h, item->labels, (size_t)item->n_labels * sizeof *item->labels);
        if (item->mask)
            ngi_hash_add(&h, item->mask, strlen(item->mask) + 1);
        ngi_hash_add(&h, item->box, sizeof item->box);
    }
    for (int i = 0; i < t->data.n_classes; i++)
        ngi_hash_add(&h, t->data.classes[i], strlen(t->data.classes[i]) + 1);
    ngi_hash_finish(&h, t->key);
    return ngi_features_open(t->features_path, features, t->data.n_items, t->head.dense[0].in, &t->features,
                             err);
}
