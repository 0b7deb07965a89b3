/* netgaze methods: the table of attribution methods with their parameters. */
#include "app.h"

#include <string.h>

/* A choice's default word. */
static int default_word(const ng_method_parameter *p, const char **word)
{
    const char *at = p->choices;
    for (int i = 0; i < (int)p->value; i++)
        at += strcspn(at, "|") + 1;
    *word = at;
    return (int)strcspn(at, "|");
}

static json_t *parameter_json(const ng_method_parameter *p)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", json_text(p->name));
    json_object_set_new(o, "summary", json_text(p->summary));
    if (p->choices) {
        json_t *choices = json_array();
        for (const char *at = p->choices; *at;) {
            size_t n = strcspn(at, "|");
            json_array_append_new(choices, json_stringn(at, n));
            at += n + (at[n] == '|');
        }
        const char *word;
        int n = default_word(p, &word);
        json_object_set_new(o, "default", json_stringn(word, (size_t)n));
        json_object_set_new(o, "choices", choices);
        return o;
    }
    json_object_set_new(o, "default", json_number(p->value));
    json_object_set_new(o, "low", json_number(p->low));
    json_object_set_new(o, "high", json_number(p->high));
    json_object_set_new(o, "whole", json_boolean(p->whole));
    return o;
}

static json_t *method_json(const ng_method_info *m)
{
    json_t *o = json_object(), *parameters = json_array();
    for (int i = 0; i < m->parameter_count; i++)
        json_array_append_new(parameters, parameter_json(&m->parameters[i]));
    json_object_set_new(o, "name", json_text(m->name));
    json_object_set_new(o, "title", json_text(m->title));
    json_object_set_new(o, "summary", json_text(m->summary));
    json_object_set_new(o, "cost", json_text(m->cost));
    json_object_set_new(o, "assumes", json_text(m->assumes));
    json_object_set_new(o, "source", json_text(m->source));
    json_object_set_new(o, "gradient", json_boolean(m->takes_gradient));
    json_object_set_new(o, "resolution", json_string(m->at_input ? "input" : "layer"));
    json_object_set_new(o, "layer", json_boolean(m->at_layer));
    json_object_set_new(o, "eigen_smooth", json_boolean(m->sums_channels));
    json_object_set_new(o, "parameters", parameters);
    return o;
}

static void print_parameter(const ng_method_parameter *p)
{
    if (p->choices) {
        const char *word;
        int n = default_word(p, &word);
        printf("%21s%s=%.*s  %s (%s)\n", "", p->name, n, word, p->summary, p->choices);
    } else
        printf("%21s%s=%g  %s (%g to %g)\n", "", p->name, p->value, p->summary, p->low, p->high);
}

static void print_method(const ng_method_info *m)
{
    printf("%-20s %s: %s\n%21sCost: %s. %s\n", m->name, m->title, m->summary, "", m->cost, m->source);
    if (*m->assumes)
        printf("%21sAssumes: %s\n", "", m->assumes);
    for (int i = 0; i < m->parameter_count; i++)
        print_parameter(&m->parameters[i]);
}

int run_methods(const settings *s)
{
    bool fine = true;
    for (int i = 0; i < ng_method_count() && fine; i++) {
        ng_method_info m;
        if (ng_method_describe(i, &m, NULL) != NG_OK)
            continue;
        if (s->json)
            fine = write_json_line(stdout, method_json(&m));
        else
            print_method(&m);
    }
    return fine ? EXIT_DONE : say_out_of_memory();
}
