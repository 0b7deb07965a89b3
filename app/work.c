/* A pool: each thread has its own session and takes the next input; results are printed in input order as soon as all
 * before them are there. Progress goes to a terminal only. */
#include "app.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef struct pool {
    pthread_mutex_t lock;
    job_function *job;
    void *context;
    job_result *results;
    bool *done;
    int count, next, printed, finished, failed, maps;
    bool fatal, show;
    struct timespec start;
    const char *what;
} pool;

typedef struct worker {
    pool *p;
    ng_session *session;
    pthread_t thread;
} worker;

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void show_progress(const pool *p)
{
    double elapsed = seconds_since(&p->start);
    if (!p->show || elapsed < 2)
        return;
    double left = elapsed / p->finished * (p->count - p->finished);
    fprintf(stderr, "\r%d of %d %s, %.1f a second, %d:%02d left \033[K", p->finished, p->count, p->what, p->finished / elapsed,
            (int)left / 60, (int)left % 60);
    if (p->finished == p->count)
        fputc('\n', stderr);
}

/* Under the lock: prints what is ready in order. */
static void take_result(pool *p, int index, job_result result)
{
    p->results[index] = result;
    p->done[index] = true;
    p->finished++;
    p->failed += result.failed;
    p->maps += result.maps;
    p->fatal = p->fatal || result.fatal;
    while (p->printed < p->count && p->done[p->printed]) {
        job_result *r = &p->results[p->printed++];
        if (r->text)
            fputs(r->text, stdout);
        free(r->text);
        r->text = NULL;
    }
    fflush(stdout);
    show_progress(p);
}

static void *work(void *argument)
{
    worker *w = argument;
    pool *p = w->p;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        int index = p->fatal || interrupted || p->next >= p->count ? -1 : p->next++;
        pthread_mutex_unlock(&p->lock);
        if (index < 0)
            return NULL;
        job_result result = p->job(p->context, w->session, index);
        pthread_mutex_lock(&p->lock);
        take_result(p, index, result);
        pthread_mutex_unlock(&p->lock);
    }
}

static int outcome(const settings *s, const pool *p)
{
    if (!s->quiet && (p->count > 1 || p->failed)) {
        fprintf(stderr, "netgaze: ");
        if (p->maps)
            fprintf(stderr, "%d maps, ", p->maps);
        fprintf(stderr, "%d of %d %s failed%s\n", p->failed, p->count, p->what,
                interrupted ? "; interrupted, run the same command again to continue" : "");
    }
    return interrupted ? EXIT_INTERRUPTED : p->fatal ? EXIT_ENVIRONMENT : p->failed ? EXIT_SOME_FAILED : EXIT_DONE;
}

int run_jobs(const settings *s, ng_session *base, int count, job_function *job, void *context, const char *what)
{
    int threads = s->threads ? s->threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
    threads = threads > count ? count : threads < 1 ? 1 : threads;
    pool p = {.job = job, .context = context, .count = count, .what = what, .show = !s->quiet && isatty(STDERR_FILENO)};
    pthread_mutex_init(&p.lock, NULL);
    clock_gettime(CLOCK_MONOTONIC, &p.start);
    p.results = calloc((size_t)count, sizeof *p.results);
    p.done = calloc((size_t)count, sizeof *p.done);
    worker *workers = calloc((size_t)threads, sizeof *workers);
    int started = 0;
    ng_error err;
    while (p.results && p.done && workers && started < threads) {
        workers[started] = (worker){.p = &p, .session = base};
        if (started > 0 && ng_session_clone(base, &workers[started].session, &err) != NG_OK)
            break; /* fewer threads, then */
        if (started > 0 && pthread_create(&workers[started].thread, NULL, work, &workers[started]) != 0) {
            ng_session_free(workers[started].session);
            break;
        }
        started++;
    }
    if (started)
        work(&workers[0]); /* this thread is the first worker */
    for (int i = 1; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        ng_session_free(workers[i].session);
    }
    int code = started ? outcome(s, &p) : EXIT_ENVIRONMENT;
    for (int i = 0; p.results && i < count; i++)
        free(p.results[i].text);
    free(p.results);
    free(p.done);
    free(workers);
    pthread_mutex_destroy(&p.lock);
    return code;
}
