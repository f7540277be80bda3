"""The programs of examples/: they do what their usage says, and follow prints the same lines in C,
Python and Go.

Run as `python3 tests/examples.py` when `make examples` has built them. What no real QEMU can be
made to say comes from a scripted monitor.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "demo"))

import lines  # noqa: E402
from stage import MIB, Monitor, make_disk, qemu, running, tool  # noqa: E402

TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
PROGRAMS = {
    "c": [str(TARGET / "examples/follow")],
    "python": [sys.executable, str(ROOT / "examples/follow.py")],
    "go": [str(TARGET / "examples/follow-go")],
}
# Those that start a job and end with it, as examples/start.c does.
STARTERS = {name: [str(TARGET / "examples" / name)] for name in (
    "start", "pull", "loop-glib", "loop-sd-event", "loop-libevent", "loop-libuv")}
STARTERS["loop-asyncio"] = [sys.executable, str(ROOT / "examples/loop-asyncio.py")]
ENVIRONMENT = {**os.environ, "BLOCKJOB_LIBRARY": str(TARGET / "release/libblockjob.so")}
PATIENCE = 20  # seconds

# So old that an id may be used again without a word.
GREETING = {"QMP": {"version": {"qemu": {"major": 2, "minor": 8, "micro": 7}}, "capabilities": []}}
AT = {"seconds": 1_795_452_002, "microseconds": 417}
PREFIX = "2026-11-23T16:40:02.000417Z unix:vm.qmp"


def ended(event="BLOCK_JOB_COMPLETED", timestamp=AT, **changes):
    """The message of a job's end; a change to None leaves that member out."""
    data = {"type": "stream", "device": "j0", "len": 9, "offset": 9, "speed": 0, **changes}
    data = {member: value for member, value in data.items() if value is not None}
    message = {"event": event, "data": data, "timestamp": timestamp}
    return message if timestamp else {"event": event, "data": data}


@contextlib.asynccontextmanager
async def scripted_monitor(path, *messages, stays=False):
    """Serves QMP: greets, agrees to everything, sends the messages, and closes unless it stays."""

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError):
            send(writer, GREETING)
            for value in ({}, []):  # qmp_capabilities, query-block-jobs
                command = json.loads(await reader.readline())
                send(writer, {"return": value, "id": command["id"]})
            for message in messages:
                send(writer, message)
            await writer.drain()
            if stays:
                await reader.read()
        writer.close()

    def send(writer, message):
        # Not in ASCII, as QEMU would: what is hostile arrives as it is.
        text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
        writer.write(text.encode() + b"\r\n")

    async with await asyncio.start_unix_server(serve, path):
        yield


@contextlib.asynccontextmanager
async def storage_daemon(**below):
    """Serves vm.qmp, and second.qmp to us; keeps vm.journal. Below its disk is what it streams."""
    Path("base.raw").write_bytes(b"x" * (4 * MIB))  # more than a job copies in one piece
    tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "disk.qcow2")
    image = {"driver": "file", "filename": "base.raw"}
    base = {"driver": "raw", "node-name": "base",
            "file": {"driver": "blkdebug", "image": image, **below}}
    disk = {"driver": "qcow2", "node-name": "disk", "backing": "base",
            "file": {"driver": "file", "filename": "disk.qcow2"}}
    options = ["--blockdev", json.dumps(base), "--blockdev", json.dumps(disk)]
    for name, chardev in (("vm", "socket,path=vm.qmp,server=on,wait=off"),
                          ("second", "socket,path=second.qmp,server=on,wait=off"),
                          ("journal", "null,logfile=vm.journal,logappend=on")):
        options += ["--chardev", f"{chardev},id={name}", "--monitor", f"chardev={name}"]
    async with running("qemu-storage-daemon", *options) as daemon:
        async with Monitor("second.qmp").connected() as monitor:
            yield daemon, monitor


async def gone(monitor, job):
    """Waits until QEMU has forgotten a job, as the second monitor sees it."""
    status = {"id": job, "status": "null"}
    if not await monitor.events.find(lambda m: m.get("data") == status, PATIENCE):
        raise AssertionError(f"QEMU did not end the job {job}")


def example(name, *arguments):
    """Runs a program of examples/ that is in C alone."""
    return running(str(TARGET / "examples" / name), *arguments, stdout=subprocess.PIPE,
                   stderr=subprocess.PIPE)


