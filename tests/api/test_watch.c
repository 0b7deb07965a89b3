/* Watching over epochs: the maps kept are those of ng_explain, a run in two parts writes the bytes of one in one, the strip has a
 * frame an epoch. A model whose last kernel is shuffled by another seed stands for each epoch. */
#include "check.h"

#include "api/watch.h"

#define MODEL NETGAZE_FIXTURES "/models/keras3.15_nested_head/model.keras"

enum { CLASSES = 5, EACH = 3, IMAGES = 7, EPOCHS = 3 };

static ng_error err;
static char *folder;
static ngi_dataset data;
static ng_model *models[EPOCHS];

static void write_image(const char *path, int seed)
{
    uint8_t pixels[40 * 30 * 3];
    for (int i = 0; i < (int)sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * (seed + 3) % 251);
    ng_image image = {.width = 40, .height = 30, .channels = 3, .data = pixels};
    CHECK_OK(ng_image_save(&image, path, &err), err);
}

static int set_up(void **state)
{
    (void)state;
    char path[4300], list[16384] = "path,label,split,box\n";
    folder = make_folder();
    for (int i = 0; i < CLASSES * EACH * 2; i++) {
        snprintf(path, sizeof path, "%s/i%02d.png", folder, i);
        write_image(path, i);
        snprintf(list + strlen(list), sizeof list - strlen(list), "i%02d.png,<c%d>,%s,%s\n", i, i % CLASSES,
                 i < CLASSES * EACH ? "val" : "train", i % 2 ? "10 5 12 20" : "");
    }
    snprintf(path, sizeof path, "%s/i00.png",
             folder); /* cannot be read: the next one of its class is watched */
    CHECK_OK(ng_file_save(path, "none", 4, &err), err);
    snprintf(path, sizeof path, "%s/list.csv", folder);
    CHECK_OK(ng_file_save(path, list, strlen(list), &err), err);
    CHECK_OK(ngi_dataset_open(path, NULL, &data, &err), err);
    for (int e = 0; e < EPOCHS; e++) {
        ng_model_opts opts;
        ng_model_opts_init(&opts);
        opts.shuffle_head = (unsigned)e;
        CHECK_OK(ng_model_load(MODEL, &opts, &models[e], &err), err);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int e = 0; e < EPOCHS; e++)
        ng_model_free(models[e]);
    ngi_dataset_clear(&data);
    remove_folder(folder);
    return 0;
}

