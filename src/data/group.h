/* Groups of a data set's items, for the split and the check that none leaks. */
#ifndef NGI_DATA_GROUP_H
#define NGI_DATA_GROUP_H

#include "data/data.h"

typedef struct ngi_group_member {
    const char *group; /* NULL: alone */
    int64_t item;
} ngi_group_member;

/* All items [n_items], members of a group beside one another, those without one last; NULL when out of memory. */
ngi_group_member *ngi_group_members(const ngi_dataset *d);
bool ngi_group_same(const ngi_group_member *a, const ngi_group_member *b);
/* Names the group of every item that has none. */
NG_NODISCARD ng_status ngi_group_by_pattern(ngi_dataset *d, const char *pattern, ng_error *err);

#endif
