/* The leading principal component of a tall table, for the methods of the Eigen-CAM kind. */
#ifndef NGI_PRINCIPAL_H
#define NGI_PRINCIPAL_H

#include "tensor/tensor.h"

/* projection [rows] of the column-centred x [rows,columns] on its first right singular vector. The vector's sign, which
 * is arbitrary, is chosen so that the largest projection is not smaller than the least is below zero. */
NG_NODISCARD ng_status ngi_principal_projection(const double *x, int64_t rows, int64_t columns,
                                                double *projection, ng_error *err);
/* Kernel principal component analysis (Schoelkopf et al. 1998) with the kernel k [rows,rows], which is centred in
 * place: projection = sqrt(lambda) v of the leading eigenvector. The same sign. */
NG_NODISCARD ng_status ngi_principal_kernel(double *k, int64_t rows, double *projection, ng_error *err);

#endif
