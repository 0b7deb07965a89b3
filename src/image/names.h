/* Finding an enumerator by its name, with an error that lists what there is. */
#ifndef NGI_NAMES_H
#define NGI_NAMES_H

#include "base/base.h"

/* `what` names the kind of thing in the error: "resampling". */
NG_NODISCARD ng_status ngi_name_find(const char *what, const char *name, const char *const *names,
                                     size_t count, int *out, ng_error *err);

#endif
