//! The jobs of one QEMU: any order of what can be said, listed, missed, asked and taken of a few
//! jobs, in words that are always QEMU's. `blockjob_fuzz::world` says what must be true.
//!
//! The input: three bytes with what is set, then two for each thing that happens.

#![no_main]

use std::time::Duration;

use blockjob::model::Settings;
use blockjob_fuzz::{
    memory,
    world::{World, control},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [flags, version, more, rest @ ..] = input else { return };
    let before = memory::held();
    play(*flags, *version, *more, rest);
    let kept = memory::held().saturating_sub(before);
    assert!(kept <= 4096, "{kept} bytes are left of it");
});

const IDS: [&str; 4] = ["j0", "own-1", "j2", "own-\\\"3"];
const TYPES: [&str; 4] = ["mirror", "stream", "create", "commit"];
const VERSIONS: [(i32, i32); 6] = [(1, 1), (2, 9), (2, 12), (5, 2), (7, 2), (10, 0)];
const STATUSES: [&str; 12] = [
    "created",
    "running",
    "paused",
    "ready",
    "standby",
    "waiting",
    "pending",
    "aborting",
    "concluded",
    "null",
    "undefined",
    "asleep",
];

/// What the peer has of a job.
#[derive(Clone, Copy)]
struct Job {
    kind: usize,
    /// A place among the statuses; `null` is none.
    status: usize,
    fails: bool,
    keeps: bool,
}

const NONE: usize = 9;

struct Peer {
    world: World,
    version: (i32, i32),
    jobs: [Job; 4],
    /// Events stand in a journal too.
    journals: bool,
    clock: i64,
    handles: u64,
    last: String,
}

fn play(flags: u8, version: u8, more: u8, rest: &[u8]) {
    let version = VERSIONS[usize::from(version) % VERSIONS.len()];
    let job = Job { kind: 0, status: NONE, fails: false, keeps: false };
    let mut peer = Peer {
        world: World::new(vec![settings(flags, more)], false),
        version,
        jobs: [0, 1, 2, 3].map(|kind| Job { kind, ..job }),
        journals: flags & 2 == 2,
        clock: 1_000_000_000,
        handles: 0,
        last: String::new(),
    };
    peer.world.start(0);
    peer.meet(0);
    for step in rest.chunks_exact(2) {
        peer.step(step[0], step[1]);
    }
    peer.world.finish();
}

fn settings(flags: u8, more: u8) -> Settings {
    let has = |flag: u8| flags & flag != 0;
    let second = Duration::from_secs(1);
    let mut settings = Settings {
        journal: has(1),
        owner: has(4).then(|| "own".into()),
        job_limit: if has(8) { 2 } else { 64 },
        marker: has(16),
        lost_after: if has(32) { None } else { Some(5 * second) },
        keepalive: has(64).then_some((second, second / 2)),
        progress: has(128).then_some(second / 4),
        ..Settings::default()
    };
    if more & 1 == 1 {
        settings.journal_position = Some("1:0:cbf29ce484222325@1000000000".into());
    }
    settings
}

impl Peer {
    fn step(&mut self, what: u8, arg: u8) {
        let at = usize::from(arg & 3);
        let (rest, number) = (usize::from(arg >> 2), usize::from(arg));
        let handle = u64::from(arg) % self.handles.max(1) + 1;
        self.world.say(|| format!("{} {arg}: job {at}, handle {handle}, {rest}", what % 27));
        match what % 27 {
            0 | 1 => self.says_status(at, rest, true),
            2 | 3 => self.says_end(at, rest),
            4 => self.does(at, rest),
            5 => self.answers(number),
            6 => self.answers_all(),
            7 => self.world.reply(0, number, ERRORS[rest % ERRORS.len()]),
            8 => self.meet(at),
            9 => self.world.hang_up(0),
            10 => self.world.end_process(0),
            11 if arg == 0 => self.world.wait_until_due(),
            11 => self.world.wait(u64::from(arg) * u64::from(arg) * 1000),
            12 => {
                self.handles += 1;
                let id = IDS[at].replace('\\', "");
                self.world.watch(0, self.handles, &id, arg >> 2);
            }
            13 => self.world.unwatch(0, handle),
            14 => {
                let command = ["drive-mirror", "block-stream", "blockdev-create", "block-commit"];
                let arguments = format!("{{\"device\": \"{}\"}}", IDS[at]);
                self.world.start_job(0, handle, command[at], &arguments);
            }
            15 => self.world.ask_job(0, handle, control(rest, 1 << 20)),
            16 | 17 => self.world.acknowledge(0, rest, arg & 1 == 1, arg & 2 == 2),
            18 => self.world.look(0, (arg & 1 == 1).then_some(handle)),
            19 => {
                let name = ["block-job-complete", "block-job-cancel", "job-cancel", "job-dismiss"];
                let member = if rest & 3 < 2 { "device" } else { "id" };
                let arguments = format!("{{\"{member}\": \"{}\"}}", IDS[at]);
                self.world.execute(0, name[rest & 3], Some(&arguments), 0);
            }
            20 | 21 => self.world.read_journal(0, arg == 255),
            22 => self.says_status(at, rest, false),
            23 => self.world.truncate_journal(0, number * 16),
            24 => self.clock += (i64::from(arg) - 128) * 250_000,
            25 => {
                let line = self.last.clone();
                self.world.hear(0, line.as_bytes());
            }
            _ => self.odd(arg),
        }
    }

