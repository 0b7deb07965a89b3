/* netgaze: where an image classifier looks.
 *
 * The whole public API. Load a Keras model, run it, and explain its predictions with class
 * activation heatmaps. Compiles alone as C99, C17 and C++17.
 *
 * Rules that hold everywhere:
 *  - A function that can fail returns ng_status and takes `ng_error *err` last; err may be NULL.
 *    On failure every output is NULL, cleared or untouched.
 *  - Who creates frees: *_free(NULL) and *_clear() of a zeroed struct do nothing.
 *    `const T *` returned is borrowed from the first argument and lives as long as it does.
 *  - Option structs begin with `struct_size`; set them up with their _init function. NULL means
 *    defaults.
 *  - Tensors are float32, row major, letters in the order n h w c (batch, height, width, channel).
 *  - A loaded ng_model is immutable and may be shared by threads. An ng_session belongs to one
 *    thread at a time.
 *  - The library never prints, exits or aborts.
 */
#ifndef NETGAZE_H
#define NETGAZE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) && defined(NETGAZE_BUILD)
#define NG_API __attribute__((visibility("default")))
#else
#define NG_API
#endif
#if defined(__GNUC__)
#define NG_NODISCARD __attribute__((warn_unused_result))
#else
#define NG_NODISCARD
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define NG_VERSION_MAJOR 0
#define NG_VERSION_MINOR 1
#define NG_VERSION_PATCH 0

/* ---- Status and errors --------------------------------------------------------------------- */

/* X(name, text): one list for codes, names and texts. */
#define NG_STATUS_LIST(X)                                           \
    X(NG_OK, "success")                                             \
    X(NG_E_ARGUMENT, "an argument is out of its range")             \
    X(NG_E_MEMORY, "out of memory")                                 \
    X(NG_E_IO, "reading or writing a file failed")                  \
    X(NG_E_NOT_FOUND, "not found")                                  \
    X(NG_E_FORMAT, "a file is damaged or not of the expected kind") \
    X(NG_E_UNSUPPORTED, "not supported")                            \
    X(NG_E_LIMIT, "a safety limit was exceeded")                    \
    X(NG_E_SHAPE, "shapes do not fit together")                     \
    X(NG_E_CANCELLED, "cancelled")                                  \
    X(NG_E_INTERNAL, "internal error")

typedef enum ng_status {
#define NG_STATUS_ENUM(name, text) name,
    NG_STATUS_LIST(NG_STATUS_ENUM)
#undef NG_STATUS_ENUM
} ng_status;

/* Filled by the first failure; callers above may prefix where it happened. */
typedef struct ng_error {
    ng_status status;
    char text[1024]; /* where, what was expected, what was found, what to do; never empty on error */
} ng_error;

NG_API const char *ng_status_name(ng_status status); /* "NG_E_IO" */
NG_API const char *ng_status_text(ng_status status); /* "reading or writing a file failed" */
NG_API const char *ng_version(void);                 /* "0.1.0" */

/* ---- Images -------------------------------------------------------------------------------- */

/* 8-bit sRGB pixels, row major, channels interleaved: data[(y * width + x) * channels + c]. */
typedef struct ng_image {
    int width, height; /* pixels */
    int channels;      /* 1 (grey) or 3 (RGB) */
    uint8_t *data;     /* [h,w,c], owned */
} ng_image;

typedef struct ng_image_opts {
    size_t struct_size;
    int channels;         /* 0: as the file has (1 or 3), 1: grey, 3: RGB. Default 0 */
    double window_center; /* grey files of more than 8 bits: centre and width of the grey window */
    double window_width;  /*   in the file's own units; width 0 means the image's full range. Default 0 */
    uint8_t background;   /* alpha is flattened on this grey level, 0..255. Default 255 */
    int64_t max_pixels;   /* larger images are refused. Default 200,000,000 */
} ng_image_opts;

NG_API void ng_image_opts_init(ng_image_opts *opts);

/* Decodes JPEG, PNG, WebP, TIFF, HEIF, BMP/GIF where libvips has them; applies EXIF orientation,
 * converts CMYK and colour profiles to sRGB, flattens alpha, scales more than 8 bits by the window.
 * A truncated file is an error (NG_E_FORMAT), never a half-grey picture. */
NG_API NG_NODISCARD ng_status ng_image_load(const char *path, const ng_image_opts *opts, ng_image *out,
                                            ng_error *err);
/* Writes by the path's extension (.png, .jpg, .webp, .tif), as ng_file_save_quick does. */
NG_API NG_NODISCARD ng_status ng_image_save(const ng_image *image, const char *path, ng_error *err);
NG_API void ng_image_clear(ng_image *image);

/* How an image is brought to the network's input size. */
typedef enum ng_fit {
    NG_FIT_SQUASH,    /* resize both sides independently (Keras load_img) */
    NG_FIT_CROP,      /* resize the short side, then cut the centre */
    NG_FIT_LETTERBOX, /* resize the long side, then pad both ends with the fill value */
} ng_fit;

/* Each names the function it equals. PIL's work on uint8 and widen their support when shrinking;
 * TF's and CV's do not. */
typedef enum ng_resample {
    NG_RESAMPLE_PIL_NEAREST,  /* PIL.Image.resize(NEAREST): Keras load_img's default */
    NG_RESAMPLE_PIL_BILINEAR, /* PIL.Image.resize(BILINEAR): antialiased */
    NG_RESAMPLE_PIL_BICUBIC,
    NG_RESAMPLE_PIL_LANCZOS,
    NG_RESAMPLE_PIL_BOX,
    NG_RESAMPLE_TF_BILINEAR, /* tf.image.resize(bilinear, antialias=False), rounded to uint8 */
    NG_RESAMPLE_CV_BILINEAR, /* cv2.resize(INTER_LINEAR) on uint8, its fixed-point rounding */
} ng_resample;

/* How the network's input was cut from the image: enough to lead a map back to image pixels. */
typedef struct ng_geometry {
    int image_width, image_height; /* pixels of the (oriented) image */
    int input_width, input_height; /* pixels of the network's input */
    ng_fit fit;
    ng_resample resample;
    double x0, y0, x1, y1; /* the image region, in image pixels, that the whole input covers. May
                              reach outside the image (letterbox) or leave parts out (crop) */
} ng_geometry;

/* Resizes `image` to width x height; `fill` pads a letterbox. `geometry` may be NULL. */
NG_API NG_NODISCARD ng_status ng_image_fit(const ng_image *image, int width, int height, ng_fit fit,
                                           ng_resample resample, uint8_t fill, ng_image *out,
                                           ng_geometry *geometry, ng_error *err);
NG_API const char *ng_fit_name(ng_fit fit);                /* "squash" | "crop" | "letterbox" */
NG_API const char *ng_resample_name(ng_resample resample); /* "nearest" | "bilinear" | ... | "tf-bilinear" */
NG_API NG_NODISCARD ng_status ng_fit_find(const char *name, ng_fit *out, ng_error *err);
NG_API NG_NODISCARD ng_status ng_resample_find(const char *name, ng_resample *out, ng_error *err);

/* ---- Models -------------------------------------------------------------------------------- */

typedef struct ng_model ng_model;

/* What an input that is not the image holds, for every image. */
typedef struct ng_input_value {
    const char *name;             /* the input layer's */
    const struct ng_array *value; /* its shape without the batch, or with a batch of 1 */
} ng_input_value;

