/* Keras 3 archives (.keras): a zip of config.json, metadata.json and model.weights.h5, or an unpacked
 * folder of the three. The weights are read into memory and opened there. Sizes that the archive claims are
 * held against the size of the file before anything is allocated. */
#include "format/h5.h"
#include "format/json.h"
#include "format/notes.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>

#define MAX_ENTRIES    10000
#define MAX_EXPANSION  200       /* unpacked bytes a packed one; weights reach 2, JSON 30 */
#define FREE_EXPANSION (1 << 20) /* members up to this size may expand as they like */
#define MAX_METADATA   ((size_t)1 << 20)

static const char weights_name[] = "model.weights.h5";

bool ngi_is_zip(const char *path)
{
    char first[4] = {0};
    return ngi_file_peek(path, first, sizeof first) &&
           (memcmp(first, "PK\3\4", 4) == 0 || memcmp(first, "PK\5\6", 4) == 0);
}

static bool has_member(const char *folder, const char *name)
{
    char *path = ngi_path_join(folder, name);
    bool has = path && ngi_path_exists(path);
    ngi_free(path);
    return has;
}

static bool matches(const char *path)
{
    if (ngi_path_is_directory(path))
        return has_member(path, "config.json") && has_member(path, weights_name);
    return ngi_is_zip(path);
}

/* ---- Zip --------------------------------------------------------------------------------------- */

typedef struct archive {
    const char *path;
    zip_t *zip; /* NULL: a folder */
    uint64_t size;
} archive;

static ng_status open_archive(const char *path, archive *a, ng_error *err)
{
    struct stat info;
    *a = (archive){.path = path};
    if (stat(path, &info) != 0)
        return ngi_fail(err, NG_E_NOT_FOUND, "%s: the file cannot be found", path);
    if (S_ISDIR(info.st_mode))
        return NG_OK;
    a->size = (uint64_t)info.st_size;
    int code = 0;
    a->zip = zip_open(path, ZIP_RDONLY, &code);
    if (!a->zip) {
        zip_error_t reason;
        zip_error_init_with_code(&reason, code);
        ngi_fail(err, NG_E_FORMAT, "%s: the zip archive cannot be opened: it is damaged or truncated (%s)",
                 path, zip_error_strerror(&reason));
        zip_error_fini(&reason);
        return NG_E_FORMAT;
    }
    zip_int64_t n = zip_get_num_entries(a->zip, 0);
    if (n > MAX_ENTRIES) {
        zip_discard(a->zip);
        return ngi_fail(err, NG_E_LIMIT, "%s: %lld members in the archive, the limit is %d", path,
                        (long long)n, MAX_ENTRIES);
    }
    return NG_OK;
}

static void close_archive(archive *a)
{
    if (a->zip)
        zip_discard(a->zip);
    a->zip = NULL;
}

/* A member's index and its claimed size, checked; NG_E_NOT_FOUND (quietly) if there is none. */
static ng_status find_member(const archive *a, const char *name, size_t limit, zip_uint64_t *index,
                             size_t *size, ng_error *err)
{
    zip_int64_t at = zip_name_locate(a->zip, name, 0);
    zip_stat_t info;
    if (at < 0)
        return NG_E_NOT_FOUND;
    *index = (zip_uint64_t)at;
    zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    if (zip_stat_index(a->zip, *index, 0, &info) != 0 || (info.valid & needed) != needed)
        return ngi_fail(err, NG_E_FORMAT, "%s: %s: the archive does not tell its size", a->path, name);
    if ((info.valid & ZIP_STAT_ENCRYPTION_METHOD) && info.encryption_method != ZIP_EM_NONE)
        return ngi_fail(err, NG_E_UNSUPPORTED, "%s: %s: the archive is encrypted", a->path, name);
    if (info.size > limit)
        return ngi_fail(err, NG_E_LIMIT, "%s: %s: claims %llu bytes, the limit is %zu", a->path, name,
                        (unsigned long long)info.size, limit);
    if (info.comp_size > a->size ||
        (info.size > FREE_EXPANSION && info.size / MAX_EXPANSION > info.comp_size))
        return ngi_fail(err, NG_E_LIMIT,
                        "%s: %s: claims %llu bytes packed into %llu, in a file of %llu: a damaged archive "
                        "or a zip bomb",
                        a->path, name, (unsigned long long)info.size, (unsigned long long)info.comp_size,
                        (unsigned long long)a->size);
    *size = (size_t)info.size;
    return NG_OK;
}

