/* Object headers of the structure check: blocks of messages, and what a group or a dataset must have. */
#include "format/h5_check.h"

#include <string.h>

#define MAX_HEADER_BYTES  (1u << 24) /* one object's header, all its blocks */
#define MAX_HEADER_BLOCKS 256

/* Blocks of messages still to be read. */
typedef struct header {
    ngi_h5_extent blocks[MAX_HEADER_BLOCKS];
    int n_blocks;
    unsigned messages; /* so far */
    uint64_t bytes;
} header;

static ng_status check_message(ngi_h5_checker *c, header *h, uint64_t at, const uint8_t *p, size_t size,
                               ngi_h5_object_facts *facts, ng_error *err)
{
    unsigned type = ngi_h5_u16(p), flags = p[4];
    h->messages++;
    if (flags & ~5u) /* 1: constant, 4: not to be shared */
        return flags & 2 ? ngi_h5_newer(c, "shared datatypes", err)
                         : ngi_h5_damaged(c, at, "a message's flags", err);
    if (type != 0x10)
        return ngi_h5_check_message(c, at, type, p + 8, size, facts, err);
    if (size < 16 || ngi_h5_u64(p + 16) < 8)
        return ngi_h5_damaged(c, at, "a header's continuation", err);
    if (h->n_blocks == MAX_HEADER_BLOCKS)
        return ngi_fail(err, NG_E_LIMIT, "%s: an HDF5 object header in more than %d pieces", c->where,
                        MAX_HEADER_BLOCKS);
    h->blocks[h->n_blocks++] = (ngi_h5_extent){ngi_h5_u64(p + 8), ngi_h5_u64(p + 16)};
    return NG_OK;
}

static ng_status check_block(ngi_h5_checker *c, header *h, ngi_h5_extent block, ngi_h5_object_facts *facts,
                             ng_error *err)
{
    h->bytes += block.size;
    if (block.size > MAX_HEADER_BYTES || h->bytes > MAX_HEADER_BYTES || block.size % 8 != 0)
        return ngi_h5_damaged(c, block.start, "the size of an object header", err);
    uint8_t *p = ngi_alloc((size_t)block.size, 1);
    if (!p)
        return ngi_fail_memory(err, (size_t)block.size);
    ng_status status = ngi_h5_take(c, block.start, p, (size_t)block.size, err);
    for (size_t at = 0; status == NG_OK && at < block.size;) {
        size_t left = (size_t)block.size - at, size = left >= 8 ? ngi_h5_u16(p + at + 2) : 0;
        if (left < 8 || size > left - 8 || size % 8 != 0)
            status = ngi_h5_damaged(c, block.start + at, "the size of a message", err);
        else
            status = check_message(c, h, block.start + at, p + at, size, facts, err);
        at += 8 + size;
    }
    ngi_free(p);
    return status;
}

static ng_status check_dataset(ngi_h5_checker *c, uint64_t at, const ngi_h5_object_facts *f, ng_error *err)
{
    if (!f->has_space || !f->has_type || !f->has_layout)
        return ngi_h5_damaged(c, at, "an object that is neither a group nor a dataset", err);
    uint64_t bytes = f->count * f->element; /* both are limited by their messages' checks */
    if (f->variable && bytes > 0)
        return ngi_h5_newer(c, "datasets of variable length", err);
    if (!f->compact && f->data == NGI_H5_UNDEFINED && bytes > 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: a dataset claims %llu bytes, none of which are in the file",
                        c->where, (unsigned long long)bytes);
    if (f->bytes != bytes)
        return ngi_fail(err, NG_E_FORMAT,
                        "%s: a dataset at byte %llu claims %llu bytes, the file holds %llu of them", c->where,
                        (unsigned long long)at, (unsigned long long)bytes, (unsigned long long)f->bytes);
    return f->compact || f->data == NGI_H5_UNDEFINED ? NG_OK : ngi_h5_own(c, f->data, bytes, err);
}

ng_status ngi_h5_check_object(ngi_h5_checker *c, uint64_t address, int depth, ngi_h5_object_facts *facts,
                              ng_error *err)
{
    uint8_t p[16];
    *facts = (ngi_h5_object_facts){.data = NGI_H5_UNDEFINED};
    if (depth > NGI_H5_MAX_DEPTH)
        return ngi_fail(err, NG_E_LIMIT, "%s: HDF5 groups are nested more than %d deep", c->where,
                        NGI_H5_MAX_DEPTH);
    NGI_TRY(ngi_h5_take(c, address, p, sizeof p, err));
    if (memcmp(p, "OHDR", 4) == 0)
        return ngi_h5_newer(c, "object headers of version 2", err);
    if (p[0] != 1 || p[1] != 0)
        return ngi_h5_damaged(c, address, "no object header where one should be", err);
    header *h = ngi_alloc(1, sizeof *h);
    if (!h)
        return ngi_fail_memory(err, sizeof *h);
    h->n_blocks = 1;
    h->messages = 0;
    h->bytes = 0;
    h->blocks[0] = (ngi_h5_extent){address + 16, ngi_h5_u32(p + 8)};
    ng_status status = ngi_h5_own(c, address, 16, err);
    for (int i = 0; i < h->n_blocks && status == NG_OK; i++) {
        status = ngi_h5_own(c, h->blocks[i].start, h->blocks[i].size, err);
        if (status == NG_OK)
            status = check_block(c, h, h->blocks[i], facts, err);
    }
    if (status == NG_OK && h->messages != ngi_h5_u16(p + 2))
        status = ngi_h5_damaged(c, address, "the number of messages in an object header", err);
    ngi_free(h);
    if (status != NG_OK)
        return status;
    if (facts->is_group && (facts->has_space || facts->has_type || facts->has_layout))
        return ngi_h5_damaged(c, address, "an object that is both a group and a dataset", err);
    return facts->is_group ? ngi_h5_check_group(c, facts, depth, err) : check_dataset(c, address, facts, err);
}