    /// What happens seldom.
    fn odd(&mut self, arg: u8) {
        match arg % 6 {
            0 => self.event("SHUTDOWN", "{\"guest\": false}", true),
            1 => self.world.connect(0, Some(i32::from(arg))),
            2 => self.greet(),
            3 => self.world.start(0),
            4 => self.world.refuse(0),
            _ => self.world.close(0),
        }
    }

    /// A connection, as far as it gets.
    fn meet(&mut self, pid: usize) {
        if !self.world.is_connected(0) {
            self.world.wait_until_due();
        }
        let pid = i32::try_from(pid).expect("a small number");
        self.world.connect(0, (pid > 0).then_some(pid));
        self.greet();
        self.answers_all();
    }

    fn greet(&mut self) {
        let (major, minor) = self.version;
        let greeting = format!(
            "{{\"QMP\": {{\"version\": {{\"qemu\": {{\"micro\": 0, \"minor\": {minor}, \
             \"major\": {major}}}, \"package\": \"\"}}, \"capabilities\": []}}}}\r\n"
        );
        self.world.hear(0, greeting.as_bytes());
    }

    fn event(&mut self, name: &str, data: &str, is_heard: bool) {
        self.clock += 1000;
        let (seconds, microseconds) =
            (self.clock.div_euclid(1_000_000), self.clock.rem_euclid(1_000_000));
        let line = format!(
            "{{\"timestamp\": {{\"seconds\": {seconds}, \"microseconds\": {microseconds}}}, \
             \"event\": \"{name}\", \"data\": {data}}}\r\n"
        );
        if self.journals {
            self.world.write_journal(0, line.as_bytes());
        }
        if is_heard {
            self.world.hear(0, line.as_bytes());
            self.last = line;
        }
    }

    fn says_status(&mut self, at: usize, status: usize, is_heard: bool) {
        let status = status % STATUSES.len();
        self.jobs[at].status = status;
        let data = format!("{{\"status\": \"{}\", \"id\": \"{}\"}}", STATUSES[status], IDS[at]);
        self.event("JOB_STATUS_CHANGE", &data, is_heard);
    }

    fn says_end(&mut self, at: usize, what: usize) {
        let is_heard = what & 8 == 0;
        let (name, error, id) = match what & 7 {
            0 | 1 => ("COMPLETED", "", "device"),
            2 => ("COMPLETED", ", \"error\": \"No space left on device\"", "device"),
            3 | 4 => ("CANCELLED", "", "device"),
            5 => ("READY", "", "device"),
            6 => ("PENDING", "", "id"),
            _ => ("ERROR", ", \"action\": \"stop\", \"operation\": \"read\"", "device"),
        };
        let data = format!(
            "{{\"{id}\": \"{}\", \"type\": \"{}\", \"len\": 8, \"offset\": {}, \"speed\": 0{error}}}",
            IDS[at],
            TYPES[self.jobs[at].kind],
            what >> 4
        );
        self.event(&format!("BLOCK_JOB_{name}"), &data, is_heard);
    }

    /// Something that nobody is told of.
    fn does(&mut self, at: usize, what: usize) {
        let job = &mut self.jobs[at];
        match what % 16 {
            12 => job.kind = (job.kind + 1) % TYPES.len(),
            13 => job.fails ^= true,
            14 => job.keeps ^= true,
            15 => *job = Job { status: NONE, ..*job },
            status => job.status = status,
        }
    }

    fn answers(&mut self, which: usize) {
        let (jobs, block_jobs) = (self.lists(false), self.lists(true));
        match which % 4 {
            0 => self.world.reply(0, which / 4, "\"return\": {}"),
            1 => self.world.reply(0, which / 4, &format!("\"return\": {jobs}")),
            2 => self.world.reply(0, which / 4, &format!("\"return\": {block_jobs}")),
            _ => self.world.reply(0, which / 4, "\"return\": [{\"name\": \"blockjob-n\"}]"),
        }
    }

    fn answers_all(&mut self) {
        let (jobs, block_jobs) = (self.lists(false), self.lists(true));
        self.world.answer(0, &jobs, &block_jobs);
    }

    fn lists(&self, blocks: bool) -> String {
        let has = |(_, job): &(usize, &Job)| job.status != NONE && !(blocks && job.kind == 2);
        let line = |(at, job): (usize, &Job)| {
            let (id, kind, status) = (IDS[at], TYPES[job.kind], STATUSES[job.status]);
            let error = if job.fails { ", \"error\": \"Input/output error\"" } else { "" };
            let keeps = !job.keeps;
            if blocks {
                format!(
                    "{{\"device\": \"{id}\", \"type\": \"{kind}\", \"status\": \"{status}\", \
                     \"ready\": {}, \"len\": 8, \"offset\": 4, \"speed\": 0, \"auto-dismiss\": \
                     {keeps}{error}}}",
                    status == "ready"
                )
            } else {
                format!(
                    "{{\"id\": \"{id}\", \"type\": \"{kind}\", \"status\": \"{status}\", \
                     \"current-progress\": 4, \"total-progress\": 8{error}}}"
                )
            }
        };
        let lines: Vec<String> = self.jobs.iter().enumerate().filter(has).map(line).collect();
        format!("[{}]", lines.join(", "))
    }
}

const ERRORS: [&str; 3] = [
    "\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}",
    "\"error\": {\"class\": \"DeviceNotActive\", \"desc\": \"no\"}",
    "\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}",
];
