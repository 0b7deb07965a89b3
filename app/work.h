/* Working through images on several threads. */
#ifndef NETGAZE_APP_WORK_H
#define NETGAZE_APP_WORK_H

#include "images.h"

/* A few neighbouring inputs, done by one thread in one run of the network. */
typedef struct job {
    FILE *out;        /* for standard output: printed in input order */
    int first, count; /* inputs */
    int maps, failed; /* counted by the job */
    bool fatal;       /* the environment is at fault: nothing more is begun */
    bool stopped;     /* by an interrupt, perhaps before its end */
} job;

typedef void job_function(void *context, ng_session *session, job *j);

/* Threads asked for; else one a core. */
int threads_of(const settings *s);
/* Images in one run of a thread: as many as were asked for; else a few, whose weights are fetched once, where there are so
 * many images that no core waits long for another's last ones. */
enum { A_FEW = 4 };
int batch_of(const settings *s, int count);

/* Lets `interrupted` be set by the first SIGINT or SIGTERM; a second one ends the program at once. */
void catch_interrupts(bool wanted);

/* Runs `work` for `count` inputs, s->batch at a time; every thread has a session of its own, cloned from `session`.
 * Says at the end what was done. Returns the exit code. */
int run_jobs(const settings *s, ng_session *session, int count, job_function *work, void *context);

/* progress.c: one line with an estimate of the time left; only on a terminal, from the third second on. */
typedef struct progress {
    double start, shown; /* seconds */
    const char *what;    /* "images" */
    int total;
    bool wanted;
} progress;

void progress_begin(progress *p, const char *what, int total, bool wanted);
void progress_show(progress *p, int done);
void progress_end(const progress *p);

/* chunk.c: the pictures of one job. */
typedef struct slot {
    int input; /* index among the inputs */
    picture picture;
    bool failed; /* err says why */
    ng_error err;
    json_t *recorded; /* result lines of an earlier run, which has done it all; or NULL */
} slot;

typedef struct chunk_steps {
    const ng_model *model;
    const inputs *in;
    const fitting *fit;
    int batch;
    void *context;
    /* Results of an earlier run, or NULL. May be NULL. */
    json_t *(*find_recorded)(void *context, int input);
    void (*write_recorded)(void *context, const slot *s, job *j);
    /* Image `at` of the session's last run is this item of the slot's picture. NG_E_CANCELLED: interrupted. */
    ng_status (*do_item)(void *context, ng_session *session, int at, const slot *s, int item, job *j,
                         ng_error *err);
    void (*write_failure)(void *context, const slot *s, job *j);
} chunk_steps;

void run_chunk(const chunk_steps *steps, ng_session *session, job *j);

#endif
