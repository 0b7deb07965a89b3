/* Every method of the table on networks and at layers where it cannot work: it says why, and names what can, which then
 * can. */
#include "attr/scene.h"

typedef enum place {
    FLAT_LAYER,   /* a layer without height and width */
    SIDE_BRANCH,  /* a layer that leads nowhere */
    VECTOR_INPUT, /* a network of numbers */
    LARGE_LAYER,  /* 72 x 72 cells */
    HIDDEN_HEAD,  /* two Dense layers behind the pooling */
    EARLY_LAYER,  /* not the one that is pooled */
    INPUT_LAYER,
    NO_RELU,
    SOFTMAX_WITHIN,
    GATED, /* a sigmoid behind the layer scales its channels, as first factor */
    ONE_OUTPUT,
    PLACES
} place;

typedef struct refusal {
    const char *method; /* NULL: all at a layer, or all at the input */
    place where;
    ng_status status;
    const char *reason, *nearest; /* nearest: "": a layer instead, by `netgaze layers`; NULL: there is none */
} refusal;

static const refusal at_layer[] = {
    {NULL, FLAT_LAYER, NG_E_ARGUMENT, "height and width above 1x1", "occlusion"},
    {NULL, FLAT_LAYER, NG_E_ARGUMENT, "shape [4]", "saliency"},
    {NULL, SIDE_BRANCH, NG_E_ARGUMENT, "does not feed the model's output", ""},
};

static const refusal at_input[] = {
    {NULL, EARLY_LAYER, NG_E_ARGUMENT, "takes no layer", "gradcam"},
    {NULL, VECTOR_INPUT, NG_E_ARGUMENT, "height and width above 1x1", NULL},
};

static const refusal particular[] = {
    {"cam", HIDDEN_HEAD, NG_E_UNSUPPORTED, "needs a head of global average pooling", "gradcam"},
    {"cam", EARLY_LAYER, NG_E_UNSUPPORTED, "explains the layer that is pooled, 'last'", "gradcam"},
    {"kpcacam", LARGE_LAYER, NG_E_UNSUPPORTED, "5184 cells are too many", "eigencam"},
    {"finercam", ONE_OUTPUT, NG_E_UNSUPPORTED, "has one output only", "gradcam"},
    {"shapleycam", GATED, NG_E_UNSUPPORTED, "piecewise linear; 'activation_", "gradcam"},
    {"guidedbackprop", NO_RELU, NG_E_UNSUPPORTED, "no ReLU", "integratedgradients"},
    {"deconvnet", NO_RELU, NG_E_UNSUPPORTED, "no ReLU", "saliency"},
    {"guidedgradcam", NO_RELU, NG_E_UNSUPPORTED, "no ReLU", "smoothgrad"},
    {"guidedgradcam", INPUT_LAYER, NG_E_ARGUMENT, "wants a layer", ""},
    {"lrp", SOFTMAX_WITHIN, NG_E_UNSUPPORTED, "no rule here for 'softmax_", "integratedgradients"},
    {"lrp", GATED, NG_E_UNSUPPORTED, "no rule here for 'multiply_", "integratedgradients"},
    {"deeplift", GATED, NG_E_UNSUPPORTED, "no rule here for 'multiply_", "integratedgradients"},
    {"deeplift", SOFTMAX_WITHIN, NG_E_UNSUPPORTED, "no rule here for 'softmax_", "integratedgradients"},
};

/* channels scaled by what a Dense layer and a sigmoid make of their means */
static int gate(ngi_graph *g, int node)
{
    int mean = net_op(g, NGI_OP_GLOBAL_AVG, NULL, node);
    int scale = net_activation(g, NGI_ACT_SIGMOID, net_dense(g, mean, (int)net_channels(g, node), true));
    return net_op2(g, NGI_OP_MULTIPLY, scale, node);
}

