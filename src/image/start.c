/* Starting libvips, and its errors as ours. */
#include "image/start.h"

#include <pthread.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int started;
static char start_text[256];

/* Warnings of vips and pango would reach stderr, and the library never prints. */
static void discard(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data)
{
    (void)domain;
    (void)level;
    (void)message;
    (void)data;
}

static void start(void)
{
    if (vips_init("netgaze") != 0) {
        g_strlcpy(start_text, vips_error_buffer(), sizeof start_text);
        vips_error_clear();
        return;
    }
    vips_cache_set_max(0); /* a folder of images is read once: a cache would only grow */
    const char *const domains[] = {"VIPS", "Pango", "GLib-GObject"};
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++)
        g_log_set_handler(domains[i],
                          G_LOG_LEVEL_WARNING | G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG,
                          discard, NULL);
    started = 1;
}

ng_status ngi_vips_start(ng_error *err)
{
    pthread_once(&once, start);
    if (!started)
        return ngi_fail(err, NG_E_INTERNAL, "libvips could not be started: %s", start_text);
    return NG_OK;
}

void ngi_vips_forget(void)
{
    vips_error_clear();
}

ng_status ngi_vips_fail(ng_error *err, ng_status status, const char *where, const char *doing)
{
    char *text = vips_error_buffer_copy(); /* copies and clears in one step: other threads share the buffer */
    g_strstrip(text);
    char *line = strchr(text, '\n');
    if (line)
        *line = '\0';
    if (strstr(text, "out of memory"))
        status = NG_E_MEMORY;
    ngi_fail(err, status, "%s: %s: %s", where, doing, *text ? text : "no reason given");
    g_free(text);
    return status;
}

void ngi_vips_single_thread(VipsImage *image)
{
    vips_image_set_int(image, VIPS_META_CONCURRENCY, 1);
}
