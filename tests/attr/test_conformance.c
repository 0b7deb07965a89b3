/* Every method of the table, on two small networks: it runs, or refuses with a reason; its map is finite, the same twice,
 * in a batch, on any number of threads and on every back end; no failing allocation does harm. */
#include "attr/scene.h"

static void check_shape_and_sameness(const scene *s, const ngi_method *m)
{
    ng_map a = map_of(s, "auto", 1, m, (request){.class_index = 1, .threads = 1});
    int side = m->info.at_input ? SIDE : LAST_SIDE;
    assert_int_equal(a.height, side);
    assert_int_equal(a.width, side);
    for (int i = 0; i < side * side; i++) {
        assert_true(isfinite(a.signed_data[i]));
        assert_true(a.data[i] == (a.signed_data[i] > 0 ? a.signed_data[i] : 0));
    }
    assert_true(a.status == NG_MAP_OK || *a.note);
    ng_map b = map_of(s, "auto", 1, m, (request){.class_index = 1, .threads = 1});
    ng_map c = map_of(s, "auto", 1, m, (request){.class_index = 1, .threads = 3});
    assert_memory_equal(a.signed_data, b.signed_data, (size_t)(side * side) * sizeof(float));
    assert_memory_equal(a.signed_data, c.signed_data, (size_t)(side * side) * sizeof(float));
    ng_map_clear(&a);
    ng_map_clear(&b);
    ng_map_clear(&c);
}

static void check_batch_and_backends(const scene *s, const ngi_method *m)
{
    ng_map first = map_of(s, "ref", 1, m, (request){.class_index = 2, .threads = 1});
    ng_map batch = map_of(s, "ref", BATCH, m, (request){.class_index = 2, .threads = 1});
    ng_map onednn = map_of(s, "onednn", 1, m, (request){.class_index = 2, .threads = 1});
    ng_map fast = map_of(s, "auto", BATCH, m, (request){.class_index = 2, .threads = 2});
    check_near(m, "alone and in a batch", &first, &batch, 1e-5);
    check_near(m, "ref and onednn", &first, &onednn, 1e-4);
    check_near(m, "ref and auto", &first, &fast, 1e-4);
    ng_map_clear(&first);
    ng_map_clear(&batch);
    ng_map_clear(&onednn);
    ng_map_clear(&fast);
}

static void check_allocations_of(const scene *s, const ngi_method *m, request q)
{
    ng_error err = {0};
    ng_map map = {0};
    for (long k = 1, succeeded = 0; !succeeded; k++) {
        runner r;
        CHECK_OK(open_runner(s, "ref", 1, &r, &err), err);
        ngi_alloc_fail_at(k);
        ng_status status = explain(s, &r, m, q, &map, &err);
        bool failed = ngi_alloc_count() >= k;
        ngi_alloc_fail_at(0);
        if (status == NG_OK && failed)
            fail_msg("%s: allocation %ld failed, and a map came all the same", m->info.name, k);
        if (status == NG_OK)
            succeeded = 1;
        else if (status != NG_E_MEMORY)
            fail_msg("%s, allocation %ld: %s: %s", m->info.name, k, ng_status_name(status), err.text);
        else
            assert_null(map.data);
        ng_map_clear(&map);
        close_runner(&r);
        if (k > 2000)
            fail_msg("%s: still fails after %ld allocations", m->info.name, k);
    }
}