static char *place(const char *name)
{
    static char paths[4][4300];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static ngi_watch *open_watch(const char *out, int threads, bool resume, int before)
{
    ngi_watch_opts o = {.data = &data,
                        .images = IMAGES,
                        .folder = out,
                        .title = "<b>title</b>",
                        .layer = -1,
                        .fit = NG_FIT_CROP,
                        .resample = NG_RESAMPLE_PIL_BILINEAR,
                        .threads = threads,
                        .resume = resume,
                        .before = before};
    ngi_watch *w;
    CHECK_OK(ngi_watch_open(models[0], &o, &w, &err), err);
    return w;
}

static void add(ngi_watch *w, int from, int to)
{
    for (int e = from; e < to; e++)
        CHECK_OK(ngi_watch_add(w, models[e], 1 + e, &err), err);
}

static size_t read_all(const char *where, const char *name, char **bytes)
{
    char path[4400];
    size_t size;
    snprintf(path, sizeof path, "%s/%s", where, name);
    CHECK_OK(ngi_file_read(path, 1 << 24, bytes, &size, &err), err);
    return size;
}

static void same_file(const char *a, const char *b, const char *name)
{
    char *x, *y;
    size_t n = read_all(a, name, &x), m = read_all(b, name, &y);
    if (n != m || memcmp(x, y, n) != 0)
        fail_msg("%s: %zu and %zu bytes differ", name, n, m);
    ngi_free(x);
    ngi_free(y);
}

static void maps_are_those_of_explain(void **state)
{
    (void)state;
    char *out = place("maps"), path[4400];
    ngi_watch *w = open_watch(out, 1, false, 0);
    add(w, 0, EPOCHS);
    assert_true(ngi_watch_energy(w) > 0 && ngi_watch_energy(w) < 1);
    ngi_watch_close(w);
    ng_array maps, figures;
    snprintf(path, sizeof path, "%s/watch.npy", out);
    CHECK_OK(ng_npy_load(path, &maps, &err), err);
    snprintf(path, sizeof path, "%s/watch-figures.npy", out);
    CHECK_OK(ng_npy_load(path, &figures, &err), err);
    assert_true(maps.rank == 4 && maps.shape[0] == EPOCHS && maps.shape[1] == IMAGES);
    assert_true(figures.rank == 3 && figures.shape[0] == EPOCHS && figures.shape[1] == IMAGES &&
                figures.shape[2] == 4);

    /* Images go over the classes in turn; class 0's first one is passed over: i01 of class 1 is the first. */
    ng_evaluate_opts o;
    ng_model_info info;
    ng_evaluate_opts_init(&o);
    o.fit = NG_FIT_CROP;
    ng_model_describe(models[2], &info);
    float *input =
        malloc((size_t)(info.input_height * info.input_width * info.input_channels) * sizeof *input);
    ngi_data_item item = {.path = place("i01.png")};
    ng_image photo;
    ng_geometry g;
    CHECK_OK(ngi_exhibit_load(models[2], &item, &o, 99, input, &photo, &g, &err), err);
    ng_session_opts so;
    ng_session *session;
    ng_session_opts_init(&so);
    so.layers = &info.automatic_layer;
    so.layer_count = 1;
    CHECK_OK(ng_session_create(models[2], &so, &session, &err), err);
    CHECK_OK(ng_session_run(session, input, 1, &err), err);
    ng_explain_opts eo;
    ng_map map;
    ng_explain_opts_init(&eo);
    eo.class_index = 1;
    CHECK_OK(ng_explain(session, 0, &eo, &map, &err), err);
    int64_t cells = maps.shape[2] * maps.shape[3];
    assert_int_equal(cells, map.height * map.width);
    assert_memory_equal(maps.data + 2 * IMAGES * cells, map.data, (size_t)cells * sizeof *map.data);
    const float *f = figures.data + (ptrdiff_t)2 * IMAGES * 4;
    CHECK_NEAR(f[0], 3, 0);
    CHECK_NEAR(f[1], ng_session_probabilities(session)[1], 1e-7);
    assert_true(f[3] >= 0 && f[3] <= 1);
    assert_true(figures.data[3] >= 0 && figures.data[4 + 3] == -1); /* i02 has no box */
    ng_map_clear(&map);
    ng_image_clear(&photo);
    ng_session_free(session);
    ng_array_clear(&maps);
    ng_array_clear(&figures);
    free(input);
}

static void a_run_in_two_parts_is_a_run_in_one(void **state)
{
    (void)state;
    char *whole = place("whole"), *parts = place("parts");
    ngi_watch *w = open_watch(whole, 1, false, 0);
    add(w, 0, EPOCHS);
    CHECK_OK(ngi_watch_finish(w, &err), err);
    ngi_watch_close(w);
    w = open_watch(parts, 2, false, 0);
    add(w, 0, EPOCHS); /* the last one was not in the checkpoint */
    ngi_watch_close(w);
    w = open_watch(parts, 3, true, EPOCHS);
    add(w, EPOCHS - 1, EPOCHS);
    CHECK_OK(ngi_watch_finish(w, &err), err);
    ngi_watch_close(w);
    const char *const names[] = {"watch.npy", "watch-figures.npy", "watch.webp", "watch.html"};
    for (int i = 0; i < 4; i++)
        same_file(whole, parts, names[i]);
}

static int count(const char *bytes, size_t n, const char *word)
{
    int found = 0;
    size_t m = strlen(word);
    for (size_t i = 0; i + m <= n; i++)
        found += memcmp(bytes + i, word, m) == 0;
    return found;
}

static void files_are_what_they_say(void **state)
{
    (void)state;
    char *out = place("files"), *bytes;
    ngi_watch *w = open_watch(out, 1, false, 0);
    CHECK_OK(ngi_watch_finish(w, &err), err); /* nothing seen yet: nothing written */
    add(w, 0, EPOCHS);
    CHECK_OK(ngi_watch_finish(w, &err), err);
    ngi_watch_close(w);
    size_t n = read_all(out, "watch.webp", &bytes);
    assert_memory_equal(bytes, "RIFF", 4);
    assert_int_equal(count(bytes, n, "ANMF"), EPOCHS);
    ngi_free(bytes);
    n = read_all(out, "watch.html", &bytes);
    assert_int_equal(count(bytes, n, "http:") + count(bytes, n, "https:") + count(bytes, n, "<b>title"), 0);
    assert_int_equal(count(bytes, n, "&lt;b&gt;title"), 2);
    assert_int_equal(count(bytes, n, "class=\"heat\""), EPOCHS * IMAGES);
    assert_true(count(bytes, n, "i05.png") > 0 && count(bytes, n, "i00.png") == 0);
    assert_true(count(bytes, n, "Share of the map on the object") > 0);
    ngi_free(bytes);
    const char *keep = getenv("NETGAZE_KEEP_WATCH"); /* to look at it */
    if (keep) {
        char command[9000];
        snprintf(command, sizeof command, "cp -r '%s' '%s'", out, keep);
        assert_int_equal(system(command), 0);
    }
}

static void damaged_files_are_as_good_as_none(void **state)
{
    (void)state;
    char *out = place("damaged"), path[4400];
    ngi_watch *w = open_watch(out, 1, false, 0);
    add(w, 0, 2);
    ngi_watch_close(w);
    snprintf(path, sizeof path, "%s/watch.npy", out);
    CHECK_OK(ng_file_save(path, "none", 4, &err), err);
    w = open_watch(out, 1, true, 0);
    add(w, 2, 3);
    ngi_watch_close(w);
    ng_array maps;
    CHECK_OK(ng_npy_load(path, &maps, &err), err);
    assert_int_equal(maps.shape[0], 1);
    ng_array_clear(&maps);
}

static void what_is_refused(void **state)
{
    (void)state;
    ngi_watch_opts o = {.data = &data, .images = 0, .folder = place("no"), .layer = -1};
    ngi_watch *w;
    CHECK_FAILS(ngi_watch_open(models[0], &o, &w, &err), NG_E_ARGUMENT, err, "0 images to watch");
    assert_null(w);
    o.images = 1;
    o.method = "none";
    CHECK_FAILS(ngi_watch_open(models[0], &o, &w, &err), NG_E_ARGUMENT, err, "none");
    o.method = NULL;
    o.folder = place("no/where");
    CHECK_FAILS(ngi_watch_open(models[0], &o, &w, &err), NG_E_IO, err, "cannot be made");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_are_those_of_explain), cmocka_unit_test(a_run_in_two_parts_is_a_run_in_one),
        cmocka_unit_test(files_are_what_they_say),   cmocka_unit_test(damaged_files_are_as_good_as_none),
        cmocka_unit_test(what_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
