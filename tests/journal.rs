//! The event journal, from the file to what was found: what real QEMUs have written, what is no
//! journal at all, and several monitors that share the one thread which reads.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use blockjob::{
    engine::journal::Journals,
    model::{Event, MonitorId, Outcome, Timestamp, Word},
    qmp::journal::{Findings, Request, Search, Want, Wanted},
};
use serde_json::{Value, json};
use tempfile::TempDir;

#[allow(dead_code, reason = "the tests with real QEMUs need all of it")]
#[path = "qemu/patience.rs"]
mod patience;

use patience::eventually;

const DEADLINE: Duration = Duration::from_secs(20);

/// A service whose answers are put into a channel. Tests with one run one by one, since they look
/// for its thread.
struct Reader {
    journals: Journals,
    answers: Receiver<(MonitorId, Findings)>,
    /// Each lets the helper go on from `GATE` once.
    gate: Sender<()>,
    directory: TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// The helper waits while it tells the findings of this monitor.
const GATE: u64 = 99;

impl Reader {
    fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (gate, wait) = channel();
        let (tell, answers) = channel();
        let wait = Mutex::new(wait);
        let journals = Journals::new(Box::new(move |monitor, findings| {
            let _ = tell.send((monitor, findings));
            if monitor == MonitorId(GATE) {
                let _ = wait.lock().unwrap().recv_timeout(DEADLINE);
            }
        }));
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        Self { journals, answers, gate, directory, _alone: alone }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a temporary directory is writable");
        path
    }

    fn submit(&self, monitor: u64, path: impl Into<PathBuf>, request: Request) {
        self.journals.submit(MonitorId(monitor), path.into(), request);
    }

    /// Returns when the helper waits at the gate, so that what is submitted now is seen at once.
    fn hold(&self) {
        self.submit(GATE, self.path("no such file"), Request::default());
        assert_eq!(self.answer().0, GATE);
    }

    fn release(&self) {
        self.gate.send(()).expect("the helper waits");
    }

    fn answer(&self) -> (u64, Findings) {
        let (monitor, findings) = self.answers.recv_timeout(DEADLINE).expect("an answer comes");
        (monitor.0, findings)
    }

    /// What the helper says of a path.
    fn problem(&self, path: impl Into<PathBuf>) -> String {
        self.submit(1, path, wanted(&[(7, "j0", None)]));
        let (monitor, findings) = self.answer();
        assert_eq!(monitor, 1);
        assert_eq!(findings.jobs.len(), 1, "each wanted job is answered");
        assert!(findings.jobs[0].1.is_empty() && findings.position.is_none());
        findings.problem.expect("there is a problem")
    }
}

fn wanted(jobs: &[(u64, &str, Option<Timestamp>)]) -> Request {
    let wanted =
        jobs.iter().map(|&(job, id, since)| Wanted { job, id: id.into(), since, until: None });
    Request { wanted: wanted.collect(), ..Request::default() }
}

fn completed(id: &str, seconds: i64) -> String {
    format!(
        "{{\"timestamp\": {{\"seconds\": {seconds}, \"microseconds\": 5}}, \"event\": \
         \"BLOCK_JOB_COMPLETED\", \"data\": {{\"device\": \"{id}\", \"len\": 1, \"offset\": 1, \
         \"speed\": 0, \"type\": \"stream\"}}}}\r\n"
    )
}

fn times(events: &[Event]) -> Vec<i64> {
    events.iter().map(|event| event.timestamp.expect("a time").seconds).collect()
}

/// How many threads read journals in this process.
fn helpers() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is mounted");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "blockjob-file").count()
}

#[test]
fn what_is_no_regular_file_is_refused_with_its_name_and_kind() {
    let reader = Reader::new();
    let journal = reader.write("journal", &completed("j0", 1));
    let (link, fifo) = (reader.path("link"), reader.path("fifo"));
    symlink(&journal, &link).unwrap();
    // Nobody writes to it: to open it as a file would wait for ever.
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let socket = reader.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, kind) in [
        (link.as_path(), "is a symbolic link"),
        (&fifo, "is a FIFO"),
        (&socket, "is a socket"),
        (reader.directory.path(), "is a directory"),
        (Path::new("/dev/null"), "is a device"),
    ] {
        let expected = format!("the journal {} {kind}; it must be a regular file", path.display());
        assert_eq!(reader.problem(path), expected);
    }
    let missing = reader.problem(reader.path("missing"));
    assert!(missing.starts_with("the journal /"), "{missing}");
    assert!(missing.contains("missing cannot be opened: No such file"), "{missing}");
}

