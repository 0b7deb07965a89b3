/* Parameters of methods: "name=value,..." checked against the method's row. */
#include "attr/attr.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int find(const ng_method_info *m, const char *name, size_t length)
{
    for (int i = 0; i < m->parameter_count; i++)
        if (strlen(m->parameters[i].name) == length && strncmp(m->parameters[i].name, name, length) == 0)
            return i;
    return -1;
}

static ng_status fail_unknown(const ng_method_info *m, const char *name, size_t length, ng_error *err)
{
    char known[512] = "none";
    size_t used = 0;
    for (int i = 0; i < m->parameter_count && used + strlen(m->parameters[i].name) + 3 < sizeof known; i++)
        used +=
            (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", m->parameters[i].name);
    return ngi_fail(err, NG_E_ARGUMENT, "method %s has no parameter '%.*s'; it has: %s", m->name, (int)length,
                    name, known);
}

/* The index of a word in "a|b|c"; -1 if it is none of them. */
static int find_choice(const char *choices, const char *word, size_t length)
{
    int index = 0;
    for (const char *p = choices; *p; index++) {
        size_t n = strcspn(p, "|");
        if (n == length && strncmp(p, word, n) == 0)
            return index;
        p += n + (p[n] == '|');
    }
    return -1;
}

static ng_status read_value(const ng_method_info *m, const ng_method_parameter *p, const char *text,
                            size_t length, double *out, ng_error *err)
{
    if (p->choices) {
        int choice = find_choice(p->choices, text, length);
        if (choice < 0)
            return ngi_fail(err, NG_E_ARGUMENT, "%s: %s=%.*s: expected one of %s", m->name, p->name,
                            (int)length, text, p->choices);
        *out = choice;
        return NG_OK;
    }
    char *end;
    double value = strtod(text, &end);
    bool whole = !p->whole || value == floor(value);
    if (length == 0 || end != text + length || !(value >= p->low && value <= p->high) || !whole)
        return ngi_fail(err, NG_E_ARGUMENT, "%s: %s=%.*s: expected a %snumber from %g to %g", m->name,
                        p->name, (int)length, text, p->whole ? "whole " : "", p->low, p->high);
    *out = value;
    return NG_OK;
}

ng_status ngi_parameters_read(const ng_method_info *m, const char *text, double *out, ng_error *err)
{
    for (int i = 0; i < m->parameter_count; i++)
        out[i] = m->parameters[i].value;
    for (const char *p = text ? text : ""; *p;) {
        size_t length = strcspn(p, ","), name = strcspn(p, "=");
        if (name >= length)
            return ngi_fail(err, NG_E_ARGUMENT, "%s: parameter '%.*s': expected NAME=VALUE", m->name,
                            (int)length, p);
        int index = find(m, p, name);
        if (index < 0)
            return fail_unknown(m, p, name, err);
        NGI_TRY(read_value(m, &m->parameters[index], p + name + 1, length - name - 1, &out[index], err));
        p += length + (p[length] == ',');
    }
    return NG_OK;
}

double ngi_parameter(const ngi_method *method, const ngi_attr_job *job, const char *name)
{
    int index = find(&method->info, name, strlen(name));
    assert(index >= 0);
    return job->parameters[index];
}
