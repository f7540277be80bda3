//! The program dies where it hurts most, within the callback of an end, and is started again.
//! It is program.c, built here, and killed.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use serde_json::json;

use crate::client::number;
use crate::library;
use crate::machine::{Host, Machine};
use crate::story::STANDSTILL;
use crate::tally::until_forgotten;
use crate::{eventually, with_both_hosts};

with_both_hosts! {
    a_program_that_dies_in_its_callback_is_told_again,
    a_job_that_ends_while_its_program_is_away_is_told_and_dismissed,
    a_program_that_dies_twice_is_told_a_third_time,
    a_callback_may_start_the_next_job_on_the_same_node,
    a_program_that_dies_with_a_pulled_end_in_hand_is_told_again,
}

const OWNER: &str = "keeper";

/// What the program says when it is.
const CONNECTED: &str = "connected";

fn a_program_that_dies_in_its_callback_is_told_again(host: Host) {
    let mut machine = Machine::start(host);
    machine.add_target("disk");
    machine.add_target("other");
    let mut first = Program::run(&machine, "die");
    let id = first.started();
    assert!(id.starts_with("keeper-"), "{id} does not begin with the owner's name");
    first.says([end(&id, number::ORIGIN_LIVE)]);
    first.kill();
    assert_eq!(jobs(&mut machine), [id.as_str()], "it is kept for who comes back");

    // Beside it there is now the end of somebody else's job.
    let stream = json!({"job-id": "foreign", "device": "other", "auto-dismiss": false});
    machine.execute("block-stream", &stream);
    until_concluded(&mut machine, "foreign");
    let mut second = Program::run(&machine, "take");
    let recovered = number::ORIGIN_RECOVERED;
    second.says([CONNECTED.to_owned(), end("foreign", recovered), end(&id, recovered)]);
    eventually("what was told is dismissed", || (!jobs(&mut machine).contains(&id)).then_some(()));
    second.finish();
    assert_eq!(jobs(&mut machine), ["foreign"], "another's job is not ours to dismiss");
}

fn a_job_that_ends_while_its_program_is_away_is_told_and_dismissed(host: Host) {
    let mut machine = Machine::start(host);
    machine.add_disk("disk");
    let mut first = Program::run(&machine, "take");
    first.says([CONNECTED.to_owned()]);
    // As the program could have started it: it has the owner's name.
    let stream = json!({
        "job-id": "keeper-1", "device": "disk", "speed": STANDSTILL, "auto-dismiss": false,
    });
    machine.execute("block-stream", &stream);
    first.kill();
    machine.execute("block-job-set-speed", &json!({"device": "keeper-1", "speed": 0}));
    until_concluded(&mut machine, "keeper-1");
    let mut second = Program::run(&machine, "take");
    second.says([CONNECTED.to_owned(), end("keeper-1", number::ORIGIN_RECOVERED)]);
    until_forgotten(machine.qmp(), "what was told is dismissed");
    second.finish();
}

fn a_program_that_dies_twice_is_told_a_third_time(host: Host) {
    let mut machine = Machine::start(host);
    machine.add_target("disk");
    let mut first = Program::run(&machine, "die");
    let id = first.started();
    first.says([end(&id, number::ORIGIN_LIVE)]);
    first.kill();
    for deed in ["late", "late", "take"] {
        let mut again = Program::run(&machine, deed);
        again.says([CONNECTED.to_owned(), end(&id, number::ORIGIN_RECOVERED)]);
        if deed == "late" {
            again.kill();
        } else {
            until_forgotten(machine.qmp(), "what was told is dismissed");
            again.finish();
        }
    }
}

fn a_callback_may_start_the_next_job_on_the_same_node(host: Host) {
    let mut machine = Machine::start(host);
    machine.add_target("disk");
    let mut program = Program::run(&machine, "chain");
    let first = program.started();
    program.says([end(&first, number::ORIGIN_LIVE)]);
    let second = program.starts();
    assert_ne!(second, first);
    program.says([end(&second, number::ORIGIN_LIVE)]);
    until_forgotten(machine.qmp(), "what was told is dismissed");
    program.finish();
}

