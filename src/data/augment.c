/* The text of an augmentation, and what is drawn for an image. */
#include "data/augment.h"

#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_STREAM 0x6175676d656e74 /* "augment": no other draw of the same seed shares these words */

enum { FLIP, FILL, RANGE };

typedef struct row {
    const char *name;
    int kind;
    size_t place;
    double least, most; /* that Keras takes */
    bool one_sided;     /* f alone is [0,f] */
    const char *help;
} row;

#define RANGE_ROW(name, least, most, one_sided, help)                           \
    {                                                                           \
#name, RANGE, offsetof(ngi_augment, name), least, most, one_sided, help \
    }

static const row rows[] = {
    {"flip", FLIP, 0, 0, 0, false,
     "horizontal, vertical or horizontal_and_vertical, each with probability 1/2"},
    RANGE_ROW(rotation, -1, 1, false, "up to this part of a full turn, either way"),
    RANGE_ROW(zoom, -0.99, 1, false, "this much more (above 0) or less of the image is seen"),
    RANGE_ROW(translation, -1, 1, false, "shifted by up to this part of the height and of the width"),
    RANGE_ROW(contrast, -1, 1, false, "distance from the channel's mean times 1 + draw"),
    RANGE_ROW(brightness, -1, 1, false, "this part of the full range added"),
    RANGE_ROW(hue, 0, 1, true, "colours turned by up to this part of half a circle, either way"),
    RANGE_ROW(cutout, 0, 1, true,
              "probability, drawn up to this, that a box of noise is laid over the image"),
    RANGE_ROW(mixup, 0, 10, true, "images and labels of a batch blended in pairs, shares by Beta(a, a)"),
    RANGE_ROW(cutmix, 0, 1, true, "a box of one image laid into another, a of Beta(a, a) drawn up to this"),
    {"fill", FILL, 0, 0, 0, false, "beyond the edge: reflect (default), nearest or constant (black)"},
};
enum { N_ROWS = (int)(sizeof rows / sizeof *rows) };

const char *ngi_augment_help(int i, const char **name)
{
    if (i < 0 || i >= N_ROWS)
        return NULL;
    *name = rows[i].name;
    return rows[i].help;
}

static ng_status parse_flip(const char *value, ngi_augment *out, ng_error *err)
{
    bool both = strcmp(value, "horizontal_and_vertical") == 0;
    out->flip_horizontal = both || strcmp(value, "horizontal") == 0;
    out->flip_vertical = both || strcmp(value, "vertical") == 0;
    if (out->flip_horizontal || out->flip_vertical)
        return NG_OK;
    return ngi_fail(err, NG_E_ARGUMENT,
                    "augment: expected flip=horizontal, vertical or horizontal_and_vertical, found '%s'",
                    value);
}

static ng_status parse_fill(const char *value, ngi_augment *out, ng_error *err)
{
#define FILL_TEXT(kind, text) text,
    static const char *const names[] = {NGI_FILL_LIST(FILL_TEXT)};
#undef FILL_TEXT
    for (int i = 0; i < NGI_FILL_COUNT; i++)
        if (strcmp(value, names[i]) == 0) {
            out->fill = (ngi_fill)i;
            return NG_OK;
        }
    return ngi_fail(err, NG_E_ARGUMENT, "augment: expected fill=reflect, nearest or constant, found '%s'",
                    value);
}

static ng_status parse_range(const row *r, const char *value, ngi_augment *out, ng_error *err)
{
    ngi_range *range = (ngi_range *)((char *)out + r->place);
    char *end;
    double first = strtod(value, &end), second = first;
    bool fine = end != value, pair = fine && *end == ':';
    if (pair) {
        const char *rest = end + 1;
        second = strtod(rest, &end);
        fine = end != rest;
    } else {
        first = r->one_sided ? 0 : -first;
    }
    if (!fine || *end || !(first >= r->least) || !(second <= r->most) || !(first <= second))
        return ngi_fail(err, NG_E_ARGUMENT,
                        "augment: %s: expected a number from 0 to %g, or low:high from %g to %g, found '%s'",
                        r->name, r->one_sided || -r->least > r->most ? r->most : -r->least, r->least, r->most,
                        value);
    *range = (ngi_range){first, second, second > first || first != 0};
    return NG_OK;
}

static ng_status parse_entry(char *entry, unsigned *seen, ngi_augment *out, ng_error *err)
{
    char *equals = strchr(entry, '=');
    if (equals)
        *equals = 0;
    for (int i = 0; i < N_ROWS; i++) {
        if (strcmp(entry, rows[i].name) != 0)
            continue;
        if (!equals)
            return ngi_fail(err, NG_E_ARGUMENT, "augment: expected %s=VALUE: %s", entry, rows[i].help);
        if (*seen & 1u << i)
            return ngi_fail(err, NG_E_ARGUMENT, "augment: %s is given twice", entry);
        *seen |= 1u << i;
        return rows[i].kind == FLIP   ? parse_flip(equals + 1, out, err)
               : rows[i].kind == FILL ? parse_fill(equals + 1, out, err)
                                      : parse_range(&rows[i], equals + 1, out, err);
    }
    return ngi_fail(err, NG_E_ARGUMENT,
                    "augment: '%.60s' is not known; there are flip, rotation, zoom, translation, contrast, "
                    "brightness, hue, cutout, mixup, cutmix and fill",
                    entry);
}

