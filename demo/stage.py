"""What stands behind the story: a disk, a QEMU, a second monitor, and a proxy that keeps a secret.

Nothing here uses libblockjob, since it is what the library's word is compared with.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys

QEMU = os.environ.get("QEMU", "qemu-system-x86_64")
MIB = 1 << 20
LONGEST_MESSAGE = MIB
DISK = 64 * MIB
BAD_PLACE = 48 * MIB


class Failed(Exception):
    """The demo did not show what it promises; the text is a sentence for people."""


class Record:
    """What came, in order, with a way to wait for what is still to come."""

    def __init__(self):
        self.items = []
        self.ended = False
        self._change = asyncio.Condition()

    async def add(self, item):
        async with self._change:
            self.items.append(item)
            self._change.notify_all()

    async def end(self):
        async with self._change:
            self.ended = True
            self._change.notify_all()

    async def find(self, wanted, seconds):
        """The first item for which wanted(item) holds, or None if it does not come in time."""

        def found():
            return next(filter(wanted, self.items), None)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._change:
                await self._change.wait_for(lambda: self.ended or found() is not None)
        return found()


@contextlib.asynccontextmanager
async def running(*command, **options):
    """Runs a program, and ends it by its pid when the block is left, whatever the reason."""
    # In a session of its own, a Ctrl-C at the terminal does not reach it: we end it in order.
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, start_new_session=True, **options
        )
    except FileNotFoundError:
        raise Failed(f"{command[0]} is not installed, or not built.") from None
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()


def tool(*command):
    """Runs a program of QEMU's that ends by itself, and returns what it printed."""
    try:
        return subprocess.run(
            command, check=True, capture_output=True, text=True, start_new_session=True
        ).stdout
    except FileNotFoundError:
        raise Failed(f"{command[0]} is not installed.") from None
    except subprocess.CalledProcessError as error:
        raise Failed(f"`{' '.join(command)}` failed: {error.stderr.strip()}") from None


def make_disk():
    """Makes base.qcow2 <- monday.qcow2 <- tuesday.qcow2, and copy.qcow2 for a backup of it.

    Returns the options by which QEMU opens them. One place of base.qcow2 cannot be read.
    """
    nodes = []
    for name, below, written in (
        ("base", None, f"0 {DISK}"),
        ("monday", "base", f"0 {16 * MIB}"),
        ("tuesday", "monday", f"{16 * MIB} {8 * MIB}"),
        ("copy", None, "0 0"),
    ):
        file = f"{name}.qcow2"
        backing = ["-b", f"{below}.qcow2", "-F", "qcow2"] if below else []
        tool("qemu-img", "create", "-q", "-f", "qcow2", *backing, file, str(DISK))
        tool("qemu-io", "-c", f"write -q -P 0xb0 {written}", file)
        node = {"driver": "file", "filename": file}
        if name == "base":
            node = {"driver": "blkdebug", "image": node, "inject-error": [
                {"event": "none", "iotype": "read", "sector": sector_of(file, BAD_PLACE)}]}
        node = {"driver": "qcow2", "node-name": name, "file": node}
        nodes.append({**node, "backing": below} if below else node)
    return [option for node in nodes for option in ("-blockdev", json.dumps(node))]


def sector_of(file, place):
    """Where a qcow2 file keeps the guest's byte `place`; its order is not the guest's."""
    for extent in json.loads(tool("qemu-img", "map", "--output=json", file)):
        if extent["start"] <= place < extent["start"] + extent["length"]:
            return (extent["offset"] + place - extent["start"]) // 512
    raise Failed(f"{file} holds no data at {place}, so that it cannot be made to fail there.")


@contextlib.asynccontextmanager
async def qemu(*options):
    """Runs a QEMU without a guest, and shows what it had to say if it did not end well."""
    command = [QEMU, "-machine", "none", "-nodefaults", "-no-user-config", "-display", "none"]
    with open("qemu.log", "w+", encoding="utf-8", errors="replace") as log:
        async with running(*command, *options, stdout=log, stderr=log) as process:
            try:
                yield process
            finally:
                if process.returncode:
                    log.seek(0)
                    print(f"QEMU ended with {process.returncode}:", log.read(), file=sys.stderr)


class Monitor:
    """A QMP client that keeps every event that it sees."""

    def __init__(self, path):
        self.path = path
        self.events = Record()
        self._answers = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def connected(self, seconds=10):
        reader, self._writer = await connect(self.path, seconds)
        listening = asyncio.create_task(self._listen(reader))
        try:
            await self._answer("greet", seconds)
            await self.execute("qmp_capabilities")
            yield self
        finally:
            listening.cancel()
            self._writer.close()

    async def execute(self, command, seconds=10, **arguments):
        """Has QEMU do something, and returns what it answers. One command at a time."""
        message = {"execute": command, "arguments": arguments}
        self._writer.write(json.dumps(message).encode())
        answer = await self._answer(command, seconds)
        if "error" in answer:
            raise Failed(f"QEMU refused {command}: {answer['error']['desc']}")
        return answer["return"]

    async def _answer(self, what, seconds):
        try:
            answer = await asyncio.wait_for(self._answers.get(), seconds)
        except TimeoutError:
            raise Failed(f"QEMU did not {what} within {seconds} seconds.") from None
        if answer is None:
            raise Failed(f"QEMU closed {self.path} and did not {what}.")
        return answer

    async def _listen(self, reader):
        with contextlib.suppress(ConnectionResetError):
            async for line in reader:
                message = json.loads(line)
                if "event" in message:
                    await self.events.add(message)
                else:
                    await self._answers.put(message)
        await self.events.end()
        await self._answers.put(None)


async def connect(path, seconds):
    """Connects to a QEMU that may not listen yet."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            return await asyncio.open_unix_connection(path, limit=LONGEST_MESSAGE)
        except (FileNotFoundError, ConnectionRefusedError):
            if asyncio.get_running_loop().time() > deadline:
                raise Failed(f"QEMU did not listen at {path} within {seconds} seconds.") from None
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def proxy(listen_at, monitor_at, secret):
    """Passes everything between a client and a monitor, but for the event named secret."""

    async def serve(client_reader, client_writer):
        reader, writer = await connect(monitor_at, 10)
        async with asyncio.TaskGroup() as both_ways:
            both_ways.create_task(carry_commands(client_reader, writer))
            both_ways.create_task(carry_messages(reader, client_writer))

    async def carry_commands(reader, writer):
        with contextlib.suppress(ConnectionError):
            while some := await reader.read(LONGEST_MESSAGE):
                writer.write(some)
                await writer.drain()
        writer.close()

    async def carry_messages(reader, writer):
        with contextlib.suppress(ConnectionError):
            async for line in reader:
                if json.loads(line).get("event") != secret:
                    writer.write(line)
                    await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(serve, listen_at):
        yield
