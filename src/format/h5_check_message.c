/* The messages of HDF5 object headers: dataspaces, datatypes, fill values, layouts, attributes and the
 * strings of variable length that attributes keep in global heaps (HDF5 File Format Specification 3.0,
 * IV.A.2 and III.E). */
#include "format/h5_check.h"

#include <string.h>

#define MAX_RANK      32
#define MAX_COUNT     ((uint64_t)1 << 40) /* elements of a dataspace */
#define MAX_ELEMENT   (1u << 22)          /* bytes of one element: the longest fixed-length text */
#define VARIABLE_SIZE 16 /* of a variable-length element in the file: length, address, index */

/* A stretch of a message being read. */
typedef struct span {
    const uint8_t *p;
    size_t size;
} span;

typedef struct type_facts {
    uint32_t size;
    bool variable; /* strings of variable length */
    size_t used;   /* bytes of the message that describe the type */
} type_facts;

/* ---- Dataspaces -------------------------------------------------------------------------------- */

static ng_status check_space(const ngi_h5_checker *c, uint64_t at, span s, uint64_t *count, ng_error *err)
{
    unsigned version = s.size >= 4 ? s.p[0] : 0, rank = s.size >= 4 ? s.p[1] : 0,
             flags = s.size >= 4 ? s.p[2] : 0;
    size_t head = version == 1 ? 8 : 4;
    if (version < 1 || version > 2 || rank > MAX_RANK || flags > 1 ||
        s.size < head + rank * (flags ? 16u : 8u))
        return ngi_h5_damaged(c, at, "a dataspace", err);
    if (version == 2 && (s.p[3] > 2 || (s.p[3] != 1 && rank != 0)))
        return ngi_h5_damaged(c, at, "the kind of a dataspace", err);
    *count = version == 2 && s.p[3] == 2 ? 0 : 1;
    bool zero = *count == 0;
    for (unsigned i = 0; i < rank; i++) {
        uint64_t n = ngi_h5_u64(s.p + head + (size_t)i * 8);
        zero = zero || n == 0;
        if (n > MAX_COUNT || (n > 0 && *count > MAX_COUNT / n))
            return ngi_fail(err, NG_E_LIMIT, "%s: an HDF5 dataspace of more than %llu numbers", c->where,
                            (unsigned long long)MAX_COUNT);
        *count *= n > 0 ? n : 1;
        uint64_t most = flags ? ngi_h5_u64(s.p + head + (rank + (size_t)i) * 8) : n;
        if (most < n)
            return ngi_h5_damaged(c, at, "the limits of a dataspace", err);
    }
    if (zero)
        *count = 0;
    return NG_OK;
}

/* ---- Datatypes --------------------------------------------------------------------------------- */

static bool integer_fits(const uint8_t *p, uint32_t size)
{
    unsigned offset = ngi_h5_u16(p), precision = ngi_h5_u16(p + 2);
    return (size == 1 || size == 2 || size == 4 || size == 8) && precision > 0 &&
           offset + precision <= 8 * size;
}

/* Little or big endian with the sign, exponent and mantissa apart, within the precision. */
static bool float_fits(const uint8_t *p, const uint8_t *bits, uint32_t size)
{
    unsigned offset = ngi_h5_u16(p), precision = ngi_h5_u16(p + 2);
    unsigned exponent = p[4], exponent_size = p[5], mantissa = p[6], mantissa_size = p[7], sign = bits[1];
    bool sizes = (size == 2 || size == 4 || size == 8) && offset == 0 && precision == 8 * size;
    bool order = (bits[0] & 0x40) == 0 && (bits[0] >> 4 & 3) <= 2;
    return sizes && order && sign == precision - 1 && mantissa == 0 && mantissa_size > 0 &&
           exponent == mantissa_size && exponent_size > 0 && exponent + exponent_size == sign;
}

static ng_status check_type(const ngi_h5_checker *c, uint64_t at, span s, int depth, type_facts *out,
                            ng_error *err);

