/* What a user's first program looks like: load a model that is not there and read the error. */
#include <netgaze/netgaze.h>
#include <stdio.h>

int main(void)
{
    ng_model *model;
    ng_error err;
    if (ng_model_load("no-such-model.keras", NULL, &model, &err) == NG_OK || model || !err.text[0])
        return 1;
    printf("netgaze %s: %s\n", ng_version(), err.text);
    return 0;
}
