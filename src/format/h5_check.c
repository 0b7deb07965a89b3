/* Checks the structure of an HDF5 file before the HDF5 library reads it, because release 1.10 follows
 * damaged addresses and lengths into memory that is not its own. Every structure is visited: superblock,
 * object headers, group trees and heaps, attributes, dataset layouts. Each must lie within the file, hold
 * only values that its format allows, and share no byte with another.
 *
 * Read is what h5py writes by default (HDF5 File Format Specification 3.0, superblock version 0, object
 * headers version 1, symbol table groups, contiguous or compact datasets), as all Keras files are. Anything
 * else is refused with the command that rewrites it. */
#include "format/h5_check.h"

#include <stdlib.h>
#include <string.h>

#define MAX_OBJECTS     1000000
#define SUPERBLOCK_SIZE 96
#define ENTRY_SIZE      40

uint16_t ngi_h5_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t ngi_h5_u32(const uint8_t *p)
{
    return (uint32_t)ngi_h5_u16(p) | (uint32_t)ngi_h5_u16(p + 2) << 16;
}

uint64_t ngi_h5_u64(const uint8_t *p)
{
    return (uint64_t)ngi_h5_u32(p) | (uint64_t)ngi_h5_u32(p + 4) << 32;
}

ng_status(ngi_h5_damaged)(const ngi_h5_checker *c, uint64_t at, const char *what, ng_error *err)
{
    return ngi_fail(err, NG_E_FORMAT, "%s: the HDF5 structure is damaged at byte %llu: %s", c->where,
                    (unsigned long long)at, what);
}

ng_status(ngi_h5_newer)(const ngi_h5_checker *c, const char *what, ng_error *err)
{
    return ngi_fail(err, NG_E_UNSUPPORTED,
                    "%s: an HDF5 file with %s, which Keras does not write and which is not read. "
                    "Rewrite it: h5repack -l CONTI -f NONE OLD NEW",
                    c->where, what);
}

ng_status ngi_h5_take(ngi_h5_checker *c, uint64_t address, void *bytes, size_t size, ng_error *err)
{
    if (address > c->end || size > c->end - address)
        return ngi_h5_damaged(c, address, "an address past the end of the file; it is damaged or truncated",
                              err);
    if (size > c->budget)
        return ngi_fail(err, NG_E_LIMIT, "%s: the HDF5 structure refers to itself over and over", c->where);
    c->budget -= size;
    if (!c->file->read(c->file->self, address, bytes, size))
        return ngi_fail(err, NG_E_IO, "%s: %zu bytes cannot be read at %llu", c->where, size,
                        (unsigned long long)address);
    return NG_OK;
}

ng_status ngi_h5_own(ngi_h5_checker *c, uint64_t address, uint64_t size, ng_error *err)
{
    if (address > c->end || size > c->end - address)
        return ngi_h5_damaged(
            c, address, "a structure reaches past the end of the file; it is damaged or truncated", err);
    if (c->n_extents == c->extent_capacity) {
        size_t capacity = c->extent_capacity ? 2 * c->extent_capacity : 256;
        ngi_h5_extent *grown = ngi_realloc(c->extents, capacity, sizeof *grown);
        if (!grown)
            return ngi_fail_memory(err, capacity * sizeof *grown);
        c->extents = grown;
        c->extent_capacity = capacity;
    }
    c->extents[c->n_extents++] = (ngi_h5_extent){address, size};
    return NG_OK;
}

/* ---- Visited addresses ------------------------------------------------------------------------- */

/* The slot of an address in a table of a power of two slots; 0 marks a free one (address 0 is the
 * superblock's). */
