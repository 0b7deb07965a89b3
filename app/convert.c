/* netgaze convert: a model in another format. */
#include "app.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

/* Of a file, or of a folder's files together. */
static long long bytes_of(const char *path)
{
    struct stat info;
    long long sum = 0;
    if (stat(path, &info) != 0)
        return 0;
    if (!S_ISDIR(info.st_mode))
        return (long long)info.st_size;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char inside[4096];
        if (snprintf(inside, sizeof inside, "%s/%s", path, e->d_name) < (int)sizeof inside &&
            stat(inside, &info) == 0 && S_ISREG(info.st_mode))
            sum += (long long)info.st_size;
    }
    if (d)
        closedir(d);
    return sum;
}

static bool say_result(const settings *s, const char *path, const ng_model_info *info)
{
    long long bytes = bytes_of(path);
    if (!s->json) {
        if (!s->quiet)
            printf("%s: %lld parameters, %.1f MB\n", path, (long long)info->parameter_count,
                   (double)bytes / 1e6);
        return true;
    }
    json_t *o = json_object();
    json_object_set_new(o, "model", json_text(info->path));
    json_object_set_new(o, "output", json_text(path));
    json_object_set_new(o, "dtype", json_text(s->dtype));
    json_object_set_new(o, "parameters", json_integer(info->parameter_count));
    json_object_set_new(o, "bytes", json_integer(bytes));
    return write_json_line(stdout, o);
}

static int code_of(ng_status status)
{
    switch (status) {
    case NG_E_ARGUMENT:
        return EXIT_USAGE;
    case NG_E_IO:
    case NG_E_MEMORY:
        return EXIT_ENVIRONMENT;
    default:
        return EXIT_MODEL;
    }
}

int run_convert(const settings *s)
{
    ng_model *model;
    int rest, wanted = s->model ? 1 : 2;
    if (s->n_arguments < wanted) {
        complain("convert: a model and a name for what is written are expected");
        return EXIT_USAGE;
    }
    if (s->n_arguments > wanted) {
        complain("convert: '%s' is too many", s->arguments[wanted]);
        return EXIT_USAGE;
    }
    int code = open_model(s, &model, &rest);
    if (code != EXIT_DONE)
        return code;
    ng_error err;
    ng_save_opts opts;
    ng_save_opts_init(&opts);
    opts.format = s->format;
    opts.dtype = s->dtype;
    ng_model_info info;
    ng_model_describe(model, &info);
    ng_status status = ng_model_save(model, s->arguments[rest], &opts, &err);
    if (status != NG_OK) {
        complain("%s", err.text);
        code = code_of(status);
    } else if (!say_result(s, s->arguments[rest], &info))
        code = say_out_of_memory();
    ng_model_free(model);
    return code;
}