ng_status ngi_augment_parse(const char *text, ngi_augment *out, ng_error *err)
{
    *out = (ngi_augment){0};
    if (!*text || strcmp(text, "none") == 0)
        return NG_OK;
    char *copy = ngi_strdup(text);
    if (!copy)
        return ngi_fail_memory(err, strlen(text) + 1);
    unsigned seen = 0;
    ng_status status = NG_OK;
    for (char *entry = copy, *next; entry && status == NG_OK; entry = next) {
        next = strchr(entry, ',');
        if (next)
            *next++ = 0;
        status = parse_entry(entry, &seen, out, err);
    }
    ngi_free(copy);
    return status;
}

/* One place a draw: adding an operation changes no other's numbers. */
enum draw_index {
    DRAW_FLIP_HORIZONTAL,
    DRAW_FLIP_VERTICAL,
    DRAW_ROTATION,
    DRAW_ZOOM,
    DRAW_SHIFT_Y,
    DRAW_SHIFT_X,
    DRAW_CONTRAST,
    DRAW_BRIGHTNESS,
    DRAW_HUE,
    DRAW_HUE_SIGN,
    DRAW_ERASE,
    DRAW_ERASE_THRESHOLD,
    DRAW_ERASE_WIDTH,
    DRAW_ERASE_HEIGHT,
    DRAW_ERASE_X,
    DRAW_ERASE_Y,
    DRAW_NOISE /* words of the noise's stream */
};

static double draw(const ngi_augment_draw *d, ngi_range range, enum draw_index index)
{
    return range.on ? range.low + (range.high - range.low) * ngi_random_uniform(d->seed, d->stream, index)
                    : 0;
}

static bool coin(const ngi_augment_draw *d, bool on, enum draw_index index)
{
    return on && ngi_random_uniform(d->seed, d->stream, index) < 0.5;
}

/* RandomErasing: both sides are the root of 0.02 to 0.33. */
static void draw_box(ngi_augment_draw *d, int h, int w)
{
    static const ngi_range scale = {0.02, 0.33, true}, unit = {0, 1, true};
    double width = sqrt(draw(d, scale, DRAW_ERASE_WIDTH)) * w,
           height = sqrt(draw(d, scale, DRAW_ERASE_HEIGHT)) * h;
    d->box[0] = draw(d, unit, DRAW_ERASE_X) * (w - width);
    d->box[1] = draw(d, unit, DRAW_ERASE_Y) * (h - height);
    d->box[2] = d->box[0] + width;
    d->box[3] = d->box[1] + height;
}

void ngi_augment_draw_image(const ngi_augment *a, uint64_t seed, int64_t epoch, int64_t item, int h, int w,
                            ngi_augment_draw *out)
{
    ngi_augment_draw *d = out;
    *d = (ngi_augment_draw){.seed = ngi_random_bits(seed, IMAGE_STREAM, (uint64_t)epoch),
                            .stream = (uint64_t)item};
    d->move.flip_horizontal = coin(d, a->flip_horizontal, DRAW_FLIP_HORIZONTAL);
    d->move.flip_vertical = coin(d, a->flip_vertical, DRAW_FLIP_VERTICAL);
    d->move.turns = draw(d, a->rotation, DRAW_ROTATION);
    d->move.zoom_x = d->move.zoom_y = 1 + draw(d, a->zoom, DRAW_ZOOM);
    d->move.shift_y = draw(d, a->translation, DRAW_SHIFT_Y);
    d->move.shift_x = draw(d, a->translation, DRAW_SHIFT_X);
    d->contrast = 1 + draw(d, a->contrast, DRAW_CONTRAST);
    d->brightness = draw(d, a->brightness, DRAW_BRIGHTNESS);
    d->hue = 0.5 * draw(d, a->hue, DRAW_HUE) * (coin(d, true, DRAW_HUE_SIGN) ? 1 : -1);
    d->erase = a->cutout.on &&
               ngi_random_uniform(d->seed, d->stream, DRAW_ERASE_THRESHOLD) < draw(d, a->cutout, DRAW_ERASE);
    if (d->erase)
        draw_box(d, h, w);
    d->seed = ngi_random_bits(d->seed, d->stream, DRAW_NOISE);
}

void ngi_augment_image(const ngi_augment *a, uint64_t seed, int64_t epoch, int64_t item, float *image,
                       float *work, int h, int w, int channels)
{
    ngi_augment_draw d;
    ngi_augment_draw_image(a, seed, epoch, item, h, w, &d);
    ngi_augment_apply(&d, a->fill, image, work, h, w, channels);
}
