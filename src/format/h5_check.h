/* State of the structure check, shared by h5_check.c (superblock, groups), h5_check_object.c (object headers)
 * and h5_check_message.c. */
#ifndef NGI_FORMAT_H5_CHECK_H
#define NGI_FORMAT_H5_CHECK_H

#include "format/h5.h"

#define NGI_H5_UNDEFINED UINT64_MAX /* the address of nothing */
#define NGI_H5_MAX_DEPTH 64         /* groups in groups */

/* A stretch of the file that one structure owns. */
typedef struct ngi_h5_extent {
    uint64_t start, size;
} ngi_h5_extent;

/* The global heap collection looked at last: where its objects are. */
typedef struct ngi_h5_heap {
    uint64_t address;
    uint64_t *sizes; /* [65536] of the object with each index; NGI_H5_UNDEFINED: there is none */
} ngi_h5_heap;

typedef struct ngi_h5_checker {
    const char *where;
    const ngi_h5_bytes *file;
    uint64_t end;    /* address past the last byte */
    uint64_t budget; /* bytes that may still be read, so that no file keeps us busy */
    unsigned leaf_k, internal_k;
    ngi_h5_extent *extents;
    size_t n_extents, extent_capacity;
    uint64_t *visited; /* hash set of addresses */
    size_t n_visited, visited_capacity;
    ngi_h5_heap heap;
} ngi_h5_checker;

uint16_t ngi_h5_u16(const uint8_t *p);
uint32_t ngi_h5_u32(const uint8_t *p);
uint64_t ngi_h5_u64(const uint8_t *p);

/* "FILE: the HDF5 structure is damaged at byte N: WHAT". */
ng_status ngi_h5_damaged(const ngi_h5_checker *c, uint64_t at, const char *what, ng_error *err);
/* A feature of HDF5 that Keras's files do not have: refused with the command that rewrites the file. */
ng_status ngi_h5_newer(const ngi_h5_checker *c, const char *what, ng_error *err);
#ifdef __clang_analyzer__ /* as in base.h */
#define ngi_h5_damaged(c, at, what, err) ((void)ngi_h5_damaged(c, at, what, err), NG_E_FORMAT)
#define ngi_h5_newer(c, what, err)       ((void)ngi_h5_newer(c, what, err), NG_E_UNSUPPORTED)
#endif
/* Reads within the file and the budget. */
ng_status ngi_h5_take(ngi_h5_checker *c, uint64_t address, void *bytes, size_t size, ng_error *err);
/* Notes that a structure owns a stretch; overlaps are found at the end. */
ng_status ngi_h5_own(ngi_h5_checker *c, uint64_t address, uint64_t size, ng_error *err);
/* Whether an address is met for the first time. */
ng_status ngi_h5_first_visit(ngi_h5_checker *c, uint64_t address, bool *first, ng_error *err);

/* What the messages of one object header say. */
typedef struct ngi_h5_object_facts {
    bool is_group, has_space, has_type, has_layout;
    uint64_t tree, heap;  /* of a group */
    uint64_t count;       /* of a dataset: elements */
    uint32_t element;     /*   bytes of one */
    bool variable;        /*   of variable length */
    uint64_t data, bytes; /*   address (NGI_H5_UNDEFINED: compact or none) and size */
    bool compact;
} ngi_h5_object_facts;

/* Checks the object at an address, and for a group everything in it. */
ng_status ngi_h5_check_object(ngi_h5_checker *c, uint64_t address, int depth, ngi_h5_object_facts *facts,
                              ng_error *err);
/* A group's names and members. */
ng_status ngi_h5_check_group(ngi_h5_checker *c, const ngi_h5_object_facts *facts, int depth, ng_error *err);
/* Checks one message and notes what it says; `at` is its address, for errors. */
ng_status ngi_h5_check_message(ngi_h5_checker *c, uint64_t at, unsigned type, const uint8_t *p, size_t size,
                               ngi_h5_object_facts *facts, ng_error *err);

#endif
