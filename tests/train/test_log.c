/* The files of a run's metrics, their bytes and checksums. scripts/check_events.py compares what the tensorboard package reads of
 * a run with metrics.jsonl. */
#include "train/log.h"
#include "base/base.h"
#include "check.h"

static void checksums(void **state)
{
    (void)state;
    assert_int_equal(ngi_crc32c("123456789", 9), 0xE3069283u); /* RFC 3720's check value */
    assert_int_equal(ngi_crc32c("", 0), 0);
}

static char *read_file(const char *folder, const char *name, size_t *size)
{
    char *path = ngi_path_join(folder, name), *data;
    ng_error err;
    CHECK_OK(ngi_file_read(path, 1 << 20, &data, size, &err), err);
    ngi_free(path);
    return data;
}

static uint32_t word(const char *at)
{
    const unsigned char *p = (const unsigned char *)at;
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t masked(const char *bytes, size_t size)
{
    uint32_t crc = ngi_crc32c(bytes, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* Every record's length and checksums; the number of records. */
static int check_records(const char *data, size_t size)
{
    int n = 0;
    for (size_t at = 0; at < size; n++) {
        size_t length = word(data + at);
        assert_int_equal(word(data + at + 8), masked(data + at, 8));
        assert_int_equal(word(data + at + 12 + length), masked(data + at + 12, length));
        at += length + 16;
        assert_true(at <= size);
    }
    return n;
}

static void files(void **state)
{
    (void)state;
    char *folder = make_folder();
    ng_error err;
    ngi_epoch history[] = {{.stage = NGI_STAGE_HEAD,
                            .epoch = 1,
                            .loss = 0.5,
                            .accuracy = 0.75,
                            .val_loss = 0.25,
                            .val_accuracy = 1,
                            .rate = 0.001,
                            .wall = 1e9},
                           {.stage = NGI_STAGE_TOP,
                            .epoch = 2,
                            .loss = 0.125,
                            .accuracy = 1,
                            .val_loss = NAN,
                            .val_accuracy = NAN,
                            .rate = 1e-5,
                            .wall = 1e9 + 1}};
    CHECK_OK(ngi_log_write(folder, history, 2, &err), err);
    CHECK_OK(ngi_log_write(folder, history, 2, &err), err); /* anew, not appended */
    size_t size;
    char *text = read_file(folder, "metrics.jsonl", &size);
    assert_string_equal(
        text,
        "{\"epoch\":1,\"stage\":\"head\",\"loss\":0.5,\"accuracy\":0.75,\"val_loss\":0.25,\"val_accuracy\":1,"
        "\"learning_rate\":0.001,\"gradient_norm\":0,\"seconds\":0,\"images\":0,\"skipped\":0}\n"
        "{\"epoch\":2,\"stage\":\"top\",\"loss\":0.125,\"accuracy\":1,\"val_loss\":null,\"val_accuracy\":"
        "null,"
        "\"learning_rate\":1e-05,\"gradient_norm\":0,\"seconds\":0,\"images\":0,\"skipped\":0}\n");
    ngi_free(text);
    char *events = read_file(folder, "train/events.out.tfevents.netgaze", &size);
    assert_int_equal(check_records(events, size), 1 + 3 * 2);
    /* The version's record, byte for byte: length, wall_time 1e9, step 0, "brain.Event:2". */
    assert_int_equal(word(events), 26);
    assert_memory_equal(events + 12,
                        "\x09\x00\x00\x00\x00\x65\xcd\xcd\x41\x10\x00\x1a\x0d"
                        "brain.Event:2",
                        26);
    ngi_free(events);
    events = read_file(folder, "validation/events.out.tfevents.netgaze", &size);
    assert_int_equal(check_records(events, size), 1 + 2);
    ngi_free(events);
    CHECK_FAILS(ngi_log_write("/proc/nowhere", history, 2, &err), NG_E_IO, err, "/proc/nowhere");
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