typedef struct ng_model_opts {
    size_t struct_size;
    const char *weights;    /* a weight file to read onto the architecture; NULL: the model's own */
    const char *preprocess; /* tf | torch | caffe | unit | raw; NULL or "auto": from the graph, the
                               model's netgaze.json, or the architecture's name */
    const char *labels;     /* file with one label a line, or a JSON array/object; NULL: the model's */
    int input_height;       /* size to run at. Default 0: the model's own; where it leaves that open, the */
    int input_width;   /*   architecture's usual one. Another size than the model was made for runs where the
                               graph allows it: not with a Flatten before a Dense layer */
    const char *cache; /* folder where the weights are kept as decoded and packed, for a quick start the
                               next time; "off": nowhere. Default NULL: $NETGAZE_CACHE, else
                               $XDG_CACHE_HOME/netgaze, else ~/.cache/netgaze */
    unsigned
        shuffle_head; /* not 0: the seed by which the last layer's kernel is put out of order, for a control: maps
                               that stay the same do not depend on what it learned. Default 0 */
    double
        shuffle_depth; /* with shuffle_head: this share of the layers with kernels, from the output on, is put out of
                               order, 0 to 1. Default 0: the last one only */
    int shuffle_redraw; /* not 0, with shuffle_head: these layers are drawn anew instead, as before training: kernels from
                               He's normal distribution, biases 0, norms and slopes as they begin. Default 0 */
    const char
        *output; /* which of the model's outputs is explained, by its layer's name or by number. Default
                                NULL: the first */
    const char
        *image_input; /* which of its inputs is the image. Default NULL: the one of [height,width,channels] */
    const ng_input_value
        *inputs;     /* [input_count]: values of the other inputs, copied. All that the output depends */
    int input_count; /*   on must be given. Default 0 */
} ng_model_opts;

NG_API void ng_model_opts_init(ng_model_opts *opts);

/* Reads a model: a .keras archive, a Keras .h5 file, a TF.js layers model (model.json or its folder),
 * or the name of a built-in architecture ("inception_v3") whose weights are given in `weights` or
 * found in ~/.keras/models. */
NG_API NG_NODISCARD ng_status ng_model_load(const char *path, const ng_model_opts *opts, ng_model **out,
                                            ng_error *err);
NG_API void ng_model_free(ng_model *model);

/* How pixels 0..255 become the network's input (keras.applications.imagenet_utils.preprocess_input). */
typedef struct ng_preprocess_info {
    const char *mode;   /* "tf" | "torch" | "caffe" | "unit" | "raw" */
    const char *origin; /* "option" | "graph" | "netgaze.json" | "architecture" | "assumed" */
    float low, high;    /* range that the network's first weighted layer sees for pixels 0..255 */
} ng_preprocess_info;

typedef struct ng_model_info {
    const char *path;
    const char *format;   /* "keras" | "h5" | "tfjs" | "architecture" */
    const char *name;     /* the model's own name */
    const char *producer; /* e.g. "Keras 2.2.4"; "" when the file does not say */
    const char *hash;     /* XXH3-128 of configuration and weights, 32 hex digits */
    int input_height, input_width, input_channels;
    int class_count;        /* explained classes: outputs, or 2 for a one-output sigmoid head */
    int output_count;       /* width of the network's output */
    const char *activation; /* of the output: "softmax" | "sigmoid" | "linear" */
    int layer_count;
    int automatic_layer; /* index of the layer explained by default; -1: none is spatial */
    int input_layer;     /* index of the input: the "layer" of methods that explain pixels */
    int64_t parameter_count;
    ng_preprocess_info preprocess;
    const char *inputs, *outputs; /* names of all that the file has, "image, age" */
    const char *output;           /* of the explained one */
    int output_index;             /* and its place among the file's */
} ng_model_info;

NG_API void ng_model_describe(const ng_model *model, ng_model_info *out);

typedef struct ng_layer_info {
    const char *name;          /* path from the outer model: "inception_v3/mixed10" */
    const char *class_name;    /* Keras class: "Conv2D" */
    int rank;                  /* of the output without the batch: 1 or 3 mostly */
    int64_t shape[4];          /* output without the batch, e.g. [h,w,c] */
    double stride_y, stride_x; /* input pixels a cell; 0 where the output is not spatial */
    int64_t parameters;
    int trainable;
    int candidate; /* may be explained: a spatial output of more than 1x1 that feeds the output */
    int automatic; /* the default choice */
} ng_layer_info;

NG_API NG_NODISCARD ng_status ng_model_layer(const ng_model *model, int index, ng_layer_info *out,
                                             ng_error *err);
/* By path, or by bare name where unique; the error lists near names. */
NG_API NG_NODISCARD ng_status ng_model_find_layer(const ng_model *model, const char *name, int *index,
                                                  ng_error *err);
/* The label of a class, or "class N" when the model has none. */
NG_API const char *ng_model_label(const ng_model *model, int class_index);
/* A class by number or label. */
NG_API NG_NODISCARD ng_status ng_model_find_class(const ng_model *model, const char *name, int *class_index,
                                                  ng_error *err);
/* Turns an image of the network's input size into one network input, out [h,w,c] float32. */
NG_API NG_NODISCARD ng_status ng_model_preprocess(const ng_model *model, const ng_image *image, float *out,
                                                  ng_error *err);

typedef struct ng_save_opts {
    size_t struct_size;
    const char *format; /* keras | h5 | tfjs; NULL: by the path's ending (.keras, .h5, .hdf5; else tfjs) */
    const char
        *dtype; /* float32, or of tfjs float16 | uint8: how weights are stored. Default NULL: float32 */
} ng_save_opts;

NG_API void ng_save_opts_init(ng_save_opts *opts);

/* Writes a model so that Keras 3 loads it (keras), Keras 2 and 3 load it (h5), TensorFlow.js loads it (tfjs: a folder that is
 * not there yet, or empty). Models inside the model are laid flat: their layers become the outer model's, under their
 * own names where these are unique. Labels and preprocessing travel inside. The file is written under another
 * name, then renamed; equal models give equal bytes. A layer that the target cannot express is an error. */
NG_API NG_NODISCARD ng_status ng_model_save(const ng_model *model, const char *path, const ng_save_opts *opts,
                                            ng_error *err);

/* ---- Sessions: running a model ------------------------------------------------------------- */

typedef struct ng_session ng_session;

/* What 8-bit arithmetic needs to know: the range of every convolution's input over some images, a few dozen of the kind
 * that the network will see. It runs the network in float32 and belongs to one thread while images are added; sessions
 * read it only when they are created. */
typedef struct ng_calibration ng_calibration;

NG_API NG_NODISCARD ng_status ng_calibration_create(const ng_model *model, ng_calibration **out,
                                                    ng_error *err);
NG_API void ng_calibration_free(ng_calibration *calibration);
/* Widens the ranges by those of one input [h,w,c]. */
NG_API NG_NODISCARD ng_status ng_calibration_add(ng_calibration *calibration, const float *input,
                                                 ng_error *err);

typedef struct ng_session_opts {
    size_t struct_size;
    int batch;   /* images per run at most. Default 1 */
    int threads; /* threads per run. Default 1: run one session a core instead */
    /* "auto" | "onednn" | "ref" in float32. "bf16" | "int8": convolutions behind no wanted gradient multiply shorter
     * numbers and add them up in float32 and integers; where the processor has no such instructions they are float32.
     * Default NULL: auto */
    const char *backend;
    const int *layers; /* [layer_count] layers that will be explained; their activations and */
    int layer_count; /*   gradients are kept. Default 0. Methods with at_input want the input layer among them */
    int exact;       /* no Winograd kernels: sums of products as the definition has them. Slower mostly; the
                            scores are within 1e-5 of double arithmetic either way. Default 0 */
    int forward_only; /* activations only, no gradients: for methods that take none. Default 0 */
    const ng_calibration *calibration; /* wanted by "int8"; read by ng_session_create only. Default NULL */
} ng_session_opts;

