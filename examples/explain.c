/* The smallest whole program: load a model, explain its prediction on one image, write the overlay.
 *
 *   cc explain.c $(pkg-config --cflags --libs netgaze) -o explain && ./explain model.keras photo.jpg overlay.png */
#include <netgaze/netgaze.h>

#include <stdio.h>
#include <stdlib.h>

static ng_error err;

static void must(ng_status status)
{
    if (status != NG_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL IMAGE OVERLAY.png\n", argv[0]);
        return 2;
    }
    ng_model *model;
    must(ng_model_load(argv[1], NULL, &model, &err));
    ng_model_info info;
    ng_model_describe(model, &info);

    /* The image, and what the network gets of it. */
    ng_image_opts image_opts;
    ng_image_opts_init(&image_opts);
    image_opts.channels = info.input_channels;
    ng_image photo, fitted;
    ng_geometry geometry;
    must(ng_image_load(argv[2], &image_opts, &photo, &err));
    must(ng_image_fit(&photo, info.input_width, info.input_height, NG_FIT_SQUASH, NG_RESAMPLE_PIL_BILINEAR, 0,
                      &fitted, &geometry, &err));
    float *input = malloc(sizeof *input * (size_t)info.input_height * (size_t)info.input_width *
                          (size_t)info.input_channels);
    must(ng_model_preprocess(model, &fitted, input, &err));

    /* One forward; Grad-CAM at the layer that is chosen by default. */
    ng_session_opts session_opts;
    ng_session_opts_init(&session_opts);
    session_opts.layers = &info.automatic_layer;
    session_opts.layer_count = 1;
    ng_session *session;
    must(ng_session_create(model, &session_opts, &session, &err));
    must(ng_session_run(session, input, 1, &err));
    ng_map map;
    must(ng_explain(session, 0, NULL, &map, &err));
    printf("%s, probability %.3f, map is %s\n", ng_model_label(model, map.class_index), map.probability,
           ng_map_status_name(map.status));

    ng_image overlay;
    must(ng_render_overlay(&map, &photo, &geometry, NULL, &overlay, &err));
    must(ng_image_save(&overlay, argv[3], &err));

    ng_image_clear(&overlay);
    ng_map_clear(&map);
    ng_session_free(session);
    free(input);
    ng_image_clear(&fitted);
    ng_image_clear(&photo);
    ng_model_free(model);
    return 0;
}
