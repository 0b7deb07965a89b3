/* A few threads for one piece of work in numbered parts, and turns: what must be added up is added in the order of the
 * parts, so that sums are the same for any number of threads. */
#ifndef NGI_TRAIN_TEAM_H
#define NGI_TRAIN_TEAM_H

#include "base/base.h"

#define NGI_TEAM_MOST 64 /* threads */

/* One part; `worker` (0 to threads - 1) names the thread's own things. */
typedef ng_status ngi_team_work(void *context, int worker, int64_t part, ng_error *err);

/* Runs parts 0 to n - 1, each begun in order. The error is that of the first part that failed; later ones are then not
 * begun. With one thread the caller does it all. */
NG_NODISCARD ng_status ngi_team_run(int threads, int64_t n, ngi_team_work *work, void *context,
                                    ng_error *err);

/* Part after part at each of several places: take waits until all earlier parts have passed it. Parts come by the places in
 * order, and every part must finish, failed ones too: so it passes those that it has left out. */
typedef struct ngi_turn ngi_turn;

NG_NODISCARD ng_status ngi_turn_create(int places, ngi_turn **out, ng_error *err);
void ngi_turn_free(ngi_turn *t);
void ngi_turn_reset(ngi_turn *t); /* part 0 is next; nobody may be waiting */
void ngi_turn_take(ngi_turn *t, int place, int64_t part);
void ngi_turn_pass(ngi_turn *t, int place, int64_t part);
void ngi_turn_finish(ngi_turn *t, int64_t part);

#endif
