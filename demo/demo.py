"""The demo: a real QEMU ends three block jobs, and a C program's callback is told.

`make demo` runs it. What the C program prints is compared with what a second monitor of the same
QEMU saw, and only if all of it agrees the exit status is 0. With BREAK=cancel a proxy withholds
the event BLOCK_JOB_CANCELLED from the C program, which shows that the demo would notice.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import lines
from stage import DISK, MIB, Failed, Monitor, Record, make_disk, proxy, qemu, running

ROOT = Path(__file__).resolve().parent.parent
FOLLOW = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "examples/follow"
WITHHELD = {"": None, "cancel": "BLOCK_JOB_CANCELLED"}  # by the value of BREAK
PATIENCE = 10  # seconds for each event; QEMU itself needs at most 3
LONGEST = 55  # seconds for all of it

INTRODUCTION = """\
libblockjob: a real QEMU ends three block jobs, and a C program's callback is told.

What stands behind a bar is printed by that program, examples/follow.c, as it comes.
QEMU runs without a guest. Its disk is base.qcow2 <- monday.qcow2 <- tuesday.qcow2.
"""
AGREEMENT = """
All agree: the C program was told the {count} events that a second monitor of this QEMU saw, in
the same order, each with the same time, job, type, len, offset, speed and error.
"""


class Demo:
    """What the story needs: the C program with what it has printed, and the second monitor."""

    def __init__(self, follow, monitor):
        self.follow = follow
        self.monitor = monitor
        self.printed = Record()

    async def show(self):
        """Prints and keeps the lines of the C program."""
        async for line in self.follow.stdout:
            line = line.decode().rstrip("\n")
            print("   |", line, flush=True)
            try:
                await self.printed.add(lines.parse(line))
            except ValueError as error:
                raise Failed(f"The C program printed a line that cannot be read: {error}") from None
        await self.printed.end()

    async def told(self, event, **fields):
        """The line with which the C program tells an event, which must come in time."""
        wanted = {"event": event, **fields}
        line = await self.printed.find(lambda line: wanted.items() <= line.items(), PATIENCE)
        if line is None:
            what = " ".join([event, *(f"{label}={value}" for label, value in fields.items())])
            if self.printed.ended:
                raise Failed(f"{what} is missing: the C program has ended without being told.")
            raise Failed(f"{what} is missing: the C program was not told in {PATIENCE} seconds.")
        return line

    async def start(self, command, job, **arguments):
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        await self.monitor.execute(command, **{"job-id": job, **arguments})

    async def progress(self, job, offset):
        """Waits until a job has come as far as `offset`."""
        for _ in range(PATIENCE * 20):
            for listed in await self.monitor.execute("query-block-jobs"):
                if listed["device"] == job and listed["offset"] >= offset:
                    return
            await asyncio.sleep(1 / 20)
        raise Failed(f"QEMU's job {job} did not come as far as {offset} in time.")

    async def end(self, job):
        """Waits for a job's end at the second monitor, then returns the C program's line of it."""

        def is_end(message):
            return message["event"] in lines.ENDS and message["data"]["device"] == job

        message = await self.monitor.events.find(is_end, PATIENCE)
        if message is None:
            raise Failed(f"QEMU did not tell its second monitor how the job {job} ended.")
        line = await self.told(message["event"], job=job)
        # Until its status is null, QEMU keeps the job, and the nodes that it works on.
        await self.told("JOB_STATUS_CHANGE", job=job, status="null")
        return line


async def story(demo):
    """Three jobs in turn, and the end of QEMU."""
    await demo.told("CONNECTED")

    headline("1. A job completes.",
             "block-commit merges monday.qcow2 into base.qcow2.",
             "To see: COMPLETED without an error, its offset equal to its len.")
    await demo.start("block-commit", "merge-monday", device="tuesday",
                     top_node="monday", base_node="base", speed=8 * MIB)
    line = await demo.end("merge-monday")
    require(line, line["event"] == "BLOCK_JOB_COMPLETED" and "error" not in line
            and 0 < int(line["offset"]) == int(line["len"]))

    headline("2. A job is cancelled.",
             "blockdev-backup copies the disk, and is stopped early.",
             "To see: CANCELLED, its offset less than its len.")
    await demo.start("blockdev-backup", "back-up-disk", device="tuesday", target="copy",
                     sync="full", speed=8 * MIB)
    await demo.progress("back-up-disk", DISK // 8)
    await demo.monitor.execute("block-job-cancel", device="back-up-disk")
    line = await demo.end("back-up-disk")
    require(line, line["event"] == "BLOCK_JOB_CANCELLED"
            and 0 < int(line["offset"]) < int(line["len"]))

    headline("3. A job fails.",
             "block-stream copies base.qcow2 into tuesday.qcow2, and meets a place that it cannot",
             "read: QEMU's blkdebug injects the error.",
             "To see: COMPLETED with QEMU's error text.")
    await demo.start("block-stream", "flatten-disk", device="tuesday", speed=16 * MIB)
    line = await demo.end("flatten-disk")
    require(line, line["event"] == "BLOCK_JOB_COMPLETED" and line.get("error"))

    headline("4. QEMU quits.",
             "The C program has nobody left to hear, and ends as well.",
             "To see: DISCONNECTED.")
    await demo.monitor.execute("quit")
    await demo.told("DISCONNECTED")
    try:
        status = await asyncio.wait_for(demo.follow.wait(), PATIENCE)
    except TimeoutError:
        raise Failed("The C program did not end when QEMU was gone.") from None
    if status != 0:
        raise Failed(f"The C program ended with exit status {status}, not 0.")


def headline(title, *lines):
    print("", title, *(f"   {line}" for line in lines), "", sep="\n", flush=True)


def require(line, as_it_should):
    if not as_it_should:
        raise Failed(f"The job did not end as it should: {line}")


def compare(seen, printed):
    """Holds each line of the C program against what the second monitor saw, field by field."""
    for want, got in itertools.zip_longest(seen, printed):
        if got is None:
            raise Failed(f"The C program was not told what the second monitor saw:\n  {want}")
        if want is None:
            raise Failed(f"The C program was told what the second monitor did not see:\n  {got}")
        differing = sorted(k for k in want.keys() | got.keys() if want.get(k) != got.get(k))
        if differing:
            raise Failed(f"The C program was told something else ({', '.join(differing)}) than "
                         f"the second monitor saw:\n  seen: {want}\n  told: {got}")


async def run(withheld):
    """Sets the stage in the current folder, which is empty, tells the story, and compares."""
    options = make_disk()
    address = "unix:proxy.qmp" if withheld else "unix:vm.qmp"

    async with contextlib.AsyncExitStack() as stage:
        await stage.enter_async_context(qemu(
            *options, "-qmp", "unix:vm.qmp,server=on,wait=off",
            "-qmp", "unix:second.qmp,server=on,wait=off"))
        monitor = await stage.enter_async_context(Monitor("second.qmp").connected())
        if withheld:
            await stage.enter_async_context(proxy("proxy.qmp", "vm.qmp", withheld))
            print(f"Between the two stands a proxy that withholds {withheld}.\n", flush=True)
        follow = await stage.enter_async_context(
            running(str(FOLLOW), address, stdout=subprocess.PIPE))

        demo = Demo(follow, monitor)
        async with asyncio.TaskGroup() as both:
            both.create_task(demo.show())
            await story(demo)

    seen = [lines.expected(m, address) for m in monitor.events.items if m["event"] in lines.KINDS]
    compare(seen, [line for line in demo.printed.items if line["event"] in lines.KINDS])
    print(AGREEMENT.format(count=len(seen)), end="")


async def run_within_limits(withheld):
    """Ends the demo in good order when it takes too long or is interrupted."""
    this = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    try:
        async with asyncio.timeout(LONGEST):
            await run(withheld)
    except TimeoutError:
        raise Failed(f"It did not come to its end within {LONGEST} seconds.") from None


def main():
    status = 1
    try:
        choice = os.environ.get("BREAK", "")
        if choice not in WITHHELD:
            raise Failed(f"BREAK={choice} is unknown; there is BREAK=cancel.")
        if not FOLLOW.exists():
            raise Failed(f"{FOLLOW} is not built; `make demo` does that.")
        print(INTRODUCTION, flush=True)
        with tempfile.TemporaryDirectory(prefix="blockjob-demo-") as folder:
            with contextlib.chdir(folder):
                asyncio.run(run_within_limits(WITHHELD[choice]))
        status = 0
    except* Failed as failures:
        for failure in failures.exceptions:
            print(f"\nThe demo FAILED. {failure}", file=sys.stderr)
    except* asyncio.CancelledError:
        print("\nThe demo was interrupted.", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