/* An enumeration (h5py's booleans): a base type, names, values. */
static ng_status check_enumeration(const ngi_h5_checker *c, uint64_t at, span s, unsigned version, int depth,
                                   type_facts *out, ng_error *err)
{
    unsigned members = ngi_h5_u16(s.p + 1);
    type_facts base;
    NGI_TRY(check_type(c, at, (span){s.p + 8, s.size - 8}, depth + 1, &base, err));
    size_t used = 8 + base.used;
    if ((s.p[8] & 15) != 0 || base.size != out->size || members == 0)
        return ngi_h5_damaged(c, at, "an enumeration", err);
    for (unsigned i = 0; i < members; i++) {
        const uint8_t *end = memchr(s.p + used, '\0', s.size - used);
        if (!end)
            return ngi_h5_damaged(c, at, "a name of an enumeration", err);
        size_t n = (size_t)(end - (s.p + used)) + 1;
        n = version < 3 ? (n + 7) / 8 * 8 : n;
        if (n > s.size - used)
            return ngi_h5_damaged(c, at, "a name of an enumeration", err);
        used += n;
    }
    if ((size_t)members * base.size > s.size - used)
        return ngi_h5_damaged(c, at, "the values of an enumeration", err);
    out->used = used + (size_t)members * base.size;
    return NG_OK;
}

static ng_status check_type(const ngi_h5_checker *c, uint64_t at, span s, int depth, type_facts *out,
                            ng_error *err)
{
    if (s.size < 8 || depth > 1)
        return ngi_h5_damaged(c, at, "a datatype", err);
    unsigned kind = s.p[0] & 15, version = s.p[0] >> 4;
    const uint8_t *bits = s.p + 1;
    *out = (type_facts){.size = ngi_h5_u32(s.p + 4), .used = 8};
    if (version < 1 || version > 3 || out->size == 0 || out->size > MAX_ELEMENT)
        return ngi_h5_damaged(c, at, "a datatype", err);
    bool good = false;
    if (kind == 0) { /* integers */
        out->used = 12;
        good = s.size >= 12 && (bits[0] & 0xf0) == 0 && bits[1] == 0 && bits[2] == 0 &&
               integer_fits(s.p + 8, out->size);
    } else if (kind == 1) { /* floats */
        out->used = 20;
        good = s.size >= 20 && bits[2] == 0 && float_fits(s.p + 8, bits, out->size);
    } else if (kind == 3) { /* texts of fixed length */
        good = (bits[0] & 15) <= 2 && (bits[0] >> 4) <= 1 && bits[1] == 0 && bits[2] == 0;
    } else if (kind == 5) { /* opaque */
        out->used = 8 + (size_t)bits[0];
        good = bits[0] % 8 == 0 && out->used <= s.size && bits[1] == 0 && bits[2] == 0;
    } else if (kind == 8) {
        return bits[2] == 0 ? check_enumeration(c, at, s, version, depth, out, err)
                            : ngi_h5_damaged(c, at, "an enumeration", err);
    } else if (kind == 9) { /* texts of variable length */
        type_facts base;
        NGI_TRY(check_type(c, at, (span){s.p + 8, s.size - 8}, depth + 1, &base, err));
        good = (bits[0] & 15) == 1 && (bits[0] >> 4) <= 2 && bits[1] <= 1 && bits[2] == 0 &&
               out->size == VARIABLE_SIZE && base.size == 1 && ((s.p[8] & 15) == 0 || (s.p[8] & 15) == 3);
        out->variable = true;
        out->used = 8 + base.used;
    }
    return good ? NG_OK
                : ngi_h5_damaged(c, at, "a datatype that is damaged or of a kind that Keras does not write",
                                 err);
}

/* ---- Global heaps ------------------------------------------------------------------------------ */

/* Notes the objects of a collection [size] in c->heap.sizes. */
static ng_status index_collection(ngi_h5_checker *c, uint64_t address, const uint8_t *p, size_t size,
                                  ng_error *err)
{
    for (size_t i = 0; i < 65536; i++)
        c->heap.sizes[i] = NGI_H5_UNDEFINED;
    for (size_t at = 16; size - at >= 16;) {
        unsigned index = ngi_h5_u16(p + at);
        uint64_t bytes = ngi_h5_u64(p + at + 8), whole = index == 0 ? bytes : 16 + (bytes + 7) / 8 * 8;
        if (bytes > size || whole < 16 || whole > size - at)
            return ngi_h5_damaged(c, address + at, "an object in a heap", err);
        if (index == 0) {
            if (whole != size - at)
                return ngi_h5_damaged(c, address + at, "the free space of a heap", err);
            return NG_OK;
        }
        if (c->heap.sizes[index] != NGI_H5_UNDEFINED)
            return ngi_h5_damaged(c, address + at, "two objects of one number in a heap", err);
        c->heap.sizes[index] = bytes;
        at += (size_t)whole;
    }
    return NG_OK;
}

