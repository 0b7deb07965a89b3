/* Models of several inputs and outputs: which are chosen, what is refused. That the numbers are Keras's: keras_cases. */
#include "check.h"

#include <string.h>

#define VECTOR NETGAZE_FIXTURES "/models/keras3.15_image_and_vector/model.keras"
#define IMAGES NETGAZE_FIXTURES "/models/keras3.15_two_images/model.keras"
#define HEADS  NETGAZE_FIXTURES "/models/keras3.15_second_output/model.keras"

static ng_error err;
static float numbers[4] = {0.3f, -1.2f, 0.7f, 2.0f};
static ng_array age = {.rank = 1, .shape = {4}, .data = numbers};
static ng_input_value given = {"age", &age};

static ng_model_opts with_age(void)
{
    ng_model_opts opts;
    ng_model_opts_init(&opts);
    opts.inputs = &given;
    opts.input_count = 1;
    return opts;
}

static ng_model *load(const char *path, const ng_model_opts *opts)
{
    ng_model *m = NULL;
    CHECK_OK(ng_model_load(path, opts, &m, &err), err);
    return m;
}

static void refuse(const char *path, const ng_model_opts *opts, const char *text)
{
    ng_model *m = NULL;
    assert_int_not_equal(ng_model_load(path, opts, &m, &err), NG_OK);
    assert_null(m);
    if (!strstr(err.text, text))
        fail_msg("expected '%s' in: %s", text, err.text);
}

static void the_image_is_the_only_input_that_can_be(void **state)
{
    (void)state;
    ng_model_opts opts = with_age();
    ng_model *m = load(VECTOR, &opts);
    ng_model_info info;
    ng_model_describe(m, &info);
    assert_string_equal(info.inputs, "age, image");
    assert_string_equal(info.outputs, "predictions");
    assert_string_equal(info.output, "predictions");
    assert_int_equal(info.input_height, 14);
    assert_int_equal(info.input_channels, 3);
    ng_layer_info layer;
    int gate;
    CHECK_OK(ng_model_find_layer(m, "gate_shape", &gate, &err), err);
    CHECK_OK(ng_model_layer(m, gate, &layer, &err), err);
    assert_false(layer.candidate);
    CHECK_OK(ng_model_layer(m, info.automatic_layer, &layer, &err), err);
    assert_string_equal(layer.name, "gated"); /* its first input is the vector's: the stride is the image's */
    CHECK_NEAR(layer.stride_y, 2, 0);
    ng_model_free(m);
}

static void values_are_checked(void **state)
{
    (void)state;
    ng_model_opts opts = with_age(), none;
    ng_model_opts_init(&none);
    refuse(VECTOR, &none,
           "the model has 2 inputs, and 'age' has no value; give it one of shape [4]: --input age=FILE.npy");
    given.name = "weight";
    refuse(VECTOR, &opts, "no input 'weight'; its inputs are 'age' [4], 'image' [14,17,3]");
    given.name = "image";
    refuse(VECTOR, &opts, "input 'image' is the image");
    given.name = "age";
    age.shape[0] = 3;
    refuse(VECTOR, &opts, "input 'age': expected a value of shape [4], found [3]");
    age.shape[0] = 4;
    numbers[2] = NAN;
    refuse(VECTOR, &opts, "the value of input 'age' is not finite");
    numbers[2] = 0.7f;
    opts.image_input = "age";
    refuse(VECTOR, &opts, "[height,width,channels]");
    opts.image_input = "picture";
    refuse(VECTOR, &opts, "no input 'picture'");
    refuse(IMAGES, &none,
           "several inputs that can be the image: 'left' [14,17,3], 'right' [14,17,3]; name it with");
}

static void hash_of(const char *path, const ng_model_opts *opts, char hash[64])
{
    ng_model *m = load(path, opts);
    ng_model_info info;
    ng_model_describe(m, &info);
    snprintf(hash, 64, "%s", info.hash);
    ng_model_free(m);
}

/* A value with a batch of one is the same; another value makes another model. */
static void a_value_is_part_of_the_model(void **state)
{
    (void)state;
    ng_model_opts opts = with_age();
    char first[64], same[64], other[64];
    hash_of(VECTOR, &opts, first);
    ng_array batch = {.rank = 2, .shape = {1, 4}, .data = numbers};
    given.value = &batch;
    hash_of(VECTOR, &opts, same);
    given.value = &age;
    numbers[0] += 0.5f;
    hash_of(VECTOR, &opts, other);
    numbers[0] -= 0.5f;
    assert_string_equal(first, same);
    assert_string_not_equal(first, other);
}

static void outputs_are_chosen_by_name_or_number(void **state)
{
    (void)state;
    ng_model_opts opts;
    ng_model_opts_init(&opts);
    char by_name[64], by_number[64], first[64], plain[64];
    opts.output = "other";
    ng_model *m = load(HEADS, &opts);
    ng_model_info info;
    ng_model_describe(m, &info);
    assert_string_equal(info.outputs, "predictions, other");
    assert_string_equal(info.output, "other");
    assert_int_equal(info.output_index, 1);
    assert_int_equal(info.class_count, 2);
    ng_model_free(m);
    hash_of(HEADS, &opts, by_name);
    opts.output = "1";
    hash_of(HEADS, &opts, by_number);
    opts.output = "predictions";
    hash_of(HEADS, &opts, first);
    hash_of(HEADS, NULL, plain);
    assert_string_equal(by_name, by_number);
    assert_string_equal(first, plain);
    assert_string_not_equal(by_name, plain);
    opts.output = "2";
    refuse(HEADS, &opts, "no output '2'; its outputs are 'predictions' [5], 'other' [2]");
    opts.output = "kind";
    refuse(HEADS, &opts, "no output 'kind'");
}

static void sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    ng_model_opts opts;
    ng_model_opts_init(&opts);
    opts.input_height = 21;
    opts.input_width = 26;
    refuse(NETGAZE_FIXTURES "/models/keras3.15_head_flatten/model.keras", &opts,
           "with an input of 21x26 (a Flatten before");
    opts.input_height = opts.input_width = 3;
    refuse(NETGAZE_FIXTURES "/models/keras3.15_sequential_plain/model.keras", &opts,
           "give a larger input size");
    char own[64], other[64];
    hash_of(NETGAZE_FIXTURES "/models/keras3.15_flat/model.keras", NULL, own);
    opts.input_height = 21;
    opts.input_width = 26;
    hash_of(NETGAZE_FIXTURES "/models/keras3.15_flat/model.keras", &opts, other);
    assert_string_not_equal(own, other); /* maps of the one are not taken for the other's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_image_is_the_only_input_that_can_be),
                                       cmocka_unit_test(values_are_checked),
                                       cmocka_unit_test(a_value_is_part_of_the_model),
                                       cmocka_unit_test(outputs_are_chosen_by_name_or_number),
                                       cmocka_unit_test(sizes_that_do_not_fit_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
