/* The range of every convolution's input over some images, which 8-bit kernels divide into their levels. */
#ifndef NGI_EXEC_CALIBRATE_H
#define NGI_EXEC_CALIBRATE_H

#include "exec/exec.h"

typedef struct ngi_calibration ngi_calibration;

/* For runs from the graph's input to `root`. */
NG_NODISCARD ng_status ngi_calibration_create(const ngi_graph *g, int root, ngi_calibration **out,
                                              ng_error *err);
void ngi_calibration_free(ngi_calibration *c);
/* Runs an image [h,w,c] and widens the ranges by what it meets. */
NG_NODISCARD ng_status ngi_calibration_add(ngi_calibration *c, const float *image, ng_error *err);
/* [n_nodes]; 0, 0 where a node feeds no convolution or nothing was added yet. */
const ngi_span *ngi_calibration_ranges(const ngi_calibration *c);

#endif
