/* Reading fixture pictures and comparing them, for the tests of image and viz. */
#ifndef NETGAZE_TESTS_PICTURES_H
#define NETGAZE_TESTS_PICTURES_H

#include "check.h"

#define IMAGES NETGAZE_FIXTURES "/images/"

/* Loads images/<name>; the caller clears. */
static inline ng_image load_picture(const char *name)
{
    char path[4096];
    ng_error err;
    ng_image image;
    snprintf(path, sizeof path, IMAGES "%s", name);
    CHECK_OK(ng_image_load(path, NULL, &image, &err), err);
    return image;
}

/* Largest difference of any sample; fails where the shapes differ. */
static inline int difference(const ng_image *a, const ng_image *b)
{
    if (a->width != b->width || a->height != b->height || a->channels != b->channels)
        fail_msg("%dx%dx%d against %dx%dx%d", a->width, a->height, a->channels, b->width, b->height,
                 b->channels);
    int most = 0;
    for (size_t i = 0; i < (size_t)a->width * a->height * a->channels; i++)
        most = abs(a->data[i] - b->data[i]) > most ? abs(a->data[i] - b->data[i]) : most;
    return most;
}

/* Fails unless `got` is images/<name> within `tolerance` levels. */
static inline void check_picture(const ng_image *got, const char *name, int tolerance)
{
    ng_image wanted = load_picture(name);
    int d = difference(got, &wanted);
    ng_image_clear(&wanted);
    if (d > tolerance)
        fail_msg("%s: differs by %d levels, allowed %d", name, d, tolerance);
}

static inline const uint8_t *pixel_at(const ng_image *image, int x, int y)
{
    return image->data + ((size_t)y * image->width + x) * image->channels;
}

#endif