static ng_status load_collection(ngi_h5_checker *c, uint64_t address, ng_error *err)
{
    uint8_t head[16];
    bool first;
    if (c->heap.address == address)
        return NG_OK;
    if (!c->heap.sizes && !(c->heap.sizes = ngi_alloc(65536, sizeof *c->heap.sizes)))
        return ngi_fail_memory(err, 65536 * sizeof *c->heap.sizes);
    c->heap.address = NGI_H5_UNDEFINED;
    NGI_TRY(ngi_h5_take(c, address, head, sizeof head, err));
    uint64_t size = ngi_h5_u64(head + 8);
    if (memcmp(head, "GCOL", 4) != 0 || head[4] != 1 || size < 4096 || size > c->end || size % 8 != 0)
        return ngi_h5_damaged(c, address, "no heap where a text should be", err);
    NGI_TRY(ngi_h5_first_visit(c, address, &first, err));
    if (first)
        NGI_TRY(ngi_h5_own(c, address, size, err));
    uint8_t *p = ngi_alloc((size_t)size, 1);
    if (!p)
        return ngi_fail_memory(err, (size_t)size);
    ng_status status = ngi_h5_take(c, address, p, (size_t)size, err);
    if (status == NG_OK)
        status = index_collection(c, address, p, (size_t)size, err);
    ngi_free(p);
    if (status == NG_OK)
        c->heap.address = address;
    return status;
}

/* One text of variable length: what its attribute says must be what the heap holds. */
static ng_status check_text(ngi_h5_checker *c, uint64_t at, const uint8_t *p, ng_error *err)
{
    uint32_t length = ngi_h5_u32(p), index = ngi_h5_u32(p + 12);
    uint64_t address = ngi_h5_u64(p + 4);
    if (length == 0 && (address == 0 || address == NGI_H5_UNDEFINED))
        return NG_OK;
    NGI_TRY(load_collection(c, address, err));
    if (index == 0 || index > 65535 || c->heap.sizes[index] != length)
        return ngi_h5_damaged(c, at, "a text's place in its heap", err);
    return NG_OK;
}

/* ---- Attributes -------------------------------------------------------------------------------- */

/* Takes `size` bytes off the front, padded to eight in version 1. */
static bool cut(span *rest, size_t size, unsigned version, span *out)
{
    size_t padded = version == 1 ? (size + 7) / 8 * 8 : size;
    if (padded > rest->size)
        return false;
    *out = (span){rest->p, size};
    *rest = (span){rest->p + padded, rest->size - padded};
    return true;
}

static ng_status check_attribute(ngi_h5_checker *c, uint64_t at, span s, ng_error *err)
{
    unsigned version = s.size >= 16 ? s.p[0] : 0;
    if (version < 1 || version > 3 || s.p[1] != 0)
        return ngi_h5_damaged(c, at, "an attribute", err);
    size_t head = version == 3 ? 9 : 8;
    span rest = {s.p + head, s.size - head}, name, type, space;
    if (!cut(&rest, ngi_h5_u16(s.p + 2), version, &name) ||
        !cut(&rest, ngi_h5_u16(s.p + 4), version, &type) || !cut(&rest, ngi_h5_u16(s.p + 6), version, &space))
        return ngi_h5_damaged(c, at, "the parts of an attribute", err);
    if (name.size == 0 || !memchr(name.p, '\0', name.size) || (version == 3 && s.p[8] > 1))
        return ngi_h5_damaged(c, at, "an attribute's name", err);
    type_facts facts;
    uint64_t count;
    NGI_TRY(check_type(c, at, type, 0, &facts, err));
    NGI_TRY(check_space(c, at, space, &count, err));
    if (count > rest.size / facts.size)
        return ngi_h5_damaged(c, at, "an attribute is longer than its message", err);
    for (uint64_t i = 0; facts.variable && i < count; i++)
        NGI_TRY(check_text(c, at, rest.p + i * VARIABLE_SIZE, err));
    return NG_OK;
}

