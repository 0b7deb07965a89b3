/* Lambda layers. Their Python code, marshalled and in base64, is never run. One is known by where its code comes from:
 * keras.applications.inception_resnet_v2 of Keras 2.0 to 2.12 adds branches by
 *
 *     Lambda(lambda inputs, scale: inputs[0] + inputs[1] * scale, arguments={"scale": scale})
 *
 * and marshalled code names its source file. Later versions have CustomScaleLayer instead. */
#include "format/keras_build.h"

#include <string.h>

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Whether the bytes that a base64 text stands for hold `word`. */
static bool code_holds(const char *base64, const char *word)
{
    char last[64]; /* as many bytes as the word has */
    size_t n = strlen(word), seen = 0;
    unsigned bits = 0, have = 0;
    for (; *base64; base64++) {
        int digit = digit_of(*base64);
        if (digit < 0) /* line ends, padding */
            continue;
        bits = (bits << 6 | (unsigned)digit) & 0xFFFF;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        memmove(last, last + 1, n - 1);
        last[n - 1] = (char)(bits >> have);
        if (++seen >= n && memcmp(last, word, n) == 0)
            return true;
    }
    return false;
}

static bool is_scaled_sum(const ngi_building_layer *l, const ngi_call *call)
{
    const char *code = json_string_value(json_array_get(json_object_get(l->config, "function"), 0));
    const json_t *arguments = json_object_get(l->config, "arguments");
    return code && call->n_args == 2 && json_object_size(arguments) == 1 &&
           json_is_number(json_object_get(arguments, "scale")) && code_holds(code, "/inception_resnet_v2.py");
}

ng_status ngi_lower_layer_lambda(ngi_keras_builder *b, ngi_building_layer *l, const ngi_call *call, int *out,
                                 ng_error *err)
{
    if (!is_scaled_sum(l, call))
        return ngi_fail(err, NG_E_UNSUPPORTED,
                        "%s: a Lambda holds Python code, which is not run. Replace it by Keras's layers "
                        "(Rescaling, Resizing, Activation ...) and save the model again",
                        l->where);
    const json_t *config = l->config;
    l->config = json_object_get(config, "arguments"); /* where CustomScaleLayer has it in its own */
    ng_status status = ngi_lower_scaled_sum(b, l, call, out, err);
    l->config = config;
    return status;
}