/// Released, and not before, it is acknowledged.
fn a_program_that_dies_with_a_pulled_end_in_hand_is_told_again(host: Host) {
    let mut machine = Machine::start(host);
    machine.add_target("disk");
    let mut first = Program::run(&machine, "hold");
    let id = first.started();
    first.says([end(&id, number::ORIGIN_LIVE)]);
    first.kill();
    assert_eq!(jobs(&mut machine), [id.as_str()], "it is kept for who comes back");
    let mut second = Program::run(&machine, "pull");
    second.says([CONNECTED.to_owned(), end(&id, number::ORIGIN_RECOVERED)]);
    until_forgotten(machine.qmp(), "what was released is dismissed");
    second.finish();
}

fn until_concluded(machine: &mut Machine, id: &str) {
    eventually("a job concludes", || {
        let jobs = machine.execute("query-jobs", &json!({}));
        let mut jobs = jobs.as_array()?.iter();
        jobs.find(|job| job["id"] == id && job["status"] == "concluded").map(|_| ())
    });
}

fn jobs(machine: &mut Machine) -> Vec<String> {
    let jobs = machine.execute("query-jobs", &json!({}));
    let jobs = jobs.as_array().expect("it is a list").iter();
    jobs.map(|job| job["id"].as_str().expect("each job has an id").to_owned()).collect()
}

fn end(id: &str, origin: i32) -> String {
    format!("end {id} {} {origin}", number::OUTCOME_SUCCEEDED)
}

/// program.c at work.
struct Program {
    child: Child,
    input: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Program {
    fn run(machine: &Machine, deed: &str) -> Self {
        let built = built();
        let socket = machine.library_socket();
        let mut command = Command::new(built.join("program"));
        command.arg(format!("unix:{}", socket.display())).args([OWNER, deed]);
        command.env("LD_LIBRARY_PATH", built).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("what was built can be run");
        let input = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("it is a pipe"));
        Self { child, input, lines }
    }

    /// What it says next. It says nothing more when it waited for something in vain.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("it writes ASCII");
        line.trim_end().to_owned()
    }

    /// Its next lines are these, in whatever order its threads have written them.
    fn says<const N: usize>(&mut self, mut lines: [String; N]) {
        let mut said = [(); N].map(|()| self.line());
        said.sort();
        lines.sort();
        assert_eq!(said, lines);
    }

    /// The id of the job that it starts next.
    fn starts(&mut self) -> String {
        let line = self.line();
        line.strip_prefix("start ").unwrap_or_else(|| panic!("it said {line:?}")).to_owned()
    }

    /// The id of the job that it starts once it is connected.
    fn started(&mut self) -> String {
        self.says([CONNECTED.to_owned()]);
        self.starts()
    }

    fn kill(mut self) {
        self.child.kill().expect("it hangs");
        self.child.wait().expect("a child can be waited for");
    }

    fn finish(mut self) {
        drop(self.input.take());
        self.says(["done".to_owned()]);
        assert!(self.child.wait().expect("a child can be waited for").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be over already, and that is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directory with the program, and with the library by the name that it asks the loader for.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("program");
        // What an earlier run has left.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("the target directory is writable");
        let library = library::path().canonicalize().expect("it was found");
        symlink(&library, directory.join("libblockjob.so.0")).expect("the directory is new");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut compile = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
        compile.args(["-std=gnu99", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-g", "-I"]);
        compile.arg(root.join("include")).arg("-o").arg(directory.join("program"));
        compile.arg(root.join("tests/qemu/program.c")).arg(library);
        let output = compile.output().expect("there is a C compiler");
        assert!(output.status.success(), "{compile:?}: {output:#?}");
        directory
    })
}