/* The network, and in *layer the one that is asked for. */
static ngi_graph *make_network(place where, int *layer)
{
    ngi_graph *g = net_new();
    ngi_activation act = where == NO_RELU ? NGI_ACT_TANH : NGI_ACT_RELU;
    ng_error err = {0};
    ngi_attr channels;
    ngi_attr_init(&channels);
    channels.axis = 2;
    int side = where == LARGE_LAYER ? 72 : 12, image, early = -1, branch = -1, last = -1, node;
    if (where == VECTOR_INPUT)
        node = image = net_input(g, ngi_shape_of(1, (int64_t)5));
    else {
        image = net_image(g, side, side, 3);
        early = net_activation(g, act, net_conv(g, image, net_window(3, 3, 1, 1, true), 4, true));
        branch = net_conv(g, early, net_window(3, 3, 1, 1, true), 4, true);
        last = net_activation(g, act, net_conv(g, early, net_window(3, 3, 1, 1, true), 6, true));
        node = where == SOFTMAX_WITHIN ? net_op(g, NGI_OP_SOFTMAX, &channels, last)
               : where == GATED        ? gate(g, last)
                                       : last;
        node = net_op(g, NGI_OP_GLOBAL_AVG, NULL, node);
    }
    if (where == HIDDEN_HEAD)
        node = net_activation(g, act, net_dense(g, node, 7, true));
    node = net_dense(g, node, where == ONE_OUTPUT ? 1 : CLASSES, true);
    int scores = add_layer(g, "scores", node);
    ngi_attr_init(&channels);
    net_output(g, where == ONE_OUTPUT ? node : net_op(g, NGI_OP_SOFTMAX, &channels, node));
    CHECK_OK(ngi_graph_infer(g, &err), err);
    int input = add_layer(g, "image", image);
    *layer = where == FLAT_LAYER     ? scores
             : where == SIDE_BRANCH  ? add_layer(g, "side", branch)
             : where == EARLY_LAYER  ? add_layer(g, "early", early)
             : where == INPUT_LAYER  ? input
             : where == VECTOR_INPUT ? input
                                     : -1;
    if (last >= 0) {
        int named = add_layer(g, "last", last);
        *layer = *layer < 0 ? named : *layer;
    }
    return g;
}

static ng_status check_at(const ngi_method *m, const ngi_graph *g, int layer, ng_error *err)
{
    return m->check(g, m->info.at_layer || layer >= 0 ? layer : ngi_attr_input_layer(g), err);
}

static void check_refusal(const ngi_method *m, const refusal *r)
{
    int layer;
    ngi_graph *g = make_network(r->where, &layer);
    bool asked = m->info.at_layer || r->where == EARLY_LAYER; /* methods at the input know no other layer */
    ng_error err = {0};
    ng_status status = check_at(m, g, asked ? layer : -1, &err);
    if (status != r->status || !strstr(err.text, r->reason))
        fail_msg("%s, place %d: expected '%s', got %s: %s", m->info.name, (int)r->where, r->reason,
                 ng_status_name(status), err.text);
    if (r->nearest && !strstr(err.text, *r->nearest ? r->nearest : "layers --candidates"))
        fail_msg("%s, place %d: '%s' is not named: %s", m->info.name, (int)r->where, r->nearest, err.text);
    if (r->nearest && *r->nearest) {
        const ngi_method *other = ngi_method_find(r->nearest, &err);
        assert_non_null(other);
        CHECK_OK(check_at(other, g, other->info.at_layer ? layer : -1, &err), err);
    }
    ngi_graph_free(g);
}

static void every_method_says_why_not_and_what_instead(void **state)
{
    (void)state;
    for (int i = 0; i < ngi_method_count(); i++) {
        const ngi_method *m = ngi_method_at(i);
        const refusal *rows = m->info.at_layer ? at_layer : at_input;
        size_t n = m->info.at_layer ? sizeof at_layer / sizeof *at_layer : sizeof at_input / sizeof *at_input;
        for (size_t k = 0; k < n; k++)
            check_refusal(m, &rows[k]);
    }
}

static void particular_needs_are_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof particular / sizeof *particular; i++) {
        ng_error err = {0};
        const ngi_method *m = ngi_method_find(particular[i].method, &err);
        assert_non_null(m);
        check_refusal(m, &particular[i]);
    }
}

/* Each of the checks that a row has of its own is reached above: a network without any of these is explained by all. */
static void what_nothing_speaks_against_is_explained(void **state)
{
    (void)state;
    int layer;
    ngi_graph *g = make_network(PLACES, &layer);
    for (int i = 0; i < ngi_method_count(); i++) {
        const ngi_method *m = ngi_method_at(i);
        ng_error err = {0};
        CHECK_OK(check_at(m, g, m->info.at_layer ? layer : -1, &err), err);
    }
    ngi_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_says_why_not_and_what_instead),
        cmocka_unit_test(particular_needs_are_said),
        cmocka_unit_test(what_nothing_speaks_against_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
