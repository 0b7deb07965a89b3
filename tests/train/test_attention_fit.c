/* The second stage with a loss on attention and other backgrounds: its gradient through the head and the network against
 * finite differences, the same bytes for any threads and after interruptions, and what it is for. */
#include "train/small_run.h"

#include "train/fit_own.h"

/* The object is in the upper left corner of every image but the last of each class. */
static void open_run(small_run *r, int threads, double attention)
{
    small_open(r, threads);
    small_compute(r);
    for (int64_t i = 0; i < r->data.n_items; i++)
        if (i % SMALL_EACH != SMALL_EACH - 1)
            memcpy(r->data.items[i].box, (double[4]){0, 0, 5, 5}, sizeof r->data.items[i].box);
    r->o.trained = r->trained;
    r->o.attention = attention;
    r->o.maps = r->graph->nodes[r->o.head.features].inputs[0];
    r->o.stages[0].epochs = 0;
}

/* A batch of training items of all classes, as the run would see it; held by the loader. */
static ngi_loader *first_batch(ngi_fit *f, ngi_loader_batch *b)
{
    ng_error err;
    ngi_loader *l;
    ngi_loader_options o = f->o.images;
    for (int i = 0; i < f->o.batch; i++)
        f->order[i] = f->train[i * f->n_train / f->o.batch];
    o.order = f->order;
    o.n_order = o.batch = f->o.batch;
    o.grid_h = (int)f->o.graph->nodes[f->o.maps].shape.dim[0];
    o.grid_w = (int)f->o.graph->nodes[f->o.maps].shape.dim[1];
    CHECK_OK(ngi_loader_create(&o, &l, &err), err);
    CHECK_OK(ngi_loader_next(l, b, &err), err);
    return l;
}

static double loss_of(ngi_fit *f, const ngi_loader_batch *b)
{
    ng_error err;
    double loss, right;
    f->regions = b->regions;
    CHECK_OK(ngi_trunk_update(f->trunk, &err), err);
    CHECK_OK(ngi_fit_batch(f, b->items, b->n, b->images, 0, 0, &loss, &right, &err), err);
    return loss;
}

/* The derivative along the weight's own gradient. */
static void check_weight(ngi_fit *f, const ngi_loader_batch *b, int i, const float *grad)
{
    ngi_trained *t = &f->params.items[i];
    float *kept = malloc((size_t)t->count * sizeof *kept);
    memcpy(kept, t->weight, (size_t)t->count * sizeof *kept);
    double norm = 0, sides[2];
    for (int64_t k = 0; k < t->count; k++)
        norm += (double)grad[k] * grad[k];
    norm = sqrt(norm);
    for (int side = 0; side < 2; side++) {
        for (int64_t k = 0; k < t->count; k++)
            t->weight[k] = kept[k] + (float)((side ? 1e-3 : -1e-3) * grad[k] / norm);
        sides[side] = loss_of(f, b);
    }
    memcpy(t->weight, kept, (size_t)t->count * sizeof *kept);
    CHECK_NEAR((sides[1] - sides[0]) / 2e-3, norm, 5e-4 + 1e-2 * norm);
    free(kept);
}

static void gradients(void **state)
{
    (void)state;
    small_run r;
    ng_error err;
    ngi_fit *f;
    ngi_loader_batch b;
    open_run(&r, 2, 0.8);
    r.o.head.dropout = 0;
    ngi_train_head_initialise(&r.o.head, 3); /* maps that are above 0 here and there */
    CHECK_OK(ngi_fit_create(&r.o, &f, &err), err);
    ngi_loader *l = first_batch(f, &b);
    double with = loss_of(f, &b), share = 0;
    for (int i = 0; i < b.n; i++)
        share += f->outside[i] / b.n;
    if (!(share > 0.1 && share < with))
        fail_msg("%g of a loss of %g is on attention", share, with);
    float *grads = malloc((size_t)f->params.total * sizeof *grads), *at = grads;
    memcpy(grads, f->params.grads, (size_t)f->params.total * sizeof *grads);
    for (int i = 0; i < f->params.n; i++) {
        check_weight(f, &b, i, at);
        at += f->params.items[i].count;
    }
    free(grads);
    ngi_loader_free(l);
    ngi_fit_free(f);
    small_close(&r);
}