#[test]
fn an_empty_journal_is_none_the_less_one() {
    let reader = Reader::new();
    let journal = reader.write("journal", "");
    reader.submit(1, &journal, wanted(&[(7, "j0", None)]));
    let (_, findings) = reader.answer();
    assert_eq!(findings.problem, None);
    assert_eq!(findings.position.unwrap().to_string(), "1:0:cbf29ce484222325");
    fs::write(&journal, completed("j0", 1)).unwrap();
    let mut request = wanted(&[(7, "j0", None)]);
    request.from = findings.position;
    reader.submit(1, &journal, request);
    assert_eq!(times(&reader.answer().1.jobs[0].1), [1]);
}

#[test]
fn the_helper_exists_only_while_there_is_something_to_read() {
    let reader = Reader::new();
    let journal = reader.write("journal", &completed("j0", 1));
    for _ in 0..3 {
        eventually("no helper", || (helpers() == 0).then_some(()));
        reader.hold();
        assert_eq!(helpers(), 1);
        reader.submit(1, &journal, wanted(&[(7, "j0", None)]));
        reader.submit(2, &journal, wanted(&[(7, "j0", None)]));
        assert_eq!(helpers(), 1);
        reader.release();
        assert_eq!([reader.answer().0, reader.answer().0], [1, 2]);
    }
    eventually("no helper", || (helpers() == 0).then_some(()));
}

#[test]
fn a_large_journal_does_not_keep_a_small_one_waiting() {
    let reader = Reader::new();
    let large = reader.write("large", &completed("j0", 1).repeat(40_000));
    assert!(fs::metadata(&large).unwrap().len() > 6 << 20);
    let small = reader.write("small", &completed("j0", 2));
    reader.hold();
    // There is no such job, so each of them is read from end to beginning.
    reader.submit(1, &large, wanted(&[(1, "none", None)]));
    reader.submit(2, &small, wanted(&[(2, "none", None)]));
    reader.submit(3, &large, wanted(&[(3, "none", None)]));
    reader.submit(4, reader.path("missing"), wanted(&[(4, "none", None)]));
    reader.submit(5, &small, wanted(&[(5, "j0", None)]));
    reader.release();
    let order: Vec<_> = (0..5).map(|_| reader.answer().0).collect();
    assert_eq!(order, [4, 2, 5, 1, 3]);
}

#[test]
fn a_newer_request_takes_the_place_of_one_that_waits() {
    let reader = Reader::new();
    let journal = reader.write("journal", &(completed("a", 1) + &completed("b", 2)));
    reader.hold();
    reader.submit(1, &journal, wanted(&[(10, "a", None)]));
    reader.submit(2, &journal, wanted(&[(20, "a", None)]));
    reader.submit(1, &journal, wanted(&[(10, "a", None), (11, "b", None)]));
    reader.release();
    let (monitor, findings) = reader.answer();
    assert_eq!((monitor, findings.jobs.len()), (1, 2));
    assert_eq!(reader.answer().0, 2);
    reader.hold();
    reader.release();
    assert!(reader.answers.try_recv().is_err(), "the one that was replaced is never answered");
}

#[test]
fn a_request_that_is_being_read_is_finished_before_the_next_one_of_its_monitor() {
    let reader = Reader::new();
    let large = reader.write("large", &completed("j0", 1).repeat(9_000));
    let small = reader.write("small", &completed("j0", 1));
    reader.hold();
    // The first one has been opened when the gate tells that there is no such file.
    reader.submit(1, &large, wanted(&[(1, "none", None)]));
    reader.submit(GATE, reader.path("missing"), Request::default());
    reader.release();
    assert_eq!(reader.answer().0, GATE);
    for _ in 0..2 {
        reader.submit(1, &small, wanted(&[(1, "j0", None), (2, "j0", None)]));
    }
    reader.release();
    let answers = [reader.answer(), reader.answer()];
    assert_eq!(answers.map(|(monitor, findings)| (monitor, findings.jobs.len())), [(1, 1), (1, 2)]);
}

