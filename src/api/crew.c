/* Threads that take indices from a counter, each with its own session. */
#include "api/evaluate.h"

#include <pthread.h>
#include <stdatomic.h>

enum { MOST_THREADS = 256 };

typedef struct crew {
    pthread_mutex_t lock; /* guards status and error */
    atomic_llong next;
    atomic_bool stop;
    int64_t n;
    ngi_crew_work *work;
    void *context;
    ng_status status;
    ng_error error;
} crew;

typedef struct worker {
    crew *crew;
    ng_session *session;
    int number;
    pthread_t thread;
} worker;

static void *run_worker(void *argument)
{
    worker *w = argument;
    crew *p = w->crew;
    while (!atomic_load(&p->stop)) {
        int64_t index = atomic_fetch_add(&p->next, 1);
        if (index >= p->n)
            break;
        ng_error err;
        ng_status status = p->work(p->context, w->session, w->number, index, &err);
        if (status == NG_OK)
            continue;
        pthread_mutex_lock(&p->lock);
        if (p->status == NG_OK) {
            p->status = status;
            p->error = err;
        }
        pthread_mutex_unlock(&p->lock);
        atomic_store(&p->stop, true);
    }
    return NULL;
}

/* As many threads as there is memory for; the caller's is the first worker. */
static void run_workers(crew *p, worker *workers, int threads)
{
    int started = 1;
    for (; started < threads; started++) {
        worker *w = &workers[started];
        w->crew = p;
        w->number = started;
        if (ng_session_clone(workers[0].session, &w->session, NULL) != NG_OK)
            break;
        if (pthread_create(&w->thread, NULL, run_worker, w) != 0) {
            ng_session_free(w->session);
            break;
        }
    }
    run_worker(&workers[0]);
    for (int i = 1; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        ng_session_free(workers[i].session);
    }
}

ng_status ngi_crew_run(ng_session *session, int threads, int64_t n, ngi_crew_work *work, void *context,
                       ng_error *err)
{
    threads = threads < 1 ? 1 : threads < MOST_THREADS ? threads : MOST_THREADS;
    threads = n < threads ? (int)(n < 1 ? 1 : n) : threads;
    worker *workers = ngi_alloc_zero((size_t)threads, sizeof *workers);
    if (!workers)
        return ngi_fail_memory(err, (size_t)threads * sizeof *workers);
    crew p = {.n = n, .work = work, .context = context};
    pthread_mutex_init(&p.lock, NULL);
    workers[0] = (worker){.crew = &p, .session = session};
    run_workers(&p, workers, threads);
    pthread_mutex_destroy(&p.lock);
    ngi_free(workers);
    return p.status == NG_OK ? NG_OK : ngi_fail(err, p.status, "%s", p.error.text);
}
