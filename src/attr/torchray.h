/* Extremal perturbation as its authors' TorchRay has it (Fong et al., 2019; torchray 1.0): see torchray.c. */
#ifndef NGI_TORCHRAY_H
#define NGI_TORCHRAY_H

#include "attr/attr.h"

/* Fills signed_data with the mask of `area` that preserves the score best, after so many iterations or the job's time; the
 * note says what it reached. */
NG_NODISCARD ng_status ngi_torchray(const ngi_attr_job *job, double area, int iterations, ng_map *map,
                                    ng_error *err);

#endif
