/* --precision: shorter numbers than float32, and what they cost in exactness. */
#ifndef NETGAZE_APP_PRECISION_H
#define NETGAZE_APP_PRECISION_H

#include "images.h"

/* compare.c: Pearson's, of n values. */
double correlation(const float *a, const float *b, int n);
bool is_short(const settings *s);             /* --precision is not float32 */
const char *arithmetic_of(const settings *s); /* as the library's back end, for sidecars */
/* open_session, but at the precision that is asked for, after comparing it with float32 on some of the inputs. */
int open_checked(const settings *s, const ng_model *model, const inputs *in, const fitting *f,
                 const int *layers, int n, bool forward_only, ng_session **session);

#endif
