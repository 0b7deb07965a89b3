/* Orders of epochs, class weights, targets; work in parts and turns. */
#include "train/order.h"
#include "check.h"
#include "train/team.h"

enum { N = 100 };

static ngi_data_item items[N];
static int several[] = {0, 2};
static const ngi_dataset data = {.n_classes = 4, .items = items, .n_items = N};

/* Class 0: 90 images, 1: 9, 2: one, 3: none. */
static void fill(int64_t *all)
{
    for (int i = 0; i < N; i++) {
        items[i] = (ngi_data_item){.class_index = i < 90 ? 0 : i < 99 ? 1 : 2};
        all[i] = i;
    }
}

static void orders(void **state)
{
    (void)state;
    int64_t all[N], a[N], b[N], times[N] = {0};
    fill(all);
    ngi_order_shuffle(all, N, 5, 0, a);
    ngi_order_shuffle(all, N, 5, 0, b);
    assert_memory_equal(a, b, sizeof a);
    ngi_order_shuffle(all, N, 5, 1, b);
    assert_memory_not_equal(a, b, sizeof a);
    for (int i = 0; i < N; i++)
        times[a[i]]++;
    for (int i = 0; i < N; i++)
        assert_int_equal(times[i], 1);
}

static void balanced(void **state)
{
    (void)state;
    ng_error err;
    int64_t all[N], a[N], b[N], per_class[4] = {0}, times[N] = {0};
    fill(all);
    CHECK_OK(ngi_order_balanced(&data, all, N, 5, 0, a, &err), err);
    CHECK_OK(ngi_order_balanced(&data, all, N, 5, 1, b, &err), err);
    assert_memory_not_equal(a, b, sizeof a);
    for (int i = 0; i < N; i++) {
        per_class[items[a[i]].class_index]++;
        times[a[i]]++;
    }
    for (int c = 0; c < 3; c++)
        assert_in_range(per_class[c], 33, 34);
    assert_int_equal(per_class[3], 0);
    for (int i = 0; i < N; i++) /* frequent ones once at most, rare ones as evenly as it goes */
        assert_in_range(times[i], i < 90 ? 0 : i < 99 ? 3 : 33, i < 90 ? 1 : i < 99 ? 4 : 34);
}

/* Every place draws by a number of its own, and an image that comes once by its own. */
static void draws_differ(void **state)
{
    (void)state;
    ng_error err;
    int64_t all[N], order[N], draws[N];
    bool seen[N * N] = {false};
    fill(all);
    CHECK_OK(ngi_order_balanced(&data, all, N, 5, 0, order, &err), err);
    CHECK_OK(ngi_order_draws(order, N, N, draws, &err), err);
    for (int i = 0; i < N; i++) {
        assert_in_range(draws[i], 0, N * N - 1);
        assert_int_equal(draws[i] % N, order[i]);
        assert_true(draws[i] == order[i] || seen[draws[i] - N]);
        assert_false(seen[draws[i]]);
        seen[draws[i]] = true;
    }
    ngi_alloc_fail_at(1);
    assert_int_equal(ngi_order_draws(order, N, N, draws, &err), NG_E_MEMORY);
    ngi_alloc_fail_at(0);
}

static void weights_and_targets(void **state)
{
    (void)state;
    int64_t all[N];
    double w[4];
    float row[4];
    fill(all);
    ngi_class_weights(&data, all, N, w);
    CHECK_NEAR(w[0], 100 / (3 * 90.0), 1e-12);
    CHECK_NEAR(w[1], 100 / (3 * 9.0), 1e-12);
    CHECK_NEAR(w[2], 100 / 3.0, 1e-12);
    CHECK_NEAR(w[3], 0, 0);
    CHECK_NEAR(ngi_item_weight(&data, 95, w), w[1], 1e-6);
    CHECK_NEAR(ngi_item_weight(&data, 95, NULL), 1, 0);
    items[95].labels = several;
    items[95].n_labels = 2;
    CHECK_NEAR(ngi_item_weight(&data, 95, w), (w[0] + w[2]) / 2, 1e-5);
    ngi_target_row(&data, 95, row);
    assert_true(row[0] == 1 && row[1] == 0 && row[2] == 1 && row[3] == 0);
    ngi_target_row(&data, 0, row);
    assert_true(row[0] == 1 && row[1] == 0 && row[2] == 0 && row[3] == 0);
}

typedef struct sum {
    ngi_turn *turn;
    float total[2];
    int fail_from;
    int64_t begun[2];
} sum;

/* Both places have their sums; a part that fails leaves the second one out. */
static ng_status add_part(void *context, int worker, int64_t part, ng_error *err)
{
    sum *s = context;
    (void)worker;
    float value = 1.0f / (float)(part + 1);
    for (int place = 0; place < (part < s->fail_from ? 2 : 1); place++) {
        ngi_turn_take(s->turn, place, part);
        s->total[place] += value;
        s->begun[place]++;
        ngi_turn_pass(s->turn, place, part);
    }
    ngi_turn_finish(s->turn, part);
    return part >= s->fail_from ? ngi_fail(err, NG_E_IO, "part %d", (int)part) : NG_OK;
}

static void teams(void **state)
{
    (void)state;
    ng_error err;
    sum s = {.fail_from = 1 << 30};
    float first = 0;
    CHECK_OK(ngi_turn_create(2, &s.turn, &err), err);
    for (int threads = 1; threads <= 5; threads++) {
        ngi_turn_reset(s.turn);
        s.total[0] = s.total[1] = 0;
        CHECK_OK(ngi_team_run(threads, 1000, add_part, &s, &err), err);
        first = threads == 1 ? s.total[0] : first;
        assert_true(s.total[0] == first && s.total[1] == first);
    }
    ngi_turn_reset(s.turn);
    s.fail_from = 500;
    s.begun[0] = s.begun[1] = 0;
    CHECK_FAILS(ngi_team_run(4, 1000, add_part, &s, &err), NG_E_IO, err, "part 500");
    assert_true(s.begun[0] > 500 && s.begun[0] < 1000 && s.begun[1] == 500);
    ngi_turn_free(s.turn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders),       cmocka_unit_test(balanced),
        cmocka_unit_test(draws_differ), cmocka_unit_test(weights_and_targets),
        cmocka_unit_test(teams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
