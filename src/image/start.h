/* Starting libvips, and its errors as ours. Included by the files of this folder that call vips only. */
#ifndef NGI_IMAGE_START_H
#define NGI_IMAGE_START_H

#include <vips/vips.h>

#include "base/base.h"

/* Starts libvips once per process, from any thread. */
NG_NODISCARD ng_status ngi_vips_start(ng_error *err);
/* Takes vips's own message, clears it, and records "where: doing: message". */
ng_status ngi_vips_fail(ng_error *err, ng_status status, const char *where, const char *doing);
/* Drops vips's message after a failure that does not matter. */
void ngi_vips_forget(void);
/* Callers run one image a thread: this pipeline stays on the calling one's worker. */
void ngi_vips_single_thread(VipsImage *image);
/* The image's own pixels as vips's, which must not outlive them; NULL with vips's message. save.c */
VipsImage *ngi_vips_wrap(const ng_image *image);

#endif