#[test]
fn truncation_between_request_and_reading_and_while_it_is_read_is_noticed() {
    let reader = Reader::new();
    let journal = reader.write("journal", &completed("j0", 1).repeat(9_000));
    let mut request = wanted(&[(7, "j0", None)]);
    reader.submit(1, &journal, request.clone());
    let (_, findings) = reader.answer();
    assert_eq!((times(&findings.jobs[0].1), findings.restarted), (vec![1], false));

    reader.hold();
    request.from = findings.position;
    reader.submit(1, &journal, request.clone());
    fs::write(&journal, completed("j0", 2)).unwrap();
    reader.release();
    let (_, findings) = reader.answer();
    assert_eq!((times(&findings.jobs[0].1), findings.restarted), (vec![2], true));
    assert_eq!(findings.problem, None);

    // The large one is open, and a part of it was read, when the gate's second answer is told.
    fs::write(&journal, completed("j0", 1).repeat(9_000)).unwrap();
    let small = reader.write("small", &completed("x", 1));
    reader.hold();
    reader.submit(1, &journal, wanted(&[(7, "none", None), (8, "j0", None)]));
    reader.submit(GATE, &small, wanted(&[(1, "none", None)]));
    reader.release();
    assert_eq!(reader.answer().0, GATE);
    fs::write(&journal, completed("j0", 3)).unwrap();
    reader.release();
    let (_, findings) = reader.answer();
    assert_eq!(times(&findings.jobs[1].1), [3]);
    assert_eq!(findings.problem, None);
}

#[test]
fn stopping_ends_a_large_search_between_two_slices() {
    let reader = Reader::new();
    let large = reader.write("large", "");
    // A hole takes no room on the disk, but to read all of it takes some seconds.
    fs::File::options().write(true).open(&large).unwrap().set_len(2 << 30).unwrap();
    let small = reader.write("small", &completed("x", 1));
    reader.hold();
    reader.submit(1, &large, wanted(&[(1, "none", None)]));
    reader.submit(GATE, &small, wanted(&[(1, "none", None)]));
    reader.submit(2, &large, wanted(&[(1, "none", None)]));
    reader.release();
    assert_eq!(reader.answer().0, GATE);
    reader.submit(1, &large, wanted(&[(2, "none", None)]));
    reader.journals.stop();
    reader.release();
    reader.journals.join();
    // The kernel may list a thread for a moment after it was joined.
    eventually("no helper", || (helpers() == 0).then_some(()));
    reader.submit(3, &small, Request::default());
    drop(reader.journals);
    let left = reader.answers.recv_timeout(DEADLINE).map(|(monitor, _)| monitor);
    assert_eq!(left, Err(RecvTimeoutError::Disconnected), "nobody was told, nobody can be");
    assert_eq!(helpers(), 0);
}

// What real QEMUs have written.

/// The journals that stand in the notes of transcripts, by the name of the transcript.
fn recorded_journals() -> Vec<(String, String)> {
    let scenarios = ["m-null-journal-", "m-logfile-journal-", "m-file-journal-"];
    let is_one = |name: &str| scenarios.iter().any(|scenario| name.starts_with(scenario));
    let mut found = Vec::new();
    for (name, text) in transcripts().into_iter().filter(|(name, _)| is_one(name)) {
        let notes = text.iter().filter(|line| line["dir"] == "note");
        let text = notes
            .map(|note| note["raw"].as_str().unwrap())
            .find(|raw| raw.contains("QMP") || raw.contains("timestamp"));
        let text = text.expect("a note has the journal");
        // Written by Python's repr().
        let quoted = &text[text.find('\'').unwrap() + 1..text.rfind('\'').unwrap()];
        let journal = quoted.replace("\\r", "\r").replace("\\n", "\n").replace("\\\\", "\\");
        found.push((name, journal));
    }
    found
}

