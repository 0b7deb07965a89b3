/* How far a folder is, and how long it will take. */
#include "work.h"

#include <time.h>
#include <unistd.h>

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void progress_begin(progress *p, const char *what, int total, bool wanted)
{
    *p = (progress){.start = seconds(),
                    .what = what,
                    .total = total,
                    .wanted = wanted && total > 1 && isatty(STDERR_FILENO)};
}

void progress_show(progress *p, int done)
{
    double now = seconds(), elapsed = now - p->start;
    if (!p->wanted || done == 0 || elapsed < 2 || now - p->shown < 0.2)
        return;
    p->shown = now;
    int left = (int)(elapsed / done * (p->total - done) + 0.5);
    char line[160], time_left[64];
    if (left >= 3600)
        snprintf(time_left, sizeof time_left, "%d:%02d:%02d", left / 3600, left / 60 % 60, left % 60);
    else
        snprintf(time_left, sizeof time_left, "%d:%02d", left / 60, left % 60);
    snprintf(line, sizeof line, "%d of %d %s, %.1f a second, %s left", done, p->total, p->what,
             done / elapsed, time_left);
    say_progress(line);
}

void progress_end(const progress *p)
{
    if (p->wanted)
        say_progress("");
}
