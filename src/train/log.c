/* An event file is TFRecords: length (8 bytes, little endian), its masked CRC-32C, data, the data's masked CRC-32C. Data are
 * Event messages (tensorflow/core/util/event.proto), of which only wall_time, step, file_version and scalar summaries are
 * needed. */
#include "train/log.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

uint32_t ngi_crc32c(const void *bytes, size_t size)
{
    const unsigned char *p = bytes;
    uint32_t crc = ~(uint32_t)0;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

/* ---- Protocol buffers -------------------------------------------------------------------------- */

/* Short messages only: tags and file versions are ours. */
typedef struct message {
    unsigned char bytes[256];
    size_t size;
} message;

static void put(message *m, const void *bytes, size_t size)
{
    if (size > sizeof m->bytes - m->size)
        return;
    memcpy(m->bytes + m->size, bytes, size);
    m->size += size;
}

static void put_varint(message *m, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        put(m, &(unsigned char){(unsigned char)(value | 0x80)}, 1);
    put(m, &(unsigned char){(unsigned char)value}, 1);
}

static void put_little_endian(message *m, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        put(m, &(unsigned char){(unsigned char)(value >> 8 * i)}, 1);
}

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static void put_key(message *m, unsigned field, unsigned kind)
{
    put_varint(m, field << 3 | kind);
}

static void put_bytes(message *m, unsigned field, const void *bytes, size_t size)
{
    put_key(m, field, BYTES);
    put_varint(m, size);
    put(m, bytes, size);
}

static message event(double wall, int64_t step)
{
    message m = {.size = 0};
    uint64_t bits;
    memcpy(&bits, &wall, sizeof bits);
    put_key(&m, 1, FIXED64); /* wall_time */
    put_little_endian(&m, bits, 8);
    put_key(&m, 2, VARINT); /* step */
    put_varint(&m, (uint64_t)step);
    return m;
}

static message scalar_event(double wall, int64_t step, const char *tag, double value)
{
    message m = event(wall, step), summary = {.size = 0}, v = {.size = 0};
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    put_bytes(&v, 1, tag, strlen(tag)); /* Summary.Value.tag */
    put_key(&v, 2, FIXED32);            /* simple_value */
    put_little_endian(&v, bits, 4);
    put_bytes(&summary, 1, v.bytes, v.size); /* Summary.value */
    put_bytes(&m, 5, summary.bytes, summary.size);
    return m;
}

static message version_event(double wall)
{
    static const char version[] = "brain.Event:2";
    message m = event(wall, 0);
    put_bytes(&m, 3, version, sizeof version - 1);
    return m;
}

/* ---- Event files ------------------------------------------------------------------------------- */

static uint32_t masked_crc(const void *bytes, size_t size)
{
    uint32_t crc = ngi_crc32c(bytes, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static ng_status add_record(ngi_buffer *b, const message *m, ng_error *err)
{
    message record = {.size = 0};
    put_little_endian(&record, m->size, 8);
    put_little_endian(&record, masked_crc(record.bytes, 8), 4);
    NGI_TRY(ngi_buffer_add(b, record.bytes, record.size, err));
    NGI_TRY(ngi_buffer_add(b, m->bytes, m->size, err));
    record.size = 0;
    put_little_endian(&record, masked_crc(m->bytes, m->size), 4);
    return ngi_buffer_add(b, record.bytes, record.size, err);
}

static ng_status add_scalar(ngi_buffer *b, const ngi_epoch *e, const char *tag, double value, ng_error *err)
{
    if (isnan(value))
        return NG_OK;
    message m = scalar_event(e->wall, e->epoch - 1, tag, value); /* Keras counts from 0 */
    return add_record(b, &m, err);
}

static ng_status fill_events(ngi_buffer *b, const ngi_epoch *history, int n, bool validation, ng_error *err)
{
    message version = version_event(n ? history[0].wall : 0);
    NGI_TRY(add_record(b, &version, err));
    for (int i = 0; i < n; i++) {
        const ngi_epoch *e = &history[i];
        NGI_TRY(add_scalar(b, e, "epoch_loss", validation ? e->val_loss : e->loss, err));
        NGI_TRY(add_scalar(b, e, "epoch_accuracy", validation ? e->val_accuracy : e->accuracy, err));
        if (!validation)
            NGI_TRY(add_scalar(b, e, "epoch_learning_rate", e->rate, err));
    }
    return NG_OK;
}

/* ---- JSON lines -------------------------------------------------------------------------------- */

/* null where there is none. */
static ng_status add_number(ngi_buffer *b, const char *name, double value, ng_error *err)
{
    return isfinite(value) ? ngi_buffer_printf(b, err, ",\"%s\":%.9g", name, value)
                           : ngi_buffer_printf(b, err, ",\"%s\":null", name);
}

static ng_status fill_lines(ngi_buffer *b, const ngi_epoch *history, int n, ng_error *err)
{
    for (int i = 0; i < n; i++) {
        const ngi_epoch *e = &history[i];
        NGI_TRY(ngi_buffer_printf(b, err, "{\"epoch\":%d,\"stage\":\"%s\"", e->epoch,
                                  e->stage == NGI_STAGE_HEAD ? "head" : "top"));
        NGI_TRY(add_number(b, "loss", e->loss, err));
        NGI_TRY(add_number(b, "accuracy", e->accuracy, err));
        NGI_TRY(add_number(b, "val_loss", e->val_loss, err));
        NGI_TRY(add_number(b, "val_accuracy", e->val_accuracy, err));
        NGI_TRY(add_number(b, "learning_rate", e->rate, err));
        NGI_TRY(add_number(b, "gradient_norm", e->norm, err));
        NGI_TRY(add_number(b, "seconds", e->seconds, err));
        NGI_TRY(ngi_buffer_printf(b, err, ",\"images\":%lld,\"skipped\":%lld}\n", (long long)e->images,
                                  (long long)e->skipped));
    }
    return NG_OK;
}

/* ---- Files ------------------------------------------------------------------------------------- */

static ng_status make_folder(const char *path, ng_error *err)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST
               ? NG_OK
               : ngi_fail(err, NG_E_IO, "%s: %s", path, strerror(errno));
}

/* folder/part/name; part NULL: none. Takes what is in `b`. */
static ng_status write_file(const char *folder, const char *part, const char *name, ngi_buffer *b,
                            ng_error *err)
{
    char *inner = part ? ngi_path_join(folder, part) : ngi_strdup(folder);
    char *path = inner ? ngi_path_join(inner, name) : NULL;
    ng_status status = path ? make_folder(inner, err) : ngi_fail_memory(err, strlen(folder) + 64);
    if (status == NG_OK)
        status = ng_file_save(path, b->data ? b->data : "", b->size, err);
    ngi_buffer_clear(b);
    ngi_free(path);
    ngi_free(inner);
    return status;
}

static ng_status write_events(const char *folder, const char *part, const ngi_epoch *history, int n,
                              ng_error *err)
{
    ngi_buffer b = {0};
    ng_status status = fill_events(&b, history, n, strcmp(part, "validation") == 0, err);
    if (status == NG_OK)
        return write_file(folder, part, "events.out.tfevents.netgaze", &b, err);
    ngi_buffer_clear(&b);
    return status;
}

ng_status ngi_log_write(const char *folder, const ngi_epoch *history, int n, ng_error *err)
{
    ngi_buffer b = {0};
    bool validation = false;
    NGI_TRY(make_folder(folder, err));
    for (int i = 0; i < n; i++)
        validation = validation || !isnan(history[i].val_loss);
    ng_status status = fill_lines(&b, history, n, err);
    if (status != NG_OK) {
        ngi_buffer_clear(&b);
        return status;
    }
    NGI_TRY(write_file(folder, NULL, "metrics.jsonl", &b, err));
    NGI_TRY(write_events(folder, "train", history, n, err));
    return validation ? write_events(folder, "validation", history, n, err) : NG_OK;
}
