/* Text that grows: HTML, JSON and CSV. The first failure is kept and everything after it is passed over, so that writers read
 * like the page they write. Labels, paths and messages come from strangers: they enter through the functions that escape. */
#ifndef NGI_REPORT_PAGE_H
#define NGI_REPORT_PAGE_H

#include "base/base.h"

typedef struct ngi_page {
    ngi_buffer text;
    ng_status status;
    ng_error error; /* where status is not NG_OK */
} ngi_page;

void ngi_page_clear(ngi_page *p);

/* As it is: only for text of the program's own. */
void ngi_put(ngi_page *p, const char *text);
void ngi_putf(ngi_page *p, const char *format, ...) NGI_PRINTF(2, 3);

/* As HTML text or attribute value: & < > " ' escaped, control characters and bytes that are no UTF-8 replaced by U+FFFD. */
void ngi_put_html(ngi_page *p, const char *text);
/* As a JSON string with its quotes; "null" for NULL. < and > are escaped too, so that it may stand in a page's script. */
void ngi_put_json(ngi_page *p, const char *text);
/* A number of JSON; null where it is not finite. */
void ngi_put_number(ngi_page *p, double value);
/* A field of CSV (RFC 4180), its bytes as they are. */
void ngi_put_csv(ngi_page *p, const char *text);
/* "data:image/...;base64,...", the kind told by the first bytes. */
void ngi_put_data_uri(ngi_page *p, const ngi_buffer *image);

/* Writes the text atomically, or passes on the first failure. */
NG_NODISCARD ng_status ngi_page_save(const ngi_page *p, const char *folder, const char *name, ng_error *err);

#endif
