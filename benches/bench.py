"""`make bench`: measures libblockjob beside what programs would use instead, and beside the floor.

    bench.py [--rounds N] [--only SERIES,...]

All candidates of a series run in each round, one after the other, so that what the machine does
meanwhile meets all of them. Figures are medians over the rounds, and ratios are medians of each round's
ratio. At the end each goal is printed with what was reached, and with --write docs/performance.md and the
plots beside it are written anew."""

import argparse
import contextlib
import json
import math
import os
import pathlib
import platform
import pwd
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
RUST = TARGET / "bench" / "release"
C = TARGET / "bench" / "c"
LIBRARY = TARGET / "release" / "libblockjob.so"
PYTHON = ROOT / ".cache" / "bench" / "bin" / "python"
FLOOR, BARE, OURS = [RUST / "floor"], [C / "bare"], [C / "ours"]
LIBVIRT = C / "libvirt"
QAPI, JSON_C, QMP = [RUST / "qapi"], [C / "json-c"], [PYTHON, ROOT / "benches" / "qmp_peer.py"]

results = {}
goals = []


def say(*words):
    print(*words, flush=True)


def run(command, **options):
    """Runs a client to its end; what it printed, by the first word of each line."""
    command = [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return parse(done.stdout + done.stderr)


def parse(text):
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        numbers = [float(word) for word in rest.split()] if name != "ready" else []
        found[name] = numbers if name in ("times", "at") else numbers[0] if numbers else None
    return found


def part(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, math.ceil(len(values) * percent / 100) - 1)]


def median(values):
    return statistics.median(values)


def spread(values):
    return f"{min(values):.2f} to {max(values):.2f}"


def goal(name, reached, limit, unit="", form="{:.2f}", detail=""):
    met = reached <= limit
    shown = f"{form.format(reached)} {unit}".strip()
    wanted = f"at most {form.format(limit)} {unit}".strip()
    goals.append((name, wanted, shown + (f" ({detail})" if detail else ""), met))


