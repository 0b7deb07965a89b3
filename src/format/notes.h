/* What netgaze adds to a model: labels and preprocessing, as JSON. It lies beside the model (netgaze.json) or travels inside
 * it: the member netgaze.json of a .keras archive, the attribute netgaze of an HDF5 file, userDefinedMetadata.netgaze of a
 * TF.js model.json. */
#ifndef NGI_FORMAT_NOTES_H
#define NGI_FORMAT_NOTES_H

#include "format/json.h"
#include "format/format.h"

#define NGI_NOTES_NAME      "netgaze.json"
#define NGI_NOTES_ATTRIBUTE "netgaze"

/* Reads what stands beside a model, else what its reader has found inside (out->notes). */
NG_NODISCARD ng_status ngi_notes_load(const char *model, ngi_model_file *out, ng_error *err);
/* {"labels": [...], "preprocess": "tf"} without what is not there; a new reference. */
NG_NODISCARD ng_status ngi_notes_make(char *const *labels, int n_labels, const char *preprocess, json_t **out,
                                      ng_error *err);

#endif
