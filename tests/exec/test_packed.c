/* Plans made from packed weights in the cache: the same bytes come out, the kernels themselves are not read any more, and
 * whatever is wrong with a pack leads to a new one. */
#include "exec/net.h"

#include <fcntl.h>

#include "base/cache.h"
#include "exec/plan.h"

enum { N = 2 };

/* Whether each convolution of the net below has a kernel that packs its weights: elsewhere plain loops take some, in place. */
#ifdef __x86_64__
enum { ALL_PACKED = 1 };
#else
enum { ALL_PACKED = 0 };
#endif

static ng_error err;

/* Every kind of kernel: Winograd in 2-D and 1-D, oneDNN's packed and strided ones, grouped, depthwise, dense. */
static ngi_graph *make_net(int *input, int *logits)
{
    net_random_state = 5;
    ngi_graph *g = net_new();
    *input = net_image(g, 17, 15, 3);
    int x = net_conv(g, *input, net_window(3, 3, 1, 1, true), 64, true);
    x = net_activation(g, NGI_ACT_RELU, net_batchnorm(g, x, true, true));
    x = net_conv(g, x, net_window(3, 3, 1, 1, true), 64, false); /* F(4x4,3x3) */
    x = net_activation(g, NGI_ACT_RELU, net_batchnorm(g, x, true, true));
    x = net_conv(g, x, net_window(1, 7, 1, 1, true), 80, false); /* F(4,7) */
    x = net_batchnorm(g, x, false, true);
    x = net_conv(g, x, net_window(3, 3, 2, 1, true), 96, false);
    x = net_activation(g, NGI_ACT_RELU, net_batchnorm(g, x, true, true));
    ngi_attr grouped = net_window(3, 3, 1, 1, true);
    grouped.groups = 4;
    x = net_activation(g, NGI_ACT_SILU, net_conv(g, x, grouped, 64, true));
    x = net_batchnorm(g, net_depthwise(g, x, net_window(3, 3, 1, 1, true), 2, false), true, true);
    x = net_conv(g, x, net_window(1, 1, 1, 1, true), 256, false);
    x = net_activation(g, NGI_ACT_RELU, net_batchnorm(g, x, true, true));
    x = net_op(g, NGI_OP_GLOBAL_AVG, NULL, x);
    *logits = net_dense(g, x, 10, true);
    net_output(g, *logits);
    return g;
}

typedef struct result {
    float *logits, *grad;
    char *kernels;
    bool from_pack;
} result;

static result run(const ngi_graph *g, int input, int logits, const char *backend, int threads,
                  const char *folder)
{
    ngi_plan_opts o = {.batch = N,
                       .threads = threads,
                       .backend = backend,
                       .root = logits,
                       .grads = &input,
                       .n_grads = 1,
                       .cache = folder,
                       .identity = "a net"};
    ngi_plan *p;
    ngi_run_session *s;
    CHECK_OK(ngi_plan_create(g, &o, &p, &err), err);
    CHECK_OK(ngi_run_session_create(p, &s, &err), err);
    net_random_state = 77;
    int64_t pixels = N * net_count(g, input), scores = N * net_count(g, logits);
    float *x = net_floats(pixels), *seed = net_floats(scores);
    const float *inputs[] = {x};
    CHECK_OK(ngi_run_forward(s, inputs, N, &err), err);
    result r = {.logits = malloc((size_t)scores * sizeof(float)),
                .grad = malloc((size_t)pixels * sizeof(float)),
                .kernels = strdup(ngi_plan_kernels(p)),
                .from_pack = p->pack != NULL};
    memcpy(r.logits, ngi_run_activation(s, logits), (size_t)scores * sizeof(float));
    CHECK_OK(ngi_run_backward(s, seed, N, input, &err), err);
    memcpy(r.grad, ngi_run_gradient(s, input), (size_t)pixels * sizeof(float));
    ngi_run_session_free(s);
    ngi_plan_free(p);
    free(x);
    free(seed);
    return r;
}

static void drop(result *r)
{
    free(r->logits);
    free(r->grad);
    free(r->kernels);
}

static void check_same(const ngi_graph *g, int input, int logits, const result *a, const result *b)
{
    assert_string_equal(a->kernels, b->kernels);
    assert_memory_equal(a->logits, b->logits, (size_t)(N * net_count(g, logits)) * sizeof(float));
    assert_memory_equal(a->grad, b->grad, (size_t)(N * net_count(g, input)) * sizeof(float));
}

/* Whoever reads a convolution's kernel after this gets no number. Dense kernels are used in place. */
static void spoil_kernels(ngi_graph *g)
{
    for (int i = 0; i < g->n_weights; i++)
        if (g->weights[i].shape.rank == 4)
            for (int64_t k = 0; k < ngi_shape_count(&g->weights[i].shape); k++)
                g->weights[i].data[k] = NAN;
}

static int files_in(const char *folder)
{
    ngi_cache_file *files;
    int n;
    CHECK_OK(ngi_cache_list(folder, &files, &n, &err), err);
    ngi_cache_list_free(files, n);
    return n;
}

