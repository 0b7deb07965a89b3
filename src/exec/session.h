/* Inside a run session: shared by session.c (whole runs) and near.c (runs of what changed). */
#ifndef NGI_EXEC_SESSION_H
#define NGI_EXEC_SESSION_H

#include "exec/cone.h"
#include "exec/plan.h"

typedef struct ngi_step_pointers {
    const float **in;
    float **grad_in;
    float *out, *grad_out;
} ngi_step_pointers;

struct ngi_run_session {
    ngi_plan *plan;
    char *block;
    void *contexts[NGI_MAX_BACKENDS];
    ngi_step_pointers *steps;
    const float **in; /* all steps' inputs, one after the other */
    float **grad_in;
    float *weight_grads; /* of the step that is being trained: kernel, then bias; NULL: none is */
    bool overflowed;     /* in the last forward */
    int images; /* of the last forward; 0: none, or it failed, or it left out what no gradient can do without */
    /* [batch, largest ReLU]: where the deconvnet rule takes a ReLU's derivative; NULL before the first. */
    float *ones;
    ngi_cone cone; /* of runs near a base; empty before the first */
};

/* One step of a forward run of n images; parts [n] or NULL as in ngi_run. */
NG_NODISCARD ng_status ngi_session_step(const ngi_run_session *s, int step, int n, const ngi_rect *parts,
                                        ng_error *err);
/* Numbers from a node's first image to image `first`. */
int64_t ngi_session_skip(const ngi_plan *p, int node, int first);
/* Puts the n images given into their places. */
void ngi_session_take(const ngi_run_session *s, const float *const *inputs, int n);

#endif
