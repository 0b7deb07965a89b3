/* A colour bar with the map's own values beside it: round numbers, a common power of ten where they are tiny
 * or huge. */
#include "viz/colorbar.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "image/text.h"
#include "viz/canvas.h"

/* ---- Ticks ---------------------------------------------------------------------------------- */

static double round_step(double extent, int wanted)
{
    double raw = extent / wanted, power = pow(10, floor(log10(raw))), lead = raw / power;
    return (lead <= 1.5 ? 1 : lead <= 3 ? 2 : lead <= 7 ? 5 : 10) * power;
}

/* A power of ten to divide by, where plain numbers would be long. */
static int common_exponent(ngi_scale s)
{
    double reach = fmax(fabs(s.low), fabs(s.high));
    if (!(reach > 0))
        return 0;
    int e = (int)floor(log10(reach));
    return e < -2 || e > 3 ? e : 0;
}

static int decimals_of(double step)
{
    int decimals = (int)-floor(log10(step) + 1e-9);
    return decimals < 0 ? 0 : decimals > 9 ? 9 : decimals;
}

ngi_ticks ngi_ticks_of(ngi_scale scale, int wanted)
{
    ngi_ticks t = {.exponent = common_exponent(scale)};
    double extent = scale.high - scale.low, unit = pow(10, t.exponent);
    if (!(extent > 0) || !isfinite(extent) ||
        !(extent / wanted / unit > 1e-9)) { /* no extent: its one value */
        t.value[t.count++] = scale.low;
        t.decimals = scale.low == 0 ? 0 : 3;
        return t;
    }
    double step = round_step(extent, wanted);
    t.decimals = decimals_of(step / unit);
    double first = ceil(scale.low / step - 1e-6), slack = step * 1e-6;
    for (double k = first; k * step <= scale.high + slack && t.count < NGI_MAX_TICKS; k++)
        t.value[t.count++] = k * step;
    return t;
}

/* ---- Words ---------------------------------------------------------------------------------- */

/* "-1.5" with a true minus sign; zero has none. */
static void number_text(double value, int decimals, char *text, size_t size)
{
    char digits[64];
    snprintf(digits, sizeof digits, "%.*f", decimals, fabs(value));
    bool negative = value < 0 && strspn(digits, "0.") != strlen(digits);
    snprintf(text, size, "%s%s", negative ? "\xE2\x88\x92" : "", digits);
}

/* "x10^-6" with the multiplication sign and raised digits. */
static void factor_text(int exponent, char *text, size_t size)
{
    static const char *const raised[] = {"\xE2\x81\xB0", "\xC2\xB9",     "\xC2\xB2",     "\xC2\xB3",
                                         "\xE2\x81\xB4", "\xE2\x81\xB5", "\xE2\x81\xB6", "\xE2\x81\xB7",
                                         "\xE2\x81\xB8", "\xE2\x81\xB9"};
    char digits[16];
    snprintf(digits, sizeof digits, "%d", exponent < 0 ? -exponent : exponent);
    snprintf(text, size,
             "\xC3\x97"
             "10%s",
             exponent < 0 ? "\xE2\x81\xBB" : "");
    for (const char *d = digits; *d; d++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s", raised[*d - '0']);
    }
}

/* ---- The bar -------------------------------------------------------------------------------- */

void ngi_colorbar_clear(ngi_colorbar *bar)
{
    for (int i = 0; i < NGI_MAX_TICKS; i++)
        ng_image_clear(&bar->labels[i]);
    ng_image_clear(&bar->factor);
    *bar = (ngi_colorbar){0};
}

static int tick_length(const ngi_colorbar *bar)
{
    return bar->bar_width / 4 + 1;
}

static ng_status draw_words(ngi_colorbar *bar, const ngi_text_style *style, ng_error *err)
{
    char text[96];
    int widest = 0;
    for (int i = 0; i < bar->ticks.count; i++) {
        number_text(bar->ticks.value[i] / pow(10, bar->ticks.exponent), bar->ticks.decimals, text,
                    sizeof text);
        NGI_TRY(ngi_text_draw(text, style, &bar->labels[i], err));
        if (bar->labels[i].width > widest)
            widest = bar->labels[i].width;
    }
    if (bar->ticks.exponent != 0) {
        factor_text(bar->ticks.exponent, text, sizeof text);
        NGI_TRY(ngi_text_draw(text, style, &bar->factor, err));
    }
    bar->width = bar->bar_width + 2 * tick_length(bar) + widest;
    if (bar->factor.width > bar->width)
        bar->width = bar->factor.width;
    return NG_OK;
}

ng_status ngi_colorbar_create(ngi_scale scale, const uint8_t *rgb, int height, int font, ngi_colorbar *out,
                              ng_error *err)
{
    int wanted = height / (3 * font);
    wanted = wanted < 1 ? 1 : wanted > 5 ? 5 : wanted;
    *out = (ngi_colorbar){.scale = scale,
                          .rgb = rgb,
                          .ticks = ngi_ticks_of(scale, wanted),
                          .height = height,
                          .bar_width = height / 24 > font ? height / 24 : font};
    ng_status status = draw_words(out, &(ngi_text_style){.pixels = font}, err);
    if (status != NG_OK)
        ngi_colorbar_clear(out);
    return status;
}

void ngi_colorbar_draw(const ngi_colorbar *bar, ng_image *canvas, int x, int y)
{
    static const uint8_t ink[3] = {NGI_INK, NGI_INK, NGI_INK};
    int tick = tick_length(bar), last = bar->height - 1;
    for (int r = 0; r < bar->height; r++) {
        int level = last > 0 ? (255 * (last - r) + last / 2) / last : 0;
        ngi_canvas_fill(canvas, x, y + r, bar->bar_width, 1, bar->rgb + 3 * level);
    }
    double extent = bar->scale.high - bar->scale.low;
    for (int i = 0; i < bar->ticks.count; i++) {
        double at = extent > 0 ? (bar->ticks.value[i] - bar->scale.low) / extent : 0;
        int row = y + (int)lrint((1 - at) * last);
        const ng_image *label = &bar->labels[i];
        ngi_canvas_fill(canvas, x + bar->bar_width, row, tick, 1, ink);
        ngi_canvas_ink(canvas, label, x + bar->bar_width + 2 * tick, row - label->height / 2);
    }
    ngi_canvas_ink(canvas, &bar->factor, x, y - bar->factor.height - 2 * tick);
}
