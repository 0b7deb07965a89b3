/* How pixels 0..255 become a network's input: keras.applications.imagenet_utils.preprocess_input's modes
 * "tf", "torch" and "caffe", plus "unit" (x/255) and "raw" (the pixels), and how the mode is found out. */
#ifndef NGI_NN_PREPROCESS_H
#define NGI_NN_PREPROCESS_H

#include "nn/graph.h"

typedef enum ngi_preprocess {
    NGI_PREPROCESS_TF,    /* x / 127.5 - 1 */
    NGI_PREPROCESS_TORCH, /* (x / 255 - mean) / std per channel */
    NGI_PREPROCESS_CAFFE, /* BGR, minus the ImageNet mean per channel */
    NGI_PREPROCESS_UNIT,  /* x / 255 */
    NGI_PREPROCESS_RAW,
    NGI_PREPROCESS_COUNT
} ngi_preprocess;

const char *ngi_preprocess_name(ngi_preprocess mode);
NG_NODISCARD ng_status ngi_preprocess_find(const char *name, ngi_preprocess *out, ng_error *err);
/* pixels [count,channels] to out [count,channels], in float32 as Keras computes it. torch and caffe need
 * three channels. */
NG_NODISCARD ng_status ngi_preprocess_apply(ngi_preprocess mode, const uint8_t *pixels, int64_t count,
                                            int channels, float *out, ng_error *err);
/* The same of float pixels 0..255, in place. */
NG_NODISCARD ng_status ngi_preprocess_floats(ngi_preprocess mode, float *pixels, int64_t count, int channels,
                                             ng_error *err);
/* The mode that keras.applications documents for an architecture name ("inception_v3", "ResNet50"). */
bool ngi_preprocess_of_architecture(const char *name, ngi_preprocess *out);
/* Whether the graph begins with arithmetic of its own (Rescaling, Normalization, x / 127.5). */
bool ngi_graph_has_preprocessing(const ngi_graph *g);
/* Range that the first layer with a kernel sees for pixels 0..255 under `mode`. */
void ngi_preprocess_range(const ngi_graph *g, ngi_preprocess mode, float *low, float *high);

#endif