class Fleet:
    """Fake monitors in a process of their own."""

    def __init__(self, *names):
        self.folder = tempfile.mkdtemp(prefix="bb")
        # One has two descriptors a monitor: of many, half each.
        if isinstance(names[0], int) and names[0] > 5000:
            half = names[0] // 2
            parts = [range(half), range(half, names[0])]
        else:
            parts = [names]
        self.processes = []
        for part_of in parts:
            process = subprocess.Popen(
                [RUST / "fleet", self.folder, *map(str, part_of)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True)
            assert process.stdout.readline() == "ready\n"
            self.processes.append(process)

    def path(self, name):
        return f"{self.folder}/{name}"

    def order(self, *words):
        """To all of them, but single events, which one sends."""
        told = self.processes[:1] if words[0] == "lone" else self.processes
        for process in told:
            print(*words, file=process.stdin, flush=True)
        return [process.stdout.readline().strip() for process in told]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.stdin.close()
            process.wait()
        shutil.rmtree(self.folder)


class Client:
    """One that stays, and says what it has measured when it is asked."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)
        assert self.process.stdout.readline() == "begun\n"

    def read(self, name):
        while True:
            line = self.process.stdout.readline()
            assert line, "the client has ended"
            if line.startswith(name):
                return parse(line)[name]

    def ask(self, name="times"):
        print("tell", file=self.process.stdin, flush=True)
        return self.read(name)

    def begin(self):
        print("go", file=self.process.stdin, flush=True)
        return self.read("connected_ns") / 1e6

    def status(self, name):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+)", text, re.M).group(1))

    def switches(self):
        """Voluntary context switches of all its threads."""
        total = 0
        for thread in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            text = (thread / "status").read_text()
            total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M).group(1))
        return total

    def cpu(self):
        """CPU time of all its threads in microseconds, from the scheduler: `stat` counts ticks."""
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        total = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)
        assert total > 0, "this kernel counts no CPU time there"
        return total / 1e3

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


# --- The series -----------------------------------------------------------------------------


def candidates(*names):
    """Those that could be built or installed here."""
    all_of_them = {
        "bare read() loop": BARE, "floor": FLOOR, "ours, thread": OURS, "ours, loop": OURS,
        "ours, pull": OURS, "qapi": QAPI, "json-c": JSON_C, "qemu.qmp": QMP}
    found = {}
    for name in names:
        command = all_of_them[name]
        if all(pathlib.Path(word).exists() for word in command):
            found[name] = command
        else:
            say(f"    left out: {name}, which is not here")
    return found


def flood_command(name, command, path, what, count, rounds, wanted="all", each=False):
    tail = ["each"] if each else []
    if name.startswith("ours"):
        how = name.split(", ")[1]
        return [*command, "flood", how, path, what, count, rounds, wanted, *tail]
    return [*command, "flood", path, what, count, rounds, *tail]


def flood_series(title, who, path, what, count, bursts, rounds, wanted="all", each=False):
    """CPU per event of each, in each round."""
    found = {name: [] for name in who}
    rates = {name: [] for name in who}
    for _ in range(rounds):
        for name, command in who.items():
            fewer = max(1, bursts // 40) if name == "qemu.qmp" else bursts
            got = run(flood_command(name, command, path, what, count, fewer, wanted, each))
            events = fewer * (count + 2)
            found[name].append(got["cpu_ns"] / events)
            rates[name].append(events / got["wall_ns"] * 1e9)
    table = {}
    for name, times in found.items():
        ratios = [mine / floor for mine, floor in zip(times, found["floor"])]
        table[name] = {"ns": median(times), "ratio": median(ratios), "spread": spread(ratios),
                       "per second": median(rates[name])}
    results.setdefault("flood", {})[title] = table
    say(f"  {title}")
    for name, row in table.items():
        say(f"    {name:20} {row['ns']:9.0f} ns an event, {row['ratio']:6.2f} times the floor "
            f"({row['spread']}), {row['per second']:10.0f} events/s")
    return table


def flood(rounds):
    with Fleet("new", "old") as fleet:
        old, new = fleet.path("old"), fleet.path("new")
        every = candidates("bare read() loop", "floor", "ours, thread", "ours, loop", "ours, pull",
                           "qapi", "json-c", "qemu.qmp")
        table = flood_series("ends of jobs (BLOCK_JOB_COMPLETED)", every, old, "completed", 2000,
                             100, rounds)
        for how in ("thread", "loop", "pull"):
            row = table[f"ours, {how}"]
            goal(f"flood, {how}: CPU per event over the floor", row["ratio"], 1.25,
                 detail=row["spread"])
        few = candidates("floor", "ours, thread", "ours, loop", "ours, pull", "qapi", "json-c")
        flood_series("lives of jobs (seven events each)", few, new, "lives", 1001, 200, rounds)
        table = flood_series("one write an event", few, old, "completed", 500, 40, rounds,
                             each=True)
        row = table["ours, thread"]
        goal("one write an event: CPU over the floor", row["ratio"], 1.4, detail=row["spread"])
        one = candidates("floor", "ours, thread")
        table = flood_series("an event of no job that nobody wants", one, new, "foreign", 2000, 100,
                             rounds, wanted="last")
        row = table["ours, thread"]
        goal("unwanted event: CPU over the floor", row["ratio"], 0.6, detail=row["spread"])
        flood_series("events of jobs that nobody has registered for", one, new, "lives", 1001, 200,
                     rounds, wanted="last")
    # What tests/speed.py guards, which a busy machine does not change.
    known = dict(line.split() for line in (ROOT / "tests" / "speed.txt").read_text().splitlines()
                 if line and not line.startswith("#"))
    results["guard"] = known
    goal("instructions of a delivered end over the floor", float(known["ends-instructions"]), 1.2)
    goal("allocations of a delivered event", float(known["status-allocations"]), 2)
    goal("allocations of the end of a job", float(known["ends-allocations"]), 2)
    goal("allocations of an unwanted event", float(known["unwanted-allocations"]), 0,
         form="{:.2f}")


def many(rounds):
    rows = {}
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    every = (1, 100, 1000, 5000, 10000)
    sizes = [size for size in every if size + 1000 < limit]
    skipped = [size for size in every if size not in sizes]
    say(f"  {limit} descriptors may be open; skipped for that: {skipped or 'none'}")
    for size in sizes:
        with Fleet(size) as fleet:
            row = {}
            connects = {"ours": [], "floor": []}
            tries = rounds if size == sizes[-1] else 3
            for turn in range(tries):
                for name, command in (("floor", [*FLOOR, "many", fleet.folder, size]),
                                      ("ours", [*OURS, "many", "thread", fleet.folder, size])):
                    with Client(command) as client:
                        before = client.status("VmRSS")
                        connects[name].append(client.begin())
                        if name == "ours" and turn == tries - 1:
                            time.sleep(0.3)
                            row["rss"] = client.status("VmRSS") - before
                            row["threads"] = client.status("Threads") - 1
                            switches, cpu = client.switches(), client.cpu()
                            time.sleep(3)
                            row["wakeups"] = (client.switches() - switches) / 3
                            row["idle cpu"] = (client.cpu() - cpu) / 3
                            fleet.order("drop")
                            row["restart"] = client.read("connected_ns") / 1e6
            say(f"    {size} monitors were connected {2 * tries} times")
            row["connect"] = median(connects["ours"])
            ratios = [mine / floor for mine, floor in zip(connects["ours"], connects["floor"])]
            row["connect ratio"], row["connect spread"] = median(ratios), spread(ratios)
            rows[size] = row
    # One event at a monitor by chance, while nothing else happens; one and many in turns.
    for size in sizes:
        rows[size]["times"] = []
    with Fleet(1) as small, Client([*OURS, "many", "thread", small.folder, 1]) as one:
        one.begin()
        for size in sizes:
            with Fleet(size) as fleet, Client(
                    [*OURS, "many", "thread", fleet.folder, size]) as client:
                client.begin()
                ratios, mine = [], []
                for _ in range(rounds):
                    small.order("lone", 100, 2000)
                    fleet.order("lone", 100, 2000)
                    time.sleep(0.05)
                    base, times = one.ask(), client.ask()
                    ratios.append(part(times, 50) / part(base, 50))
                    mine += times
                rows[size]["p50"], rows[size]["p50 ratio"] = part(mine, 50), median(ratios)
                rows[size]["p50 spread"] = spread(ratios)
    for size, row in rows.items():
        base = rows[1]["rss"]
        row["KB each"] = (row["rss"] - base) / (size - 1) if size > 1 else row["rss"]
        row.pop("times")
        say(f"    {size:6} monitors: {row['KB each']:7.2f} KB each, {row['threads']} threads, "
            f"{row['wakeups']:.1f} wake-ups/s and {row['idle cpu']:.0f} us/s of CPU idle, connect "
            f"{row['connect']:.0f} ms ({row['connect ratio']:.2f} of epoll's), p50 {row['p50']:.0f} us "
            f"({row['p50 ratio']:.2f}), restart {row['restart']:.0f} ms")
    results["many"] = rows
    top, row = sizes[-1], rows[sizes[-1]]
    goal(f"{top} monitors: memory each", row["KB each"], 2, "KB")
    goal(f"{top} monitors: threads", row["threads"], 2, form="{:.0f}")
    goal(f"{top} monitors: idle wake-ups a second", row["wakeups"], 0, form="{:.1f}")
    goal(f"{top} monitors: p50 of one event over that at 1", row["p50 ratio"], 1.3,
         detail=row["p50 spread"])
    goal(f"{top} monitors: connecting over plain epoll's", row["connect ratio"], 1.5,
         detail=row["connect spread"] + "; both ask for the lists of jobs")
    fairness(rounds)


def fairness(rounds):
    rows = {}
    with Fleet(10) as fleet, Client([*OURS, "many", "thread", fleet.folder, 10]) as client:
        client.begin()
        for floods, limit in ((0, None), (1, 90), (4, 200)):
            if floods:
                fleet.order("flood", floods)
                time.sleep(0.2)
                client.ask()
            medians = []
            for _ in range(rounds):
                fleet.order("lone", 100, 3000)
                time.sleep(0.05)
                medians.append(part(client.ask(), 50))
            rows[floods] = {"p50": median(medians), "spread": spread(medians)}
            say(f"    {floods} of 10 flood: p50 of one event {rows[floods]['p50']:.0f} us")
            if limit:
                goal(f"one event while {floods} of 10 flood: p50", rows[floods]["p50"], limit, "us",
                     form="{:.0f}", detail=rows[floods]["spread"])
            fleet.order("calm")
    results["fairness"] = rows


class Control:
    """A monitor of ours at a real QEMU, whose jobs copy a megabyte."""

    def __init__(self, path):
        deadline = time.monotonic() + 10
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self.file = self.socket.makefile("rw")
        greeting = json.loads(self.file.readline())["QMP"]["version"]
        self.version = ".".join(str(greeting["qemu"][name]) for name in ("major", "minor", "micro"))
        self.execute("qmp_capabilities")
        for name in ("source", "target"):
            self.execute("blockdev-add", driver="null-co", size=1 << 20, **{"node-name": name})

    def execute(self, name, until=lambda heard: True, **arguments):
        """Returns when QEMU has answered, and has said something by then that `until` holds for."""
        print(json.dumps({"execute": name, "arguments": arguments}), file=self.file, flush=True)
        answered = said = False
        while not (answered and said):
            heard = json.loads(self.file.readline())
            assert "error" not in heard, heard
            answered |= "return" in heard
            said |= until(heard)

    def run_job(self, name):
        def is_gone(heard):
            # A job this short may be over before the reply.
            return (heard.get("event") == "JOB_STATUS_CHANGE"
                    and heard["data"] == {"status": "null", "id": name})
        self.execute("blockdev-backup", is_gone, device="source", target="target", sync="full",
                     **{"job-id": name})

    def ends(self, count):
        """QEMU's times of the next so many ends of jobs, whoever made them, in microseconds."""
        times = []
        while len(times) < count:
            heard = json.loads(self.file.readline())
            if heard.get("event") == "BLOCK_JOB_COMPLETED":
                stamp = heard["timestamp"]
                times.append(stamp["seconds"] * 1e6 + stamp["microseconds"])
        return times

    def close(self):
        self.file.close()
        self.socket.close()


class Qemu(Control):
    """A real one, with a monitor for us and one for who is measured."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="bb")
        sockets = []
        for name in ("control", "client"):
            sockets += ["-qmp", f"unix:{self.folder}/{name},server=on,wait=off"]
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none", *sockets],
            stderr=subprocess.DEVNULL)
        self.client = f"{self.folder}/client"
        super().__init__(f"{self.folder}/control")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.close()
        shutil.rmtree(self.folder)


class Libvirt:
    """Its session daemon, with all it keeps in a folder of its own, and one domain, whose QEMU has
    a monitor for us besides. Root has no sessions: there the daemon runs as nobody."""

    DAEMON = shutil.which("libvirtd", path=os.environ.get("PATH", "") + ":/usr/sbin")

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="bb")
        disk, control = f"{self.folder}/disk.qcow2", f"{self.folder}/control"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"], check=True)
        (pathlib.Path(self.folder) / "libvirt").mkdir()
        # Else it starts another daemon, for what QEMU prints.
        pathlib.Path(f"{self.folder}/libvirt/qemu.conf").write_text('stdio_handler = "file"\n')
        domain = f"""<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
            <name>bench</name><memory unit='MiB'>16</memory>
            <os><type arch='x86_64' machine='pc'>hvm</type></os>
            <devices>
              <emulator>{shutil.which('qemu-system-x86_64')}</emulator>
              <controller type='usb' model='none'/><memballoon model='none'/>
              <disk type='file'><driver name='qemu' type='qcow2'/><source file='{disk}'/>
                <target dev='vda' bus='virtio'/></disk>
            </devices>
            <qemu:commandline><qemu:arg value='-qmp'/>
              <qemu:arg value='unix:{control},server=on,wait=off'/></qemu:commandline>
            </domain>"""
        pathlib.Path(f"{self.folder}/domain.xml").write_text(domain)
        environment = dict(os.environ, HOME=self.folder)
        for name in ("RUNTIME_DIR", "CONFIG_HOME", "CACHE_HOME", "DATA_HOME"):
            environment[f"XDG_{name}"] = self.folder
        who = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            for place in (self.folder, *pathlib.Path(self.folder).rglob("*")):
                os.chown(place, nobody.pw_uid, nobody.pw_gid)
        self.process = subprocess.Popen([self.DAEMON], env=environment, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, cwd=self.folder, **who)
        path = f"{self.folder}/libvirt/libvirt-sock"
        self.uri = f"qemu+unix:///session?socket={path}"
        self.control, self.lives = None, False
        try:
            deadline = time.monotonic() + 10
            while not os.path.exists(path):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError("libvirtd does not start")
                time.sleep(0.01)
            # Its guest does nothing, as that of the other QEMU, which has none.
            self.virsh("create", "--paused", f"{self.folder}/domain.xml")
            self.lives = True
            self.control = Control(control)
        except BaseException:
            self.__exit__()
            raise

    def virsh(self, *words):
        done = subprocess.run(["virsh", "-q", "-c", self.uri, *words], capture_output=True,
                              text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"virsh {words[0]}: {done.stderr.strip()}")

    def raw(self, jobs):
        return watch(self.control, [LIBVIRT, "latency", "raw", self.uri, "bench", jobs], jobs)

    def block_job(self, jobs):
        """Its own jobs, since it tells of no others. They are slower to make: fewer of them."""
        jobs //= 6
        called = run([LIBVIRT, "latency", "block-job", self.uri, "bench", jobs])["at"]
        return [at - end for at, end in zip(called, self.control.ends(jobs))]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            if self.control is not None:
                self.control.close()
            if self.lives:
                self.virsh("destroy", "bench")
        finally:
            self.process.terminate()
            self.process.wait()
            shutil.rmtree(self.folder)


def libvirt():
    """None where it is not here, or does not run here."""
    if Libvirt.DAEMON and LIBVIRT.exists():
        try:
            return Libvirt()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            say(f"    {error}")
    say("    left out: libvirt, which is not here, or does not run")
    return None


def latency(rounds):
    names = ("bare read() loop", "floor", "ours, thread", "ours, loop", "ours, pull", "ours, wait",
             "qapi", "json-c", "qemu.qmp")
    who = candidates(*(name for name in names if name != "ours, wait"))
    jobs = 60
    with contextlib.ExitStack() as stack:
        qemu, virt = stack.enter_context(Qemu()), libvirt()
        peers = {}
        if virt:
            stack.enter_context(virt)
            peers = {"libvirt, raw event": virt.raw, "libvirt, BLOCK_JOB_2": virt.block_job}
        results["qemu"] = qemu.version
        for series, keepers in (("cores sleep", 0), ("cores kept awake", os.cpu_count())):
            awake = [subprocess.Popen(["nice", "-n", "19", "sh", "-c", "while :; do :; done"])
                     for _ in range(keepers)]
            found = {name: [] for name in (*names, *peers)
                     if name == "ours, wait" or name in who or name in peers}
            try:
                for turn in range(rounds):
                    for name in found:
                        if name in peers:
                            found[name].append(peers[name](jobs))
                            continue
                        if name.startswith("ours"):
                            how = name.split(", ")[1]
                            command = [*OURS, "latency", how, qemu.client, jobs]
                        else:
                            command = [*who[name], "latency", qemu.client, jobs]
                        found[name].append(watch(qemu, command, jobs))
            finally:
                for process in awake:
                    process.kill()
                    process.wait()
            rows = {}
            for name, times in found.items():
                everything = [time for each in times for time in each]
                above = [part(mine, 50) - part(bare, 50)
                         for mine, bare in zip(times, found["bare read() loop"])]
                rows[name] = {"p50": part(everything, 50), "p90": part(everything, 90),
                              "p99": part(everything, 99), "above": median(above),
                              "spread": f"{min(above):.0f} to {max(above):.0f}"}
            results.setdefault("latency", {})[series] = rows
            say(f"  {series}")
            for name, row in rows.items():
                say(f"    {name:20} p50 {row['p50']:6.0f}  p90 {row['p90']:6.0f}  p99 "
                    f"{row['p99']:6.0f} us; p50 above the bare loop {row['above']:5.0f} us "
                    f"({row['spread']})")
            for how in ("thread", "loop", "pull", "wait"):
                row = rows[f"ours, {how}"]
                goal(f"latency, {how}, {series}: p50 above a bare loop", row["above"], 30, "us",
                     form="{:.0f}", detail=row["spread"])
            if "qapi" in rows:
                goal(f"latency, thread, {series}: p99 no worse than qapi's",
                     rows["ours, thread"]["p99"], rows["qapi"]["p99"], "us", form="{:.0f}")


def watch(qemu, command, jobs):
    client = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    assert client.stdout.readline() == "ready\n"
    for number in range(jobs):
        qemu.run_job(f"bench-{number}")
        time.sleep(0.002)
    out = client.communicate(timeout=60)[0]
    return parse(out)["times"]


def growth(rounds):
    tries = min(rounds, 5)
    with Fleet("new", "old") as fleet:
        old, new = fleet.path("old"), fleet.path("new")
        found = {}

        def series(title, values, command, environment=lambda value: {}, bursts=lambda value: 20):
            times = {value: [] for value in values}
            for _ in range(tries):
                for value in values:
                    count = bursts(value)
                    got = run(command(value, count),
                              env=dict(os.environ, **environment(value)))
                    times[value].append(got["cpu_ns"] / got["events"])
            found[title] = {value: median(each) for value, each in times.items()}
            shown = ", ".join(f"{value}: {ns:.0f}" for value, ns in found[title].items())
            say(f"    {title}: {shown} ns an event")

        series("registrations, of which one matches", [1, 10, 100, 1000, 10000],
               lambda value, count: [*OURS, "flood", "thread", old, "completed", 2000, count, "all"],
               lambda value: {"REGISTRATIONS": str(value - 1)})
        series("jobs of a monitor", [1, 10, 100, 1000],
               lambda value, count: [*OURS, "flood", "thread", new, f"jobs{value}", 1000, count,
                                     "all"])
        series("bytes of a line", [200, 1000, 4000, 16000, 64000],
               lambda value, count: [*OURS, "flood", "thread", old, f"line{value}", 100, count,
                                     "all"])
        series("events that wait", [10, 100, 1000, 4000],
               lambda value, count: [*OURS, "late", old, value, count],
               bursts=lambda value: max(2, 8000 // value))
    results["growth"] = found


# What ours asks once capabilities are agreed on, both at once: BLOCKJOB_DEBUG=1 shows it.
QUERIES = ["query-jobs", "query-block-jobs"]


def start(rounds):
    """Ours and the floor that asks the same, and the floor that asks nothing."""
    ways = {"floor": [*FLOOR, "start"], "floor, queries": [*FLOOR, "start"],
            "ours": [*OURS, "start"]}
    found = {}
    with Fleet("new") as fleet, Qemu() as qemu:
        for place, path, tries in (("fake monitor", fleet.path("new"), 5),
                                   ("real QEMU", qemu.client, 15)):
            times = {way: [] for way in ways}
            for _ in range(rounds * tries):
                for way, command in ways.items():
                    asked = QUERIES if way == "floor, queries" else []
                    times[way].append(run([*command, path, *asked])["ready_ns"] / 1e3)
            row = {way: median(all_of_it) for way, all_of_it in times.items()}
            for way in ("floor", "floor, queries"):
                ratios = [mine / floor for mine, floor in zip(times["ours"], times[way])]
                row[f"over {way}"] = median(ratios)
                row[f"spread over {way}"] = f"{part(ratios, 25):.2f} to {part(ratios, 75):.2f}"
            found[place] = row
            say(f"    {place}: floor {row['floor']:.0f} us, floor with the queries "
                f"{row['floor, queries']:.0f} us, ours {row['ours']:.0f} us, "
                f"{row['over floor, queries']:.2f} times as long "
                f"({row['spread over floor, queries']})")
        results["qemu"] = qemu.version
    loads = [run([C / "load", LIBRARY])["load_ns"] / 1e6 for _ in range(rounds * 3)]
    say(f"    dlopen {median(loads):.2f} ms")
    results["start"] = found
    row = found["real QEMU"]
    goal("start against a real QEMU, with the queries: ready", row["ours"] / 1000, 2, "ms")
    goal("start against a real QEMU over the floor, both with the queries",
         row["over floor, queries"], 1.2, detail=row["spread over floor, queries"])
    goal("dlopen", median(loads), 1, "ms")


def size(_):
    with tempfile.TemporaryDirectory() as folder:
        stripped = pathlib.Path(folder) / "stripped.so"
        subprocess.run(["strip", "-o", stripped, LIBRARY], check=True)
        kilobytes = stripped.stat().st_size / 1000
    dynamic = subprocess.run(["readelf", "-d", LIBRARY], capture_output=True, text=True, check=True)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic.stdout)
    tree = subprocess.run(
        [os.environ.get("CARGO", "cargo"), "tree", "--locked", "--edges", "normal", "--prefix",
         "none"], capture_output=True, text=True, check=True, cwd=ROOT)
    crates = {line.split()[0] for line in tree.stdout.splitlines() if line.strip()}
    results["size"] = {"kB": kilobytes, "needed": needed, "crates": len(crates)}
    say(f"    {kilobytes:.0f} kB stripped, needs {', '.join(needed)}; {len(crates)} crates")
    goal("stripped library", kilobytes, 700, "kB", form="{:.0f}")
    others = [name for name in needed if not re.match(r"(libc|libgcc_s|ld-linux)", name)]
    goal("libraries needed besides libc, libgcc_s and the loader", len(others), 0, form="{:.0f}")
    goal("crates at run time", len(crates), 25, form="{:.0f}")


def parts(_):
    """Parts of the library by themselves: to read, and not for docs/performance.md."""
    done = subprocess.run(
        [os.environ.get("CARGO", "cargo"), "bench", "--quiet", "--locked", "--manifest-path",
         ROOT / "benches" / "peers" / "Cargo.toml", "--target-dir", TARGET / "bench", "--bench",
         "parts"], capture_output=True, text=True)
    say(done.stdout if done.returncode == 0 else "    left out: the parts, which do not build here")


# --- What is written of it ------------------------------------------------------------------


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
    name = pathlib.Path("/etc/os-release").read_text()
    system = re.search(r'PRETTY_NAME="(.*)"', name).group(1)
    return (f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores "
            f"({model.group(1) if model else platform.machine()}), {system}, Linux "
            f"{platform.release().split('-')[0]}, {compiler}, QEMU {results.get('qemu', '-')}")


def tables():
    lines = []

    def table(head, rows):
        lines.append("| " + " | ".join(head) + " |")
        lines.append("|" + "---|" * len(head))
        for row in rows:
            lines.append("| " + " | ".join(row) + " |")
        lines.append("")

    lines.append(f"Measured {machine()}; load average before: {results['load']}.\n")
    lines.append("### The goals\n")
    table(["goal", "wanted", "reached", ""],
          [(name, wanted, reached, "met" if met else "**not met**")
           for name, wanted, reached, met in goals])
    for title, rows in results.get("flood", {}).items():
        lines.append(f"### Flood: {title}\n")
        table(["client", "ns per event", "times the floor (spread)", "events per second"],
              [(name, f"{row['ns']:.0f}", f"{row['ratio']:.2f} ({row['spread']})",
                f"{row['per second']:,.0f}") for name, row in rows.items()])
    for title, rows in results.get("latency", {}).items():
        lines.append(f"### Latency from QEMU's timestamp, {title} (µs)\n")
        table(["client", "p50", "p90", "p99", "p50 above the bare loop (spread)"],
              [(name, *(f"{row[key]:.0f}" for key in ("p50", "p90", "p99")),
                f"{row['above']:.0f} ({row['spread']})") for name, row in rows.items()])
    if "start" in results:
        lines.append("### Start: from nothing to a usable monitor (µs)\n")
        table(["at", "floor", "floor with the queries", "ours",
               "over the floor with the queries (middle half)", "over the floor"],
              [(place, *(f"{row[way]:.0f}" for way in ("floor", "floor, queries", "ours")),
                f"{row['over floor, queries']:.2f} ({row['spread over floor, queries']})",
                f"{row['over floor']:.2f}") for place, row in results["start"].items()])
    if "many" in results:
        lines.append("### Many monitors\n")
        table(["monitors", "KB each", "threads", "idle wake-ups/s", "idle CPU, µs/s",
               "ms to connect (of epoll's)", "p50 of one event, µs (of that at 1)", "ms to restart all"],
              [(str(count), f"{row['KB each']:.2f}", str(row["threads"]), f"{row['wakeups']:.1f}",
                f"{row['idle cpu']:.0f}", f"{row['connect']:.0f} ({row['connect ratio']:.2f})",
                f"{row['p50']:.0f} ({row['p50 ratio']:.2f})", f"{row['restart']:.0f}")
               for count, row in results["many"].items()])
        table(["of 10 monitors flood", "p50 of one event, µs (spread)"],
              [(str(count), f"{row['p50']:.0f} ({row['spread']})")
               for count, row in results["fairness"].items()])
    for title, row in results.get("growth", {}).items():
        lines.append(f"### Growth: {title}\n")
        table([str(value) for value in row], [[f"{ns:.0f} ns" for ns in row.values()]])
    return "\n".join(lines)


def plots(folder):
    """By matplotlib, since what is measured is gathered in Python as well."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    matplotlib.rcParams["svg.hashsalt"] = "libblockjob"

    def save(name, figure):
        figure.tight_layout()
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        pyplot.close(figure)

    if "flood" in results:
        rows = next(iter(results["flood"].values()))
        figure, axes = pyplot.subplots(figsize=(7, 3))
        axes.barh(list(rows), [row["ns"] for row in rows.values()])
        axes.set_xscale("log")
        axes.set_xlabel("CPU per event in a flood of ends, ns")
        axes.invert_yaxis()
        save("flood", figure)
    if "latency" in results:
        figure, axes = pyplot.subplots(figsize=(7, 4))
        for shift, (title, rows) in enumerate(results["latency"].items()):
            places = [place + shift * 0.4 for place in range(len(rows))]
            axes.barh(places, [row["p50"] for row in rows.values()], height=0.35, label=title)
            axes.plot([row["p99"] for row in rows.values()], places, "|", color="black")
        axes.set_yticks([place + 0.2 for place in range(len(rows))], list(rows))
        axes.set_xscale("log")
        axes.set_xlabel("from QEMU's timestamp to the callback, µs: p50, and p99 as a mark")
        axes.invert_yaxis()
        axes.legend()
        save("latency", figure)
    if "many" in results:
        rows = results["many"]
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3))
        left.plot(list(rows)[1:], [row["KB each"] for row in rows.values()][1:], "o-")
        left.set_ylabel("KB per monitor")
        right.plot(list(rows), [row["p50"] for row in rows.values()], "o-")
        right.set_ylabel("p50 of one event, µs")
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_ylim(bottom=0)
            axes.set_xlabel("monitors")
        save("many", figure)
    if "growth" in results:
        figure, all_axes = pyplot.subplots(2, 2, figsize=(8, 6))
        for axes, (title, row) in zip(all_axes.flat, results["growth"].items()):
            axes.plot(list(row), list(row.values()), "o-")
            axes.set_xscale("log")
            axes.set_ylim(bottom=0)
            axes.set_xlabel(title)
            axes.set_ylabel("ns per event")
        save("growth", figure)