static void the_same_comes_out(void **state)
{
    (void)state;
    static const char *const backends[] = {"auto", "onednn"};
    for (int b = 0; b < 2; b++)
        for (int threads = 1; threads <= 2; threads++) {
            int input, logits;
            char *folder = make_folder();
            ngi_graph *g = make_net(&input, &logits);
            result plain = run(g, input, logits, backends[b], threads, NULL);
            result first = run(g, input, logits, backends[b], threads, folder);
            assert_false(first.from_pack);
            assert_int_equal(files_in(folder), 1);
            check_same(g, input, logits, &plain, &first);
            if (b == 0 && ALL_PACKED)
                spoil_kernels(g);
            result second = run(g, input, logits, backends[b], threads, folder);
            assert_true(second.from_pack);
            check_same(g, input, logits, &plain, &second);
            assert_int_equal(files_in(folder), 1);
            drop(&plain);
            drop(&first);
            drop(&second);
            ngi_graph_free(g);
            remove_folder(folder);
        }
}

/* Another kind of plan has a pack of its own. */
static void kinds_are_told_apart(void **state)
{
    (void)state;
    int input, logits;
    char *folder = make_folder();
    ngi_graph *g = make_net(&input, &logits);
    result a = run(g, input, logits, "auto", 1, folder), b = run(g, input, logits, "onednn", 1, folder),
           c = run(g, input, logits, "auto", 2, folder);
    assert_int_equal(files_in(folder), 3);
    assert_false(b.from_pack);
    assert_false(c.from_pack);
    /* taps forbid fusing */
    int tap = g->outputs[0] - 1;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == NGI_OP_CONV2D)
            tap = i;
    ngi_plan_opts o = {.batch = 1,
                       .threads = 1,
                       .root = logits,
                       .taps = &tap,
                       .n_taps = 1,
                       .cache = folder,
                       .identity = "a net"};
    ngi_plan *p;
    CHECK_OK(ngi_plan_create(g, &o, &p, &err), err);
    assert_null(p->pack);
    ngi_plan_free(p);
    o.identity = "another net";
    CHECK_OK(ngi_plan_create(g, &o, &p, &err), err);
    assert_null(p->pack);
    ngi_plan_free(p);
    assert_int_equal(files_in(folder), 5);
    drop(&a);
    drop(&b);
    drop(&c);
    ngi_graph_free(g);
    remove_folder(folder);
}

static void flip(const char *folder, double where)
{
    ngi_cache_file *files;
    int n;
    CHECK_OK(ngi_cache_list(folder, &files, &n, &err), err);
    assert_int_equal(n, 1);
    char *path = ngi_path_join(folder, files[0].name), byte;
    int fd = open(path, O_RDWR);
    off_t at = (off_t)((double)files[0].bytes * where);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    ngi_free(path);
    ngi_cache_list_free(files, n);
}

static void damaged_packs_are_made_again(void **state)
{
    (void)state;
    int input, logits;
    char *folder = make_folder();
    ngi_graph *g = make_net(&input, &logits);
    result plain = run(g, input, logits, "auto", 1, folder);
    for (int k = 0; k < 8; k++) {
        flip(folder, 0.001 + 0.12 * k);
        result again = run(g, input, logits, "auto", 1, folder),
               after = run(g, input, logits, "auto", 1, folder);
        assert_false(again.from_pack);
        assert_true(after.from_pack);
        check_same(g, input, logits, &plain, &again);
        check_same(g, input, logits, &plain, &after);
        drop(&again);
        drop(&after);
    }
    drop(&plain);
    ngi_graph_free(g);
    remove_folder(folder);
}

/* Without a folder that can be written everything goes on as without a cache. */
static void an_unusable_folder_is_no_error(void **state)
{
    (void)state;
    int input, logits;
    ngi_graph *g = make_net(&input, &logits);
    result a = run(g, input, logits, "auto", 1, NULL), b = run(g, input, logits, "auto", 1, "/proc/nowhere");
    check_same(g, input, logits, &a, &b);
    drop(&a);
    drop(&b);
    ngi_graph_free(g);
}

/* Each allocation of a plan from a pack in turn: it fails cleanly, or it does without the pack. */
static void failing_allocations(void **state)
{
    (void)state;
    int input, logits;
    char *folder = make_folder();
    ngi_graph *g = make_net(&input, &logits);
    result plain = run(g, input, logits, "auto", 1, folder);
    drop(&plain);
    ngi_plan_opts o = {.batch = N,
                       .threads = 1,
                       .root = logits,
                       .grads = &input,
                       .n_grads = 1,
                       .cache = folder,
                       .identity = "a net"};
    for (long k = 1;; k++) {
        ngi_plan *p = NULL;
        err = (ng_error){0};
        ngi_alloc_fail_at(k);
        ng_status status = ngi_plan_create(g, &o, &p, &err);
        bool reached = ngi_alloc_count() >= k;
        ngi_alloc_fail_at(0);
        ngi_plan_free(p);
        if (!reached)
            break;
        if (status != NG_OK && status != NG_E_MEMORY)
            fail_msg("allocation %ld: %s: %s", k, ng_status_name(status), err.text);
    }
    ngi_graph_free(g);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_comes_out),           cmocka_unit_test(kinds_are_told_apart),
        cmocka_unit_test(damaged_packs_are_made_again), cmocka_unit_test(an_unusable_folder_is_no_error),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
