/*
 * BLOCKJOB_DEBUG=1 shows each message on standard error, and a log function of the level DEBUG is
 * given it instead. In neither is a secret: not in the arguments of commands that may have some, not
 * in the replies to them, not in the midst of those that are shown. Standard error may be full.
 */
#include "harness.h"

#include <fcntl.h>

#include "log_keeper.h"

#define SECRET "s3kr1t"

/* Sends a command, which the script refuses with a description that repeats its arguments. */
static void refuse(struct world *world, blockjob_job *job, const char *command,
                   const char *arguments)
{
    then_expect(world->qemu, command);
    then_answer(world->qemu, "{\"id\": $ID, \"error\": {\"class\": \"GenericError\", \"desc\": "
                             "\"bad value password=" SECRET "\"}}\r\n");
    assert_result(blockjob_job_start(job, command, arguments, PATIENCE_SECONDS * 1000),
                  -EREMOTEIO);
}

/* All that could betray a secret. */
static void tell_secrets(struct world *world)
{
    blockjob_job *job = handle_of(world, "job", 0);

    refuse(world, job, "object-add",
           "{\"qom-type\": \"secret\", \"id\": \"sec0\", \"data\": \"" SECRET "\"}");
    refuse(world, job, "set_password", "{\"protocol\": \"vnc\", \"password\": \"" SECRET "\"}");
    refuse(world, job, "human-monitor-command", "{\"command-line\": \"x " SECRET "\"}");
    refuse(world, job, "blockdev-add",
           "{\"driver\": \"https\", \"url\": \"https://me:" SECRET "@host/x\", \"cookie\": \""
           SECRET "\", \"node-name\": \"node7\", \"password-secret\": \"sec0\"}");
    refuse(world, job, "drive-mirror", "{\"device\": \"d0\", \"target\": "
           "\"rbd:pool/image:id=admin:key=" SECRET "\"}");
    then_say(world->qemu, "{'return': '" SECRET "', 'id': 'of somebody else'}");
    then_say(world->qemu, "{'unknown': '" SECRET "'}");
    then_send(world->qemu, "password " SECRET "\r\n");
    then_say(world->qemu, "{'event': 'ODD', 'data': {'password': '" SECRET "', 'x': 'shown'}}");
    blockjob_job_free(job);
}

/* Standard error as somebody reads it afterwards. */
struct errors {
    int saved;
    FILE *file;
};

static void catch_errors(struct errors *errors)
{
    fflush(stderr);
    errors->saved = dup(STDERR_FILENO);
    errors->file = tmpfile();
    assert_non_null(errors->file);
    assert_true(dup2(fileno(errors->file), STDERR_FILENO) >= 0);
}

/* What was written there; to be freed. */
static char *release_errors(struct errors *errors)
{
    char *text = calloc(1, 1 << 20);
    ssize_t size;

    assert_true(dup2(errors->saved, STDERR_FILENO) >= 0);
    close(errors->saved);
    assert_non_null(text);
    size = pread(fileno(errors->file), text, (1 << 20) - 1, 0);
    assert_true(size >= 0);
    fclose(errors->file);
    return text;
}

static void assert_words(const char *text, const char *words)
{
    if (strstr(text, words) == NULL) {
        fail_msg("\"%s\" is missing in:\n%s", words, text);
    }
}

static void assert_shown(const char *text)
{
    assert_words(text, "<- {\"QMP\":");
    assert_words(text, "-> {\"execute\":\"qmp_capabilities\",\"id\":\"");
    assert_words(text, "<- {\"return\":{},\"id\":\"");
    assert_words(text, "-> {\"execute\":\"object-add\",\"id\":\"");
    assert_words(text, "(arguments left out: ");
    assert_words(text, "<- (an error GenericError of ");
    assert_words(text, " to set_password, left out)");
    assert_words(text, "\"url\":\"https://***@host/x\",\"cookie\":\"***\",\"node-name\":\"node7\"");
    assert_words(text, "\"password-secret\":\"sec0\"");
    assert_words(text, "\"target\":\"rbd:pool/image:id=admin:key=***\"");
    assert_words(text, "\"desc\":\"bad value password=***\"");
    assert_words(text, "to a command that was not seen, left out)");
    assert_words(text, "that are no message of QMP, left out)");
    assert_words(text, "<- {\"event\":\"ODD\",\"data\":{\"password\":\"***\",\"x\":\"shown\"}}");
    assert_null(strstr(text, SECRET));
}

