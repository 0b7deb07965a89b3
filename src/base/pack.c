/* Pack files: a header, the table of blocks, the blocks. All checksums are XXH3-64: against damage, not against malice;
 * a file of another user is not opened. */
#include "base/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define MAGIC     "netgaze\1"
#define ALIGNMENT 64
#define MAX_ITEMS (1 << 20)

typedef struct pack_header {
    char magic[8];
    uint64_t file_size;
    uint64_t n_items;
    uint64_t table_checksum; /* of the items and of this header with zero here */
    char key[NGI_PACK_KEY], title[NGI_PACK_TITLE];
} pack_header;

typedef struct pack_entry {
    uint64_t name_low, name_high; /* XXH3-128 of the name */
    uint64_t offset, size, checksum;
} pack_entry;

struct ngi_pack {
    char *base; /* the mapping */
    size_t size;
    const pack_entry *entries; /* [n] sorted by name_low */
    int n;
};

static XXH128_hash_t hash_name(const char *name)
{
    return XXH3_128bits(name, strlen(name));
}

static uint64_t table_checksum(const pack_header *h, const pack_entry *entries)
{
    pack_header copy = *h;
    copy.table_checksum = 0;
    return XXH3_64bits(&copy, sizeof copy) ^ XXH3_64bits(entries, (size_t)h->n_items * sizeof *entries);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static uint64_t round_up(uint64_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* An entry with its item, to be put in order together. */
typedef struct pair {
    pack_entry entry;
    const ngi_pack_item *item;
} pair;

static void sort_pairs(pair *pairs, int n)
{
    for (int gap = n / 2; gap > 0; gap /= 2) /* Shell's: no comparison function, no recursion */
        for (int i = gap; i < n; i++) {
            pair moved = pairs[i];
            int k = i;
            for (; k >= gap && pairs[k - gap].entry.name_low > moved.entry.name_low; k -= gap)
                pairs[k] = pairs[k - gap];
            pairs[k] = moved;
        }
}

static void fill(pair *pairs, const ngi_pack_item *items, int n)
{
    for (int i = 0; i < n; i++) {
        XXH128_hash_t name = hash_name(items[i].name);
        pairs[i] = (pair){{.name_low = name.low64,
                           .name_high = name.high64,
                           .size = items[i].size,
                           .checksum = XXH3_64bits(items[i].data, items[i].size)},
                          &items[i]};
    }
    sort_pairs(pairs, n);
    uint64_t at = round_up(sizeof(pack_header) + (uint64_t)n * sizeof(pack_entry));
    for (int i = 0; i < n; i++) {
        pairs[i].entry.offset = at;
        at = round_up(at + pairs[i].entry.size);
    }
}

static ng_status add_padded(ngi_writer *w, const void *bytes, size_t size, ng_error *err)
{
    static const char zeros[ALIGNMENT];
    NGI_TRY(ngi_writer_add(w, bytes, size, err));
    return ngi_writer_add(w, zeros, (size_t)(round_up(size) - size), err);
}

static ng_status write_all(ngi_writer *w, const pack_header *h, const pack_entry *entries, const pair *pairs,
                           ng_error *err)
{
    int n = (int)h->n_items;
    static const char zeros[ALIGNMENT];
    size_t head = sizeof *h + (size_t)n * sizeof *entries;
    NGI_TRY(ngi_writer_add(w, h, sizeof *h, err));
    NGI_TRY(ngi_writer_add(w, entries, (size_t)n * sizeof *entries, err));
    NGI_TRY(ngi_writer_add(w, zeros, (size_t)(round_up(head) - head), err));
    for (int i = 0; i < n; i++)
        NGI_TRY(add_padded(w, pairs[i].item->data, pairs[i].item->size, err));
    return NG_OK;
}

static ng_status save_pairs(const char *path, pack_header *h, pair *pairs, bool lasting, ng_error *err)
{
    int n = (int)h->n_items;
    pack_entry *entries = ngi_alloc((size_t)n, sizeof *entries);
    if (!entries)
        return ngi_fail_memory(err, (size_t)n * sizeof *entries);
    for (int i = 0; i < n; i++)
        entries[i] = pairs[i].entry;
    h->file_size = n ? round_up(entries[n - 1].offset + entries[n - 1].size) : round_up(sizeof *h);
    h->table_checksum = table_checksum(h, entries);
    ngi_writer w;
    ng_status status = ngi_writer_open(&w, path, err);
    if (status == NG_OK) {
        status = write_all(&w, h, entries, pairs, err);
        if (status == NG_OK)
            status = lasting ? ngi_writer_commit(&w, err) : ngi_writer_commit_quick(&w, err);
        else
            ngi_writer_abort(&w);
    }
    ngi_free(entries);
    return status;
}

ng_status ngi_pack_save(const char *path, const char *key, const char *title, const ngi_pack_item *items,
                        int n, bool lasting, ng_error *err)
{
    pack_header h = {.magic = MAGIC, .n_items = (uint64_t)n};
    if (n < 0 || n > MAX_ITEMS || strlen(key) >= sizeof h.key)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: %d blocks with the key '%s' are beyond a pack's limits",
                        path, n, key);
    snprintf(h.key, sizeof h.key, "%s", key);
    snprintf(h.title, sizeof h.title, "%s", title);
    pair *pairs = ngi_alloc((size_t)n, sizeof *pairs);
    if (!pairs)
        return ngi_fail_memory(err, (size_t)n * sizeof *pairs);
    fill(pairs, items, n);
    ng_status status = save_pairs(path, &h, pairs, lasting, err);
    ngi_free(pairs);
    return status;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static bool is_sound(const char *base, size_t size, const char *key)
{
    const pack_header *h = (const pack_header *)base;
    if (memcmp(h->magic, MAGIC, sizeof h->magic) != 0 || h->file_size != size ||
        strncmp(h->key, key, sizeof h->key) != 0 || h->n_items > MAX_ITEMS ||
        h->n_items > (size - sizeof *h) / sizeof(pack_entry))
        return false;
    const pack_entry *e = (const pack_entry *)(base + sizeof *h);
    if (h->table_checksum != table_checksum(h, e))
        return false;
    for (uint64_t i = 0; i < h->n_items; i++)
        if (e[i].offset % ALIGNMENT || e[i].offset > size || e[i].size > size - e[i].offset ||
            (i && e[i - 1].name_low > e[i].name_low) ||
            e[i].checksum != XXH3_64bits(base + e[i].offset, (size_t)e[i].size))
            return false;
    return true;
}

/* Maps a whole file of ours; NULL if that cannot be. The file is not changed while it has its name, and truncating it
 * under a mapping is nothing that the cache does. */
static char *map(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    char *base = NULL;
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        st.st_size >= (off_t)sizeof(pack_header)) {
        void *at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        base = at == MAP_FAILED ? NULL : at;
        *size = (size_t)st.st_size;
    }
    close(fd);
    return base;
}

ngi_pack *ngi_pack_open(const char *path, const char *key)
{
    size_t size = 0;
    char *base = map(path, &size);
    if (!base)
        return NULL;
    (void)madvise(base, size,
                  MADV_POPULATE_READ); /* all pages at once; kernels before 5.14 refuse, no harm */
    ngi_pack *p = is_sound(base, size, key) ? ngi_alloc(1, sizeof *p) : NULL;
    if (!p) {
        munmap(base, size);
        return NULL;
    }
    *p = (ngi_pack){base, size, (const pack_entry *)(base + sizeof(pack_header)),
                    (int)((const pack_header *)base)->n_items};
    (void)utimensat(AT_FDCWD, path, NULL, 0);
    return p;
}

void *ngi_pack_find(const ngi_pack *p, const char *name, size_t *size)
{
    XXH128_hash_t wanted = hash_name(name);
    int low = 0, high = p->n;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (p->entries[middle].name_low < wanted.low64)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < p->n && p->entries[low].name_low == wanted.low64; low++)
        if (p->entries[low].name_high == wanted.high64) {
            *size = (size_t)p->entries[low].size;
            return p->base + p->entries[low].offset;
        }
    return NULL;
}

