/* What a program was compiled against is what it runs with: versions, kinds and their bits. */
#include "harness.h"

#if !BLOCKJOB_CHECK_VERSION(BLOCKJOB_VERSION_MAJOR, BLOCKJOB_VERSION_MINOR, BLOCKJOB_VERSION_PATCH)
#error "a header is not as new as itself"
#endif
#if !BLOCKJOB_CHECK_VERSION(0, 0, 0) || !BLOCKJOB_CHECK_VERSION(0, 0, 99)
#error "a header is not as new as an older one"
#endif
#if BLOCKJOB_CHECK_VERSION(BLOCKJOB_VERSION_MAJOR, BLOCKJOB_VERSION_MINOR, \
                           BLOCKJOB_VERSION_PATCH + 1) \
    || BLOCKJOB_CHECK_VERSION(BLOCKJOB_VERSION_MAJOR, BLOCKJOB_VERSION_MINOR + 1, 0) \
    || BLOCKJOB_CHECK_VERSION(BLOCKJOB_VERSION_MAJOR + 1, 0, 0)
#error "a header is as new as a newer one"
#endif

static void version_string_is_that_of_the_macros(void **state)
{
    char wanted[64];

    (void)state;
    snprintf(wanted, sizeof wanted, "%d.%d.%d", BLOCKJOB_VERSION_MAJOR, BLOCKJOB_VERSION_MINOR,
             BLOCKJOB_VERSION_PATCH);
    assert_text(blockjob_version(), wanted);
}

static void each_kind_is_one_bit_and_all_has_every_one(void **state)
{
    static const uint32_t kinds[] = {
        BLOCKJOB_EVENT_COMPLETED,    BLOCKJOB_EVENT_CANCELLED, BLOCKJOB_EVENT_LOST,
        BLOCKJOB_EVENT_READY,        BLOCKJOB_EVENT_PENDING,   BLOCKJOB_EVENT_ERROR,
        BLOCKJOB_EVENT_STATUS,       BLOCKJOB_EVENT_CONNECTED, BLOCKJOB_EVENT_DISCONNECTED,
        BLOCKJOB_EVENT_CLOSED,       BLOCKJOB_EVENT_OVERFLOW,  BLOCKJOB_EVENT_UNRESPONSIVE,
        BLOCKJOB_EVENT_RESPONSIVE,   BLOCKJOB_EVENT_PROGRESS,
    };
    uint32_t all = 0;

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        assert_int_not_equal(kinds[i], 0);
        assert_int_equal(kinds[i] & (kinds[i] - 1), 0);
        assert_int_equal(all & kinds[i], 0);
        all |= kinds[i];
    }
    assert_int_equal(all, BLOCKJOB_EVENT_ALL);
}

/* C has seen these numbers: a program that was compiled long ago still has them in it. */
static void numbers_of_words_never_change(void **state)
{
    (void)state;
    assert_int_equal(BLOCKJOB_OUTCOME_UNKNOWN, 0);
    assert_int_equal(BLOCKJOB_OUTCOME_SUCCEEDED, 1);
    assert_int_equal(BLOCKJOB_OUTCOME_FAILED, 2);
    assert_int_equal(BLOCKJOB_OUTCOME_CANCELLED, 3);
    assert_int_equal(BLOCKJOB_TYPE_UNKNOWN, 0);
    assert_int_equal(BLOCKJOB_TYPE_STREAM, 1);
    assert_int_equal(BLOCKJOB_TYPE_COMMIT, 2);
    assert_int_equal(BLOCKJOB_TYPE_MIRROR, 3);
    assert_int_equal(BLOCKJOB_TYPE_BACKUP, 4);
    assert_int_equal(BLOCKJOB_TYPE_SNAPSHOT_DELETE, 9);
    assert_int_equal(BLOCKJOB_STATUS_UNKNOWN, 0);
    assert_int_equal(BLOCKJOB_STATUS_UNDEFINED, 1);
    assert_int_equal(BLOCKJOB_STATUS_NULL, 11);
    assert_int_equal(BLOCKJOB_STATE_UNKNOWN, 0);
    assert_int_equal(BLOCKJOB_STATE_NEW, 1);
    assert_int_equal(BLOCKJOB_STATE_CLOSED, 5);
    assert_int_equal(BLOCKJOB_EVENT_COMPLETED, 0x1);
    assert_int_equal(BLOCKJOB_EVENT_CANCELLED, 0x2);
    assert_int_equal(BLOCKJOB_EVENT_OVERFLOW, 0x400);
    assert_int_equal(BLOCKJOB_REMOVE_NOWAIT, 0x1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_string_is_that_of_the_macros),
        cmocka_unit_test(each_kind_is_one_bit_and_all_has_every_one),
        cmocka_unit_test(numbers_of_words_never_change),
    };

    return run_all(tests);
}
