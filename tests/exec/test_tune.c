/* Measured choices: what won is what later plans take, another file is another choice, rubbish is none. */
#include "exec/net.h"

#include <dirent.h>

#include "base/cache.h"
#include "exec/tune.h"

static ng_error err;

static ngi_graph *make_net(int *logits)
{
    net_random_state = 3;
    ngi_graph *g = net_new();
    int x = net_conv(g, net_image(g, 20, 20, 16), net_window(3, 3, 1, 1, true), 48, true);
    x = net_conv(g, x, net_window(1, 7, 1, 1, true), 48, true);
    x = net_conv(g, x, net_window(1, 7, 1, 1, true), 48, true); /* the same shape again */
    x = net_conv(g, x, net_window(3, 3, 2, 1, true), 48, true); /* no choice */
    *logits = net_dense(g, net_op(g, NGI_OP_GLOBAL_AVG, NULL, x), 8, true);
    net_output(g, *logits);
    return g;
}

static char *kernels_of(const ngi_graph *g, int logits, const char *backend, const char *folder,
                        float *scores)
{
    ngi_plan_opts o = {
        .batch = 1, .threads = 1, .backend = backend, .root = logits, .cache = folder, .identity = "n"};
    ngi_plan *p;
    ngi_run_session *s;
    CHECK_OK(ngi_plan_create(g, &o, &p, &err), err);
    CHECK_OK(ngi_run_session_create(p, &s, &err), err);
    net_random_state = 9;
    float *in = net_floats(net_count(g, g->inputs[0]));
    CHECK_OK(ngi_run_forward(s, (const float *const *)&in, 1, &err), err);
    memcpy(scores, ngi_run_activation(s, logits), 8 * sizeof *scores);
    char *text = strdup(ngi_plan_kernels(p));
    ngi_run_session_free(s);
    ngi_plan_free(p);
    free(in);
    return text;
}

static char *file_of(const char *folder)
{
    char *path = NULL;
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d));)
        if (strncmp(e->d_name, NGI_CACHE_TUNED, strlen(NGI_CACHE_TUNED)) == 0)
            path = ngi_path_join(folder, e->d_name);
    closedir(d);
    return path;
}

/* The file as if `name` had won everywhere. */
static void write_choices(const char *path, const ngi_tune_row *rows, int n, const char *name)
{
    char text[4096] = "";
    for (int i = 0; i < n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s\t%s\n", rows[i].shape, name);
    CHECK_OK(ng_file_save(path, text, strlen(text), &err), err);
}

static void what_won_is_taken(void **state)
{
    (void)state;
    int logits, n;
    ngi_graph *g = make_net(&logits);
    char *folder = make_folder();
    ngi_tune_row *rows;
    float direct[8], fast[8], chosen[8];
    char *by_onednn = kernels_of(g, logits, "onednn", NULL, direct),
         *by_native = kernels_of(g, logits, "auto", NULL, fast);
    CHECK_OK(ngi_tune(g, logits, 1, 3, folder, &rows, &n, &err), err);
    if (strcmp(by_onednn, by_native) == 0) { /* a processor without kernels of ours */
        assert_int_equal(n, 0);
    } else {
        assert_int_equal(n, 2);
        assert_string_equal(rows[0].shape, "3x3 20x20x16 to 20x20x48, 1 thread");
        assert_int_equal(rows[0].steps, 1);
        assert_int_equal(rows[1].steps, 2);
        char *path = file_of(folder);
        for (int i = 0; i < n; i++) {
            assert_true(rows[i].milliseconds[0] > 0 && rows[i].milliseconds[1] > 0);
            assert_int_equal(rows[i].chosen, rows[i].milliseconds[1] < 0.98 * rows[i].milliseconds[0]);
        }
        write_choices(path, rows, n, "onednn");
        char *text = kernels_of(g, logits, "auto", folder, chosen);
        assert_string_equal(text, by_onednn);
        assert_memory_equal(chosen, direct, sizeof direct);
        free(text);
        write_choices(path, rows, n, "native");
        text = kernels_of(g, logits, "auto", folder, chosen);
        assert_string_equal(text, by_native);
        assert_memory_equal(chosen, fast, sizeof fast);
        free(text);
        static const char *const rubbish[] = {"", "x", "\n\n\t\t\n", "3x3 20x20x16 to 20x20x48, 1 thread\t",
                                              "3x3 20x20x16 to 20x20x48, 1 thread\tnobody\n"};
        for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++) {
            CHECK_OK(ng_file_save(path, rubbish[i], strlen(rubbish[i]), &err), err);
            text = kernels_of(g, logits, "auto", folder, chosen);
            assert_string_equal(text, by_native);
            free(text);
        }
        /* other shapes in the file stay, the same are replaced */
        CHECK_OK(ng_file_save(path, "other\tonednn\nrubbish\n", 21, &err), err);
        ngi_free(rows);
        CHECK_OK(ngi_tune(g, logits, 1, 1, folder, &rows, &n, &err), err);
        size_t size;
        CHECK_OK(ngi_file_read(path, 4096, &text, &size, &err), err);
        assert_non_null(strstr(text, "\nother\tonednn\n"));
        assert_null(strstr(text, "rubbish"));
        ngi_free(text);
        CHECK_OK(ngi_cache_clear(folder, &err), err);
        assert_null(file_of(folder));
        ngi_free(path);
    }
    ngi_free(rows);
    free(by_onednn);
    free(by_native);
    ngi_graph_free(g);
    remove_folder(folder);
}

static void wrong_arguments(void **state)
{
    (void)state;
    int logits, n;
    ngi_graph *g = make_net(&logits);
    ngi_tune_row *rows;
    CHECK_FAILS(ngi_tune(g, logits, 0, 3, NULL, &rows, &n, &err), NG_E_ARGUMENT, err, "threads from 1");
    CHECK_FAILS(ngi_tune(g, logits, 1, 0, NULL, &rows, &n, &err), NG_E_ARGUMENT, err, "repeats 1");
    CHECK_FAILS(ngi_tune(g, logits, 1, 1, "/proc/nowhere", &rows, &n, &err), NG_E_IO, err, "/proc/nowhere");
    assert_null(rows);
    ngi_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_won_is_taken),
                                       cmocka_unit_test(wrong_arguments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
