/* A non-negative table as a product of two: a [cells,channels] = w [cells,k] h [k,channels]. */
#ifndef NGI_NMF_H
#define NGI_NMF_H

#include "tensor/tensor.h"

enum { NGI_NMF_MOST = 32 }; /* factors */

typedef struct ngi_nmf {
    const double *a; /* [cells,channels], not negative */
    double *w, *h;   /* [cells,k], [k,channels] */
    double *square;  /* [k,k] */
    double *ratio;   /* [k * (cells or channels)] */
    int64_t cells, channels;
    int k;
} ngi_nmf;

size_t ngi_nmf_room(int64_t cells, int64_t channels, int k); /* numbers that ngi_nmf_place wants */
void ngi_nmf_place(ngi_nmf *f, double *room);
/* Random factors of the table's size, from the seed. */
void ngi_nmf_begin(ngi_nmf *f, uint64_t seed);
void ngi_nmf_step(ngi_nmf *f); /* h, then w */
/* w [cells,k]: the non-negative least squares fit of the positive part of a by h, row by row. */
void ngi_nmf_encode(const float *a, int64_t cells, int64_t channels, const double *h, int k, double *w);

#endif
