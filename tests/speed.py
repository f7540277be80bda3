"""Does an event still cost what it did? Instructions and allocations, not time: they are the same on a
busy machine. Instructions are counted by callgrind, as a ratio to those of benches/programs' floor,
which is compiled in the same run. What they were stands in tests/speed.txt; 5 % more is a failure.

BLOCKJOB_UPDATE_SPEED=1 writes that file anew."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
KNOWN = ROOT / "tests" / "speed.txt"
CREEP = 1.05
# Of a burst, whole lives of jobs; no more, or status changes would be dropped. The difference is what is
# counted, so that what begins and ends a burst is not.
EVENTS = (203, 1001)
BURSTS = 20


def build():
    """The floor and its fleet, a client of ours, and what counts allocations."""
    cargo = os.environ.get("CARGO", "cargo")
    manifest = ROOT / "benches" / "programs" / "Cargo.toml"
    subprocess.run(
        [cargo, "build", "--locked", "--release", "--manifest-path", manifest, "--target-dir",
         TARGET / "bench"], check=True)
    programs = TARGET / "bench" / "c"
    programs.mkdir(parents=True, exist_ok=True)
    compiler = [os.environ.get("CC", "cc"), "-g", "-O2", "-Wall", "-Wextra", "-Werror"]
    sources = ROOT / "benches" / "c"
    subprocess.run(
        compiler + [f"-I{ROOT}/include", "-o", programs / "ours", sources / "ours.c",
                    f"-L{TARGET}/release", "-lblockjob", "-Wl,-rpath,$ORIGIN/../../release",
                    "-pthread"], check=True)
    subprocess.run(
        compiler + ["-shared", "-fPIC", "-o", programs / "allocations.so",
                    sources / "allocations.c"], check=True)
    return TARGET / "bench" / "release", programs


class Speed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rust, cls.c = build()
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.fleet = subprocess.Popen(
            [cls.rust / "fleet", cls.folder, "new", "old"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        assert cls.fleet.stdout.readline() == b"ready\n"
        cls.known = dict(line.split() for line in KNOWN.read_text().splitlines()
                         if line and not line.startswith("#")) if KNOWN.exists() else {}
        cls.found = {}
        cls.floors = {}

    @classmethod
    def tearDownClass(cls):
        cls.fleet.stdin.close()
        cls.fleet.wait()
        cls.fleet.stdout.close()
        shutil.rmtree(cls.folder)
        if "BLOCKJOB_UPDATE_SPEED" in os.environ:
            # Not -0.00.
            lines = [f"{name} {round(figure, 2) + 0:.2f}\n" for name, figure in cls.found.items()]
            KNOWN.write_text(
                "# What tests/speed.py has found: instructions of an event as a ratio to the\n"
                "# floor's, and allocations of an event.\n" + "".join(sorted(lines)))

    def of_an_event(self, count, command):
        """How much of it an event costs, by bursts of few and of many of them."""
        few, many = (count([str(word) for word in command(events)]) for events in EVENTS)
        return (many - few) / (BURSTS * (EVENTS[1] - EVENTS[0]))

    def instructions(self, command):
        with tempfile.NamedTemporaryFile() as out:
            run = subprocess.run(
                ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", *command],
                capture_output=True, text=True, check=True)
        return int(re.search(r"Collected : (\d+)", run.stderr).group(1))

    def allocations(self, command):
        counting = dict(os.environ, LD_PRELOAD=str(self.c / "allocations.so"))
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=counting)
        return int(re.search(r"allocations (\d+)", run.stderr).group(1))

    def floor(self, path, what):
        if what not in self.floors:
            self.floors[what] = self.of_an_event(self.instructions, lambda events: [
                self.rust / "floor", "flood", self.folder / path, what, events, BURSTS])
        return self.floors[what]

    def check(self, name, path, what, wanted, delivery="thread"):
        def command(events):
            return [self.c / "ours", "flood", delivery, self.folder / path, what, events, BURSTS,
                    wanted]
        ratio = self.of_an_event(self.instructions, command) / self.floor(path, what)
        allocations = self.of_an_event(self.allocations, command)
        print(f"{name}: {ratio:.2f} times the floor's instructions, {allocations:.2f} allocations",
              flush=True)
        self.found[f"{name}-instructions"] = ratio
        self.found[f"{name}-allocations"] = allocations
        if "BLOCKJOB_UPDATE_SPEED" in os.environ:
            return
        limit = float(self.known[f"{name}-instructions"]) * CREEP
        self.assertLessEqual(ratio, limit, f"{name}: an event costs more than it did")
        # How many events a read brings is chance, and each batch has a few of its own.
        limit = float(self.known[f"{name}-allocations"]) + 0.1
        self.assertLessEqual(allocations, limit, f"{name}: an event allocates more than it did")

    def test_an_event_of_no_job_that_nobody_wants(self):
        self.check("unwanted", "new", "foreign", "last")

    def test_events_of_jobs_that_nobody_has_registered_for(self):
        self.check("unregistered", "new", "lives", "last")

    def test_the_events_of_jobs_lives_are_delivered(self):
        self.check("delivered", "new", "lives", "all")

    def test_the_ends_of_jobs_are_delivered(self):
        self.check("ends", "old", "completed", "all")

    def test_status_changes_are_delivered(self):
        self.check("status", "new", "jobs4", "all")


if __name__ == "__main__":
    unittest.main(verbosity=2)