fn transcripts() -> Vec<(String, Vec<Value>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/transcripts");
    let files = fs::read_dir(directory).expect("the transcripts are there");
    let mut all: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    all.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let lines = |path: &Path| {
        let text = fs::read_to_string(path).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    all.iter().map(|path| (name(path), lines(path))).collect()
}

fn find(journal: &[u8], request: &Request, slice: usize) -> Findings {
    let mut search = Search::with_slice(request.clone(), journal.len() as u64, slice);
    while let Want::Read { offset, len } = search.next() {
        let at = usize::try_from(offset).unwrap();
        search.handle_slice(offset, &journal[at..at + len]);
    }
    search.finish()
}

fn words(events: &[Event]) -> Vec<&str> {
    let word = |event| Event::text(event, Word::StatusName).or(event.text(Word::Name)).unwrap();
    events.iter().map(word).collect()
}

const LIFE: [&str; 5] = ["created", "running", "waiting", "pending", "BLOCK_JOB_COMPLETED"];

#[test]
fn each_recorded_journal_tells_how_its_job_ended_however_it_is_cut() {
    let journals = recorded_journals();
    assert_eq!(journals.len(), 14);
    for (name, journal) in journals {
        let mut request = wanted(&[(1, "j0", None), (2, "j1", None)]);
        for slice in 1..=journal.len() + 1 {
            let found = find(journal.as_bytes(), &request, slice);
            assert_eq!(words(&found.jobs[0].1), LIFE, "{name} by {slice}");
            let end = found.jobs[0].1.last().unwrap();
            assert_eq!((end.outcome, end.len), (Outcome::Succeeded, Some(1 << 20)), "{name}");
            assert!(found.jobs[1].1.is_empty() && found.problem.is_none(), "{name}");
        }
        // From each moment of its life on, the same end.
        let found = find(journal.as_bytes(), &request, 300);
        for (i, event) in found.jobs[0].1.iter().enumerate() {
            request.wanted[0].since = event.timestamp;
            let found = find(journal.as_bytes(), &request, 300);
            assert_eq!(words(&found.jobs[0].1), LIFE[i..], "{name}");
        }
    }
}

/// As much as QEMU had not got rid of when its client was slow, it wrote into the log again.
#[test]
fn the_log_of_a_monitor_with_a_slow_client_tells_each_event_once() {
    let is_one = |name: &str| name.starts_with("m-logfile-slow-reader-");
    let all: Vec<_> = transcripts().into_iter().filter(|(name, _)| is_one(name)).collect();
    assert_eq!(all.len(), 6);
    for (name, lines) in all {
        let received = lines.iter().filter(|line| line["dir"] == "recv" && line["conn"] == 0);
        let text: String = received.map(|line| line["raw"].as_str().unwrap()).collect();
        for sent in 0..text.len() {
            let log = format!("{text}{}{}{text}", &text[sent..], &text[sent / 2..]);
            let found = find(log.as_bytes(), &wanted(&[(1, "j0", None)]), 64 << 10);
            assert_eq!(words(&found.jobs[0].1), LIFE, "{name}, again from {sent}");
        }
    }
}

// What the QEMU of this machine writes.

/// A QEMU with a journal, spoken to by its standard input and output.
struct Qemu {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Qemu {
    fn start(program: &str, directory: &Path) -> Self {
        let mut command = tool(program);
        // As in man/blockjob-journal.7.
        let journal = "null,id=journal,logfile=journal.qmp,logappend=on";
        if program == "qemu-storage-daemon" {
            command.args(["--chardev", journal, "--monitor", "chardev=journal"]);
            command.args(["--chardev", "stdio,id=tests", "--monitor", "chardev=tests"]);
        } else {
            command.args(["-machine", "none", "-nodefaults", "-display", "none"]);
            command.args(["-chardev", journal, "-mon", "chardev=journal,mode=control"]);
            command.args(["-chardev", "stdio,id=tests", "-mon", "chardev=tests,mode=control"]);
        }
        command.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("these tests need {program}, which did not start: {error}")
        });
        let input = process.stdin.take().expect("a pipe");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut qemu = Self { process, input, output };
        qemu.execute("qmp_capabilities", &json!({}));
        qemu
    }

    fn execute(&mut self, command: &str, arguments: &Value) {
        let message = json!({"execute": command, "arguments": arguments});
        writeln!(self.input, "{message}").expect("QEMU listens");
        self.wait_for(|message| {
            assert_eq!(message["error"], Value::Null, "{command} was refused");
            message["return"].is_object()
        });
    }

    fn wait_for(&mut self, mut is_it: impl FnMut(&Value) -> bool) {
        let mut line = String::new();
        while self.output.read_line(&mut line).expect("QEMU speaks") > 0 {
            if is_it(&serde_json::from_str(&line).expect("JSON")) {
                return;
            }
            line.clear();
        }
        panic!("QEMU ended");
    }

    /// Opens the image and merges what lies under it into it.
    fn stream(&mut self, job: &str) {
        let file = json!({"driver": "file", "filename": "top.qcow2"});
        let image = json!({"driver": "qcow2", "node-name": "top", "file": file});
        self.execute("blockdev-add", &image);
        self.execute("block-stream", &json!({"job-id": job, "device": "top"}));
        self.wait_for(|message| message["data"]["status"] == "null");
    }
}

