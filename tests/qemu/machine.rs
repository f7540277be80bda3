//! A real QEMU with two monitors, one for the library and one for the tests' own client, and the
//! images that its jobs work on. All of it is gone when the value is dropped.

use std::env;
use std::ffi::c_int;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::eventually;
use crate::qmp::Qmp;

/// The size of each disk. Larger than what any job copies in one piece, so that a job that is
/// held at its lowest speed stays on its way.
pub const DISK_SIZE: i64 = 4 << 20;

/// The two programs that run block jobs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Host {
    QemuSystem,
    StorageDaemon,
}

/// How the monitors lay their messages out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layout {
    Plain,
    Pretty,
}

/// Its fields are dropped in this order: the files go when nothing uses them any more.
pub struct Machine {
    process: Process,
    qmp: Qmp,
    command: Command,
    directory: TempDir,
}

/// Where the library's monitor is, unless the test says otherwise.
const SOCKET: &str = "path=library.qmp,server=on,wait=off";

impl Machine {
    pub fn start(host: Host) -> Self {
        Self::start_with(host, Layout::Plain)
    }

    pub fn start_with(host: Host, layout: Layout) -> Self {
        Self::start_set(host, layout, false)
    }

    /// With a journal of all its events, for whoever was not connected.
    pub fn start_with_journal(host: Host) -> Self {
        Self::start_set(host, Layout::Plain, true)
    }

    /// A machine with a disk that cannot be read, stopped before its firmware has begun.
    pub fn start_guest() -> Self {
        let mut command = program("qemu-system-x86_64");
        command.args(["-machine", "pc", "-nodefaults", "-display", "none", "-S"]);
        let image = json!({"driver": "file", "filename": "disk.raw"});
        let rule = json!({"event": "none", "iotype": "read", "errno": 5});
        let file = json!({"driver": "blkdebug", "image": image, "inject-error": [rule]});
        let disk = json!({"driver": "raw", "node-name": "disk", "file": file});
        command.args(["-blockdev", &disk.to_string(), "-device", "ide-hd,drive=disk"]);
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        fs::write(directory.path().join("disk.raw"), vec![0; 1 << 20]).expect("there is room");
        Self::start_command(command, directory, Host::QemuSystem, Layout::Plain, false, SOCKET)
    }

    /// With the library's monitor at another place, in the words of `-chardev socket`; the command
    /// is prepared before it is run.
    pub fn start_at(host: Host, place: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        Self::start_placed(host, Layout::Plain, false, place, prepare)
    }

    fn start_set(host: Host, layout: Layout, keeps_journal: bool) -> Self {
        Self::start_placed(host, layout, keeps_journal, SOCKET, |_| {})
    }

    fn start_placed(
        host: Host,
        layout: Layout,
        keeps_journal: bool,
        place: &str,
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        let mut command = match host {
            Host::QemuSystem => {
                let mut command = program("qemu-system-x86_64");
                command.args(["-machine", "none", "-nodefaults", "-display", "none"]);
                command
            }
            Host::StorageDaemon => program("qemu-storage-daemon"),
        };
        prepare(&mut command);
        Self::start_command(command, directory, host, layout, keeps_journal, place)
    }

    fn start_command(
        mut command: Command,
        directory: TempDir,
        host: Host,
        layout: Layout,
        keeps_journal: bool,
        place: &str,
    ) -> Self {
        let (chardev, monitor, mode) = match host {
            Host::QemuSystem => ("-chardev", "-mon", ",mode=control"),
            Host::StorageDaemon => ("--chardev", "--monitor", ""),
        };
        // The library's monitor is made first: when the second answers, both listen. QEMU waits
        // for the second's client, since 5.2 may crash on one that comes while it starts.
        let pretty = if layout == Layout::Pretty { ",pretty=on" } else { "" };
        for (id, place) in [("library", place), ("tests", "path=tests.qmp,server=on,wait=on")] {
            command.args([chardev, &format!("socket,id={id},{place}")]);
            command.args([monitor, &format!("chardev={id}{mode}{pretty}")]);
        }
        if keeps_journal {
            command.args([chardev, "null,id=journal,logfile=journal.qmp,logappend=on"]);
            command.args([monitor, &format!("chardev=journal{mode}")]);
        }
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
        // QEMU's error texts are the C library's, in the language of the environment.
        command.env("LC_ALL", "C");
        let (process, qmp) = run(&mut command, directory.path());
        Self { process, qmp, command, directory }
    }

