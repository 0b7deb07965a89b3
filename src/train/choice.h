/* One of a list of names: losses, update rules, schedules. */
#ifndef NGI_TRAIN_CHOICE_H
#define NGI_TRAIN_CHOICE_H

#include "base/base.h"

/* The index of `name` among names [n]; the error says `what` was asked for and lists them: "what 'name': expected a, b or c". */
NG_NODISCARD ng_status ngi_choice_find(const char *what, const char *const *names, int n, const char *name,
                                       int *out, ng_error *err);

#endif