/* Reads to the end, so that the checksum is compared too. */
static ng_status read_open_member(const archive *a, const char *name, zip_file_t *f, char *bytes, size_t size,
                                  ng_error *err)
{
    size_t done = 0;
    char past;
    while (done < size) {
        zip_int64_t n = zip_fread(f, bytes + done, size - done);
        if (n <= 0)
            return ngi_fail(err, NG_E_FORMAT, "%s: %s: %zu bytes are expected, %zu can be read (%s)", a->path,
                            name, size, done, n < 0 ? zip_file_strerror(f) : "it ends there");
        done += (size_t)n;
    }
    zip_int64_t more = zip_fread(f, &past, 1);
    if (more != 0)
        return ngi_fail(err, NG_E_FORMAT, "%s: %s: damaged (%s)", a->path, name,
                        more < 0 ? zip_file_strerror(f) : "it is longer than the archive says");
    bytes[size] = '\0';
    return NG_OK;
}

static ng_status read_zip_member(const archive *a, const char *name, size_t limit, char **bytes, size_t *size,
                                 ng_error *err)
{
    zip_uint64_t index = 0;
    size_t n = 0;
    NGI_TRY(find_member(a, name, limit, &index, &n, err));
    zip_file_t *f = zip_fopen_index(a->zip, index, 0);
    if (!f)
        return ngi_fail(err, NG_E_FORMAT, "%s: %s: cannot be unpacked (%s)", a->path, name,
                        zip_strerror(a->zip));
    char *block = ngi_alloc(n + 1, 1);
    ng_status status = block ? read_open_member(a, name, f, block, n, err) : ngi_fail_memory(err, n + 1);
    zip_fclose(f);
    if (status != NG_OK) {
        ngi_free(block);
        return status;
    }
    *bytes = block;
    *size = n;
    return NG_OK;
}

/* A member as a new NUL-terminated block; NG_E_NOT_FOUND (quietly) if there is none. */
static ng_status read_member(const archive *a, const char *name, size_t limit, char **bytes, size_t *size,
                             ng_error *err)
{
    *bytes = NULL;
    *size = 0;
    if (a->zip)
        return read_zip_member(a, name, limit, bytes, size, err);
    char *path = ngi_path_join(a->path, name);
    if (!path)
        return ngi_fail_memory(err, strlen(name));
    ng_status status = ngi_path_exists(path) ? ngi_file_read(path, limit, bytes, size, err) : NG_E_NOT_FOUND;
    ngi_free(path);
    return status;
}

static ng_status read_weights(const archive *a, char **bytes, size_t *size, ng_error *err)
{
    ng_status status = read_member(a, weights_name, NGI_MAX_MODEL_BYTES, bytes, size, err);
    if (status != NG_E_NOT_FOUND)
        return status;
    bool npz = a->zip && zip_name_locate(a->zip, "model.weights.npz", 0) >= 0;
    bool shards = a->zip && zip_name_locate(a->zip, "model.weights.json", 0) >= 0;
    if (npz || shards)
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: the weights are %s, which are not read; save the model with "
                        "model.save('model.keras')",
                        a->path, npz ? "in NumPy's format" : "in several files (shards)");
    return ngi_fail(err, NG_E_FORMAT, "%s: %s is missing: not a .keras archive, or an incomplete one",
                    a->path, weights_name);
}

ng_status ngi_archive_weights(const char *path, char **bytes, size_t *size, ng_error *err)
{
    archive a;
    NGI_TRY(open_archive(path, &a, err));
    ng_status status = read_weights(&a, bytes, size, err);
    close_archive(&a);
    return status;
}

/* ---- The row ----------------------------------------------------------------------------------- */