    /// Another process, with the same sockets and none of the disks, once this one has ended.
    pub fn start_again(&mut self) {
        (self.process, self.qmp) = run(&mut self.command, self.directory.path());
    }

    pub fn pid(&self) -> i64 {
        self.process.0.id().into()
    }

    /// The socket of the monitor that is the library's.
    pub fn library_socket(&self) -> PathBuf {
        self.directory.path().join("library.qmp")
    }

    /// Its journal, if it was started with one.
    pub fn journal(&self) -> PathBuf {
        self.path("journal.qmp")
    }

    /// The tests' own monitor.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    pub fn execute(&mut self, command: &str, arguments: &Value) -> Value {
        self.qmp.execute(command, arguments)
    }

    /// Waits until a job is ready, or gone.
    pub fn until_ready(&mut self, id: &str) {
        eventually("the job is ready", || {
            let jobs = self.qmp.execute("query-jobs", &json!({}));
            let job = jobs.as_array()?.iter().find(|job| job["id"] == json!(id));
            job.is_none_or(|job| job["status"] == "ready").then_some(())
        });
    }

    /// Ends QEMU as the kernel would, without a word from it.
    pub fn kill(&mut self) {
        self.process.0.kill().expect("QEMU runs until here");
        self.process.0.wait().expect("a child can be waited for");
    }

    /// How its process has ended, if it has; by itself, unless it was killed.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// QEMU neither runs nor ends: it hangs, until it is let go on.
    pub fn hang(&self) {
        self.signal(libc::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    #[expect(unsafe_code, reason = "the standard library sends no other signal than SIGKILL")]
    fn signal(&self, signal: c_int) {
        let pid = c_int::try_from(self.process.0.id()).expect("a process id is a C int");
        // SAFETY: it is our own child, which nobody has waited for, so that no other has its id.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "{}", io::Error::last_os_error());
    }

    /// A file or a directory of this machine's that need not be there.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Opens a chain of three images, `NAME-base`, `NAME-middle` and `NAME`, each of which holds
    /// data of its own.
    pub fn add_disk(&mut self, name: &str) {
        let [base, middle] = [format!("{name}-base"), format!("{name}-middle")];
        self.create(&base, None, Some("write -P 1 0 4M"));
        self.create(&middle, Some(&base), Some("write -P 2 2M 2M"));
        self.create(name, Some(&middle), Some("write -P 3 3M 1M"));
        self.open(&base, qcow2(&base, None));
        self.open(&middle, qcow2(&middle, Some(&base)));
        self.open(name, qcow2(name, Some(&middle)));
    }

    /// Opens an empty image over a full one, `NAME-base`, whose second half cannot be read.
    pub fn add_failing_disk(&mut self, name: &str, errors: Errors) {
        let base = format!("{name}-base");
        self.create(&base, None, Some("write -P 1 0 4M"));
        self.create(name, Some(&base), None);
        self.open(&base, failing(&base, "read", errors));
        self.open(name, qcow2(name, Some(&base)));
    }

    /// Opens an empty image for a job to write to.
    pub fn add_target(&mut self, name: &str) {
        self.create(name, None, None);
        self.open(name, qcow2(name, None));
    }

    /// Opens an empty image whose second half cannot be written.
    pub fn add_failing_target(&mut self, name: &str, errors: Errors) {
        self.create(name, None, None);
        self.open(name, failing(name, "write", errors));
    }

    fn create(&self, name: &str, backing: Option<&str>, content: Option<&str>) {
        let image = format!("{name}.qcow2");
        let backing = backing.map(|backing| format!("{backing}.qcow2"));
        let mut create = program("qemu-img");
        create.args(["create", "-q", "-f", "qcow2"]);
        if let Some(backing) = &backing {
            create.args(["-F", "qcow2", "-b", backing]);
        }
        self.run(create.args([&image, &DISK_SIZE.to_string()]));
        if let Some(content) = content {
            self.run(program("qemu-io").args(["-f", "qcow2", "-c", content, &image]));
        }
    }

    fn run(&self, command: &mut Command) {
        command.current_dir(self.directory.path());
        let output = command.output().unwrap_or_else(|error| not_run(command, &error));
        assert!(output.status.success(), "{command:?} failed: {output:?}");
    }

    fn open(&mut self, node: &str, mut options: Value) {
        options["node-name"] = json!(node);
        self.execute("blockdev-add", &options);
    }
}

/// Starts QEMU and connects the tests' own client to it.
fn run(command: &mut Command, directory: &Path) -> (Process, Qmp) {
    let errors = directory.join("stderr");
    command.stderr(File::create(&errors).expect("a temporary directory is writable"));
    let child = command.spawn().unwrap_or_else(|error| not_run(command, &error));
    let mut process = Process(child);
    let socket = directory.join("tests.qmp");
    let qmp = eventually("QEMU listens on its monitors", || {
        if let Some(status) = process.ended() {
            let errors = fs::read_to_string(&errors).unwrap_or_default();
            panic!("{command:?} ended at once, {status}: {errors}");
        }
        Qmp::connect(&socket).ok()
    });
    (process, qmp)
}

/// A QEMU that outlives neither its test nor the failure of one.
struct Process(Child);

impl Process {
    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already, and that is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How often the same piece of an image gives an I/O error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Errors {
    Once,
    Always,
}

fn qcow2(name: &str, backing: Option<&str>) -> Value {
    let file = json!({"driver": "file", "filename": format!("{name}.qcow2")});
    json!({"driver": "qcow2", "file": file, "backing": backing})
}

fn failing(name: &str, operation: &str, errors: Errors) -> Value {
    let rule = json!({
        "event": "none",
        "iotype": operation,
        "sector": DISK_SIZE / 512 / 2,
        "errno": 5, // EIO
        "once": errors == Errors::Once,
    });
    json!({"driver": "blkdebug", "image": qcow2(name, None), "inject-error": [rule]})
}

/// How a chardev says that it dials again when nobody listens, in this version.
pub fn redial(host: Host) -> &'static str {
    let mut command = match host {
        Host::QemuSystem => program("qemu-system-x86_64"),
        Host::StorageDaemon => program("qemu-storage-daemon"),
    };
    let output =
        command.arg("--version").output().unwrap_or_else(|error| not_run(&command, &error));
    let text = String::from_utf8(output.stdout).expect("a version is ASCII");
    let (_, version) = text.split_once("version ").expect("it says its version");
    let mut parts = version.split(['.', ' ']).map(|part| part.parse().unwrap_or(0));
    let version: (u32, u32) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version >= (9, 2) { "reconnect-ms=100" } else { "reconnect=1" }
}

/// A program of QEMU, from the directory that `BLOCKJOB_QEMU` names, or from PATH.
fn program(name: &str) -> Command {
    match env::var_os("BLOCKJOB_QEMU") {
        Some(directory) => Command::new(Path::new(&directory).join(name)),
        None => Command::new(name),
    }
}

fn not_run(command: &Command, error: &io::Error) -> ! {
    let program = command.get_program();
    match error.kind() {
        io::ErrorKind::NotFound => panic!(
            "these tests need {program:?}, which was not found: \
             install it (Debian: apt-get install qemu-system-x86 qemu-utils)"
        ),
        _ => panic!("{program:?} did not start: {error}"),
    }
}
