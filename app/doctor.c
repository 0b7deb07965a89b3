/* netgaze doctor: what this build and machine are; with a model, its kernels and its speed on noise. */
#include "app.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- The machine ---------------------------------------------------------------------------- */

static void cache_text(char *out, size_t size)
{
    static const struct {
        const char *name;
        int what;
    } levels[] = {
        {"L1d", _SC_LEVEL1_DCACHE_SIZE}, {"L2", _SC_LEVEL2_CACHE_SIZE}, {"L3", _SC_LEVEL3_CACHE_SIZE}};
    *out = '\0';
    for (int i = 0; i < 3; i++) {
        long bytes = sysconf(levels[i].what);
        size_t used = strlen(out);
        if (bytes > 0)
            snprintf(out + used, size - used, "%s%s %ld KiB", used ? ", " : "", levels[i].name, bytes / 1024);
    }
}

/* Where weights of architectures given by name are looked for, and how many files are there. */
static void weights_text(char *out, size_t size)
{
    const char *home = getenv("HOME");
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/.keras/models", home ? home : "");
    DIR *d = opendir(folder);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        const char *dot = strrchr(e->d_name, '.');
        n += dot && (strcmp(dot, ".h5") == 0 || strcmp(dot, ".keras") == 0);
    }
    if (d)
        closedir(d);
    snprintf(out, size, d ? "%s: %d weight files" : "%s: no such folder", folder, n);
}

/* The folder of packed weights, its size and limit. */
static void kept_text(char *out, size_t size)
{
    ng_cache_info info;
    ng_error err;
    if (ng_cache_describe(NULL, &info, &err) != NG_OK)
        snprintf(out, size, "%s", err.text);
    else if (!info.folder)
        snprintf(out, size, "off");
    else
        snprintf(out, size, "%s: %d files, %.1f of at most %.1f MB", info.folder, info.entry_count,
                 (double)info.bytes / 1e6, (double)info.limit / 1e6);
    ng_cache_info_clear(&info);
}

static void row(const settings *s, json_t *o, const char *name, const char *text)
{
    if (s->json)
        json_object_set_new(o, name, json_text(text));
    else
        printf("%-12s %s\n", name, text);
}

static bool describe_machine(const settings *s)
{
    ng_build_info b;
    ng_build_describe(&b);
    char caches[128], weights[4200], kept[4200], cores[32];
    cache_text(caches, sizeof caches);
    weights_text(weights, sizeof weights);
    kept_text(kept, sizeof kept);
    snprintf(cores, sizeof cores, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    json_t *o = s->json ? json_object() : NULL;
    row(s, o, "version", b.version);
    row(s, o, "build", b.build_type);
    row(s, o, "compiler", b.compiler);
    row(s, o, "cpu", b.cpu);
    row(s, o, "features", b.cpu_features);
    row(s, o, "caches", caches);
    row(s, o, "onednn", b.onednn);
    row(s, o, "onednn_isa", b.isa);
    row(s, o, "vips", b.vips);
    row(s, o, "hdf5", b.hdf5);
    row(s, o, "libzip", b.libzip);
    row(s, o, "jansson", b.jansson);
    row(s, o, "weights", weights);
    row(s, o, "cache", kept);
    if (!s->json) {
        printf("%-12s %s (threads by default)\n", "cores", cores);
        return true;
    }
    json_object_set_new(o, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    return write_json_line(stdout, o);
}

/* ---- A model -------------------------------------------------------------------------------- */

/* One network input of noise in the range that preprocessing gives, always the same. */
static float *make_noise(const ng_model_info *info)
{
    size_t n = (size_t)info->input_height * (size_t)info->input_width * (size_t)info->input_channels;
    float *noise = malloc(n * sizeof *noise);
    uint32_t state = 1;
    for (size_t i = 0; noise && i < n; i++) {
        state = state * 1664525u + 1013904223u;
        noise[i] = (float)(state >> 8) / 16777216.0f;
    }
    return noise;
}

/* Milliseconds of one forward run, the best of three. */
static ng_status time_noise(const ng_model *model, ng_session *session, double *milliseconds, bool *finite,
                            ng_error *err)
{
    ng_model_info info;
    ng_model_describe(model, &info);
    float *noise = make_noise(&info);
    ng_status status = NG_OK;
    if (!noise) {
        err->status = NG_E_MEMORY;
        snprintf(err->text, sizeof err->text, "out of memory");
        return NG_E_MEMORY;
    }
    *milliseconds = INFINITY;
    for (int i = 0; i < 3 && status == NG_OK; i++) {
        double start = seconds();
        status = ng_session_run(session, noise, 1, err);
        *milliseconds = fmin(*milliseconds, (seconds() - start) * 1e3);
    }
    *finite = true;
    for (int i = 0; status == NG_OK && i < info.class_count; i++)
        *finite = *finite && isfinite(ng_session_logits(session)[i]);
    free(noise);
    return status;
}

static int describe_model(const settings *s)
{
    ng_model *model;
    ng_session *session = NULL;
    int rest, code = open_model(s, &model, &rest);
    if (code == EXIT_DONE && s->n_arguments > rest) {
        complain("doctor: one model is expected, '%s' is too many", s->arguments[rest]);
        code = EXIT_USAGE;
    }
    if (code == EXIT_DONE)
        code = open_session(s, model, NULL, 0, true, &session);
    double milliseconds = 0;
    bool finite = true;
    ng_error err;
    if (code == EXIT_DONE && time_noise(model, session, &milliseconds, &finite, &err) != NG_OK) {
        complain("%s", err.text);
        code = EXIT_MODEL;
    }
    if (code == EXIT_DONE && s->json) {
        json_t *o = json_object();
        json_object_set_new(o, "session_bytes", json_integer((json_int_t)ng_session_bytes(session)));
        json_object_set_new(o, "milliseconds", json_number(milliseconds));
        json_object_set_new(o, "finite", json_boolean(finite));
        json_object_set_new(o, "kernels", json_text(ng_session_kernels(session)));
        code = write_json_line(stdout, o) ? EXIT_DONE : say_out_of_memory();
    } else if (code == EXIT_DONE) {
        printf("\nOne image of noise, one thread: %.1f ms, scores %s; %.1f MB for activations. Kernels:\n%s",
               milliseconds, finite ? "finite" : "NOT FINITE", (double)ng_session_bytes(session) / 1e6,
               ng_session_kernels(session));
    }
    ng_session_free(session);
    ng_model_free(model);
    return code;
}

int run_doctor(const settings *s)
{
    if (!describe_machine(s))
        return say_out_of_memory();
    return s->n_arguments || s->model ? describe_model(s) : EXIT_DONE;
}
