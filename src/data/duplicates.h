/* Images of a data set that are nearly the same: a copy in another split makes its figures a lie. A difference hash of 64
 * bits (dHash, as the Python package imagehash has it) finds candidates, grey pictures of 16x16 confirm them. */
#ifndef NGI_DATA_DUPLICATES_H
#define NGI_DATA_DUPLICATES_H

#include "data/data.h"

typedef struct ngi_fingerprint {
    uint64_t
        hash; /* row by row from the highest bit: a pixel of the 9x8 picture is darker than its right one */
    uint8_t grey[256]; /* [16,16] */
    bool readable;
} ngi_fingerprint;

NG_NODISCARD ng_status ngi_fingerprint_image(const ng_image *image, ngi_fingerprint *out, ng_error *err);

#define NGI_DUPLICATE_BITS        6    /* at most so many of the hash differ; the search finds all up to 7 */
#define NGI_DUPLICATE_CORRELATION 0.97 /* of the grey pictures, at least */

typedef struct ngi_duplicate {
    int64_t first, second; /* items, first < second */
    int bits;
    double correlation;
} ngi_duplicate;

typedef struct ngi_duplicates {
    ngi_duplicate *pairs; /* [n] by second, then first */
    int64_t n;
    int64_t unreadable;
    size_t capacity;
} ngi_duplicates;

/* For every image its best match among the earlier ones of each split, so that a picture that is there a thousand times
 * gives a few thousand pairs and costs no more than a thousand pictures. Candidates come from an index of the hash's four 16-bit parts: of 7 differing bits at most
 * one lies in some part. fingerprints [d->n_items]. */
NG_NODISCARD ng_status ngi_duplicates_search(const ngi_dataset *d, const ngi_fingerprint *fingerprints,
                                             ngi_duplicates *out, ng_error *err);
/* Reads all images on `threads` threads, then searches; unreadable ones are counted. progress (may be NULL) is called
 * by one thread at a time; not 0 gives up: NG_E_CANCELLED. */
NG_NODISCARD ng_status ngi_duplicates_find(const ngi_dataset *d, int threads,
                                           int (*progress)(void *user, int64_t done, int64_t total),
                                           void *user, ngi_duplicates *out, ng_error *err);
void ngi_duplicates_clear(ngi_duplicates *d);

#endif
