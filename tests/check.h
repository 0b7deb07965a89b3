/* What every test file needs: cmocka with its prerequisites, and a few checks with readable failures. */
#ifndef NETGAZE_TESTS_CHECK_H
#define NETGAZE_TESTS_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "netgaze/netgaze.h"

/* Succeeds, or fails the test with the library's own words. */
#define CHECK_OK(call, err)                                                          \
    do {                                                                             \
        ng_status check_status = (call);                                             \
        if (check_status != NG_OK)                                                   \
            fail_msg("%s: %s: %s", #call, ng_status_name(check_status), (err).text); \
    } while (0)

/* Fails with exactly this status and a text that holds `fragment`. */
#define CHECK_FAILS(call, status, err, fragment)                                              \
    do {                                                                                      \
        (err) = (ng_error){0};                                                                \
        ng_status check_status = (call);                                                      \
        if (check_status != (status))                                                         \
            fail_msg("%s: expected %s, found %s: %s", #call, ng_status_name(status),          \
                     ng_status_name(check_status), (err).text);                               \
        if (!strstr((err).text, (fragment)))                                                  \
            fail_msg("%s: the error '%s' does not hold '%s'", #call, (err).text, (fragment)); \
    } while (0)

/* |a - b| <= tolerance; NaN fails. */
#define CHECK_NEAR(a, b, tolerance)                                                            \
    do {                                                                                       \
        double check_a = (a), check_b = (b);                                                   \
        if (!(fabs(check_a - check_b) <= (tolerance)))                                         \
            fail_msg("%s = %.9g, %s = %.9g: differ by more than %g", #a, check_a, #b, check_b, \
                     (double)(tolerance));                                                     \
    } while (0)

/* A new empty folder; the test removes it with remove_folder. */
static inline char *make_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *path = malloc(4096);
    snprintf(path, 4096, "%s/netgaze-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(path))
        fail_msg("no temporary folder");
    return path;
}

static inline void remove_folder(char *path)
{
    char command[4200];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0)
        fail_msg("%s could not be removed", path);
    free(path);
}

#endif