static size_t slot_of(const uint64_t *table, size_t capacity, uint64_t address)
{
    size_t at = (size_t)(address * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (capacity - 1);
    while (table[at] && table[at] != address)
        at = (at + 1) & (capacity - 1);
    return at;
}

ng_status ngi_h5_first_visit(ngi_h5_checker *c, uint64_t address, bool *first, ng_error *err)
{
    *first = false;
    if (address == 0)
        return ngi_h5_damaged(c, address, "an address of zero", err);
    if (2 * c->n_visited >= c->visited_capacity) {
        size_t capacity = c->visited_capacity ? 2 * c->visited_capacity : 256;
        uint64_t *grown = ngi_alloc_zero(capacity, sizeof *grown);
        if (!grown)
            return ngi_fail_memory(err, capacity * sizeof *grown);
        for (size_t i = 0; i < c->visited_capacity; i++)
            if (c->visited[i])
                grown[slot_of(grown, capacity, c->visited[i])] = c->visited[i];
        ngi_free(c->visited);
        c->visited = grown;
        c->visited_capacity = capacity;
    }
    size_t at = slot_of(c->visited, c->visited_capacity, address);
    *first = c->visited[at] == 0;
    if (*first) {
        c->visited[at] = address;
        c->n_visited++;
    }
    return c->n_visited > MAX_OBJECTS
               ? ngi_fail(err, NG_E_LIMIT, "%s: more than %d HDF5 objects", c->where, MAX_OBJECTS)
               : NG_OK;
}

/* ---- Local heaps: the names of a group's members ------------------------------------------------ */

typedef struct local_heap {
    char *bytes;
    uint64_t size;
} local_heap;

static ng_status check_free_list(const ngi_h5_checker *c, uint64_t at, const local_heap *heap, uint64_t next,
                                 ng_error *err)
{
    for (uint64_t blocks = 0; next != 1; blocks++) { /* 1 ends the list */
        if (heap->size < 16 || next > heap->size - 16 || next % 8 != 0 || blocks > heap->size / 16)
            return ngi_h5_damaged(c, at, "a heap's list of free blocks", err);
        const uint8_t *p = (const uint8_t *)heap->bytes + next;
        uint64_t size = ngi_h5_u64(p + 8);
        if (size < 16 || size > heap->size - next)
            return ngi_h5_damaged(c, at, "a heap's free block", err);
        next = ngi_h5_u64(p);
    }
    return NG_OK;
}

static ng_status load_heap(ngi_h5_checker *c, uint64_t address, local_heap *heap, ng_error *err)
{
    uint8_t p[32];
    NGI_TRY(ngi_h5_take(c, address, p, sizeof p, err));
    NGI_TRY(ngi_h5_own(c, address, sizeof p, err));
    uint64_t size = ngi_h5_u64(p + 8), free_list = ngi_h5_u64(p + 16), data = ngi_h5_u64(p + 24);
    if (memcmp(p, "HEAP", 4) != 0 || p[4] != 0)
        return ngi_h5_damaged(c, address, "no heap where a group's names should be", err);
    if (size == 0 || size > c->end)
        return ngi_h5_damaged(c, address, "a heap's size", err);
    NGI_TRY(ngi_h5_own(c, data, size, err));
    heap->bytes = ngi_alloc((size_t)size, 1);
    heap->size = size;
    if (!heap->bytes)
        return ngi_fail_memory(err, (size_t)size);
    NGI_TRY(ngi_h5_take(c, data, heap->bytes, (size_t)size, err));
    return check_free_list(c, address, heap, free_list, err);
}

/* ---- Groups ------------------------------------------------------------------------------------ */

/* A symbol table entry: a member of a group. */
static ng_status check_entry(ngi_h5_checker *c, uint64_t at, const uint8_t *p, const local_heap *heap,
                             int depth, ng_error *err)
{
    uint64_t name = ngi_h5_u64(p), object = ngi_h5_u64(p + 8);
    uint32_t cache = ngi_h5_u32(p + 16);
    if (heap && (name >= heap->size || !memchr(heap->bytes + name, '\0', (size_t)(heap->size - name))))
        return ngi_h5_damaged(c, at, "a member's name", err);
    if (cache == 2)
        return ngi_h5_newer(c, "soft links", err);
    if (cache > 1)
        return ngi_h5_damaged(c, at, "a member's cache type", err);
    ngi_h5_object_facts facts = {0};
    bool first;
    NGI_TRY(ngi_h5_first_visit(c, object, &first, err));
    if (!first && cache == 0)
        return NG_OK; /* a second hard link */
    if (!first)
        return ngi_h5_newer(c, "several links to one group", err);
    NGI_TRY(ngi_h5_check_object(c, object, depth + 1, &facts, err));
    if (cache == 1 &&
        (!facts.is_group || facts.tree != ngi_h5_u64(p + 24) || facts.heap != ngi_h5_u64(p + 32)))
        return ngi_h5_damaged(c, at, "a member's cached addresses", err);
    return NG_OK;
}

static ng_status check_symbols(ngi_h5_checker *c, uint64_t address, const local_heap *heap, int depth,
                               ng_error *err)
{
    size_t size = 8 + (size_t)2 * c->leaf_k * ENTRY_SIZE;
    NGI_TRY(ngi_h5_own(c, address, size, err));
    uint8_t *p = ngi_alloc(size, 1);
    if (!p)
        return ngi_fail_memory(err, size);
    ng_status status = ngi_h5_take(c, address, p, size, err);
    unsigned count = status == NG_OK ? ngi_h5_u16(p + 6) : 0;
    if (status == NG_OK && (memcmp(p, "SNOD", 4) != 0 || p[4] != 1 || count > 2 * c->leaf_k))
        status = ngi_h5_damaged(c, address, "a group's table of members", err);
    for (unsigned i = 0; i < count && status == NG_OK; i++)
        status =
            check_entry(c, address + 8 + (uint64_t)i * ENTRY_SIZE, p + 8 + i * ENTRY_SIZE, heap, depth, err);
    ngi_free(p);
    return status;
}

/* A walk over a group's tree: the node met last on each level, whose neighbour the next one must be. */
typedef struct tree_walk {
    const local_heap *heap;
    uint64_t last[NGI_H5_MAX_DEPTH], right[NGI_H5_MAX_DEPTH];
    int depth;
} tree_walk;

static ng_status check_node(ngi_h5_checker *c, uint64_t address, int level, tree_walk *walk, ng_error *err);

static ng_status check_node_bytes(ngi_h5_checker *c, uint64_t address, const uint8_t *p, int level,
                                  tree_walk *walk, ng_error *err)
{
    unsigned used = ngi_h5_u16(p + 6);
    if (memcmp(p, "TREE", 4) != 0 || p[4] != 0 || used > 2 * c->internal_k || p[5] >= NGI_H5_MAX_DEPTH ||
        (level >= 0 && p[5] != level))
        return ngi_h5_damaged(c, address, "a node of a group's tree", err);
    level = p[5];
    uint64_t left = ngi_h5_u64(p + 8), last = walk->last[level];
    if (left != last || (last != NGI_H5_UNDEFINED && walk->right[level] != address))
        return ngi_h5_damaged(c, address, "the neighbours of a group's tree node", err);
    walk->last[level] = address;
    walk->right[level] = ngi_h5_u64(p + 16);
    for (unsigned i = 0; i <= used; i++) {
        const uint8_t *key = p + 24 + (size_t)i * 16;
        if (ngi_h5_u64(key) >= walk->heap->size)
            return ngi_h5_damaged(c, address, "a key of a group's tree", err);
        if (i == used)
            break;
        uint64_t child = ngi_h5_u64(key + 8);
        NGI_TRY(level > 0 ? check_node(c, child, level - 1, walk, err)
                          : check_symbols(c, child, walk->heap, walk->depth, err));
    }
    return NG_OK;
}

static ng_status check_node(ngi_h5_checker *c, uint64_t address, int level, tree_walk *walk, ng_error *err)
{
    size_t size = 24 + (size_t)2 * c->internal_k * 16 + 8;
    NGI_TRY(ngi_h5_own(c, address, size, err));
    uint8_t *p = ngi_alloc(size, 1);
    if (!p)
        return ngi_fail_memory(err, size);
    ng_status status = ngi_h5_take(c, address, p, size, err);
    if (status == NG_OK)
        status = check_node_bytes(c, address, p, level, walk, err);
    ngi_free(p);
    return status;
}

ng_status ngi_h5_check_group(ngi_h5_checker *c, const ngi_h5_object_facts *facts, int depth, ng_error *err)
{
    local_heap heap = {0};
    ng_status status = load_heap(c, facts->heap, &heap, err);
    if (status == NG_OK) {
        tree_walk walk = {.heap = &heap, .depth = depth};
        for (int i = 0; i < NGI_H5_MAX_DEPTH; i++)
            walk.last[i] = walk.right[i] = NGI_H5_UNDEFINED;
        status = check_node(c, facts->tree, -1, &walk, err);
        for (int i = 0; i < NGI_H5_MAX_DEPTH && status == NG_OK; i++)
            if (walk.right[i] != NGI_H5_UNDEFINED)
                status =
                    ngi_h5_damaged(c, facts->tree, "the last node of a group's tree has a neighbour", err);
    }
    ngi_free(heap.bytes);
    return status;
}

/* ---- The file ---------------------------------------------------------------------------------- */

static int compare_extents(const void *a, const void *b)
{
    const ngi_h5_extent *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

static ng_status check_overlaps(ngi_h5_checker *c, ng_error *err)
{
    qsort(c->extents, c->n_extents, sizeof *c->extents, compare_extents);
    uint64_t end = 0;
    for (size_t i = 0; i < c->n_extents; i++) {
        const ngi_h5_extent *e = &c->extents[i];
        if (e->size > 0 && e->start < end)
            return ngi_h5_damaged(c, e->start, "two structures overlap", err);
        if (e->start + e->size > end)
            end = e->start + e->size;
    }
    return NG_OK;
}

static ng_status check_superblock(ngi_h5_checker *c, const uint8_t *p, ng_error *err)
{
    if (p[8] >= 1 && p[8] <= 3)
        return ngi_h5_newer(c, "a superblock of a newer version", err);
    c->leaf_k = ngi_h5_u16(p + 16);
    c->internal_k = ngi_h5_u16(p + 18);
    bool versions = p[8] == 0 && p[9] == 0 && p[10] == 0 && p[12] == 0;
    bool plain = ngi_h5_u64(p + 24) == 0 && ngi_h5_u64(p + 32) == NGI_H5_UNDEFINED &&
                 ngi_h5_u64(p + 48) == NGI_H5_UNDEFINED && ngi_h5_u32(p + 20) == 0;
    if (!versions || p[13] != 8 || p[14] != 8 || !plain || c->leaf_k == 0 || c->leaf_k > 1024 ||
        c->internal_k == 0 || c->internal_k > 1024)
        return ngi_h5_damaged(c, 8, "the superblock", err);
    uint64_t end = ngi_h5_u64(p + 40);
    if (end > c->file->size || end < SUPERBLOCK_SIZE)
        return ngi_fail(err, NG_E_FORMAT,
                        "%s: the HDF5 file is truncated: it should have %llu bytes, it has %llu", c->where,
                        (unsigned long long)end, (unsigned long long)c->file->size);
    c->end = end;
    NGI_TRY(ngi_h5_own(c, 0, SUPERBLOCK_SIZE, err));
    return check_entry(c, 56, p + 56, NULL, 0, err);
}

ng_status ngi_h5_check(const char *where, const ngi_h5_bytes *file, ng_error *err)
{
    uint8_t p[SUPERBLOCK_SIZE];
    ngi_h5_checker c = {
        .where = where, .file = file, .end = file->size, .heap = {.address = NGI_H5_UNDEFINED}};
    c.budget = 8 * (file->size < UINT64_MAX / 16 ? file->size : UINT64_MAX / 16) + (1u << 24);
    char first[8] = {0};
    if (file->size < sizeof p || !file->read(file->self, 0, first, sizeof first) ||
        memcmp(first, "\x89HDF\r\n\x1a\n", 8) != 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: not an HDF5 file, or one cut off after %llu bytes", where,
                        (unsigned long long)file->size);
    NGI_TRY(ngi_h5_take(&c, 0, p, sizeof p, err));
    ng_status status = check_superblock(&c, p, err);
    if (status == NG_OK)
        status = check_overlaps(&c, err);
    ngi_free(c.extents);
    ngi_free(c.visited);
    ngi_free(c.heap.sizes);
    return status;
}
