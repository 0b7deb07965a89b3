/* Saving models, in the public API. */
#include "format/save.h"

#include <string.h>

#include "api/api.h"

void ng_save_opts_init(ng_save_opts *opts)
{
    *opts = (ng_save_opts){.struct_size = sizeof *opts};
}

ng_status ng_model_save(const ng_model *m, const char *path, const ng_save_opts *opts, ng_error *err)
{
    ng_save_opts defaults;
    ng_save_opts_init(&defaults);
    opts = opts ? opts : &defaults;
    /* What the graph does itself needs no word, and a guess is not to look like knowledge. */
    bool said = strcmp(m->preprocess_origin, "graph") != 0 && strcmp(m->preprocess_origin, "assumed") != 0;
    ngi_save_opts o = {.format = opts->format,
                       .dtype = opts->dtype,
                       .preprocess = said ? ngi_preprocess_name(m->preprocess) : NULL,
                       .labels = m->labels,
                       .n_labels = m->n_labels};
    return ngi_model_save(&m->file, path, &o, err);
}
