/* Recognises the base architecture of a model by the names that keras.applications gives its models and layers, for the
 * preprocessing and the usual input size. Fine-tuned models usually keep the base's layer names even where the model
 * has a name of its own. */
#include "format/format.h"

#include <string.h>
#include <strings.h>

/* Beginnings of model names; where one begins another, the longer comes first. */
static const struct {
    const char *prefix, *architecture;
} model_names[] = {
    {"inception_resnet_v2", "inception_resnet_v2"},
    {"inception_v3", "inception_v3"},
    {"xception", "xception"},
    {"mobilenetv2", "mobilenet_v2"},
    {"mobilenet_v2", "mobilenet_v2"},
    {"mobilenetv3", "mobilenet_v3"},
    {"mobilenet", "mobilenet"},
    {"nasnet", "nasnet"},
    {"densenet", "densenet"},
    {"resnet50v2", "resnet50v2"},
    {"resnet101v2", "resnet101v2"},
    {"resnet152v2", "resnet152v2"},
    {"resnet50", "resnet50"},
    {"resnet101", "resnet101"},
    {"resnet152", "resnet152"},
    {"vgg16", "vgg16"},
    {"vgg19", "vgg19"},
};

/* Layers that only one family has; the first that is found decides. */
static const struct {
    const char *layer, *architecture;
} marks[] = {
    {"block8_10_conv", "inception_resnet_v2"},
    {"mixed10", "inception_v3"},
    {"block14_sepconv2_act", "xception"},
    {"expanded_conv_depthwise_BN", "mobilenet_v2"},
    {"conv_pw_13_relu", "mobilenet"},
    {"conv5_block16_concat", "densenet"},
    {"conv5_block32_concat", "densenet"},
    {"conv5_block24_concat", "densenet"},
    {"conv5_block3_preact_bn", "resnet50v2"},
    {"conv5_block3_3_bn", "resnet50"},
    {"bn5c_branch2c", "resnet50"}, /* Keras before 2.2.5 */
    {"block5_conv4", "vgg19"},
    {"block5_conv3", "vgg16"},
};

static const char *of_model_name(const char *name)
{
    for (size_t i = 0; name && i < sizeof model_names / sizeof *model_names; i++)
        if (strncasecmp(name, model_names[i].prefix, strlen(model_names[i].prefix)) == 0)
            return model_names[i].architecture;
    return NULL;
}

static const char *bare_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_model(const ngi_layer *l)
{
    return strcmp(l->class_name, "Functional") == 0 || strcmp(l->class_name, "Model") == 0 ||
           strcmp(l->class_name, "Sequential") == 0;
}

const char *ngi_architecture_of(const ngi_graph *g)
{
    const char *found = of_model_name(g->name);
    for (int i = 0; i < g->n_layers && !found; i++)
        if (is_model(&g->layers[i]))
            found = of_model_name(bare_name(g->layers[i].name));
    for (size_t m = 0; m < sizeof marks / sizeof *marks && !found; m++)
        for (int i = 0; i < g->n_layers && !found; i++)
            if (strcmp(bare_name(g->layers[i].name), marks[m].layer) == 0)
                found = marks[m].architecture;
    return found ? found : "";
}