NG_API void ng_session_opts_init(ng_session_opts *opts);
NG_API NG_NODISCARD ng_status ng_session_create(const ng_model *model, const ng_session_opts *opts,
                                                ng_session **out, ng_error *err);
/* A second session that shares the first one's packed weights, for another thread. The first must
 * outlive neither use: what is shared is counted. */
NG_API NG_NODISCARD ng_status ng_session_clone(const ng_session *session, ng_session **out, ng_error *err);
NG_API void ng_session_free(ng_session *session);

/* Runs the network on input [n,h,w,c]; n <= batch. */
NG_API NG_NODISCARD ng_status ng_session_run(ng_session *session, const float *input, int n, ng_error *err);
/* Results of the last run, borrowed, valid until the next: [n,class_count]. */
NG_API const float *ng_session_logits(const ng_session *session);
NG_API const float *ng_session_probabilities(const ng_session *session);
/* Activations of a layer named in the options, [n] + its shape; NULL if it was not named. */
NG_API const float *ng_session_activations(const ng_session *session, int layer);
/* Bytes of the session's one block of activations and gradients. */
NG_API size_t ng_session_bytes(const ng_session *session);
/* One line per step: node name, kernel. Borrowed; for `doctor` and bench. */
NG_API const char *ng_session_kernels(const ng_session *session);

/* ---- Attribution --------------------------------------------------------------------------- */

/* X(name, text): the number that is explained. */
#define NG_TARGET_LIST(X)                                                                                   \
    X(NG_TARGET_LOGIT, "logit")             /* the score before the output's softmax or sigmoid: default */ \
    X(NG_TARGET_PROBABILITY, "probability") /* the model's own output; saturates */                         \
    X(NG_TARGET_LOG_PROBABILITY, "log-probability")                                                         \
    X(NG_TARGET_CONTRAST, "contrast") /* logit less another class's logit */                                \
    X(NG_TARGET_FINER, "finer")       /* logit less those of the classes next to it (FinerCAM) */           \
    X(NG_TARGET_REST, "rest")         /* logit less cross entropy (ReST) */

typedef enum ng_target {
#define NG_TARGET_ENUM(name, text) name,
    NG_TARGET_LIST(NG_TARGET_ENUM)
#undef NG_TARGET_ENUM
} ng_target;

NG_API const char *ng_target_name(ng_target target); /* "log-probability" */
NG_API NG_NODISCARD ng_status ng_target_find(const char *name, ng_target *out, ng_error *err);

/* X(name, text): test-time augmentation. The maps of several versions of the image, led back to it, are averaged. */
#define NG_SMOOTH_LIST(X)                                                                                  \
    X(NG_SMOOTH_NONE, "none")                                                                              \
    X(NG_SMOOTH_FLIP, "flip")       /* the image and its mirror image */                                   \
    X(NG_SMOOTH_AUGMENT, "augment") /* both, and the network's input times 0.9, 1 and 1.1: six versions */ \
    X(NG_SMOOTH_SCALED,                                                                                    \
      "scaled") /* those six, each map's relu scaled to 0..1 first: pytorch-grad-cam's     \
                                       aug_smooth */

typedef enum ng_smooth {
#define NG_SMOOTH_ENUM(name, text) name,
    NG_SMOOTH_LIST(NG_SMOOTH_ENUM)
#undef NG_SMOOTH_ENUM
} ng_smooth;

NG_API const char *ng_smooth_name(ng_smooth smooth); /* "augment" */
NG_API NG_NODISCARD ng_status ng_smooth_find(const char *name, ng_smooth *out, ng_error *err);

/* X(name, text): how the maps of several layers become one of the input's size. Only what speaks for the class counts: the
 * relu of each map, resized bilinearly. */
#define NG_FUSE_LIST(X)                                                                             \
    X(NG_FUSE_MEAN, "mean") /* the mean of maps scaled to 0..1: pytorch-grad-cam's target_layers */ \
    X(NG_FUSE_MAX, "max")   /* the largest of tanh(2 map / max of the map): LayerCAM's, torch-cam's */

typedef enum ng_fuse {
#define NG_FUSE_ENUM(name, text) name,
    NG_FUSE_LIST(NG_FUSE_ENUM)
#undef NG_FUSE_ENUM
} ng_fuse;

NG_API const char *ng_fuse_name(ng_fuse fuse); /* "mean" */
NG_API NG_NODISCARD ng_status ng_fuse_find(const char *name, ng_fuse *out, ng_error *err);

/* X(name, text): what a map is worth. */
#define NG_MAP_STATUS_LIST(X)                                                            \
    X(NG_MAP_OK, "ok")                                                                   \
    X(NG_MAP_ALL_NEGATIVE, "all-negative") /* relu leaves nothing: see the signed map */ \
    X(NG_MAP_CONSTANT, "constant")                                                       \
    X(NG_MAP_SATURATED, "saturated")   /* the softmax gradient vanished */               \
    X(NG_MAP_NON_FINITE, "non-finite") /* NaN or infinity at layer L: map is all zero */

typedef enum ng_map_status {
#define NG_MAP_STATUS_ENUM(name, text) name,
    NG_MAP_STATUS_LIST(NG_MAP_STATUS_ENUM)
#undef NG_MAP_STATUS_ENUM
} ng_map_status;

NG_API const char *ng_map_status_name(ng_map_status status); /* "all-negative" */

/* Conventions of the libraries that are copied on request; see docs/conventions.md. */
typedef enum ng_compat {
    NG_COMPAT_NONE,
    NG_COMPAT_ARTICLE, /* the article's Keras + OpenCV pipeline */
    NG_COMPAT_KERAS,   /* the Keras documentation's Grad-CAM example */
    NG_COMPAT_PGC,     /* pytorch-grad-cam */
    NG_COMPAT_TKV,     /* tf-keras-vis */
} ng_compat;

NG_API const char *ng_compat_name(ng_compat compat);
NG_API NG_NODISCARD ng_status ng_compat_find(const char *name, ng_compat *out, ng_error *err);

/* A heatmap at grid resolution: the method's own values after its relu, before any normalisation or
 * resize. Never holds NaN or infinity. */
typedef struct ng_map {
    int height, width;  /* cells */
    float *data;        /* [h,w], owned: relu(signed) */
    float *signed_data; /* [h,w], owned: before the relu */
    float min, max;     /* of data */
    float signed_min, signed_max;
    double gradient_norm; /* L2 norm of dS/dA; 0 where the method takes no gradient */
    ng_map_status status;
    char note
        [256]; /* why the status is not ok; else what the method has to say (completeness, samples), or "" */
    int layer; /* layer index; of a fused map, the first one's */
    int class_index;
    float logit, probability;
} ng_map;

NG_API void ng_map_clear(ng_map *map);

/* How alike two signed maps are. */
typedef struct ng_similarity {
    double pearson, spearman; /* -1..1; 0 where a map is constant. Ties share their mean rank */
    double ssim; /* structural similarity, both scaled to 0..1 (skimage's defaults); NaN below 7x7 cells */
} ng_similarity;

/* Maps of one size; the error says otherwise. */
NG_API NG_NODISCARD ng_status ng_map_similarity(const ng_map *first, const ng_map *second, ng_similarity *out,
                                                ng_error *err);

