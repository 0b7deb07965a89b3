/* For the tests of what judges models: labelled pictures in a folder of their own. */
#ifndef NETGAZE_TESTS_JUDGED_H
#define NETGAZE_TESTS_JUDGED_H

#include "check.h"

#include "base/base.h"

#define MODEL NETGAZE_FIXTURES "/models/keras3.15_nested_head/model.keras"

enum { CLASSES = 5 };

static ng_error err;
static char *folder;

static inline char *place(const char *name)
{
    static char path[4300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static inline char *picture(int i)
{
    char name[32];
    snprintf(name, sizeof name, "i%02d.png", i);
    return place(name);
}

/* `count` pictures of the classes in turn, and list.csv with the column `label` and, unless NULL, `box`, the same for all. */
static inline void write_data(int count, const char *box)
{
    static uint8_t pixels[40 * 30 * 3];
    char list[4096];
    snprintf(list, sizeof list, "path,label%s\n", box ? ",box" : "");
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < (int)sizeof pixels; k++)
            pixels[k] = (uint8_t)(k * (i + 3) % 251);
        ng_image image = {.width = 40, .height = 30, .channels = 3, .data = pixels};
        CHECK_OK(ng_image_save(&image, picture(i), &err), err);
        snprintf(list + strlen(list), sizeof list - strlen(list), "i%02d.png,<c%d>%s%s\n", i, i % CLASSES,
                 box ? "," : "", box ? box : "");
    }
    CHECK_OK(ng_file_save(place("list.csv"), list, strlen(list), &err), err);
}

static inline void take_pictures_away(int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(unlink(picture(i)), 0);
}

#endif
