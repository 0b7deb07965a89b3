/* The integral of the gradient on the straight way from a baseline to the image. */
#ifndef NGI_INTEGRAL_H
#define NGI_INTEGRAL_H

#include "attr/attr.h"

#define NGI_RULE_CHOICES "gausslegendre|trapezoid|riemann"
typedef enum ngi_rule {
    NGI_RULE_LEGENDRE,
    NGI_RULE_TRAPEZOID,
    NGI_RULE_RIEMANN, /* the mean over both ends and what lies evenly between: the saliency package's */
} ngi_rule;

typedef struct ngi_integral {
    int gradients;      /* that time sufficed for; all, mostly */
    double sum;         /* of the values */
    double first, last; /* scores of the baseline and of the image */
    double norm;        /* of the mean gradient */
} ngi_integral;

/* values [h,w,c] = (image - from) times the mean gradient. */
NG_NODISCARD ng_status ngi_integrate(const ngi_attr_job *job, const float *from, int steps, ngi_rule rule,
                                     double *values, ngi_integral *out, ng_error *err);

#endif