static void on_standard_error_where_the_environment_asks(void **state)
{
    struct errors errors;
    struct world *world;
    char *text;

    assert_int_equal(setenv("BLOCKJOB_DEBUG", "1", 1), 0);
    catch_errors(&errors);
    world_begin(state);
    world = *state;
    assert_result(blockjob_monitor_set_name(world->monitor, "vm 1"), 0);
    connect_to(world->monitor, world->qemu);
    tell_secrets(world);
    pass_fence(world, world->qemu);
    world_end(state);
    text = release_errors(&errors);
    unsetenv("BLOCKJOB_DEBUG");
    assert_shown(text);
    assert_int_equal(strncmp(text, "blockjob 20", strlen("blockjob 20")), 0);
    assert_words(text, "Z \"vm 1\" -> {");
    assert_words(text, "Z \"vm 1\" info: connected: QEMU 7.2.22\n");
    for (char *at = text; *at != '\0'; at++) {
        assert_true(*at == '\n' || (unsigned char)*at >= ' ');
    }
    free(text);
}

static void to_a_log_function_of_that_level_instead(void **state)
{
    struct log_keeper *keeper = log_keeper_new();
    struct errors errors;
    struct world *world;
    char *text, *line;

    assert_int_equal(setenv("BLOCKJOB_DEBUG", "1", 1), 0);
    catch_errors(&errors);
    world_begin(state);
    world = *state;
    assert_result(blockjob_listener_set_log(world->listener, BLOCKJOB_LOG_DEBUG, log_keeper_take,
                                            keeper, log_keeper_release), 0);
    connect_to(world->monitor, world->qemu);
    tell_secrets(world);
    pass_fence(world, world->qemu);
    line = log_keeper_find(keeper, "-> {\"execute\":\"object-add\",\"id\":\"");
    assert_int_equal(strncmp(line, "4 unix:", strlen("4 unix:")), 0);
    free(line);
    free(log_keeper_find(keeper, "<- {\"event\":\"ODD\""));
    world_end(state);
    text = release_errors(&errors);
    unsetenv("BLOCKJOB_DEBUG");
    assert_text(text, "");
    assert_false(log_keeper_has(keeper, SECRET));
    free(text);
    log_keeper_destroy(keeper);
}

static void nothing_is_printed_unless_asked_for(void **state)
{
    const char *values[] = { NULL, "", "0" };
    struct errors errors;
    char *text;

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (values[i] == NULL) {
            unsetenv("BLOCKJOB_DEBUG");
        } else {
            setenv("BLOCKJOB_DEBUG", values[i], 1);
        }
        catch_errors(&errors);
        world_begin_connected(state);
        tell_secrets(*state);
        pass_fence(*state, ((struct world *)*state)->qemu);
        world_end(state);
        text = release_errors(&errors);
        assert_text(text, "");
        free(text);
    }
    unsetenv("BLOCKJOB_DEBUG");
}

/* The reader does not wait for whoever should read it, and says how many lines are missing. */
static void a_full_standard_error_delays_nothing(void **state)
{
    static char taken[1 << 20];
    struct world *world;
    int ends[2], saved;
    ssize_t size;

    assert_int_equal(pipe(ends), 0);
    fflush(stderr);
    saved = dup(STDERR_FILENO);
    assert_int_equal(setenv("BLOCKJOB_DEBUG", "1", 1), 0);
    world_begin(state);
    world = *state;
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ends[1], taken, 4096) > 0) {
    }
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    connect_to(world->monitor, world->qemu);
    for (int i = 0; i < 10; i++) {
        pass_fence(world, world->qemu);
    }
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    while (read(ends[0], taken, sizeof taken) > 0) {
    }
    pass_fence(world, world->qemu);
    world_end(state);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    unsetenv("BLOCKJOB_DEBUG");
    size = read(ends[0], taken, sizeof taken - 1);
    assert_true(size > 0);
    taken[size] = '\0';
    assert_words(taken, " lines are missing) <- {\"timestamp\":");
    close(saved);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_standard_error_where_the_environment_asks),
        cmocka_unit_test(to_a_log_function_of_that_level_instead),
        cmocka_unit_test(nothing_is_printed_unless_asked_for),
        cmocka_unit_test(a_full_standard_error_delays_nothing),
    };

    return run_all(tests);
}
