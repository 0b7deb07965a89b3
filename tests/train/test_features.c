/* Features in a mapped file: equal for any number of threads, resumed after an interruption, damage noticed. */
#include "train/small_run.h"

#include <signal.h>
#include <sys/resource.h>

static char *path_in(const small_run *r)
{
    static char path[4300];
    snprintf(path, sizeof path, "%s/features", r->folder);
    return path;
}

static int stop_at;

static int stop(void *user, int64_t done, int64_t total)
{
    (void)user;
    assert_true(done <= total);
    return done >= stop_at;
}

static void threads(void **state)
{
    (void)state;
    float *first = NULL;
    for (int n = 1; n <= 3; n++) {
        small_run r;
        small_open(&r, n);
        small_compute(&r);
        size_t bytes = (size_t)(r.features.n * r.features.width) * sizeof(float);
        assert_int_equal(r.features.width, 16);
        if (n == 1) {
            first = malloc(bytes);
            memcpy(first, r.features.rows, bytes);
        }
        assert_memory_equal(first, r.features.rows, bytes);
        small_close(&r);
    }
    free(first);
}

static void goes_on(void **state)
{
    (void)state;
    static const char key[NGI_HASH_TEXT] = "0123456789abcdef0123456789abcdef", other[NGI_HASH_TEXT] = "f";
    small_run r;
    ng_error err;
    ngi_features whole, f;
    small_open(&r, 2);
    small_compute(&r);
    whole = r.features;
    ngi_features_run run = small_features(&r);
    run.progress = stop;
    stop_at = 10;
    CHECK_OK(ngi_features_open(path_in(&r), key, whole.n, whole.width, &f, &err), err);
    CHECK_FAILS(ngi_features_compute(&f, &run, &err), NG_E_CANCELLED, err, "kept");
    ngi_features_clear(&f);
    CHECK_OK(ngi_features_open(path_in(&r), key, whole.n, whole.width, &f, &err), err);
    assert_in_range(f.found, 10, 14);
    f.rows[3]++; /* damage in the first row */
    ngi_features_clear(&f);
    CHECK_OK(ngi_features_open(path_in(&r), key, whole.n, whole.width, &f, &err), err);
    assert_null(ngi_features_row(&f, 0));
    stop_at = 1 << 30;
    CHECK_OK(ngi_features_compute(&f, &run, &err), err);
    assert_memory_equal(f.rows, whole.rows, (size_t)(f.n * f.width) * sizeof(float));
    ngi_features_clear(&f);
    CHECK_OK(ngi_features_open(path_in(&r), other, whole.n, whole.width, &f, &err), err); /* another run's */
    assert_int_equal(f.found, 0);
    ngi_features_clear(&f);
    ngi_trunk_free(run.trunk);
    small_close(&r);
}

static void note(void *user, int64_t item, const ng_error *why)
{
    (void)why;
    *(int64_t *)user = item;
}

static void unreadable(void **state)
{
    (void)state;
    small_run r;
    ng_error err;
    int64_t noted = -1;
    small_open(&r, 2);
    FILE *file = fopen(r.data.items[5].path, "w");
    fclose(file);
    ngi_features_run run = small_features(&r);
    run.unreadable = note;
    run.user = &noted;
    CHECK_OK(ngi_features_open(NULL, small_key, r.data.n_items, 16, &r.features, &err), err);
    CHECK_OK(ngi_features_compute(&r.features, &run, &err), err);
    assert_int_equal(noted, 5);
    for (int64_t i = 0; i < r.data.n_items; i++)
        assert_true((ngi_features_row(&r.features, i) == NULL) == (i == 5));
    int64_t items[100];
    int64_t n = ngi_fit_items(&r.data, &r.features, NGI_SPLIT_TRAIN, items);
    assert_int_equal(n + ngi_fit_items(&r.data, &r.features, NGI_SPLIT_VAL, items), r.data.n_items - 1);
    ngi_trunk_free(run.trunk);
    small_close(&r);
}

/* Space is taken when the file is made: where there is none, that is an error and no signal later. */
static void no_space(void **state)
{
    (void)state;
    small_run r;
    ng_error err;
    small_open(&r, 1);
    struct rlimit before, small = {1 << 16, 1 << 16};
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    ngi_features f;
    CHECK_FAILS(ngi_features_open(path_in(&r), small_key, 1000, 1000, &f, &err), NG_E_IO, err,
                "1000 images take 4 MB");
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_not_equal(access(path_in(&r), F_OK), 0);
    small_close(&r);
}

/* Means over height and width of several nodes at once. */
static void taps(void **state)
{
    (void)state;
    small_run r;
    ng_error err;
    small_open(&r, 2);
    small_compute(&r);
    int nodes[2], n = 0;
    for (int i = 0; i < r.o.head.features; i++)
        if (r.graph->nodes[i].op == NGI_OP_ACTIVATION)
            nodes[n++] = i;
    ngi_features_run run = {
        .images = r.o.images, .graph = r.graph, .features = r.o.head.features, .taps = nodes, .n_taps = 2};
    ngi_trunk_opts opts = {.features = nodes[1], .threads = 2, .micro = 2, .taps = nodes, .n_taps = 2};
    CHECK_OK(ngi_trunk_create(r.graph, &opts, &run.trunk, &err), err);
    ngi_features f;
    CHECK_OK(ngi_features_open(NULL, small_key, r.data.n_items, ngi_features_width(&run), &f, &err), err);
    CHECK_OK(ngi_features_compute(&f, &run, &err), err);
    assert_int_equal(f.width, 32);
    for (int64_t i = 0; i < f.n; i++)
        for (int c = 0; c < 16; c++)
            CHECK_NEAR(f.rows[i * 32 + 16 + c], r.features.rows[i * 16 + c], 1e-6);
    ngi_features_clear(&f);
    ngi_trunk_free(run.trunk);
    small_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads),  cmocka_unit_test(goes_on), cmocka_unit_test(unreadable),
        cmocka_unit_test(no_space), cmocka_unit_test(taps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
