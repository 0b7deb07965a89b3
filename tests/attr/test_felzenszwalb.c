/* Segments and resizing against scikit-image: the references are printed by the lines in each comment. */
#include "check.h"

#include <math.h>

#include "attr/felzenszwalb.h"

enum { H = 20, W = 24 };

/* np.sin(0.05*(y*y+3*x)) + (x > 11) + 0.3*c, of float64. */
static void make_image(double *image, int c)
{
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int k = 0; k < c; k++)
                image[(y * W + x) * c + k] = sin(0.05 * (y * y + 3 * x)) + (x > 11) + 0.3 * k;
}

/* resize(image, (9, 7), order=3, mode="constant", preserve_range=True, anti_aliasing=True)[..., 0]; of (25, 31) the sum, and that
 * weighted by index % 101. scikit-image 0.26.0 */
static const double shrunk[9 * 7] = {
    0.2222465115145475,  0.6585066669985403,  0.9352825485417977,  1.468061265258522,   1.750678461552046,
    1.341805800443089,   0.7994017503995923,  0.5265566585616176,  0.8706227109843001,  0.9695202312215596,
    1.314807275940095,   1.449370176186833,   0.9707337159011954,  0.4775487263477735,  0.8630208592976425,
    0.8569093992935549,  0.5595535170721911,  0.6144355474682155,  0.6397111663347124,  0.2613428182453313,
    0.06685743044299065, 0.2171058858350068,  -0.1927829380284005, -0.5945474118716656, -0.3455742208954123,
    0.1221570781506906,  0.3202541062885731,  0.6117224844700072,  -0.7672665050790843, -0.726965955986942,
    -0.431169322647073,  0.4729143590752861,  1.384005758322264,   1.699165002297155,   1.682255900740269,
    0.5109969734707759,  0.7365423952216676,  0.7454553548313352,  1.058445682064843,   1.226961040124051,
    0.8399574150372932,  0.465627433017876,   -0.3147065550991944, -0.5842571898763687, -0.6918735121352456,
    -0.1236705132991418, 0.6058810136203332,  0.9407418422762039,  1.16688712144251,    0.3636325009836419,
    0.5673784135984339,  0.6090091315385828,  0.9902787732499978,  1.244782828653229,   0.9390460835106764,
    0.6063109562884844,  -0.4901590273105831, -0.5070067220591212, -0.3516306846920741, 0.3925959441422452,
    1.164893987310764,   1.397377620661023,   1.398596991294602};
static const double grown_sum = 1127.185909772551, grown_weighted = 54661.2328161647;

/* felzenszwalb(image, scale, sigma=0.8, min_size=12, channel_axis=-1) for scales 40 and 250, a letter a pixel. */
static const int segments[2] = {13, 11};
static const char *const expected[2] = {
    "aaaaaaabbbbbcccccccccccc"
    "aaaaaaabbbbbcccccccccccc"
    "aaaaaabbbbbbcccccccccccd"
    "aaaaabbbbbbbccccccccccdd"
    "aaabbbbbbbbbdddddddddddd"
    "bbbbbbbbbbbbbbbddddddddd"
    "bbbbbbbbbbbbbbbbdddddddd"
    "eeeeeeeeeeeebddddddddddd"
    "eeeeeeeeeeeebddddddddddd"
    "eeeeeeeeeeebfggggggggggg"
    "eeeeeeeeeeefhggggggggggg"
    "fffffffffffhgggggggggggg"
    "ffffffffffffhhhhhhhhhhhh"
    "ffffffffffffihhhhhhhhhhh"
    "jjjjjjjjjjjfihhhhhhhhhhh"
    "jjjjjjjjjjjikkkkkkkkkkkk"
    "iiiiiiiiiiilkkkkkkkkkkkk"
    "iiiiiiiiiiiillllllllllll"
    "mmmmmmmmmmmillllllllllll"
    "mmmmmmmmmmmlllllllllllll",
    "aaaaaaaaaaaabbbbbbbbbbbb"
    "aaaaaaaaaaaabbbbbbbbbbbb"
    "aaaaaaaaaaaabbbbbbbbbbbb"
    "aaaaaaaaaaaabbbbbbbbbbbb"
    "aaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaaaaaaaaaaaaaa"
    "ccccccccccccaaaaaaaaaaaa"
    "ccccccccccccaaaaaaaaaaaa"
    "cccccccccccadeeeeeeeeeee"
    "cccccccccccddeeeeeeeeeee"
    "fffffffffffdeeeeeeeeeeee"
    "ffffffffffffdddddddddddd"
    "ffffffffffffgddddddddddd"
    "hhhhhhhhhhhfgddddddddddd"
    "hhhhhhhhhhhgiiiiiiiiiiii"
    "gggggggggggjiiiiiiiiiiii"
    "ggggggggggggjjjjjjjjjjjj"
    "kkkkkkkkkkkgjjjjjjjjjjjj"
    "kkkkkkkkkkkjjjjjjjjjjjjj",
};

