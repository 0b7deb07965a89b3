/* Learning rates as Keras's schedules and ReduceLROnPlateau give them (keras/src/optimizers/schedules,
 * keras/src/callbacks/reduce_lr_on_plateau.py, without cooldown). */
#include "train/schedule.h"

#include "train/choice.h"

#include <math.h>
#include <string.h>

static const char *const names[NGI_SCHEDULE_COUNT] = {
#define ROW(kind, text) [NGI_SCHEDULE_##kind] = text,
    NGI_SCHEDULE_LIST(ROW)
#undef ROW
};

const char *ngi_schedule_name(ngi_schedule_kind kind)
{
    return names[kind];
}

ng_status ngi_schedule_find(const char *name, ngi_schedule_kind *out, ng_error *err)
{
    int found;
    NGI_TRY(ngi_choice_find("schedule", names, NGI_SCHEDULE_COUNT, name, &found, err));
    *out = (ngi_schedule_kind)found;
    return NG_OK;
}

void ngi_schedule_init(ngi_schedule *s, ngi_schedule_kind kind, double rate)
{
    *s = (ngi_schedule){.kind = kind, .rate = rate, .factor = 0.1, .patience = 10, .min_delta = 1e-4};
}

static double cosine(const ngi_schedule *s, int64_t step)
{
    double done = s->decay_steps > 0 && step < s->decay_steps ? (double)step / (double)s->decay_steps : 1;
    return (1 - s->floor) * 0.5 * (1 + cos(3.14159265358979323846 * done)) + s->floor;
}

double ngi_schedule_rate(const ngi_schedule *s, const ngi_plateau *p, int64_t step)
{
    if (step < s->warmup_steps)
        return s->rate * (double)step / (double)s->warmup_steps;
    step -= s->warmup_steps;
    int64_t drops = s->decay_steps > 0 ? step / s->decay_steps : 0; /* whole ones */
    switch (s->kind) {
    case NGI_SCHEDULE_COSINE:
        return s->rate * cosine(s, step);
    case NGI_SCHEDULE_STEP:
        return s->rate * pow(s->factor, (double)drops);
    case NGI_SCHEDULE_PLATEAU:
        return p->started ? fmax(s->rate * p->scale, s->floor) : s->rate;
    case NGI_SCHEDULE_CONSTANT:
    case NGI_SCHEDULE_COUNT:
        break;
    }
    return s->rate;
}

void ngi_schedule_epoch(const ngi_schedule *s, ngi_plateau *p, double loss)
{
    if (s->kind != NGI_SCHEDULE_PLATEAU)
        return;
    if (!p->started)
        *p = (ngi_plateau){.started = true, .best = INFINITY, .scale = 1};
    if (loss < p->best - s->min_delta) {
        p->best = loss;
        p->wait = 0;
    } else if (++p->wait >= s->patience && s->rate * p->scale > s->floor) {
        p->scale *= s->factor;
        p->wait = 0;
    }
}