/* ---- Datasets ---------------------------------------------------------------------------------- */

static ng_status check_fill(const ngi_h5_checker *c, uint64_t at, unsigned type, span s, ng_error *err)
{
    size_t head = type == 4 ? 4 : 8; /* the old message has the size alone */
    bool good;
    if (type == 4)
        good = s.size >= 4 && ngi_h5_u32(s.p) <= s.size - 4;
    else {
        unsigned version = s.size >= 4 ? s.p[0] : 0;
        bool times = s.size >= 4 && s.p[1] >= 1 && s.p[1] <= 3 && s.p[2] <= 2 && s.p[3] <= 1;
        bool sized = version == 1 || (version == 2 && times && s.p[3] == 1);
        good = (version == 1 || version == 2) && times &&
               (!sized || (s.size >= head &&
                           (ngi_h5_u32(s.p + 4) == UINT32_MAX || ngi_h5_u32(s.p + 4) <= s.size - head)));
    }
    return good ? NG_OK : ngi_h5_damaged(c, at, "a fill value", err);
}

static ng_status check_layout(const ngi_h5_checker *c, uint64_t at, span s, ngi_h5_object_facts *f,
                              ng_error *err)
{
    if (s.size < 8 || s.p[0] != 3)
        return ngi_h5_damaged(c, at, "a dataset's layout", err);
    if (s.p[1] == 2)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: datasets stored in pieces or compressed, which Keras does not write, are "
                        "not read. Rewrite the file: h5repack -l CONTI -f NONE OLD NEW",
                        c->where);
    f->compact = s.p[1] == 0;
    if (s.p[1] > 1 || s.size < (f->compact ? 4u : 18u))
        return ngi_h5_damaged(c, at, "a dataset's layout", err);
    f->bytes = f->compact ? ngi_h5_u16(s.p + 2) : ngi_h5_u64(s.p + 10);
    f->data = f->compact ? NGI_H5_UNDEFINED : ngi_h5_u64(s.p + 2);
    if (f->compact && f->bytes > s.size - 4)
        return ngi_h5_damaged(c, at, "a compact dataset", err);
    return NG_OK;
}

/* Marks a message of which an object has one. */
static ng_status once(const ngi_h5_checker *c, uint64_t at, bool *seen, ng_error *err)
{
    if (*seen)
        return ngi_h5_damaged(c, at, "a message that stands twice", err);
    *seen = true;
    return NG_OK;
}

ng_status ngi_h5_check_message(ngi_h5_checker *c, uint64_t at, unsigned type, const uint8_t *p, size_t size,
                               ngi_h5_object_facts *f, ng_error *err)
{
    span s = {p, size};
    type_facts element;
    switch (type) {
    case 0x00: /* nothing */
        return NG_OK;
    case 0x01:
        NGI_TRY(once(c, at, &f->has_space, err));
        return check_space(c, at, s, &f->count, err);
    case 0x03:
        NGI_TRY(once(c, at, &f->has_type, err));
        NGI_TRY(check_type(c, at, s, 0, &element, err));
        f->element = element.size;
        f->variable = element.variable;
        return NG_OK;
    case 0x04:
    case 0x05:
        return check_fill(c, at, type, s, err);
    case 0x08:
        NGI_TRY(once(c, at, &f->has_layout, err));
        return check_layout(c, at, s, f, err);
    case 0x0c:
        return check_attribute(c, at, s, err);
    case 0x11:
        NGI_TRY(once(c, at, &f->is_group, err));
        if (size < 16)
            return ngi_h5_damaged(c, at, "a group's addresses", err);
        f->tree = ngi_h5_u64(p);
        f->heap = ngi_h5_u64(p + 8);
        return NG_OK;
    case 0x12: /* time of change */
        return size >= 8 && p[0] == 1 ? NG_OK : ngi_h5_damaged(c, at, "a time stamp", err);
    default:
        return ngi_fail(
            err, NG_E_UNSUPPORTED,
            "%s: an HDF5 object header at byte %llu has a message of type 0x%02x, which "
            "Keras does not write: the file is damaged, or of a newer kind (rewrite it: h5repack -l CONTI "
            "-f NONE OLD NEW)",
            c->where, (unsigned long long)at, type);
    }
}
