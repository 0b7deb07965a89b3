/* "Did you mean": the optimal string alignment distance (insert, delete, replace, swap neighbours). */
#include "options.h"

#include <string.h>

enum { LONGEST = 40 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int distance(const char *a, const char *b)
{
    int rows[3][LONGEST + 1];
    int na = (int)strlen(a), nb = (int)strlen(b);
    if (na > LONGEST || nb > LONGEST)
        return LONGEST;
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (int k = 0; k <= nb; k++)
        above[k] = k;
    for (int i = 1; i <= na; i++) {
        row[0] = i;
        for (int k = 1; k <= nb; k++) {
            row[k] = least(least(above[k], row[k - 1]) + 1, above[k - 1] + (a[i - 1] != b[k - 1]));
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                row[k] = least(row[k], before[k - 2] + 1);
        }
        int *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[nb];
}

const char *nearest_name(const char *typed, const char *const *candidates, int n)
{
    const char *best = NULL;
    int best_distance = LONGEST;
    size_t length = strlen(typed);
    for (int i = 0; i < n; i++) {
        int d = distance(typed, candidates[i]);
        if (length > 3 && strncmp(candidates[i], typed, length) == 0)
            d = 1; /* an abbreviation */
        if (d < best_distance) {
            best_distance = d;
            best = candidates[i];
        }
    }
    return best_distance <= 1 + (int)length / 4 ? best : NULL;
}
