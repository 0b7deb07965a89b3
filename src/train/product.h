/* Products of small matrices for the head, in an order of summing that no thread, machine or batch changes. All matrices are by
 * rows; widths are multiples of NGI_PRODUCT_LANES, with zeros behind what there is. */
#ifndef NGI_TRAIN_PRODUCT_H
#define NGI_TRAIN_PRODUCT_H

#include <stddef.h>

#define NGI_PRODUCT_LANES 8

static inline int ngi_product_width(int n)
{
    return (n + NGI_PRODUCT_LANES - 1) / NGI_PRODUCT_LANES * NGI_PRODUCT_LANES;
}

/* from [rows,n] -> to [rows,width of n]. */
void ngi_product_widen(const float *from, int rows, int n, float *to);

/* c [rows,width] = sum over i below n, ascending, of a(r,i) b[i], where a(r,i) is a[r * row + i * step]. */
typedef struct ngi_product {
    const float *a, *b; /* b [n,width] */
    size_t row, step;
    int rows, n, width;
} ngi_product;

void ngi_product_sums(const ngi_product *p, float *c);
/* c [n,rows]: the scalar products of a [n,width] with b [rows,width]. */
void ngi_product_dots(const float *a, const float *b, int n, int rows, int width, float *c);

#endif