static void the_pixels_are_those_of_resize(void **state)
{
    (void)state;
    double image[H * W * 2], out[9 * 7 * 2], large[25 * 31 * 2];
    ng_error err = {0};
    make_image(image, 2);
    CHECK_OK(ngi_resize_spline(image, H, W, 2, out, 9, 7, &err), err);
    for (int i = 0; i < 9 * 7; i++)
        CHECK_NEAR(out[2 * i], shrunk[i], 1e-12);
    CHECK_OK(ngi_resize_spline(image, H, W, 2, large, 25, 31, &err), err);
    double sum = 0, weighted = 0;
    for (int i = 0; i < 25 * 31 * 2; i++) {
        sum += large[i];
        weighted += large[i] * (i % 101);
    }
    CHECK_NEAR(sum, grown_sum, 1e-9);
    CHECK_NEAR(weighted, grown_weighted, 1e-7);
}

/* resize(np.arange(224)[:, None], (299, 1), order=0, mode="constant", preserve_range=True): the place of pixel 149 is 111.5, and
 * rounding makes 111 of it; so of pixel 48 of 97. Of 33 pixels the one in the middle gets 112. */
static void halfway_between_two_labels_rounding_decides_as_in_resize(void **state)
{
    (void)state;
    static const struct {
        int size, pixel, cell;
    } cases[] = {{299, 0, 0},     {299, 148, 111}, {299, 149, 111}, {299, 150, 112},
                 {299, 298, 223}, {97, 48, 111},   {33, 16, 112}};
    int labels[224], out[299];
    for (int i = 0; i < 224; i++)
        labels[i] = i;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ngi_resize_nearest(labels, 224, 1, out, cases[i].size, 1);
        assert_int_equal(out[cases[i].pixel], cases[i].cell);
        ngi_resize_nearest(labels, 1, 224, out, 1, cases[i].size);
        assert_int_equal(out[cases[i].pixel], cases[i].cell);
    }
}

static void the_segments_are_those_of_felzenszwalb(void **state)
{
    (void)state;
    double image[H * W * 2];
    const double scales[2] = {40, 250};
    int labels[2 * H * W], counts[2];
    ng_error err = {0};
    make_image(image, 2);
    CHECK_OK(ngi_felzenszwalb(image, H, W, 2, scales, 2, 0.8, 12, labels, counts, &err), err);
    for (int s = 0; s < 2; s++) {
        assert_int_equal(counts[s], segments[s]);
        for (int i = 0; i < H * W; i++)
            if (labels[s * H * W + i] != expected[s][i] - 'a')
                fail_msg("scale %g, pixel %d: segment %d, expected %d", scales[s], i, labels[s * H * W + i],
                         expected[s][i] - 'a');
    }
    for (long k = 1; k <= 4; k++) {
        ngi_alloc_fail_at(k);
        CHECK_FAILS(ngi_felzenszwalb(image, H, W, 2, scales, 2, 0.8, 12, labels, counts, &err), NG_E_MEMORY,
                    err, "");
        ngi_alloc_fail_at(0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pixels_are_those_of_resize),
        cmocka_unit_test(halfway_between_two_labels_rounding_decides_as_in_resize),
        cmocka_unit_test(the_segments_are_those_of_felzenszwalb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