typedef struct ng_explain_opts {
    size_t struct_size;
    const char *method;     /* a name of ng_method_describe. Default "gradcam" */
    int layer;              /* one of the session's layers. Default -1: its first */
    int class_index;        /* Default -1: the predicted class */
    ng_target target;       /* Default NG_TARGET_LOGIT */
    int against;            /* NG_TARGET_CONTRAST: the other class. Default -1: the most likely other one */
    double alpha;           /* NG_TARGET_FINER: weight of the classes next to it, 0..10. Default 0.6 */
    const char *parameters; /* the method's, "samples=50,seed=3"; NULL or "": its defaults */
    const float
        *baseline; /* [h,w,c] as the network takes it, for methods with the parameter baseline=given: a data
                               set's mean, say. Default NULL */
    ng_smooth smooth; /* of any method. Default NG_SMOOTH_NONE */
    int eigen; /* not 0: the principal component of the channels' terms instead of their sum, for methods
                               with sums_channels (pytorch-grad-cam's eigen_smooth). Default 0 */
    const int
        *layers;     /* [layer_count] of the session's layers whose maps become one by `fuse`, in place of */
    int layer_count; /*   `layer`; for methods at a layer. Default 0 */
    ng_fuse fuse;    /* Default NG_FUSE_MEAN */
    int threads;     /* methods that run the network many times use so many. Default 1 */
    double seconds;  /* and so much time; then the best map so far is given. Default 0: all they need */
    /* Called now and then by such methods, from the calling thread; not 0 gives up: NG_E_CANCELLED. May be NULL. */
    int (*progress)(void *context, int done, int total);
    void *context;
} ng_explain_opts;

NG_API void ng_explain_opts_init(ng_explain_opts *opts);

/* Explains image `index` of the session's last run. The forward pass is not repeated. */
NG_API NG_NODISCARD ng_status ng_explain(ng_session *session, int index, const ng_explain_opts *opts,
                                         ng_map *out, ng_error *err);

typedef struct ng_method_parameter {
    const char *name;    /* "samples" */
    double value;        /* default; of a choice: its index */
    double low, high;    /* range */
    int whole;           /* whole numbers only */
    const char *choices; /* "paper|pgc|tkv": one of these words; NULL: a number */
    const char *summary; /* with its unit */
} ng_method_parameter;

typedef struct ng_method_info {
    const char *name;    /* "gradcam" */
    const char *title;   /* "Grad-CAM" */
    const char *summary; /* one sentence */
    const char *cost;    /* in forwards: "1 forward + backward to the layer" */
    const char *source;  /* paper */
    const char *assumes; /* what must hold for the map to mean what it says; "" */
    int takes_gradient;  /* 0: activations are enough: the session may be made with forward_only */
    int at_input;        /* the map has the input's height and width, else the layer's */
    int at_layer; /* a layer is chosen for it; else it explains the input layer (ng_model_info.input_layer) */
    int sums_channels; /* the map is a sum over channels: ng_explain_opts.eigen applies */
    int samples; /* it runs the network forward on many inputs: a few at a time where the session's batch allows */
    int parameter_count;
    const ng_method_parameter *parameters; /* [parameter_count] */
} ng_method_info;

NG_API int ng_method_count(void);
NG_API NG_NODISCARD ng_status ng_method_describe(int index, ng_method_info *out, ng_error *err);
/* Whether `method` applies to this model and layer; the error says why not and what to use instead. */
NG_API NG_NODISCARD ng_status ng_method_check(const ng_model *model, const char *method, int layer,
                                              ng_error *err);
/* Whether these are parameters of the method ("samples=50,seed=3"); the error says which there are. */
NG_API NG_NODISCARD ng_status ng_method_check_parameters(const char *method, const char *parameters,
                                                         ng_error *err);

/* ---- Concepts: what a class's images have in common, without labels ------------------------- */

/* CRAFT (Fel et al. 2023): the layer's activations of crops of a class's images are taken apart, without negative numbers,
 * into concepts: directions of the layer's channels. Create; add every image; learn; weigh every image (or some); then ask. */
typedef struct ng_concepts ng_concepts;

typedef struct ng_concepts_opts {
    size_t struct_size;
    int count;      /* concepts, 1 to 32. Default 10 */
    int crops;      /* of an image, along each of its sides, 1 to 16. Default 4: sixteen crops */
    double crop;    /* side of a crop, as a share of the image's, 0.05 to 1. Default 0.3 */
    int iterations; /* of the factorisation, 1 to 100000. Default 200 */
    int design; /* points of the Sobol indices; an image costs (count + 1) times as many runs of what lies behind
                       the layer. 2 to 1024. Default 32 */
    uint64_t seed; /* of the factorisation's beginning and the points. Default 0 */
    int threads;   /* Default 1 */
    int (*progress)(void *context, int done, int total); /* as in ng_explain_opts */
    void *context;
} ng_concepts_opts;

NG_API void ng_concepts_opts_init(ng_concepts_opts *opts);
/* `layer` is one of the session's, which must outlive the concepts and is run by them. */
NG_API NG_NODISCARD ng_status ng_concepts_create(ng_session *session, int layer, int class_index,
                                                 const ng_concepts_opts *opts, ng_concepts **out,
                                                 ng_error *err);
NG_API void ng_concepts_free(ng_concepts *concepts);
/* Runs the crops of one network input [h,w,c] of the class; images are numbered from 0. */
NG_API NG_NODISCARD ng_status ng_concepts_add(ng_concepts *concepts, const float *input, ng_error *err);
NG_API NG_NODISCARD ng_status ng_concepts_learn(ng_concepts *concepts, ng_error *err);
/* Adds to the concepts' importance what they do for the class in this image. */
NG_API NG_NODISCARD ng_status ng_concepts_weigh(ng_concepts *concepts, const float *input, ng_error *err);

/* The crop in which a concept is strong. */
typedef struct ng_concept_example {
    int image;             /* as numbered by ng_concepts_add; -1: there is none */
    double x0, y0, x1, y1; /* the crop, in shares of the image's sides */
    double strength;
} ng_concept_example;

enum { NG_CONCEPT_EXAMPLES = 8 };

typedef struct ng_concept {
    double
        importance; /* total Sobol index: in what share of the class score's variance the concept has a part, when the
                          concepts' strengths are changed at random; mean over the images weighed */
    double error;           /* standard error of that mean; 0 of fewer than two images */
    double share;           /* of all concepts' strength in the crops */
    const float *direction; /* [channels] of the layer, of length 1 */
    int64_t channels;
    ng_concept_example examples[NG_CONCEPT_EXAMPLES]; /* the strongest crop of each image, strongest first */
} ng_concept;

/* By rank: 0 is the most important one, or before any image was weighed, the first. */
NG_API NG_NODISCARD ng_status ng_concepts_describe(const ng_concepts *concepts, int rank, ng_concept *out,
                                                   ng_error *err);
/* Where each concept is in an image: maps [count], in the order of ranks, each to be cleared. */
NG_API NG_NODISCARD ng_status ng_concepts_maps(ng_concepts *concepts, const float *input, ng_map *maps,
                                               ng_error *err);

/* ---- Pictures ------------------------------------------------------------------------------ */

/* How a raw map is scaled to 0..1 for display. */
typedef enum ng_norm {
    NG_NORM_MAX,        /* map / max; a zero map stays zero. Default */
    NG_NORM_MINMAX,     /* (map - min) / (max - min) */
    NG_NORM_PERCENTILE, /* clipped at the 99th percentile of |map|, then / max */
    NG_NORM_RANGE,      /* to the range given in norm_low..norm_high: class or data set wide */
    NG_NORM_NONE,       /* clipped to 0..1 as it is */
} ng_norm;