def follow(program, *arguments, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return running(*PROGRAMS[program], *arguments, env=ENVIRONMENT, **options)


async def result(process):
    """What a program that ends by itself printed to stdout and stderr, and its exit status."""
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    text = (out or b"").decode(), (err or b"").decode(errors="replace")
    return text[0].splitlines(), text[1], process.returncode


class Examples(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="blockjob-examples-"))
        self.enterContext(contextlib.chdir(folder))

    async def check_each(self, check, *arguments, **options):
        """Runs the programs side by side, and calls check(stdout, stderr, exit status) for each."""

        async def run(program):
            async with follow(program, *arguments, **options) as process:
                return await result(process)

        results = await asyncio.gather(*map(run, PROGRAMS))
        for program, outcome in zip(PROGRAMS, results, strict=True):
            with self.subTest(program):
                check(*outcome)

    async def expect_lines(self, *pairs):
        """Sends each message, and expects its line, here without what begins all of them."""

        def check(out, err, status):
            self.assertEqual(out[1:-1], [line for _, line in pairs])
            self.assertEqual((err, status), ("", 0))

        async with scripted_monitor("vm.qmp", *(message for message, _ in pairs)):
            await self.check_each(check, "unix:vm.qmp")

    async def test_all_print_the_same_of_a_real_qemu_and_what_a_second_monitor_saw(self):
        sockets = [*PROGRAMS, "second"]
        options = [o for s in sockets for o in ("-qmp", f"unix:{s}.qmp,server=on,wait=off")]
        disk = await asyncio.to_thread(make_disk)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(qemu(*disk, *options))
            monitor = await stack.enter_async_context(Monitor("second.qmp").connected())
            processes = {}
            for name in PROGRAMS:
                processes[name] = await stack.enter_async_context(follow(name, f"unix:{name}.qmp"))
            first = {name: await process.stdout.readline() for name, process in processes.items()}

            await monitor.execute("block-commit", **{
                "job-id": "merge", "device": "tuesday", "top-node": "monday", "base-node": "base"})
            await gone(monitor, "merge")
            await monitor.execute("blockdev-backup", **{
                "job-id": "backup", "device": "tuesday", "target": "copy", "sync": "full",
                "speed": MIB})
            await monitor.execute("block-job-cancel", device="backup")
            await gone(monitor, "backup")
            await monitor.execute("block-stream", **{"job-id": "flatten", "device": "tuesday"})
            await gone(monitor, "flatten")
            await monitor.execute("blockdev-mirror", **{
                "job-id": "mirror", "device": "tuesday", "target": "copy", "sync": "top",
                "auto-finalize": False})
            ready = await monitor.events.find(
                lambda m: m["event"] == "BLOCK_JOB_READY", PATIENCE)
            self.assertIsNotNone(ready, "QEMU's mirror did not become ready")
            await monitor.execute("block-job-complete", device="mirror")
            pending = await monitor.events.find(
                lambda m: m["event"] == "BLOCK_JOB_PENDING", PATIENCE)
            self.assertIsNotNone(pending, "QEMU's mirror did not become pending")
            await monitor.execute("job-finalize", id="mirror")
            await gone(monitor, "mirror")
            await monitor.execute("quit")

            seen = [m for m in monitor.events.items if m["event"] in lines.KINDS]
            self.assertEqual({m["event"] for m in seen}, set(lines.KINDS), "a kind did not occur")
            told = {}
            for name, process in processes.items():
                out, err, status = await result(process)
                self.assertEqual((err, status), ("", 0), name)
                self.assertIn(" CONNECTED qemu=", first[name].decode())
                self.assertIn(" DISCONNECTED reason=", out.pop())
                self.assertEqual(
                    [lines.parse(line) for line in out],
                    [lines.expected(message, f"unix:{name}.qmp") for message in seen])
                told[name] = [line.replace(f" unix:{name}.qmp ", " ") for line in out]
            self.assertEqual(told["c"], told["python"])
            self.assertEqual(told["c"], told["go"])

    async def test_members_are_printed_when_the_event_has_them(self):
        await self.expect_lines(
            (ended(), f"{PREFIX} BLOCK_JOB_COMPLETED job=j0 type=stream outcome=succeeded "
                      "len=9 offset=9 speed=0"),
            (ended(error=""), f"{PREFIX} BLOCK_JOB_COMPLETED job=j0 type=stream outcome=failed "
                              'len=9 offset=9 speed=0 error=""'),
            (ended("BLOCK_JOB_CANCELLED", offset=-1, speed=(1 << 63) - 1),
             f"{PREFIX} BLOCK_JOB_CANCELLED job=j0 type=stream outcome=cancelled "
             "len=9 offset=-1 speed=9223372036854775807"),
            (ended(len=None, offset=None, speed=None, type=None),
             f"{PREFIX} BLOCK_JOB_COMPLETED job=j0 outcome=succeeded"),
            ({"event": "JOB_STATUS_CHANGE", "timestamp": AT, "data": {"id": "j0", "status": "new"}},
             f"{PREFIX} JOB_STATUS_CHANGE job=j0 status=new"),
        )

    async def test_a_time_that_makes_no_sense_is_a_dash(self):
        rest = "unix:vm.qmp BLOCK_JOB_CANCELLED job=j0 type=stream outcome=cancelled " \
               "len=9 offset=9 speed=0"
        await self.expect_lines(*(
            (ended("BLOCK_JOB_CANCELLED", timestamp=time), f"{shown} {rest}")
            for time, shown in (
                (None, "-"),
                ({"seconds": -1, "microseconds": -1}, "-"),
                ({"seconds": 0, "microseconds": 1_000_000}, "-"),
                ({"seconds": 253_402_300_800, "microseconds": 0}, "-"),
                ({"seconds": (1 << 63) - 1, "microseconds": 0}, "-"),
                ({"seconds": 253_402_300_799, "microseconds": 1}, "9999-12-31T23:59:59.000001Z"),
                ({"seconds": 951_782_400, "microseconds": 999_999}, "2000-02-29T00:00:00.999999Z"),
            )))

    async def test_control_characters_are_escaped(self):
        text = "\x1b[2J\r\n\t\0\x7f\x80\x85\x9b\x9f\u061c\u200e\u200f\u2028\u2029\u202a\u202e" \
               "\u2066\u2069"
        shown = r"\x1b[2J\x0d\x0a\x09" + "\ufffd" + r"\x7f\u0080\u0085\u009b\u009f\u061c\u200e" \
                r"\u200f\u2028\u2029\u202a\u202e\u2066\u2069"
        harmless = "\xa0é\u2027\u202f\u2065\u206a\ufffd\U0001f4be' \" \\"
        await self.expect_lines(
            (ended(device=text, type=text, error=text),
             f'{PREFIX} BLOCK_JOB_COMPLETED job="{shown}" type="{shown}" outcome=failed '
             f'len=9 offset=9 speed=0 error="{shown}"'),
            (ended(error=harmless),
             f"{PREFIX} BLOCK_JOB_COMPLETED job=j0 type=stream outcome=failed len=9 offset=9 "
             'speed=0 error="' + harmless[:-3] + '\\" \\\\"'),
        )

    async def test_a_word_cannot_pass_for_a_field_or_a_line(self):
        forged = 'j0 outcome=succeeded" error="\n'
        shown = r'"j0 outcome=succeeded\" error=\"\x0a"'
        await self.expect_lines(
            (ended(device=forged, type="", error="x"),
             f'{PREFIX} BLOCK_JOB_COMPLETED job={shown} type="" outcome=failed len=9 offset=9 '
             'speed=0 error="x"'),
            ({"event": "JOB_STATUS_CHANGE", "timestamp": AT,
              "data": {"id": "a=b", "status": forged}},
             f'{PREFIX} JOB_STATUS_CHANGE job="a=b" status={shown}'),
            ({"event": "BLOCK_JOB_ERROR", "timestamp": AT,
              "data": {"device": "Aa0._-/:,+@", "action": forged, "operation": forged}},
             f"{PREFIX} BLOCK_JOB_ERROR job=Aa0._-/:,+@ action={shown} operation={shown}"),
        )

    async def test_a_monitor_whose_path_has_a_space_is_quoted(self):
        def check(out, err, status):
            self.assertIn(' "unix:v m.qmp" CONNECTED qemu=2.8.7', out[0])

        async with scripted_monitor("v m.qmp"):
            await self.check_each(check, "unix:v m.qmp")

    async def test_a_long_line_stays_one_line(self):
        error = "x" * 60_000
        await self.expect_lines((
            ended(error=error),
            f"{PREFIX} BLOCK_JOB_COMPLETED job=j0 type=stream outcome=failed len=9 offset=9 "
            f'speed=0 error="{error}"'))

    async def test_programs_that_share_an_output_do_not_mix_their_lines(self):
        reading, writing = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with reading:
            with writing:
                async with scripted_monitor("vm.qmp", *[ended()] * 10):
                    await self.check_each(lambda *_: None, "unix:vm.qmp", stdout=writing)
            # Such a socket keeps writes apart, so this sees whether a line was one.
            writes = list(iter(lambda: reading.recv(4096), b""))
        self.assertEqual(len(writes), 12 * len(PROGRAMS))
        for line in writes:
            lines.parse(line.decode().removesuffix("\n"))

    async def test_it_ends_with_0_when_the_last_of_its_monitors_is_gone(self):
        def check(out, err, status):
            self.assertEqual((len(out), err, status), (4, "", 0))

        async with scripted_monitor("a.qmp"), scripted_monitor("b.qmp"):
            await self.check_each(check, "unix:a.qmp", "unix:b.qmp")

    async def test_it_ends_with_1_when_a_monitor_was_never_connected(self):
        def check(out, err, status):
            told = sorted((line["monitor"], line["event"]) for line in map(lines.parse, out))
            self.assertEqual(told, [
                ("unix:none.qmp", "DISCONNECTED"),
                ("unix:vm.qmp", "CONNECTED"),
                ("unix:vm.qmp", "DISCONNECTED"),
            ])
            self.assertEqual((err, status), ("", 1))

        async with scripted_monitor("vm.qmp"):
            await self.check_each(check, "unix:vm.qmp", "unix:none.qmp")

    async def test_a_signal_ends_it_with_0(self):
        async with scripted_monitor("vm.qmp", stays=True):
            for program in PROGRAMS:
                for number in (signal.SIGINT, signal.SIGTERM):
                    with self.subTest(program, signal=number):
                        async with follow(program, "unix:vm.qmp") as process:
                            line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
                            self.assertIn(b" CONNECTED ", line)
                            process.send_signal(number)
                            self.assertEqual(await result(process), ([], "", 0))

    async def test_output_that_cannot_be_written_ends_it_with_1(self):
        def check(out, err, status):
            self.assertIn("no space left on device", err.lower())
            self.assertEqual(status, 1)

        async with scripted_monitor("vm.qmp", stays=True):
            with open("/dev/full", "wb") as full:
                await self.check_each(check, "unix:vm.qmp", stdout=full)

    async def test_it_ends_when_nobody_reads_its_output(self):
        def check(out, err, status):
            # Go dies of SIGPIPE, as most tools do; the others see the error first.
            self.assertIn(status, (1, -signal.SIGPIPE))

        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "wb") as nobody:
            async with scripted_monitor("vm.qmp", stays=True):
                await self.check_each(check, "unix:vm.qmp", stdout=nobody)

    async def test_a_wrong_command_line_is_explained(self):
        for arguments, sentence in (
            ((), "usage: follow"),
            (("vm.qmp",), "vm.qmp"),
            (("unix:",), "unix:"),
            ((b"unix:\xff.qmp",), "UTF-8"),
            (("unix:@" + "x" * 108,), "107"),
        ):
            def check(out, err, status):
                self.assertEqual((out, status), ([], 1))
                self.assertIn(sentence, err)
                self.assertNotIn("Traceback", err)

            await self.check_each(check, *arguments)

    async def test_the_usage_of_the_c_program_is_told_on_request(self):
        async with follow("c", "--help") as process:
            out, err, status = await result(process)
        self.assertEqual((out[0], err, status), ("usage: follow unix:PATH...", "", 0))

    def test_the_short_examples_are_short(self):
        for name, most in (("follow.py", 60), ("follow.go", 65), ("start.c", 60),
                           ("progress.c", 40), ("execute.c", 70), ("pull.c", 70),
                           ("loop-asyncio.py", 70),
                           ("loop-glib.c", 90), ("loop-sd-event.c", 100),
                           ("loop-libevent.c", 90), ("loop-libuv.c", 90), ("journal.c", 80)):
            count = len((ROOT / "examples" / name).read_text().splitlines())
            self.assertLessEqual(count, most, f"examples/{name} has {count} lines")