SERIES = {"size": size, "start": start, "flood": flood, "latency": latency, "many": many,
          "growth": growth, "parts": parts}


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--only", default=",".join(SERIES))
    options.add_argument("--write", action="store_true", help="docs/performance.md and its plots")
    chosen = options.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (1 << 16, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            break
        except (OSError, ValueError):
            pass
    results["load"] = "%.2f" % os.getloadavg()[0]
    begun = time.monotonic()
    for name in chosen.only.split(","):
        say(f"{name}")
        SERIES[name](chosen.rounds)
    say(f"\nThe goals of BASELINES, after {time.monotonic() - begun:.0f} s; load before "
        f"{results['load']}\n")
    for name, wanted, reached, met in goals:
        say(f"{'met    ' if met else 'not met'}  {name}: {reached}; wanted {wanted}")
    (TARGET / "bench" / "results.json").write_text(json.dumps([results, goals], indent=1))
    if chosen.write:
        path = ROOT / "docs" / "performance.md"
        before, rest = path.read_text().split("<!-- figures: written by make bench -->")
        after = rest.split("<!-- end of figures -->")[1]
        path.write_text(f"{before}<!-- figures: written by make bench -->\n\n{tables()}\n"
                        f"<!-- end of figures -->{after}")
        (ROOT / "docs" / "performance").mkdir(exist_ok=True)
        plots(ROOT / "docs" / "performance")


if __name__ == "__main__":
    sys.exit(main())