NG_API const char *ng_norm_name(ng_norm norm);
NG_API NG_NODISCARD ng_status ng_norm_find(const char *name, ng_norm *out, ng_error *err);

NG_API int ng_colormap_count(void);
NG_API const char *ng_colormap_name(int index);
/* rgb[256*3] receives the table. */
NG_API NG_NODISCARD ng_status ng_colormap_table(const char *name, uint8_t *rgb, ng_error *err);

typedef struct ng_render_opts {
    size_t struct_size;
    ng_compat compat;          /* Default NONE. Others fix normalisation, upsampling, colours, blending */
    ng_norm norm;              /* Default MAX */
    float norm_low, norm_high; /* for NG_NORM_RANGE */
    const char *colormap;      /* Default NULL: "jet", or "coolwarm" when signed */
    double alpha;              /* weight of the heatmap in the overlay, 0..1. Default 0.4 */
    int use_signed;            /* draw signed_data symmetrically around 0. Default 0 */
    const char *title;         /* of the figure; NULL: none */
    int colorbar;              /* numbered colour bar in the figure. Default 1 */
    double box; /* outlines ng_map_box of this threshold in overlay and figure; not with a compat mode.
                               Default 0: no box */
} ng_render_opts;

NG_API void ng_render_opts_init(ng_render_opts *opts);

/* The heatmap alone, coloured, at the size the overlay has. */
NG_API NG_NODISCARD ng_status ng_render_heatmap(const ng_map *map, const ng_geometry *geometry,
                                                const ng_render_opts *opts, ng_image *out, ng_error *err);
/* Heatmap blended over `image` (the original one), at the image's own size; with a compat mode, at the
 * size and by the rule of that library. Outside a centre crop the image is left as it is. */
NG_API NG_NODISCARD ng_status ng_render_overlay(const ng_map *map, const ng_image *image,
                                                const ng_geometry *geometry, const ng_render_opts *opts,
                                                ng_image *out, ng_error *err);
/* The article's figure: "Original Image" beside "Overlayed CAM", title and colour bar. */
NG_API NG_NODISCARD ng_status ng_render_figure(const ng_map *map, const ng_image *image,
                                               const ng_geometry *geometry, const ng_render_opts *opts,
                                               ng_image *out, ng_error *err);
/* The box around the largest connected region (8 neighbours) where the raw map, led to the image's pixels as in the
 * overlay, is at least `threshold` (above 0 to 1) of its maximum. */
typedef struct ng_box {
    int x, y, width, height; /* image pixels; all 0 where the map shows nothing */
    int pixels;              /* of the region */
    float max;               /* of the map in it */
} ng_box;

NG_API NG_NODISCARD ng_status ng_map_box(const ng_map *map, const ng_geometry *geometry, double threshold,
                                         ng_box *out, ng_error *err);
/* A grid of pictures of one size class, `columns` wide, each under its caption ([count], NULLs allowed). */
NG_API NG_NODISCARD ng_status ng_render_grid(const ng_image *images, const char *const *captions, int count,
                                             int columns, const char *title, ng_image *out, ng_error *err);

/* ---- What maps are worth -------------------------------------------------------------------- */

/* A mean over images with its interval. NaN where there are no images. */
typedef struct ng_mean {
    double value, low, high;
    int64_t n;
} ng_mean;

/* Mean of values [n] and its bootstrap interval at `confidence` (0.95): percentiles of the means of `resamples` data sets
 * drawn from it with replacement by `seed`. groups [n] (may be NULL): values of one group belong together, such as
 * pictures of one object, and groups are drawn whole. NaNs among the values are left out. */
NG_API NG_NODISCARD ng_status ng_mean_bootstrap(const double *values, const int *groups, int64_t n,
                                                double confidence, int resamples, uint64_t seed, ng_mean *out,
                                                ng_error *err);

/* Does a map show where the thing is? The raw map (`data`) at the image's pixels against the thing's exact region. A map
 * that shows nothing (all 0) scores 0 throughout. */
enum { NG_IOU_SHARES = 19 };

typedef struct ng_localisation {
    double area;   /* of the region, a share of the image: what a map without any idea scores as energy */
    double energy; /* share of the map's sum that lies in the region: Score-CAM's energy-based pointing game,
                          relevance mass accuracy (Arras et al. 2022) */
    double
        rank; /* relevance rank accuracy (Arras et al. 2022): of the map's K largest pixels, K the region's size,
                          the share that lies in it. Ties at the K-th share what is left evenly */
    int pointing;      /* 1: a largest pixel lies in the region (Quantus) */
    int pointing_near; /* 1: a pixel of the region is less than 15 pixels from a largest one (TorchRay) */
    double iou[NG_IOU_SHARES]; /* of the region and where the map reaches (i + 1) / 20 of its maximum */
    double box_iou;            /* of the region's bounding box and ng_map_box at `box_share` */
} ng_localisation;

/* mask: one channel, of the image's size, above 127 where the thing is. box_share: above 0 to 1; 0.15 is usual. */
NG_API NG_NODISCARD ng_status ng_map_localise(const ng_map *map, const ng_geometry *geometry,
                                              const ng_image *mask, double box_share, ng_localisation *out,
                                              ng_error *err);

/* Does the score depend on what a map shows? The network runs on the image with pixels removed or kept in the map's order
 * (its signed values at the input's size; of equal ones the upper left first). Scores are probabilities of the map's class. */
typedef struct ng_faithfulness_opts {
    size_t struct_size;
    int drop;  /* not 0: average drop and increase, 1 forward. Default 1 */
    int steps; /* of the deletion and insertion curves, 2 steps + 2 forwards; 0: none. Default 20 */
    const char
        *deletion; /* what deleted pixels become: black, white, grey, mean (colour of the image), blur or */
    const char *
        insertion; /*   zero (at the network's input); and what pixels are inserted into. Default grey, blur */
    double blur;   /* standard deviation of blur, in pixels of the input, above 0 to 200. Default 10 */
    int road; /* ROAD at k / (road + 1) of the pixels, k = 1 .. road, 2 road forwards; 0: none. Default 0 */
    uint64_t seed; /* of ROAD's noise. Default 0 */
    int threads;   /* Default 1 */
    /* As in ng_explain_opts. */
    int (*progress)(void *context, int done, int total);
    void *context;
} ng_faithfulness_opts;

NG_API void ng_faithfulness_opts_init(ng_faithfulness_opts *opts);

/* NaN where it was not asked for. */
typedef struct ng_faithfulness {
    double probability; /* of the image as it is: Y */
    double
        drop; /* max(0, Y - O) / Y, O the probability of the image times the map (scaled to 0..1, black where 0);
                        its mean is the average drop (Grad-CAM++, Chattopadhay et al. 2018) */
    double increase; /* 1: O > Y (the same) */
    double
        complexity; /* mean of the map scaled to 0..1, at the input's size; with drop (ADCC, Poppi et al. 2021) */
    double deletion,
        insertion; /* areas under the curves (RISE, Petsiuk et al. 2018), by the trapezoid rule: low and
                                   high are good */
    double road_morf,
        road_lerf; /* mean probability with the most, the least relevant pixels imputed (ROAD, Rong et al.
                                    2022): noisy linear imputation */
    double road;   /* (lerf - morf) / 2, pytorch-grad-cam's ROADCombined: high is good */
    int runs;      /* forwards */
} ng_faithfulness;

