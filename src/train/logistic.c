/* The objective is convex and smooth: a backtracking line search and skipped updates where curvature is lost are enough. */
#include "train/logistic.h"

#include <math.h>
#include <string.h>

enum { PAIRS = 10, MOST_ITERATIONS = 500, MOST_HALVINGS = 40 };

typedef struct solver {
    const ngi_logistic *p;
    int64_t size; /* of w */
    double *z;    /* [k] */
    double *w, *grad, *next, *next_grad, *direction;
    double *s[PAIRS], *y[PAIRS], rho[PAIRS]; /* steps, gradients' changes */
    int n_pairs, newest;
} solver;

static double dot(const double *a, const double *b, int64_t n)
{
    double sum[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            sum[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void add(double *to, double scale, const double *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] += scale * from[i];
}

static void scores(int d, int k, const double *w, const double *x, double *z)
{
    for (int c = 0; c < k; c++)
        z[c] = dot(w + (int64_t)c * (d + 1), x, d) + w[(int64_t)c * (d + 1) + d];
}

int ngi_logistic_predict(int d, int k, const double *w, const double *x)
{
    int best = 0;
    double most = 0;
    for (int c = 0; c < k; c++) {
        double z = dot(w + (int64_t)c * (d + 1), x, d) + w[(int64_t)c * (d + 1) + d];
        if (c == 0 || z > most) {
            best = c;
            most = z;
        }
    }
    return best;
}

/* z becomes the probabilities less the target; the loss of it is returned. */
static double softmax_loss(double *z, int k, int target)
{
    double most = z[0], sum = 0;
    for (int c = 1; c < k; c++)
        most = fmax(most, z[c]);
    double own = z[target] - most;
    for (int c = 0; c < k; c++)
        sum += z[c] = exp(z[c] - most);
    for (int c = 0; c < k; c++)
        z[c] = z[c] / sum - (c == target);
    return log(sum) - own;
}

static double objective(const solver *s, const double *w, double *grad)
{
    const ngi_logistic *p = s->p;
    double loss = 0, penalty = 0;
    memset(grad, 0, (size_t)s->size * sizeof *grad);
    for (int i = 0; i < p->n; i++) {
        const double *x = p->x + (int64_t)i * p->d;
        scores(p->d, p->k, w, x, s->z);
        loss += softmax_loss(s->z, p->k, p->y[i]);
        for (int c = 0; c < p->k; c++) {
            double *g = grad + (int64_t)c * (p->d + 1);
            add(g, s->z[c] / p->n, x, p->d);
            g[p->d] += s->z[c] / p->n;
        }
    }
    for (int c = 0; c < p->k; c++) {
        const double *row = w + (int64_t)c * (p->d + 1);
        penalty += dot(row, row, p->d);
        add(grad + (int64_t)c * (p->d + 1), p->l2, row, p->d);
    }
    return loss / p->n + p->l2 / 2 * penalty;
}

/* direction = -H grad by the two-loop recursion. */
static void find_direction(solver *s)
{
    double alpha[PAIRS];
    memcpy(s->direction, s->grad, (size_t)s->size * sizeof *s->direction);
    for (int i = 0; i < s->n_pairs; i++) {
        int at = (s->newest - i + PAIRS) % PAIRS;
        alpha[at] = s->rho[at] * dot(s->s[at], s->direction, s->size);
        add(s->direction, -alpha[at], s->y[at], s->size);
    }
    if (s->n_pairs) {
        double scale = 1 / (s->rho[s->newest] * dot(s->y[s->newest], s->y[s->newest], s->size));
        for (int64_t i = 0; i < s->size; i++)
            s->direction[i] *= scale;
    }
    for (int i = s->n_pairs - 1; i >= 0; i--) {
        int at = (s->newest - i + PAIRS) % PAIRS;
        double beta = s->rho[at] * dot(s->y[at], s->direction, s->size);
        add(s->direction, alpha[at] - beta, s->s[at], s->size);
    }
    for (int64_t i = 0; i < s->size; i++)
        s->direction[i] = -s->direction[i];
}

static void remember(solver *s)
{
    int at = (s->newest + 1) % PAIRS;
    for (int64_t i = 0; i < s->size; i++) {
        s->s[at][i] = s->next[i] - s->w[i];
        s->y[at][i] = s->next_grad[i] - s->grad[i];
    }
    double curvature = dot(s->s[at], s->y[at], s->size);
    if (!(curvature > 1e-16))
        return;
    s->rho[at] = 1 / curvature;
    s->newest = at;
    s->n_pairs += s->n_pairs < PAIRS;
}

/* One step downhill; false at the end of the road. */
static bool step(solver *s, double *value)
{
    find_direction(s);
    double slope = dot(s->direction, s->grad, s->size), length = 1;
    if (!(slope < 0))
        return false;
    if (s->n_pairs == 0)
        length = fmin(1, 1 / sqrt(-slope));
    for (int i = 0; i < MOST_HALVINGS; i++, length /= 2) {
        memcpy(s->next, s->w, (size_t)s->size * sizeof *s->next);
        add(s->next, length, s->direction, s->size);
        double found = objective(s, s->next, s->next_grad);
        if (!(found <= *value + 1e-4 * length * slope))
            continue;
        remember(s);
        double *w = s->w, *grad = s->grad;
        s->w = s->next;
        s->grad = s->next_grad;
        s->next = w;
        s->next_grad = grad;
        *value = found;
        return true;
    }
    return false;
}

static double largest(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(x[i]));
    return most;
}

ng_status ngi_logistic_fit(const ngi_logistic *p, double *w, double *value, ng_error *err)
{
    solver s = {.p = p, .size = (int64_t)p->k * (p->d + 1)};
    enum { ROWS = 5 + 2 * PAIRS };
    double *block = ngi_alloc_zero(ROWS * (size_t)s.size + (size_t)p->k, sizeof *block);
    if (!block)
        return ngi_fail_memory(err, ROWS * (size_t)s.size * sizeof *block);
    s.w = block;
    s.grad = s.w + s.size;
    s.next = s.grad + s.size;
    s.next_grad = s.next + s.size;
    s.direction = s.next_grad + s.size;
    for (int i = 0; i < PAIRS; i++) {
        s.s[i] = s.direction + (1 + 2 * i) * s.size;
        s.y[i] = s.s[i] + s.size;
    }
    s.z = block + ROWS * s.size;
    double f = objective(&s, s.w, s.grad);
    for (int i = 0; i < MOST_ITERATIONS && largest(s.grad, s.size) > 1e-6; i++)
        if (!step(&s, &f))
            break;
    memcpy(w, s.w, (size_t)s.size * sizeof *w);
    if (value)
        *value = f;
    ngi_free(block);
    return NG_OK;
}
