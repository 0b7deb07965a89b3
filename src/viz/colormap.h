/* Colour maps. A new one is a row of scripts/make-colormaps.py. */
#ifndef NGI_COLORMAP_H
#define NGI_COLORMAP_H

#include "base/base.h"

typedef struct ngi_colormap {
    const char *name;
    uint8_t rgb[256 * 3];
} ngi_colormap;

extern const ngi_colormap ngi_colormaps[]; /* colormap_tables.c */
extern const int ngi_colormap_total;

/* The table of a colour map [256,3]; NULL name: "jet". */
NG_NODISCARD ng_status ngi_colormap_find(const char *name, const uint8_t **rgb, ng_error *err);
/* matplotlib's jet as it is before rounding to 8 bits: rgb[3] in 0..1 of level 0..255. */
void ngi_jet_exact(int level, double rgb[3]);

#endif