/* Of a map of image `index` of the session's last run, which stays as it is. */
NG_API NG_NODISCARD ng_status ng_map_faithfulness(ng_session *session, int index, const ng_map *map,
                                                  const ng_faithfulness_opts *opts, ng_faithfulness *out,
                                                  ng_error *err);

/* Is what a map shows the reason for the map? The same request (opts; the class is the map's) of the image times the map, as for
 * drop: *out = (1 + r) / 2, r Pearson's correlation of the two maps at the input's size (coherency, Poppi et al. 2021); 0 where
 * one of them is constant. Costs a forward run and what the method costs; the session's last run stays as it is. */
NG_API NG_NODISCARD ng_status ng_map_coherency(const ng_session *session, int index, const ng_map *map,
                                               const ng_explain_opts *opts, double *out, ng_error *err);
/* ADCC (Poppi et al. 2021): the harmonic mean of coherency, 1 - complexity and 1 - drop; 0 where one of these is. */
NG_API double ng_adcc(double coherency, double complexity, double drop);

/* ---- Data sets ----------------------------------------------------------------------------- */

/* DATA is a folder (DATA/CLASS/IMAGE or DATA/{train,val,test}/CLASS/IMAGE) or a CSV with a header of the columns path and
 * label and, if wanted, split, group, box ("x y width height") and mask. */

typedef struct ng_data ng_data;

/* An image of a data set. Texts are borrowed from it. */
typedef struct ng_data_item {
    const char *path, *label; /* of several labels the first */
    const char *split;        /* "train" | "val" | "test"; "" where the data are not split */
    const char *group;        /* images of one group belong together; NULL: alone */
    const char *mask;         /* path of the thing's mask; NULL: none */
    double box[4];            /* x, y, width, height in the image's pixels; width 0: none */
} ng_data_item;

/* Reads which images there are; decodes none. */
NG_API NG_NODISCARD ng_status ng_data_open(const char *path, ng_data **out, ng_error *err);
NG_API void ng_data_free(ng_data *data);
NG_API int64_t ng_data_count(const ng_data *data);
/* The i-th, 0 <= i < count: by split, then label, then path. */
NG_API void ng_data_at(const ng_data *data, int64_t i, ng_data_item *out);

/* Two images that are nearly the same: difference hashes that differ in at most 6 of 64 bits, and grey 16x16 pictures
 * that correlate by at least 0.97. */
typedef struct ng_duplicate {
    const char *first, *second; /* paths */
    const char *first_class, *second_class;
    const char *first_split, *second_split; /* "train" | "val" | "test"; "" where the data are not split */
    int bits;
    double correlation;
} ng_duplicate;

typedef struct ng_duplicates {
    int64_t images, unreadable, count;
    int64_t across_splits; /* pairs that lie in two splits */
    ng_duplicate *pairs;   /* [count]: for each image its best match before it in each split */
    void *owner;
} ng_duplicates;

/* Reads all images on `threads` threads. progress (may be NULL) is called by one thread at a time; not 0 gives up. */
NG_API NG_NODISCARD ng_status ng_duplicates_find(const char *data, int threads,
                                                 int (*progress)(void *context, int64_t done, int64_t total),
                                                 void *context, ng_duplicates *out, ng_error *err);
NG_API void ng_duplicates_clear(ng_duplicates *d);

/* A contact sheet: a row for each of `images` images of the data, spread evenly over it, at first as it is at side x side
 * pixels, then `variants` epochs of its augmentation ("flip=horizontal,rotation=0.05"; ng_augment_help). Mixing of
 * batches is not shown. An unreadable image is an error. */
NG_API NG_NODISCARD ng_status ng_augment_sheet(const char *data, const char *augment, int images,
                                               int variants, int side, uint64_t seed, ng_image *out,
                                               ng_error *err);
/* The i-th thing that an augmentation can have, and its name; NULL behind the last. */
NG_API const char *ng_augment_help(int i, const char **name);

/* ---- Training ------------------------------------------------------------------------------ */

typedef struct ng_train_epoch {
    const char *stage;                   /* "head" | "top" */
    int epoch;                           /* from 1, over both stages */
    double loss, accuracy;               /* while training: with dropout and augmentation */
    double val_loss, val_accuracy;       /* at its end, without; NaN where there are no validation images */
    double learning_rate, gradient_norm; /* of its last step */
    double seconds;
    int64_t images, skipped; /* learnt from; that could not be read */
} ng_train_epoch;

typedef enum ng_train_event_kind {
    NG_TRAIN_DUPLICATES, /* done of total images looked at for near-duplicates */
    NG_TRAIN_FEATURES,   /* done of total images through the base */
    NG_TRAIN_STEP,       /* done of total images of the epoch */
    NG_TRAIN_REPORT,     /* done of total images of the report */
    NG_TRAIN_EPOCH,      /* `epochs` has a new last one; `model` is the network as it is now */
    NG_TRAIN_NOTE,       /* `text` is worth knowing */
    NG_TRAIN_WARNING     /* `text` may spoil the result */
} ng_train_event_kind;

typedef struct ng_train_event {
    ng_train_event_kind kind;
    int64_t done, total;
    int epoch,
        epoch_total; /* of NG_TRAIN_STEP: the running one, from 1, and how many there will be at most */
    double loss;     /* of NG_TRAIN_STEP: the epoch's mean so far */
    const char *text;
    const ng_train_epoch *epochs; /* [epoch_count] so far */
    int epoch_count;
    const ng_model
        *model; /* of NG_TRAIN_EPOCH: may be explained during the call; sessions must be freed before it
                              returns */
} ng_train_event;