static int steps_left;

static int count_down(void *user, const ngi_fit_state *s, int64_t places)
{
    (void)user, (void)s, (void)places;
    return --steps_left == 0;
}

/* All of the graph's weights after a run that is stopped every `piece` updates. */
static float *run_in_pieces(int threads, int piece, size_t *bytes)
{
    small_run r;
    ng_error err;
    ngi_augment augment;
    CHECK_OK(ngi_augment_parse("flip=horizontal,rotation=0.1", &augment, &err), err);
    open_run(&r, threads, 0.5);
    r.o.augment = &augment;
    r.o.background_swap = 0.5;
    r.o.checkpoint = r.checkpoint;
    r.o.on_step = count_down;
    ng_status status = NG_E_CANCELLED;
    for (bool resume = false; status == NG_E_CANCELLED; resume = true) {
        ngi_fit *f;
        steps_left = piece;
        r.o.resume = resume;
        CHECK_OK(ngi_fit_create(&r.o, &f, &err), err);
        status = ngi_fit_run(f, &err);
        ngi_fit_free(f);
    }
    assert_int_equal(status, NG_OK);
    int64_t total = 0;
    for (int i = 0; i < r.graph->n_weights; i++)
        total += ngi_shape_count(&r.graph->weights[i].shape);
    float *all = malloc((size_t)total * sizeof *all), *to = all;
    for (int i = 0; i < r.graph->n_weights; i++) {
        memcpy(to, r.graph->weights[i].data,
               (size_t)ngi_shape_count(&r.graph->weights[i].shape) * sizeof *to);
        to += ngi_shape_count(&r.graph->weights[i].shape);
    }
    *bytes = (size_t)total * sizeof *all;
    small_close(&r);
    return all;
}

static void threads_and_interruptions(void **state)
{
    (void)state;
    size_t bytes;
    float *whole = run_in_pieces(1, 1 << 30, &bytes);
    for (int i = 0; i < 3; i++) {
        float *other = run_in_pieces(1 + i, i == 0 ? 1 : 3, &bytes);
        assert_memory_equal(whole, other, bytes);
        free(other);
    }
    free(whole);
}

/* Mean share of energy beside the object after training. */
static double share_after(double attention)
{
    small_run r;
    ng_error err;
    ngi_fit *f;
    ngi_loader_batch b;
    double share = 0;
    int known = 0;
    open_run(&r, 2, attention);
    r.o.stages[1].epochs = 40;
    r.o.stages[1].schedule.rate = 1e-2;
    r.o.keep_last = true;
    CHECK_OK(ngi_fit_create(&r.o, &f, &err), err);
    CHECK_OK(ngi_fit_run(f, &err), err);
    ngi_loader *l = first_batch(f, &b);
    f->o.attention = 1;
    (void)loss_of(f, &b);
    for (int i = 0; i < b.n; i++) {
        share += f->outside[i];
        known += b.regions[i * f->cells] >= 0;
    }
    ngi_loader_free(l);
    ngi_fit_free(f);
    small_close(&r);
    return share / known;
}

static void attention_moves(void **state)
{
    (void)state;
    double without = share_after(1e-9), with = share_after(5);
    if (!(with < 0.95 * without))
        fail_msg("energy beside the object: %g without the loss on it, %g with it", without, with);
}

static void other_heads_are_refused(void **state)
{
    (void)state;
    small_run r;
    ng_error err;
    ngi_fit *f;
    open_run(&r, 1, 1);
    r.o.maps--;
    CHECK_FAILS(ngi_fit_create(&r.o, &f, &err), NG_E_UNSUPPORTED, err, "global average pooling");
    small_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(threads_and_interruptions),
        cmocka_unit_test(attention_moves),
        cmocka_unit_test(other_heads_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
