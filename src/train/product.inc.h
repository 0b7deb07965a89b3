/* Products with registers of LANES floats, in blocks of ROWS by WIDE floats, what is over in TALL by NGI_PRODUCT_LANES. Included
 * by product.c for each kind of registers; NAME(x) is x of this one. */

typedef float NAME(lanes) __attribute__((vector_size(4 * LANES)));
typedef float NAME(loose) __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* c [rows,floats] (+)= sum over i below n of a[r * row + i * step] b[i]; rows and floats are constants, b and c `width` apart. */
INLINE void NAME(block)(const float *a, size_t row, size_t step, const float *b, int n, size_t width,
                        int rows, int floats, bool add, float *c)
{
    NAME(lanes) sum[ROWS * WIDE / LANES] = {0};
    int vectors = floats / LANES;
    for (int r = 0; add && r < rows; r++)
        for (int k = 0; k < vectors; k++)
            sum[r * vectors + k] = *(const NAME(loose) *)(c + (size_t)r * width + k * LANES);
    for (int i = 0; i < n; i++, a += step, b += width)
        for (int k = 0; k < vectors; k++) {
            NAME(lanes) x = *(const NAME(loose) *)(b + k * LANES);
            for (int r = 0; r < rows; r++)
                sum[r * vectors + k] += a[(size_t)r * row] * x;
        }
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < vectors; k++)
            *(NAME(loose) *)(c + (size_t)r * width + k * LANES) = sum[r * vectors + k];
}

/* `rows`, a constant, of a wide strip, whose a is gathered first: it is read once for each block of columns. */
INLINE void NAME(wide)(const float *a, size_t row, size_t step, const float *b, int n, size_t width, int rows,
                       bool add, float *c)
{
    float near[TERMS * ROWS];
    size_t many = (size_t)rows;
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t r = 0; r < many; r++)
            near[i * many + r] = a[r * row + i * step];
    for (size_t k = 0; k + WIDE <= width; k += WIDE)
        NAME(block)(near, 1, many, b + k, n, width, rows, WIDE, add, c + k);
}

INLINE void NAME(sums)(const ngi_product *p, float *c)
{
    size_t rows = (size_t)p->rows, width = (size_t)p->width, tail = width / WIDE * WIDE, row;
    for (int i = 0; i < p->n && tail; i += TERMS) {
        int n = p->n - i < TERMS ? p->n - i : TERMS;
        const float *a = p->a + (size_t)i * p->step, *b = p->b + (size_t)i * width;
        bool add = i > 0;
        for (row = 0; row + ROWS <= rows; row += ROWS)
            NAME(wide)(a + row * p->row, p->row, p->step, b, n, width, ROWS, add, c + row * width);
        for (; row + ROWS / 2 <= rows; row += ROWS / 2)
            NAME(wide)(a + row * p->row, p->row, p->step, b, n, width, ROWS / 2, add, c + row * width);
        for (; row < rows; row++)
            NAME(wide)(a + row * p->row, p->row, p->step, b, n, width, 1, add, c + row * width);
    }
    if (tail == width)
        return;
    const float *a = p->a, *b = p->b + tail;
    enum { OVER = NGI_PRODUCT_LANES };
    c += tail;
    for (row = 0; row + TALL <= rows; row += TALL, a += TALL * p->row, c += TALL * width)
        NAME(block)(a, p->row, p->step, b, p->n, width, TALL, OVER, false, c);
    for (; row < rows; row++, a += p->row, c += width)
        NAME(block)(a, p->row, p->step, b, p->n, width, 1, OVER, false, c);
}

INLINE void NAME(dots)(const float *a, const float *b, int n, int rows, int width, float *c)
{
    for (int i = 0; i < n; i++)
        for (int r = 0; r < rows; r++) {
            const float *x = a + (size_t)i * (size_t)width, *y = b + (size_t)r * (size_t)width;
            NAME(lanes) sum[NGI_PRODUCT_LANES / LANES] = {0};
            for (int k = 0; k < width; k += NGI_PRODUCT_LANES)
                for (int v = 0; v < NGI_PRODUCT_LANES / LANES; v++)
                    sum[v] +=
                        *(const NAME(loose) *)(x + k + v * LANES) * *(const NAME(loose) *)(y + k + v * LANES);
            float s[NGI_PRODUCT_LANES];
            memcpy(s, sum, sizeof s);
            c[(size_t)i * (size_t)rows + (size_t)r] =
                ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
        }
}

#undef NAME
#undef LANES
#undef ROWS
#undef TALL