impl Drop for Qemu {
    /// As the kernel would end it.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program of QEMU, from the directory that `BLOCKJOB_QEMU` names, or from PATH.
fn tool(name: &str) -> Command {
    let directory = env::var_os("BLOCKJOB_QEMU").map(PathBuf::from);
    Command::new(directory.map_or(name.into(), |directory| directory.join(name)))
}

fn make_images(directory: &Path) {
    for arguments in [
        ["create", "-q", "-f", "qcow2", "base.qcow2", "1M"].as_slice(),
        &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "base.qcow2", "top.qcow2", "1M"],
    ] {
        let status = tool("qemu-img").args(arguments).current_dir(directory).status();
        assert!(status.expect("these tests need qemu-img").success());
    }
}

fn a_killed_qemus_jobs_are_found(program: &str) {
    let reader = Reader::new();
    let (directory, journal) = (reader.directory.path(), reader.path("journal.qmp"));
    make_images(directory);
    let mut qemu = Qemu::start(program, directory);
    qemu.stream("j0");
    drop(qemu);
    reader.submit(1, &journal, wanted(&[(7, "j0", None), (8, "j1", None)]));
    let (_, first) = reader.answer();
    assert_eq!(first.problem, None);
    assert_eq!(words(&first.jobs[0].1), LIFE);
    assert_eq!(first.jobs[0].1[4].outcome, Outcome::Succeeded);
    assert!(first.jobs[1].1.is_empty());

    // Another process of the same machine, the same journal, the same id.
    make_images(directory);
    let mut qemu = Qemu::start(program, directory);
    qemu.stream("j0");
    drop(qemu);
    let mut request = wanted(&[(7, "j0", None), (9, "j0", first.jobs[0].1[1].timestamp)]);
    reader.submit(1, &journal, request.clone());
    let (_, both) = reader.answer();
    assert_eq!((words(&both.jobs[0].1), words(&both.jobs[1].1)), (LIFE.into(), LIFE[1..].into()));
    let ends = [&first.jobs[0], &both.jobs[0], &both.jobs[1]].map(|(_, events)| {
        events.last().unwrap().timestamp.map(|time| (time.seconds, time.microseconds))
    });
    assert_eq!(ends[2], ends[0]);
    assert_ne!(ends[1], ends[0]);
    assert_eq!(BTreeSet::from(ends).len(), 2);

    // Read on from where the first reading ended, only the second is there.
    request = wanted(&[]);
    (request.from, request.prefix) = (first.position, Some("j".into()));
    reader.submit(1, &journal, request);
    let (_, rest) = reader.answer();
    assert_eq!((words(&rest.others), rest.restarted), (LIFE.into(), false));
    assert_eq!(rest.position, both.position);
}

#[test]
fn a_killed_storage_daemons_jobs_are_found() {
    a_killed_qemus_jobs_are_found("qemu-storage-daemon");
}

#[test]
fn a_killed_qemu_systems_jobs_are_found() {
    a_killed_qemus_jobs_are_found("qemu-system-x86_64");
}
