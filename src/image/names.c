/* Finding an enumerator by its name. */
#include "image/names.h"

#include <stdio.h>
#include <string.h>

ng_status ngi_name_find(const char *what, const char *name, const char *const *names, size_t count, int *out,
                        ng_error *err)
{
    for (size_t i = 0; name && i < count; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (int)i;
            return NG_OK;
        }
    char list[512] = "";
    for (size_t i = 0, used = 0; i < count && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    return ngi_fail(err, NG_E_ARGUMENT, "no %s is called '%s'; there are %s", what, name ? name : "", list);
}
