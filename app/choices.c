/* The values that options may take, asked of the library, so that new methods and colour maps need no edit here. */
#include "options.h"

static const char *at(const char *const *names, int n, int i)
{
    return i < n ? names[i] : NULL;
}

const char *method_choice(int i)
{
    ng_method_info info;
    return i < ng_method_count() && ng_method_describe(i, &info, NULL) == NG_OK ? info.name : NULL;
}

const char *score_choice(int i)
{
    static const char *const more[] = {"edges", "centre", "all"};
    return i < ng_method_count() ? method_choice(i) : at(more, 3, i - ng_method_count());
}

const char *figure_choice(int i)
{
    static const char *const names[] = {"location", "drop", "curves", "road", "adcc"};
    return at(names, 5, i);
}

const char *substrate_choice(int i)
{
    static const char *const names[] = {"black", "white", "grey", "mean", "blur", "zero"};
    return at(names, 6, i);
}

const char *target_choice(int i)
{
    return i <= NG_TARGET_REST ? ng_target_name((ng_target)i) : NULL;
}

const char *smooth_choice(int i)
{
    return i <= NG_SMOOTH_SCALED ? ng_smooth_name((ng_smooth)i) : NULL;
}

const char *fuse_choice(int i)
{
    return i <= NG_FUSE_MAX ? ng_fuse_name((ng_fuse)i) : NULL;
}

const char *compat_choice(int i)
{
    return i <= NG_COMPAT_TKV ? ng_compat_name((ng_compat)i) : NULL;
}

const char *colormap_choice(int i)
{
    return i < ng_colormap_count() ? ng_colormap_name(i) : NULL;
}

/* Without "range", whose limits only a program can give. */
const char *norm_choice(int i)
{
    static const ng_norm norms[] = {NG_NORM_MAX, NG_NORM_MINMAX, NG_NORM_PERCENTILE, NG_NORM_NONE};
    return i < (int)(sizeof norms / sizeof *norms) ? ng_norm_name(norms[i]) : NULL;
}

const char *render_norm_choice(int i)
{
    static const char *const more[] = {"class", "dataset"};
    int n = 0;
    while (norm_choice(n))
        n++;
    return i < n ? norm_choice(i) : at(more, 2, i - n);
}

const char *format_choice(int i)
{
    static const char *const names[] = {"keras", "h5", "tfjs"};
    return at(names, 3, i);
}

const char *dtype_choice(int i)
{
    static const char *const names[] = {"float32", "float16", "uint8"};
    return at(names, 3, i);
}

const char *fit_choice(int i)
{
    return i <= NG_FIT_LETTERBOX ? ng_fit_name((ng_fit)i) : NULL;
}

const char *resize_choice(int i)
{
    return i <= NG_RESAMPLE_CV_BILINEAR ? ng_resample_name((ng_resample)i) : NULL;
}

const char *preprocess_choice(int i)
{
    static const char *const names[] = {"auto", "tf", "torch", "caffe", "unit", "raw"};
    return at(names, 6, i);
}

const char *output_choice(int i)
{
    static const char *const names[] = {"raw", "heatmap", "overlay", "figure", "sidecar"};
    return at(names, 5, i);
}

const char *picture_format_choice(int i)
{
    static const char *const names[] = {"png", "jpg", "webp", "tif"};
    return at(names, 4, i);
}

const char *precision_choice(int i)
{
    static const char *const names[] = {"f32", "bf16", "int8"};
    return at(names, 3, i);
}

const char *backend_choice(int i)
{
    static const char *const names[] = {"auto", "onednn", "ref"};
    return at(names, 3, i);
}

const char *pooling_choice(int i)
{
    static const char *const names[] = {"avg", "max", "flatten"};
    return at(names, 3, i);
}

const char *loss_choice(int i)
{
    return ng_train_loss(i);
}

const char *optimizer_choice(int i)
{
    return ng_train_optimizer(i);
}

const char *schedule_choice(int i)
{
    return ng_train_schedule(i);
}

const char *control_choice(int i)
{
    static const char *const names[] = {"redraw", "shuffle"};
    return at(names, 2, i);
}

const char *split_choice(int i)
{
    static const char *const names[] = {"test", "val", "train", "all"};
    return at(names, 4, i);
}
