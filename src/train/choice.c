/* See choice.h. */
#include "train/choice.h"

#include <stdio.h>
#include <string.h>

ng_status ngi_choice_find(const char *what, const char *const *names, int n, const char *name, int *out,
                          ng_error *err)
{
    char list[512] = "";
    for (int i = 0; i < n; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = i;
            return NG_OK;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ", names[i]);
    }
    return ngi_fail(err, NG_E_NOT_FOUND, "%s '%s': expected %s", what, name, list);
}
