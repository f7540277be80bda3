/*
 * A C++ exception must not leave a callback: there is no C++ above it that could catch it. If one
 * does, the process aborts at once and names the callback, instead of going on in a broken state.
 *
 * No monitor is needed to be called back: that a connection could not be made is an event too.
 */
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include <semaphore.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

#include <blockjob.h>

static sem_t caught;

static void throw_it(blockjob_event *, void *)
{
    throw std::runtime_error("left the callback");
}

static void catch_it(blockjob_event *, void *)
{
    try {
        throw std::runtime_error("stays in the callback");
    } catch (const std::runtime_error &) {
        sem_post(&caught);
    }
}

/*
 * Registers the callback in a child, lets a connection fail, and gives all that the child wrote.
 * The child writes the registration's id first, and exits with 0 once an exception was caught.
 */
static std::string call_back_in_child(blockjob_event_fn callback, int *status)
{
    std::string output;
    char buffer[512];
    ssize_t size;
    int ends[2];
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = { 0, 0 };
        blockjob_listener *listener = nullptr;
        blockjob_monitor *monitor = nullptr;
        int64_t id;

        alarm(25);
        sem_init(&caught, 0, 0);
        setrlimit(RLIMIT_CORE, &no_core);
        close(ends[0]);
        dup2(ends[1], STDERR_FILENO);
        if (blockjob_listener_new(&listener) != 0) {
            _exit(3);
        }
        id = blockjob_callback_add(listener, nullptr, nullptr, BLOCKJOB_EVENT_DISCONNECTED,
                                   callback, nullptr, nullptr);
        dprintf(ends[1], "id=%d\n", static_cast<int>(id));
        if (blockjob_monitor_new(listener, "unix:/nonexistent/qmp.sock", &monitor) != 0
            || blockjob_monitor_connect(monitor, 20000) != -ENOENT) {
            _exit(4);
        }
        sem_wait(&caught);
        (void)blockjob_listener_free(listener);
        blockjob_monitor_unref(monitor);
        _exit(0);
    }
    close(ends[1]);
    while ((size = read(ends[0], buffer, sizeof buffer)) > 0) {
        output.append(buffer, static_cast<size_t>(size));
    }
    close(ends[0]);
    assert_int_equal(waitpid(child, status, 0), child);
    return output;
}

static void exception_that_leaves_aborts_and_names_the_callback(void **)
{
    int status = 0;
    std::string output = call_back_in_child(throw_it, &status);
    std::string id = output.substr(0, output.find('\n'));
    std::string words = output.substr(output.find('\n') + 1);

    print_message("%s", output.c_str());
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_true(id.rfind("id=", 0) == 0);
    assert_true(words.find("blockjob") != std::string::npos);
    assert_true(words.find("callback " + id.substr(3)) != std::string::npos);
}

static void exception_that_stays_inside_is_nobodys_business(void **)
{
    int status = -1;
    std::string output = call_back_in_child(catch_it, &status);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(output.find('\n') == output.size() - 1); /* the id, and nothing else */
}

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exception_that_leaves_aborts_and_names_the_callback),
        cmocka_unit_test(exception_that_stays_inside_is_nobodys_business),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