class Execute(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="blockjob-examples-"))
        self.enterContext(contextlib.chdir(folder))

    async def test_it_prints_what_qemu_returns(self):
        async with storage_daemon() as (_, monitor):
            async with example("execute", "unix:vm.qmp", "query-block-jobs") as process:
                self.assertEqual(await result(process), (["[]"], "", 0))
            resize = '{"node-name": "disk", "size": 65536}'
            async with example("execute", "unix:vm.qmp", "block_resize", resize) as process:
                self.assertEqual(await result(process), (["{}"], "", 0))
            nodes = await monitor.execute("query-named-block-nodes")
            size = {node["node-name"]: node["image"]["virtual-size"] for node in nodes}["disk"]
            self.assertEqual(size, 65536)

    async def test_a_refusal_ends_it_with_1_and_qemus_words(self):
        async with storage_daemon():
            for arguments, sentence in (
                (("make-coffee",), "no command make-coffee"),
                (("blockdev-del", '{"node-name": "none"}'), "GenericError"),
                (("blockdev-del", "[]"), "no JSON object"),
            ):
                async with example("execute", "unix:vm.qmp", *arguments) as process:
                    out, err, status = await result(process)
                self.assertEqual((out, status), ([], 1))
                self.assertIn(sentence, err)

    async def test_a_descriptor_is_passed_along(self):
        Path("passed.raw").write_bytes(b"x" * 4096)
        async with qemu("-qmp", "unix:vm.qmp,server=on,wait=off"):
            async with Monitor("vm.qmp").connected():
                pass  # it listens
            line = [str(TARGET / "examples/execute"), "unix:vm.qmp", "add-fd", '{"fdset-id": 7}', "3"]
            shell = ["sh", "-c", 'exec "$@" 3<>passed.raw', "sh", *line]
            async with running(*shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                (out,), err, status = await result(process)
            self.assertEqual((err, status), ("", 0))
            self.assertEqual(json.loads(out)["fdset-id"], 7)

    async def test_what_nobody_can_know_ends_it_with_2(self):
        async with scripted_monitor("vm.qmp"):
            async with example("execute", "unix:vm.qmp", "stop") as process:
                out, err, status = await result(process)
            # It hangs up at once: before the command was sent, or after.
            self.assertEqual(out, [])
            self.assertIn(status, (1, 2))

    async def test_a_wrong_command_line_is_explained(self):
        for arguments, sentence in ((("unix:vm.qmp",), "usage: execute"),
                                    (("vm.qmp", "stop"), "unix:PATH")):
            async with example("execute", *arguments) as process:
                out, err, status = await result(process)
            self.assertEqual((out, status), ([], 1))
            self.assertIn(sentence, err)


class Start(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="blockjob-examples-"))
        self.enterContext(contextlib.chdir(folder))

    async def of_each(self, story):
        """Tells the story of each program, whose name is said when it goes wrong."""
        for name in STARTERS:
            with self.subTest(name):
                await story(name)

    def start(self, name, arguments):
        return running(*STARTERS[name], "unix:vm.qmp", arguments, env=ENVIRONMENT,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    async def started(self, monitor):
        """The id of the job that the program has started."""
        def runs(message):
            return message.get("data", {}).get("status") == "running"

        return (await monitor.events.find(runs, PATIENCE))["data"]["id"]

    def check(self, name, ended, event, status, **members):
        (*steps, line), err, exit_status = ended
        # What is pulled is all events; the others print the end alone.
        steps = [lines.parse(step) for step in steps]
        self.assertLessEqual({step["event"] for step in steps}, {*lines.KINDS, "DISCONNECTED"})
        self.assertTrue(name == "pull" or not steps, steps)
        line = lines.parse(line)
        self.assertEqual({member: line.get(member) for member in ("event", *members)},
                         {"event": event, **members})
        self.assertEqual((err, exit_status), ("", status))

    async def test_a_job_that_succeeds_ends_it_with_0_and_is_dismissed(self):
        async def story(name):
            async with storage_daemon() as (_, monitor):
                async with self.start(name, '{"device": "disk"}') as process:
                    outcome = await result(process)
                self.check(name, outcome, "BLOCK_JOB_COMPLETED", 0, outcome="succeeded",
                           type="stream")
                self.assertEqual(await monitor.execute("query-jobs"), [])

        await self.of_each(story)

    async def test_a_job_that_fails_ends_it_with_1(self):
        async def story(name):
            async with storage_daemon(**{"inject-error": [{"event": "none", "iotype": "read"}]}):
                async with self.start(name, '{"device": "disk"}') as process:
                    outcome = await result(process)
                self.check(name, outcome, "BLOCK_JOB_COMPLETED", 1, outcome="failed",
                           error="Input/output error")

        await self.of_each(story)

    async def test_a_job_that_is_cancelled_ends_it_with_1(self):
        async def story(name):
            async with storage_daemon() as (_, monitor):
                async with self.start(name, '{"device": "disk", "speed": 1}') as process:
                    job = await self.started(monitor)
                    await monitor.execute("block-job-cancel", device=job)
                    outcome = await result(process)
                self.check(name, outcome, "BLOCK_JOB_CANCELLED", 1, outcome="cancelled", job=job)

        await self.of_each(story)

    async def test_a_job_whose_qemu_dies_ends_it_with_2(self):
        async def story(name):
            async with storage_daemon() as (daemon, monitor):
                async with self.start(name, '{"device": "disk", "speed": 1}') as process:
                    job = await self.started(monitor)
                    daemon.kill()
                    outcome = await result(process)
                self.check(name, outcome, "LOST", 2, job=job)

        await self.of_each(story)

    async def test_what_qemu_refuses_ends_it_with_1_and_qemus_words(self):
        async def story(name):
            async with storage_daemon():
                async with self.start(name, '{"device": "none"}') as process:
                    out, err, status = await result(process)
            self.assertEqual((out, status), ([], 1))
            self.assertIn("none", err)

        await self.of_each(story)



class Progress(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="blockjob-examples-"))
        self.enterContext(contextlib.chdir(folder))

    async def run_progress(self, arguments):
        async with example("progress", "unix:vm.qmp", arguments) as process:
            (line,), err, status = await result(process)
        return lines.parse(line), err.splitlines(), status

    async def test_it_shows_how_far_the_job_is_and_ends_with_0_when_that_succeeds(self):
        async with storage_daemon() as (_, monitor):
            slow = json.dumps({"device": "disk", "speed": 4 * MIB})
            end, shown, status = await self.run_progress(slow)
            self.assertEqual((end["outcome"], status), ("succeeded", 0))
            self.assertEqual(await monitor.execute("query-jobs"), [])
        offsets = [int(line.removesuffix(f" of {4 * MIB}")) for line in shown]
        self.assertEqual(offsets, sorted(set(offsets)))
        self.assertGreaterEqual(len(offsets), 3, shown)

    async def test_a_job_that_fails_ends_it_with_1(self):
        async with storage_daemon(**{"inject-error": [{"event": "none", "iotype": "read"}]}):
            end, _, status = await self.run_progress('{"device": "disk"}')
        self.assertEqual((end["outcome"], status), ("failed", 1))


