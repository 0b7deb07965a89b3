/* What an image is compared with, by the methods that need an input in which nothing is to be seen. */
#ifndef NGI_BASELINE_H
#define NGI_BASELINE_H

#include "attr/attr.h"

#define NGI_BASELINE_CHOICES "black|white|grey|mean|blur|zero|given"
typedef enum ngi_baseline {
    NGI_BASELINE_BLACK,
    NGI_BASELINE_WHITE,
    NGI_BASELINE_GREY,  /* half way from black to white */
    NGI_BASELINE_MEAN,  /* the image's own mean colour */
    NGI_BASELINE_BLUR,  /* the image, blurred: Gaussian, edges repeated */
    NGI_BASELINE_ZERO,  /* zeros at the network's input, whatever colour that is */
    NGI_BASELINE_GIVEN, /* the caller's: a data set's mean, say */
} ngi_baseline;

/* out [h,w,c] of the job's image; blur: standard deviation in pixels, for NGI_BASELINE_BLUR. */
NG_NODISCARD ng_status ngi_baseline_make(const ngi_attr_job *job, ngi_baseline kind, double blur, float *out,
                                         ng_error *err);

#endif
