/* Threads are started for each piece of work: that costs microseconds, a part milliseconds. */
#include "train/team.h"

#include <pthread.h>

typedef struct team {
    pthread_mutex_t lock;
    int64_t next, n;
    ngi_team_work *work;
    void *context;
    ng_status status;
    int64_t failed; /* the part that failed first in order */
    ng_error error;
} team;

typedef struct member {
    team *team;
    int worker;
} member;

static int64_t take_part(team *t)
{
    pthread_mutex_lock(&t->lock);
    int64_t part = t->status == NG_OK && t->next < t->n ? t->next++ : -1;
    pthread_mutex_unlock(&t->lock);
    return part;
}

static void note_failure(team *t, int64_t part, ng_status status, const ng_error *err)
{
    pthread_mutex_lock(&t->lock);
    if (t->status == NG_OK || part < t->failed) {
        t->status = status;
        t->failed = part;
        t->error = *err;
    }
    pthread_mutex_unlock(&t->lock);
}

static void *run_member(void *argument)
{
    const member *m = argument;
    for (int64_t part; (part = take_part(m->team)) >= 0;) {
        ng_error err = {0};
        ng_status status = m->team->work(m->team->context, m->worker, part, &err);
        if (status != NG_OK)
            note_failure(m->team, part, status, &err);
    }
    return NULL;
}

ng_status ngi_team_run(int threads, int64_t n, ngi_team_work *work, void *context, ng_error *err)
{
    team t = {.n = n, .work = work, .context = context};
    pthread_t ids[NGI_TEAM_MOST];
    member members[NGI_TEAM_MOST];
    if (threads > NGI_TEAM_MOST)
        threads = NGI_TEAM_MOST;
    if (threads > n)
        threads = (int)n;
    if (pthread_mutex_init(&t.lock, NULL) != 0)
        return ngi_fail(err, NG_E_INTERNAL, "no lock could be made");
    int started = 1;
    for (int i = 0; i < threads || i < 1; i++)
        members[i] = (member){&t, i};
    while (started < threads &&
           pthread_create(&ids[started], NULL, run_member, &members[started]) == 0) /* fewer do it too */
        started++;
    run_member(&members[0]);
    for (int i = 1; i < started; i++)
        pthread_join(ids[i], NULL);
    pthread_mutex_destroy(&t.lock);
    return t.status == NG_OK ? NG_OK : ngi_fail(err, t.status, "%s", t.error.text);
}

/* ---- Turns ----------------------------------------------------------------------------------- */

struct ngi_turn {
    pthread_mutex_t lock;
    pthread_cond_t passed;
    int places;
    int64_t next[]; /* [places] */
};

ng_status ngi_turn_create(int places, ngi_turn **out, ng_error *err)
{
    *out = NULL;
    size_t bytes = sizeof(ngi_turn) + (size_t)places * sizeof(int64_t);
    ngi_turn *t = ngi_alloc_zero(1, bytes);
    if (!t)
        return ngi_fail_memory(err, bytes);
    t->places = places;
    if (pthread_mutex_init(&t->lock, NULL) != 0) {
        ngi_free(t);
        return ngi_fail(err, NG_E_INTERNAL, "no lock could be made");
    }
    pthread_cond_init(&t->passed, NULL);
    *out = t;
    return NG_OK;
}

void ngi_turn_free(ngi_turn *t)
{
    if (!t)
        return;
    pthread_cond_destroy(&t->passed);
    pthread_mutex_destroy(&t->lock);
    ngi_free(t);
}

void ngi_turn_reset(ngi_turn *t)
{
    for (int i = 0; i < t->places; i++)
        t->next[i] = 0;
}

void ngi_turn_take(ngi_turn *t, int place, int64_t part)
{
    pthread_mutex_lock(&t->lock);
    while (t->next[place] < part)
        pthread_cond_wait(&t->passed, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

void ngi_turn_pass(ngi_turn *t, int place, int64_t part)
{
    pthread_mutex_lock(&t->lock);
    t->next[place] = part + 1;
    pthread_cond_broadcast(&t->passed);
    pthread_mutex_unlock(&t->lock);
}

void ngi_turn_finish(ngi_turn *t, int64_t part)
{
    pthread_mutex_lock(&t->lock);
    for (int i = 0; i < t->places; i++) {
        while (t->next[i] < part)
            pthread_cond_wait(&t->passed, &t->lock);
        if (t->next[i] == part)
            t->next[i] = part + 1;
    }
    pthread_cond_broadcast(&t->passed);
    pthread_mutex_unlock(&t->lock);
}