typedef struct ng_train_opts {
    size_t struct_size;
    /* Data. DATA is that of ng_duplicates_find; splits that it names are kept. */
    double val, test; /* shares of the images to set aside, stratified. Default 0.2 and 0 */
    const char
        *group;     /* POSIX extended regular expression over file names: what it matches stays in one split.
                           Default NULL */
    int duplicates; /* near-duplicates across splits are looked for and warned of. Default 1 */
    ng_fit fit;     /* Default NG_FIT_SQUASH */
    ng_resample resample;       /* Default NG_RESAMPLE_PIL_BILINEAR */
    const ng_image_opts *image; /* NULL: the defaults */
    /* Network. */
    int base_layer;      /* where the base is cut. Default -1: the layer before the old head */
    const char *pooling; /* "avg" | "max" | "flatten". Default "avg" */
    const int *hidden; /* [hidden_count] units of dense layers with relu before the last one. Default none */
    int hidden_count;
    double dropout; /* before each dense layer, 0 to below 1. Default 0.2 */
    const char
        *loss; /* "softmax" | "sigmoid" | "focal" | "ordinal". Default NULL: sigmoid where images have several
                         labels, else softmax */
    double label_smoothing; /* 0 to below 1. Default 0 */
    /* How it learns. */
    int epochs;            /* of the head, at most. Default 30 */
    int fine_epochs;       /* of the unfrozen top, at most. Default 10 */
    int unfreeze_layer;    /* it and everything behind it is trained after the head. Default -1: nothing is */
    int train_norms;       /* gamma and beta of batch norms too. Default 0. Their statistics never change */
    int batch;             /* images an update, 1 to 4096. Default 32 */
    const char *optimizer; /* "sgd" | "adam" | "adamw". Default "adam" */
    double rate, fine_rate; /* learning rates of the stages. Default 1e-3 and 1e-5 */
    double momentum;        /* of sgd. Default 0.9 */
    double epsilon; /* of adam and adamw: added to the root of the second moment. Default 1e-7, Keras's */
    double weight_decay; /* Default -1: Keras's, 0.004 for adamw, else 0 */
    double clip;         /* largest global norm of the gradients. Default 0: not clipped */
    double ema; /* momentum of the moving average of the weights, which is what is kept. Default 0: none */
    const char *
        schedule; /* "constant" | "cosine": to 0 at the stage's end | "step": to a tenth after each third of it |
                             "plateau": to a tenth after half of `patience` (10 where that is 0). Default "constant" */
    int warmup;           /* updates before the full learning rate. Default 0 */
    int balanced_weights; /* rare classes weigh more in the loss. Default 0 */
    int balanced_sampler; /* classes come equally often. Default 0 */
    int patience;  /* epochs without a better validation loss that end a stage. Default 10; 0: none do */
    int keep_last; /* the last epoch's weights are kept, not the best one's. Default 0 */
    const char *augment; /* of the unfrozen top's images, as of ng_augment_sheet. Default NULL: none */
    /* Right for the right reasons, in the second stage (which then trains the head where no layer is unfrozen), of images
     * whose mask or box the data give. */
    double
        attention; /* weight of the loss on where the network looks: the share of the true class's Grad-CAM energy that
                         lies beside the object (Rao et al. 2023). Default 0: none */
    double background_swap; /* probability that the object is laid on another training image's background
                               (Xiao et al. 2020). Default 0 */
    /* The run. */
    uint64_t seed; /* of splits, order, first weights, dropout, augmentation. Default 0 */
    int threads;   /* Default 1. The result's bytes do not depend on it */
    int micro_batch; /* images a thread runs at a time when the top is trained. Default 4. It changes rounding */
    int64_t memory; /* bytes for activations: micro-batches become smaller. Default 0: no limit */
    int resume;     /* goes on from the folder's checkpoint, if there is one. Default 0 */
    double
        checkpoint_minutes; /* between checkpoints, beside those of epochs' ends. Default 5; 0: only those */
    const char
        *folder; /* of metrics, checkpoint and features. Default NULL: OUT without its ending + "-train" */
    const char
        *report; /* folder of report.html (ng_evaluate) and of what is watched. Default NULL: OUT without its
                            ending + "-report"; "": none is made */
    const char *command; /* the command line, for the report. Default NULL: left out */
    int watch; /* so many images, of validation if there are, are explained after each epoch: watch.html and watch.webp
                  in the report's folder. Default 0 */
    const char *
        features; /* file of the base's features, which several runs may share. Default NULL: in the folder */
    const char *backend; /* as in ng_session_opts */
    int (*progress)(void *context,
                    const ng_train_event *event); /* not 0 stops after a checkpoint: NG_E_CANCELLED */
    void *context;
} ng_train_opts;

NG_API void ng_train_opts_init(ng_train_opts *opts);
/* The i-th name that the option may have; NULL behind the last. */
NG_API const char *ng_train_loss(int i);
NG_API const char *ng_train_optimizer(int i);
NG_API const char *ng_train_schedule(int i);

typedef struct ng_train_result {
    int resumed,
        finished_before; /* it went on from a checkpoint; all was done already and nothing was trained */
    int epoch_count, best_epoch;                   /* best_epoch from 1 over both stages */
    int64_t train_images, val_images, test_images; /* that could be read */
    int64_t unreadable;
    int64_t duplicates_across;     /* pairs of near-duplicates in two splits; -1: not looked for */
    double val_loss, val_accuracy; /* of the saved model; NaN where there is no such split */
    double test_loss, test_accuracy;
    int checked_images;        /* run again through the saved file */
    double largest_difference; /* between its logits and training's */
    char folder[4096];         /* where metrics are */
    char report[4096];         /* where the report is; "": there is none */
} ng_train_result;

/* Makes a classifier of base and images and writes it to `path` (.keras, .h5 or a TF.js folder) with labels and
 * preprocessing inside; then opens that file and checks that it says what training said. Batch norms keep their moving
 * statistics throughout. */
NG_API NG_NODISCARD ng_status ng_train(const ng_model *base, const char *data, const char *path,
                                       const ng_train_opts *opts, ng_train_result *out, ng_error *err);
/* ---- Evaluating ---------------------------------------------------------------------------- */

/* A figure and the ends of its interval; NaN where it is not defined. */
typedef struct ng_figure {
    double value, low, high;
} ng_figure;

typedef struct ng_evaluate_opts {
    size_t struct_size;
    const char
        *split; /* "train" | "val" | "test" | "all". Default NULL: test if there is one, else val, else all */
    const char *method; /* of the heatmaps. Default NULL: "gradcam", where the model has a spatial layer */
    const char *parameters; /* the method's; NULL or "": its defaults */
    int layer;              /* explained. Default -1: the model's automatic one */
    ng_fit fit;             /* how images reach the input, as in training. Default NG_FIT_SQUASH */
    ng_resample resample;   /* Default NG_RESAMPLE_PIL_BILINEAR */
    const ng_image_opts *
        image; /* how they are read, but for the channels, which are the model's. Default NULL: the defaults */
    const char *colormap; /* of the heatmaps. Default NULL: "turbo" */
    int pictures;         /* images a section shows at most. Default 24; 0: none */
    int bins;             /* of the calibration curve, 1 to 100. Default 12 */
    double confidence;    /* of the intervals, above 0 to below 1. Default 0.95 */
    int resamples;        /* of the bootstrap. Default 1000 */
    uint64_t seed;        /* of the bootstrap. Default 0 */
    int threads, batch;   /* images worked on at a time, and in one run of a thread. Default 1, 1 */
    const char *backend;  /* as in ng_session_opts. Default NULL */
    const char *title;    /* of the page. Default NULL: the model's path */
    const char *command;  /* the command line, for the page. Default NULL: left out */
    /* Called by one thread at a time; `what` is "images" or "pictures"; not 0 gives up. May be NULL. */
    int (*progress)(void *context, const char *what, int64_t done, int64_t total);
    void *context;
} ng_evaluate_opts;

NG_API void ng_evaluate_opts_init(ng_evaluate_opts *opts);

typedef struct ng_evaluation {
    char split[8];
    int64_t images, right, unreadable; /* judged; all of whose labels are right; left out */
    int64_t
        gone; /* judged, but not to be read any more when their pictures were made: the page has them without */
    ng_figure accuracy, balanced_accuracy, macro_f1, log_loss, brier;
    double macro_auc;
    double calibration_error,
        calibration_error_scaled; /* of bins of equal mass, before and after the temperature */
    ng_figure temperature;        /* NaN where none could be fitted */
    ng_figure energy;             /* share of the heatmap in mask or box; NaN without them */
} ng_evaluation;

/* Judges a model on labelled images and writes folder/report.html (one file that needs nothing else), report.json and
 * predictions.csv; the folder must exist. Classes are matched by label; those of a model without labels by their order. A
 * model that ends in several sigmoids is judged by each label. The temperature is fitted on val where val is not what is
 * judged. Images that cannot be read are left out and counted; so are, of the pictures, those that vanish meanwhile. `out` may
 * be NULL. */
NG_API NG_NODISCARD ng_status ng_evaluate(const ng_model *model, const char *data, const char *folder,
                                          const ng_evaluate_opts *opts, ng_evaluation *out, ng_error *err);

/* ---- Comparing ----------------------------------------------------------------------------- */