/* "Keras 3.15.1" from metadata.json; "" where there is none. */
static ng_status read_producer(const archive *a, char **out, ng_error *err)
{
    char *text;
    size_t size;
    ng_status status = read_member(a, "metadata.json", MAX_METADATA, &text, &size, err);
    if (status == NG_E_NOT_FOUND) {
        *out = ngi_strdup("");
        return *out ? NG_OK : ngi_fail_memory(err, 1);
    }
    if (status != NG_OK)
        return status;
    char *where = ngi_sprintf("%s: metadata.json", a->path);
    json_t *json = NULL;
    const char *version = NULL;
    status = where ? ngi_json_parse(where, text, size, &json, err) : ngi_fail_memory(err, size);
    if (status == NG_OK)
        status = ngi_json_string(json, "keras_version", where, &version, err);
    if (status == NG_OK) {
        *out = version ? ngi_sprintf("Keras %s", version) : ngi_strdup("");
        status = *out ? NG_OK : ngi_fail_memory(err, 64);
    }
    json_decref(json);
    ngi_free(where);
    ngi_free(text);
    return status;
}

/* What netgaze put in; a folder's is read as what lies beside a model. */
static ng_status read_notes(const archive *a, char **out, ng_error *err)
{
    size_t size;
    ng_status status = a->zip ? read_member(a, NGI_NOTES_NAME, NGI_MAX_CONFIG_BYTES, out, &size, err) : NG_OK;
    return status == NG_E_NOT_FOUND ? NG_OK : status;
}

static ng_status build(const archive *a, const char *config, size_t size, const ngi_load_opts *opts,
                       ngi_model_file *out, ng_error *err)
{
    ngi_load_opts limits = opts ? *opts : (ngi_load_opts){0};
    ngi_keras_layer *root = NULL;
    ngi_h5 *h = NULL;
    char *weights = NULL;
    size_t weights_size = 0;
    ng_status status = NG_OK;
    if (limits.weights)
        limits.max_values = ngi_weights_capacity(limits.weights);
    else {
        status = read_weights(a, &weights, &weights_size, err);
        limits.max_values = 4 * (int64_t)weights_size + 65536;
    }
    if (status == NG_OK && weights)
        status = ngi_h5_open_image(a->path, weights, weights_size, &h, err);
    if (status == NG_OK)
        status = ngi_keras_build(a->path, config, size, &limits, &out->graph, &root, err);
    if (status == NG_OK)
        status = h ? ngi_h5_bind(h, out->graph, root, err)
                   : ngi_weights_bind(limits.weights, out->graph, root, err);
    ngi_h5_close(h);
    ngi_free(weights);
    ngi_keras_layer_free(root);
    return status;
}

static ng_status read_model(const archive *a, const ngi_load_opts *opts, ngi_model_file *out, ng_error *err)
{
    char *config;
    size_t size;
    ng_status status = read_member(a, "config.json", NGI_MAX_CONFIG_BYTES, &config, &size, err);
    if (status == NG_E_NOT_FOUND)
        return ngi_fail(err, NG_E_FORMAT, "%s: config.json is missing: a zip file, but not a .keras archive",
                        a->path);
    if (status != NG_OK)
        return status;
    status = read_producer(a, &out->producer, err);
    if (status == NG_OK)
        status = read_notes(a, &out->notes, err);
    if (status == NG_OK)
        status = build(a, config, size, opts, out, err);
    if (status == NG_OK)
        status = ngi_model_hash(config, size, out->graph, out->hash, err);
    if (status == NG_OK)
        status = ngi_model_keep_config(out, config, size, err);
    ngi_free(config);
    if (status != NG_OK)
        return status;
    out->format = "keras";
    out->architecture = ngi_strdup(ngi_architecture_of(out->graph));
    return out->architecture ? NG_OK : ngi_fail_memory(err, 64);
}

/* Of a folder; a zip is one file and noted as that. */
static void note_members(const char *path, const ngi_load_opts *opts)
{
    const char *const names[] = {"config.json", "metadata.json", weights_name};
    for (int i = 0; i < 3 && ngi_path_is_directory(path); i++) {
        char *member = ngi_path_join(path, names[i]);
        ngi_source_note(opts, member ? member : path); /* without memory a folder: enough not to be kept */
        ngi_free(member);
    }
}

static ng_status load(const char *path, const ngi_load_opts *opts, ngi_model_file *out, ng_error *err)
{
    archive a;
    note_members(path, opts);
    NGI_TRY(open_archive(path, &a, err));
    ng_status status = read_model(&a, opts, out, err);
    close_archive(&a);
    return status;
}

const ngi_format ngi_format_keras = {"keras", matches, load};