/* The versions of a mirrored image are those of the image: the smoothed maps are each other's mirror images, to the bit. */
static void check_smoothing(const scene *s, const ngi_method *m)
{
    scene mirrored = *s;
    mirrored.input = net_floats(BATCH * SIDE * SIDE * 3);
    for (int row = 0; row < SIDE; row++)
        for (int x = 0; x < SIDE; x++)
            memcpy(mirrored.input + (row * SIDE + x) * 3, s->input + (row * SIDE + SIDE - 1 - x) * 3,
                   3 * sizeof(float));
    request q = {.class_index = 1, .threads = 2, .smooth = NG_SMOOTH_FLIP};
    ng_map a = map_of(s, "auto", 1, m, q), b = map_of(&mirrored, "auto", 1, m, q);
    for (int i = 0; i < a.height * a.width; i++) {
        float other = b.signed_data[i / a.width * a.width + a.width - 1 - i % a.width];
        if (a.signed_data[i] != other)
            fail_msg("%s: cell %d is %.9g, mirrored %.9g", m->info.name, i, a.signed_data[i], other);
    }
    q.smooth = NG_SMOOTH_SCALED;
    ng_map c = map_of(s, "auto", BATCH, m, q);
    assert_true(c.signed_min >= 0 && c.signed_max <= 1);
    assert_non_null(strstr(c.note, c.status == NG_MAP_OK ? "6 maps" : ""));
    ng_map_clear(&a);
    ng_map_clear(&b);
    ng_map_clear(&c);
    free(mirrored.input);
}

/* Where it applies, eigen smoothing is the leading component; elsewhere it is refused. */
static void check_eigen(const scene *s, const ngi_method *m)
{
    request q = {.class_index = 1, .threads = 1, .eigen = true};
    if (m->info.sums_channels) {
        ng_map a = map_of(s, "ref", 1, m, q), b = map_of(s, "ref", BATCH, m, q);
        check_near(m, "eigen smoothing alone and in a batch", &a, &b, 1e-4);
        assert_true(fabsf(a.signed_max) >= fabsf(a.signed_min));
        ng_map_clear(&a);
        ng_map_clear(&b);
        return;
    }
    runner r;
    ng_map map;
    ng_error err = {0};
    CHECK_OK(open_runner(s, "ref", 1, &r, &err), err);
    CHECK_FAILS(explain(s, &r, m, q, &map, &err), NG_E_UNSUPPORTED, err, "eigengradcam");
    close_runner(&r);
}

static void check_allocations(const scene *s, const ngi_method *m)
{
    request q = {.class_index = 1, .threads = 1};
    check_allocations_of(s, m, q);
    q.smooth = NG_SMOOTH_FLIP;
    q.eigen = m->info.sums_channels;
    if (strcmp(m->info.name, "gradcam") == 0 || strcmp(m->info.name, "layercam") == 0)
        check_allocations_of(s, m, q);
}

static void smoothed_maps_mirror_exactly(void **state)
{
    (void)state;
    for_all(check_smoothing);
}

static void eigen_smoothing_applies_or_is_refused(void **state)
{
    (void)state;
    for_all(check_eigen);
}

/* The quick parameters and one more: "name=word", the word the index-th of the choices. False behind the last one. */
static bool choose_word(const ngi_method *m, const ng_method_parameter *p, int index, char *text, size_t size)
{
    const char *word = p->choices;
    for (int i = 0; i < index; i++) {
        word = strchr(word, '|');
        if (!word++)
            return false;
    }
    const char *quick = quick_parameters(&m->info);
    snprintf(text, size, "%s%s%s=%.*s", quick, *quick ? "," : "", p->name, (int)strcspn(word, "|"), word);
    return true;
}

/* Variants, presets, kernels, baselines: each is sound, the same in a batch, and survives failing allocations. */
static void check_choices(const scene *s, const ngi_method *m)
{
    char text[256];
    for (int i = 0; i < m->info.parameter_count; i++)
        for (int k = 1;
             m->info.parameters[i].choices && choose_word(m, &m->info.parameters[i], k, text, sizeof text);
             k++) {
            if (strstr(text, "baseline=given")) /* an array beside the parameters */
                continue;
            request q = {.class_index = 1, .threads = 1, .parameters = text};
            ng_map a = map_of(s, "ref", 1, m, q), b = map_of(s, "ref", BATCH, m, q);
            for (int cell = 0; cell < a.height * a.width; cell++)
                assert_true(isfinite(a.signed_data[cell]));
            check_near(m, text, &a, &b, 1e-5);
            ng_map_clear(&a);
            ng_map_clear(&b);
            check_allocations_of(s, m, q);
        }
}

