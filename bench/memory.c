/* memory MODEL [COUNT]: explains random inputs COUNT times (10,000) in one process, making and dropping a session every
 * hundred, and fails if resident memory after the first hundred grows by more than 2 %. Run by `make bench`. */
#include "bench.h"

#include <unistd.h>

/* Resident bytes, from /proc/self/statm. */
static long resident(void)
{
    long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &size, &pages) != 2)
        exit(4);
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s MODEL [COUNT]\n", argv[0]);
        return 2;
    }
    int count = argc > 2 ? atoi(argv[2]) : 10000;
    ng_model *model;
    must(ng_model_load(argv[1], NULL, &model, &err));
    ng_model_info info;
    ng_model_describe(model, &info);
    size_t n = (size_t)info.input_height * (size_t)info.input_width * (size_t)info.input_channels;
    float *input = malloc(n * sizeof *input);
    ng_session_opts opts;
    ng_session_opts_init(&opts);
    opts.layers = &info.automatic_layer;
    opts.layer_count = 1;
    ng_session *base, *session = NULL;
    must(ng_session_create(model, &opts, &base, &err));
    long after_first = 0, most = 0;
    for (int i = 0; i < count; i++) {
        if (i % 100 == 0) {
            ng_session_free(session);
            must(ng_session_clone(base, &session, &err));
        }
        for (size_t k = 0; k < n; k++)
            input[k] = (float)((k * 2654435761u + (size_t)i * 40503u) % 1000) / 500.0f - 1.0f;
        must(ng_session_run(session, input, 1, &err));
        ng_map map;
        must(ng_explain(session, 0, NULL, &map, &err));
        ng_map_clear(&map);
        if (i == 99)
            after_first = resident();
        if (i >= 99 && i % 100 == 99) {
            long now = resident();
            most = now > most ? now : most;
            if (i % 1000 == 999)
                fprintf(stderr, "%6d explanations: %.1f MB resident\n", i + 1, (double)now / 1e6);
        }
    }
    printf("images,resident_after_100_bytes,resident_peak_bytes\n%d,%ld,%ld\n", count, after_first, most);
    ng_session_free(session);
    ng_session_free(base);
    ng_model_free(model);
    free(input);
    return count >= 200 && (double)most > 1.02 * (double)after_first;
}
