/* A CSV file in memory: RFC 4180 with LF or CRLF, quotes doubled inside quotes, a UTF-8 byte order mark passed over.
 * Every row has as many fields as the header; empty lines are passed over. */
#ifndef NGI_DATA_TABLE_H
#define NGI_DATA_TABLE_H

#include "base/base.h"

typedef struct ngi_table {
    char *text;     /* the file; fields lie in it, each ended by NUL */
    char **fields;  /* [n_rows][n_columns]; row 0 is the header */
    int64_t *lines; /* [n_rows] where each row begins, from 1 */
    int64_t n_rows;
    int n_columns;
    size_t n_fields, field_capacity, line_capacity; /* the reader's own */
} ngi_table;

NG_NODISCARD ng_status ngi_table_read(const char *path, ngi_table *out, ng_error *err);
void ngi_table_clear(ngi_table *t);

#endif