static void every_choice_of_a_parameter_is_sound(void **state)
{
    (void)state;
    for_all(check_choices);
}

/* Next to no time: a map all the same, and what it is worth where it is a mean of samples. */
static void check_hurry(const scene *s, const ngi_method *m)
{
    static const char *const means[] = {"rise",    "lime",     "kernelshap", "smoothgrad",
                                        "vargrad", "scorecam", "occlusion"}; /* of samples or a part */
    static const char *const parts[] = {"rise",      "lime", "kernelshap", "scorecam",
                                        "occlusion", "dff",  "guidedig",   "extremalperturbation"};
    request q = {.class_index = 1, .threads = 1, .seconds = 1e-9};
    for (size_t i = 0; i < sizeof means / sizeof *means; i++)
        if (strcmp(m->info.name, means[i]) == 0)
            q.target = NG_TARGET_PROBABILITY; /* above zero, so that the note is the method's */
    runner r;
    ng_map map;
    ng_error err = {0};
    CHECK_OK(open_runner(s, "ref", 1, &r, &err), err);
    CHECK_OK(explain(s, &r, m, q, &map, &err), err);
    if (m->info.takes_gradient && map.status == NG_MAP_CONSTANT)
        fail_msg("%s: nothing to be seen: '%s'", m->info.name, map.note);
    for (size_t i = 0; i < sizeof means / sizeof *means; i++)
        if (strcmp(m->info.name, means[i]) == 0 && map.status == NG_MAP_OK &&
            !strstr(map.note, "standard error"))
            fail_msg("%s: no standard error in '%s'", m->info.name, map.note);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strcmp(m->info.name, parts[i]) == 0 && map.status == NG_MAP_OK &&
            !strstr(map.note, "in the time given"))
            fail_msg("%s: not said that it is a part: '%s'", m->info.name, map.note);
    ng_map_clear(&map);
    close_runner(&r);
}

static void a_time_limit_gives_the_map_so_far(void **state)
{
    (void)state;
    for_all(check_hurry);
}

/* Time enough changes nothing but the order of sums; half of the places still estimate the whole. */
static void a_part_of_the_way_estimates_the_whole(void **state)
{
    (void)state;
    scene s = make_scene(false);
    request q = {.class_index = 2, .threads = 1, .parameters = "steps=64"};
    const ngi_method *m = ngi_method_find("integratedgradients", NULL);
    ng_map all = map_of(&s, "ref", 1, m, q);
    q.seconds = 1e6;
    ng_map timed = map_of(&s, "ref", 1, m, q);
    check_near(m, "with time enough", &all, &timed, 1e-5);
    ng_map_clear(&all);
    ng_map_clear(&timed);
    free_scene(&s);
}

static void every_map_is_sound_and_repeats(void **state)
{
    (void)state;
    for_all(check_shape_and_sameness);
}

static void batches_and_back_ends_agree(void **state)
{
    (void)state;
    for_all(check_batch_and_backends);
}

static void failing_allocations_do_no_harm(void **state)
{
    (void)state;
    for_all(check_allocations);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_map_is_sound_and_repeats),
        cmocka_unit_test(batches_and_back_ends_agree),
        cmocka_unit_test(smoothed_maps_mirror_exactly),
        cmocka_unit_test(eigen_smoothing_applies_or_is_refused),
        cmocka_unit_test(failing_allocations_do_no_harm),
        cmocka_unit_test(every_choice_of_a_parameter_is_sound),
        cmocka_unit_test(a_time_limit_gives_the_map_so_far),
        cmocka_unit_test(a_part_of_the_way_estimates_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