class Journal(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="blockjob-examples-"))
        self.enterContext(contextlib.chdir(folder))

    @contextlib.asynccontextmanager
    async def journal(self):
        """Runs the program, and gives the ends that it tells before it is connected, in words."""
        async with example("journal", "unix:vm.qmp", "vm.journal", "vm.position") as process:
            told = []
            while not told or told[-1]["event"] != "CONNECTED":
                told.append(await self.line(process))
            yield process, [(line["job"], line["outcome"]) for line in told[:-1]]
            process.send_signal(signal.SIGTERM)
            self.assertEqual(await result(process), ([], "", 0))

    async def line(self, process):
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        return lines.parse(line.decode().removesuffix("\n"))

    async def stream(self, monitor, job):
        """One that QEMU forgets by itself."""
        await monitor.execute("block-stream", **{"job-id": job, "device": "disk"})
        await gone(monitor, job)

    async def test_it_tells_what_has_ended_while_it_was_not_running_and_that_once(self):
        async with storage_daemon() as (_, monitor):
            async with self.journal() as (process, missed):
                self.assertEqual(missed, [])
                await self.stream(monitor, "example-1")
                self.assertEqual((await self.line(process))["job"], "example-1")
            for job in ("example-2", "foreign", "example-3"):
                await self.stream(monitor, job)
            async with self.journal() as (_, missed):
                self.assertEqual(missed, [("example-2", "succeeded"), ("example-3", "succeeded")])
            async with self.journal() as (_, missed):
                self.assertEqual(missed, [], "it remembers how far it was")


if __name__ == "__main__":
    unittest.main()