void ngi_pack_rest(const ngi_pack *p)
{
    (void)madvise(p->base, p->size, MADV_DONTNEED);
}

void ngi_pack_close(ngi_pack *p)
{
    if (!p)
        return;
    munmap(p->base, p->size);
    ngi_free(p);
}

bool ngi_pack_title(const char *path, char *text)
{
    pack_header h;
    FILE *f = fopen(path, "rbe");
    bool is_pack = f && fread(&h, sizeof h, 1, f) == 1 && memcmp(h.magic, MAGIC, sizeof h.magic) == 0;
    if (f)
        fclose(f);
    if (is_pack)
        snprintf(text, NGI_PACK_TITLE, "%.*s", NGI_PACK_TITLE - 1, h.title);
    return is_pack;
}

/* ---- Packing --------------------------------------------------------------------------------- */

static void note(ngi_packing *p, const char *name, const void *data, size_t size)
{
    if (p->n == p->capacity) {
        int more = p->capacity ? 2 * p->capacity : 64;
        void *bigger = ngi_realloc(p->items, (size_t)more, sizeof *p->items);
        if (!bigger) {
            p->failed = true;
            return;
        }
        p->items = bigger;
        p->capacity = more;
    }
    ngi_pack_item item = {ngi_strdup(name), data, size};
    if (item.name)
        p->items[p->n++] = item;
    else
        p->failed = true;
}

const void *ngi_packing_find(ngi_packing *p, const char *tag, size_t size)
{
    size_t found = 0;
    if (!p || !p->from)
        return NULL;
    char *name = ngi_sprintf("%s %s", p->owner, tag);
    const void *data = name ? ngi_pack_find(p->from, name, &found) : NULL;
    if (data && found == size)
        note(p, name, data, size);
    ngi_free(name);
    return found == size ? data : NULL;
}

void ngi_packing_keep(ngi_packing *p, const char *tag, const void *data, size_t size)
{
    if (!p)
        return;
    p->missed = true;
    char *name = ngi_sprintf("%s %s", p->owner, tag);
    if (name)
        note(p, name, data, size);
    else
        p->failed = true;
    ngi_free(name);
}

void ngi_packing_clear(ngi_packing *p)
{
    for (int i = 0; i < p->n; i++)
        ngi_free((void *)p->items[i].name);
    ngi_free(p->items);
    *p = (ngi_packing){0};
}