/* Two models, A before and B after, on the images that both could judge. An image is right if all its labels are. */
typedef struct ng_comparison {
    char split[8];
    int64_t images, both_right, only_a, only_b, both_wrong; /* by which model is right */
    int64_t unreadable; /* left out, by the model that could judge fewer */
    int64_t gone;       /* judged, but not to be read any more when their pictures were made */
    ng_figure accuracy[2], accuracy_change; /* B's less A's; Wilson's intervals, and the paired bootstrap's */
    double p;       /* of McNemar's exact test, two-sided: that the models are right equally often */
    int64_t placed; /* images with mask or box that both models have a map of; 0: the figures below are NaN */
    ng_figure energy[2], energy_change; /* share of the heatmap in mask or box; bootstrap, paired */
} ng_comparison;

/* Judges both models as ng_evaluate does, on the same images, and writes folder/compare.html (one file that needs nothing
 * else), compare.json and compare.csv; the folder must exist. Both models must have the same classes, in any order
 * (NG_E_ARGUMENT). The page shows `pictures` images at most that only one of the models gets right, by how much their loss
 * changed, with both models' heatmaps of the image's own class. layers [2]: explained of each model, -1 or NULL: their
 * automatic ones; opts->layer is not looked at. progress: `what` is "images by A", "images by B", "pictures of A" or
 * "pictures of B". `opts` and `out` may be NULL. */
NG_API NG_NODISCARD ng_status ng_compare(const ng_model *a, const ng_model *b, const char *data,
                                         const char *folder, const ng_evaluate_opts *opts, const int *layers,
                                         ng_comparison *out, ng_error *err);

/* ---- Probing ------------------------------------------------------------------------------- */

typedef struct ng_probe_opts {
    size_t struct_size;
    const int *layers; /* [layer_count]; NULL: the ends of the base's blocks, the 16 deepest */
    int layer_count;
    int folds;  /* of the cross-validation, 2 to 100. Default 5 */
    int images; /* at most, a stratified part of those that are not for testing; 0: all. Default 1000 */
    const char *group;          /* as in ng_train_opts: groups stay in one fold */
    ng_fit fit;                 /* Default NG_FIT_SQUASH */
    ng_resample resample;       /* Default NG_RESAMPLE_PIL_BILINEAR */
    const ng_image_opts *image; /* NULL: the defaults */
    uint64_t seed;              /* of the folds. Default 0 */
    int threads;                /* Default 1 */
    int (*progress)(void *context, int64_t done, int64_t total); /* images through the base; not 0 gives up */
    void *context;
} ng_probe_opts;

NG_API void ng_probe_opts_init(ng_probe_opts *opts);

typedef struct ng_probe_layer {
    int layer;
    const char *name; /* borrowed from the base */
    int64_t features; /* channels */
    double share;     /* of the base's multiply-adds that lead to it */
    double accuracy;  /* cross-validated, of logistic regression on standardised pooled features */
    double low, high; /* Wilson's interval of 95 % */
    double error;     /* standard error over the folds */
} ng_probe_layer;

typedef struct ng_probe_result {
    int layer_count;
    ng_probe_layer *layers; /* [layer_count] in the network's order; owned */
    int best;               /* index of the highest accuracy */
    int recommended;        /* index of the earliest layer within one standard error of it */
    int folds;
    int64_t images, unreadable, left_out; /* left_out: for testing, or beyond `images` */
} ng_probe_result;

/* How well the features of the base's layers tell DATA's classes apart, all from one pass over the images. */
NG_API NG_NODISCARD ng_status ng_probe(const ng_model *base, const char *data, const ng_probe_opts *opts,
                                       ng_probe_result *out, ng_error *err);
NG_API void ng_probe_result_clear(ng_probe_result *result);

/* ---- Arrays -------------------------------------------------------------------------------- */

/* A NumPy array in memory, float32. */
typedef struct ng_array {
    int rank;
    int64_t shape[8];
    float *data; /* owned */
} ng_array;

/* NumPy .npy, version 1-3, little endian, C order. Reads float32 only; the error names what was found. */
NG_API NG_NODISCARD ng_status ng_npy_load(const char *path, ng_array *out, ng_error *err);
/* Writes float32, as ng_file_save_quick does. */
NG_API NG_NODISCARD ng_status ng_npy_save(const char *path, int rank, const int64_t *shape, const float *data,
                                          ng_error *err);
NG_API void ng_array_clear(ng_array *array);

/* Writes bytes to path atomically (temporary name in the same folder, then rename). */
NG_API NG_NODISCARD ng_status ng_file_save(const char *path, const void *bytes, size_t size, ng_error *err);
/* The same without waiting until the disk has it, which takes longer than making a heatmap: for what can be made again.
 * Whatever happens to the process, the file is whole or not there; where the machine loses power, it may be empty. */
NG_API NG_NODISCARD ng_status ng_file_save_quick(const char *path, const void *bytes, size_t size,
                                                 ng_error *err);

/* ---- The cache ----------------------------------------------------------------------------- */

/* Decoded and packed weights are kept in files that are mapped and shared by processes: a second start reads no
 * weights. Damaged and outdated files are noticed and made again. `folder` is as in ng_model_opts.cache. */
typedef struct ng_cache_entry {
    char name[64];   /* of the file */
    char title[256]; /* what it holds */
    uint64_t bytes;
    int64_t used; /* last, in seconds since 1970 */
} ng_cache_entry;

typedef struct ng_cache_info {
    char *folder; /* owned; NULL: there is no cache */
    uint64_t bytes,
        limit; /* of all files; what they may be, the least recently used are thrown out beyond it */
    int entry_count;
    ng_cache_entry *entries; /* [entry_count], owned, the most recently used first */
} ng_cache_info;

NG_API NG_NODISCARD ng_status ng_cache_describe(const char *folder, ng_cache_info *out, ng_error *err);
NG_API void ng_cache_info_clear(ng_cache_info *info);
/* Packs and measurements (ng_model_tune). */
NG_API NG_NODISCARD ng_status ng_cache_clear(const char *folder, ng_error *err);
/* Kept in the folder. Default 2 GiB; 0 keeps nothing. */
NG_API NG_NODISCARD ng_status ng_cache_set_limit(const char *folder, uint64_t bytes, ng_error *err);

/* One shape of convolution of a model, and the two kernels that can run it here. */
typedef struct ng_tune_row {
    char shape[128];        /* "3x3 17x17x768 to 17x17x192, 1 thread" */
    int layers;             /* that have it */
    char kernel[2][64];     /* the first is taken where nothing was measured */
    double milliseconds[2]; /* medians */
    int chosen;             /* 0 or 1 */
} ng_tune_row;

typedef struct ng_tune_result {
    int row_count;
    ng_tune_row *rows; /* [row_count], owned */
    int kept;          /* in the model's cache: sessions made from now on take the chosen kernels */
} ng_tune_result;

/* Measures the kernels of every convolution against each other, `repeats` times each, in turns. */
NG_API NG_NODISCARD ng_status ng_model_tune(const ng_model *model, int threads, int repeats,
                                            ng_tune_result *out, ng_error *err);
NG_API void ng_tune_result_clear(ng_tune_result *result);

/* ---- The build ----------------------------------------------------------------------------- */

typedef struct ng_build_info {
    const char *version;
    const char *compiler;
    const char *build_type;
    const char *onednn; /* version in use */
    const char *vips;
    const char *hdf5;
    const char *libzip;
    const char *jansson;
    const char *cpu;          /* model name */
    const char *cpu_features; /* space separated: "avx2 fma avx512f" */
    const char *isa;          /* the back end's effective instruction set */
} ng_build_info;

NG_API void ng_build_describe(ng_build_info *out);

#ifdef __cplusplus
}
#endif
#endif /* NETGAZE_H */
