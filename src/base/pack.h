/* A pack: named blocks of bytes in one file that is mapped, not read, and shared by all processes that use it. The cache
 * keeps decoded weights and weights in the kernels' own order in such files.
 *
 * A pack is of this machine and this build: nothing in it is portable, and its key says for what it was made. Opening
 * checks everything - sizes, key, table, a checksum of every block - so that a pack that opens is whole. Files are
 * never changed after they got their name; who replaces one writes another and renames it. */
#ifndef NGI_BASE_PACK_H
#define NGI_BASE_PACK_H

#include "base/base.h"

#define NGI_PACK_KEY   256 /* bytes of a key with its NUL; longer ones are an error of the caller */
#define NGI_PACK_TITLE 256

typedef struct ngi_pack ngi_pack;

/* A block to be written. */
typedef struct ngi_pack_item {
    const char *name;
    const void *data;
    size_t size;
} ngi_pack_item;

/* Writes a pack under a temporary name and renames it. `title` is for people. `lasting`: its bytes have reached the disk
 * before it gets the name; else a machine that loses power may lose it, which opening notices. */
NG_NODISCARD ng_status ngi_pack_save(const char *path, const char *key, const char *title,
                                     const ngi_pack_item *items, int n, bool lasting, ng_error *err);
/* Maps a pack; NULL (quietly) if there is none, it is of another key or user, or damaged in any way. Opening sets the
 * file's time, by which the least recently used are found. */
ngi_pack *ngi_pack_open(const char *path, const char *key);
/* A block, 64-byte aligned, valid until the pack is closed; NULL if there is none of this name. Private to the
 * process: writing to it changes neither the file nor what others see. */
void *ngi_pack_find(const ngi_pack *p, const char *name, size_t *size);
/* Gives back the memory of its pages, which come again when they are read. Only while nothing was written to it. */
void ngi_pack_rest(const ngi_pack *p);
void ngi_pack_close(ngi_pack *p);
/* The title of a pack file into text [NGI_PACK_TITLE]; false if it is no pack. */
bool ngi_pack_title(const char *path, char *text);

/* ---- What kernels take from a pack, and leave for the next one ------------------------------ */

/* Blocks found in a pack or made now; of the making of one plan. Not for several threads. */
typedef struct ngi_packing {
    const ngi_pack *from; /* NULL: nothing there yet */
    const char *owner;    /* whose blocks are found and kept now; set by who asks the owners in turn */
    ngi_pack_item *items; /* [n], names owned */
    int n, capacity;
    bool missed, failed; /* something was made now; memory ran out: not to be saved */
} ngi_packing;

/* The block owner/tag if it is there with just this size, else NULL. p may be NULL. */
const void *ngi_packing_find(ngi_packing *p, const char *tag, size_t size);
/* Notes a block that was made now; it must stay valid until the packing is saved. p may be NULL. */
void ngi_packing_keep(ngi_packing *p, const char *tag, const void *data, size_t size);
void ngi_packing_clear(ngi_packing *p);

#endif
