/* A pool of threads, each with its own session, that take jobs from a counter; what they write is printed in input
 * order, as soon as all before it is there. The first SIGINT or SIGTERM lets every thread stop at its next map. */
#include "work.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

volatile sig_atomic_t interrupted;

typedef struct output {
    char *text; /* by open_memstream */
    size_t size;
    bool done;
} output;

typedef struct pool {
    pthread_mutex_t lock; /* guards all below */
    job_function *work;
    void *context;
    output *outputs; /* [jobs] */
    int inputs, batch, jobs;
    int next, printed;      /* jobs */
    int done, failed, maps; /* inputs, maps */
    bool fatal;
    bool unread; /* fatal because nobody reads standard output any more: nothing to be said */
    progress progress;
} pool;

typedef struct worker {
    pool *pool;
    ng_session *session;
    pthread_t thread;
} worker;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* A second signal ends the program at once. The handler has a stack of its own: oneDNN's matrix products use the stack
 * pointer for other things (src/exec/onednn/backend.c). This thread is who gets a program's signals. */
void catch_interrupts(bool wanted)
{
    static char room[1 << 16];
    const stack_t stack = {.ss_sp = room, .ss_size = sizeof room};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_handler = wanted ? on_interrupt : SIG_DFL,
                               .sa_flags = wanted ? (int)(SA_RESETHAND | SA_ONSTACK) : 0};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Under the lock: prints what is ready in order. */
static void print_ready(pool *p)
{
    while (p->printed < p->jobs && p->outputs[p->printed].done) {
        output *o = &p->outputs[p->printed++];
        if (o->text)
            fwrite(o->text, 1, o->size, stdout);
        free(o->text);
        o->text = NULL;
    }
    if (fflush(stdout) != 0 && !p->fatal) {
        p->unread = errno == EPIPE;
        if (!p->unread)
            complain("standard output: %s", strerror(errno));
        p->fatal = true;
    }
}

static void do_job(worker *w, int index)
{
    pool *p = w->pool;
    output *o = &p->outputs[index];
    job j = {.first = index * p->batch, .out = open_memstream(&o->text, &o->size)};
    j.count = j.first + p->batch > p->inputs ? p->inputs - j.first : p->batch;
    if (j.out)
        p->work(p->context, w->session, &j);
    bool fine = j.out && !ferror(j.out);
    if (j.out && fclose(j.out) != 0)
        fine = false;
    if (!fine)
        say_out_of_memory();
    pthread_mutex_lock(&p->lock);
    o->done = true;
    p->done += j.stopped ? 0 : j.count;
    p->failed += j.failed;
    p->maps += j.maps;
    p->fatal = p->fatal || j.fatal || !fine;
    print_ready(p);
    progress_show(&p->progress, p->done);
    pthread_mutex_unlock(&p->lock);
}

static void *run_worker(void *argument)
{
    worker *w = argument;
    for (;;) {
        pthread_mutex_lock(&w->pool->lock);
        bool stop = w->pool->fatal || interrupted || w->pool->next >= w->pool->jobs;
        int index = stop ? -1 : w->pool->next++;
        pthread_mutex_unlock(&w->pool->lock);
        if (stop)
            return NULL;
        do_job(w, index);
    }
}

/* Starts what threads memory allows; this thread is the first worker. Returns how many worked. */
static int run_workers(pool *p, ng_session *session, int threads)
{
    worker *workers = calloc((size_t)threads, sizeof *workers);
    int started = workers ? 1 : 0;
    while (started && started < threads) {
        worker *w = &workers[started];
        w->pool = p;
        if (ng_session_clone(session, &w->session, NULL) != NG_OK)
            break;
        if (pthread_create(&w->thread, NULL, run_worker, w) != 0) {
            ng_session_free(w->session);
            break;
        }
        started++;
    }
    if (started) {
        workers[0] = (worker){.pool = p, .session = session};
        run_worker(&workers[0]);
    }
    for (int i = 1; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        ng_session_free(workers[i].session);
    }
    free(workers);
    return started;
}

static int conclude(const settings *s, const pool *p)
{
    char maps[40] = "";
    if (p->maps)
        snprintf(maps, sizeof maps, "%d map%s, ", p->maps, p->maps == 1 ? "" : "s");
    if (interrupted)
        complain("interrupted: %s%d of %d images done; the same command continues", maps, p->done, p->inputs);
    else if (!s->quiet && !p->unread && (p->inputs > 1 || p->failed || p->maps))
        complain("%s%d of %d image%s failed", maps, p->failed, p->inputs, p->inputs == 1 ? "" : "s");
    return interrupted ? EXIT_INTERRUPTED
           : p->fatal  ? EXIT_ENVIRONMENT
           : p->failed ? EXIT_SOME_FAILED
                       : EXIT_DONE;
}

int threads_of(const settings *s)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return s->threads > 0 ? s->threads : cores > 0 ? (int)cores : 1;
}

int batch_of(const settings *s, int count)
{
    enum { ROUNDS = 8 }; /* of every thread, at least */
    return s->batch > 0 ? s->batch : count / threads_of(s) >= A_FEW * ROUNDS ? A_FEW : 1;
}

int run_jobs(const settings *s, ng_session *session, int count, job_function *work, void *context)
{
    int batch = s->batch > 0 ? s->batch : 1;
    pool p = {
        .work = work, .context = context, .inputs = count, .batch = batch, .jobs = (count - 1) / batch + 1};
    int threads = threads_of(s) > p.jobs ? p.jobs : threads_of(s);
    p.outputs = calloc((size_t)p.jobs, sizeof *p.outputs);
    if (!p.outputs)
        return say_out_of_memory();
    pthread_mutex_init(&p.lock, NULL);
    progress_begin(&p.progress, "images", count, !s->quiet);
    catch_interrupts(true);
    int code = run_workers(&p, session, threads) ? EXIT_DONE : say_out_of_memory();
    catch_interrupts(false);
    progress_end(&p.progress);
    for (int i = 0; i < p.jobs; i++)
        free(p.outputs[i].text);
    free(p.outputs);
    pthread_mutex_destroy(&p.lock);
    return code == EXIT_DONE ? conclude(s, &p) : code;
}
