//! Each kind of address, reached by the library and dialled by QEMU: a job ends well there, and
//! when the connection is dropped, or QEMU is killed and started again, it is known where the
//! kernel can tell, and only there, whether it is the QEMU that it was.

use std::ffi::c_int;
use std::fs;
use std::io::Read as _;
use std::mem::{ManuallyDrop, size_of};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use crate::client::{Job, Listener, Monitor, number};
use crate::machine::{Host, Machine, redial};
use crate::qmp::Qmp;
use crate::story::{MONITOR, SPEED, STANDSTILL, Told};
use crate::tally::until_forgotten;
use crate::{eventually, with_both_hosts};

with_both_hosts! {
    a_path,
    a_path_that_is_too_long_for_a_socket,
    an_abstract_name,
    a_port,
    a_pair_of_sockets,
    a_connection_that_was_made_for_the_library,
    qemu_dials_a_path,
    qemu_dials_a_long_path,
    qemu_dials_an_abstract_name,
    qemu_dials_a_port,
    qemu_dials_a_descriptor,
    a_connection_that_qemu_drops_is_to_the_same_process,
    a_monitor_that_another_client_holds_is_busy,
    a_port_that_another_client_holds_is_busy,
    a_qemu_that_is_stopped_is_not_busy,
}

struct Scene {
    machine: Machine,
    address: String,
    monitor: Monitor,
    told: Told,
    listener: Listener,
}

impl Scene {
    fn begin(machine: Machine, address: &str, set: impl Fn(&Monitor)) -> Self {
        let listener = Listener::new();
        let monitor = listener.monitor_at(MONITOR, address);
        monitor.set_lost_after(-1);
        monitor.set_reconnect(1, 20);
        set(&monitor);
        let mut told = Told::from(listener.observe(Some(&monitor)));
        monitor.connect();
        told.until("CONNECTED", |event| event.kind == number::CONNECTED);
        Self { machine, address: address.to_owned(), monitor, told, listener }
    }

    /// A job of the library's ends well, by this connection.
    fn run_a_job(&mut self, disk: &str) {
        self.machine.add_disk(disk);
        let job = self.monitor.job(None, 0);
        job.start("block-stream", &json!({"device": disk, "speed": SPEED}));
        let end = job.wait();
        assert_eq!((end.kind, end.outcome), (number::COMPLETED, number::OUTCOME_SUCCEEDED));
        assert_eq!(end.origin, number::ORIGIN_LIVE);
        until_forgotten(self.machine.qmp(), "its end was acknowledged");
    }

    /// The connection ends, and neither QEMU nor the library has ended it.
    fn drop_connection(&mut self) {
        let is_it = |fd: &RawFd| match self.address.split(':').collect::<Vec<_>>()[..] {
            ["fd", number] if !number.ends_with("=on") => number == fd.to_string(),
            ["tcp", _, port] => {
                let port = port.trim_end_matches(",server=on");
                ports(*fd).is_some_and(|ports| ports.iter().any(|it| it.to_string() == port))
            }
            _ => is_to(*fd, self.machine.pid()),
        };
        let fd = eventually("the library's connection is among its descriptors", || {
            let entries = fs::read_dir("/proc/self/fd").expect("there is a /proc");
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            names.filter_map(|name| name.parse().ok()).find(is_it)
        });
        shut(fd);
        self.told.until("DISCONNECTED", |event| event.kind == number::DISCONNECTED);
    }

    /// What each CONNECTED so far has said of QEMU's process.
    fn processes(&self) -> Vec<c_int> {
        let connected = self.told.so_far.iter().filter(|event| event.kind == number::CONNECTED);
        connected.map(|event| event.process).collect()
    }

    /// The connection is dropped, and the next one is to the same QEMU.
    fn reconnect(&mut self, process: c_int) {
        self.drop_connection();
        self.told.until_many(2, |event| event.kind == number::CONNECTED);
        assert_eq!(self.processes(), [number::PROCESS_FIRST, process]);
        self.run_a_job("same");
    }

    /// A job that is still on its way when QEMU is killed.
    fn killed_job(&mut self) -> Job {
        self.machine.add_target("target");
        self.machine.add_disk("other");
        let job = self.monitor.job(None, 0);
        job.start("block-stream", &json!({"device": "other", "speed": STANDSTILL}));
        self.told.until_status(MONITOR, &job.id(), "running");
        self.machine.kill();
        job
    }

    /// QEMU's connection is dropped. Then it is killed, and a job is lost at once where its process
    /// is known, and where it is not when another QEMU does not have it.
    fn drop_and_restart(mut self, is_known: bool) {
        let [same, restarted] = if is_known {
            [number::PROCESS_SAME, number::PROCESS_RESTARTED]
        } else {
            [number::PROCESS_UNKNOWN; 2]
        };
        self.run_a_job("disk");
        self.reconnect(same);
        let job = self.killed_job();
        if is_known {
            let lost = job.wait();
            assert_eq!((lost.kind, lost.loss), (number::LOST, number::LOSS_QEMU_GONE), "{lost:#?}");
        }
        self.machine.start_again();
        self.told.until_many(3, |event| event.kind == number::CONNECTED);
        assert_eq!(self.processes(), [number::PROCESS_FIRST, same, restarted]);
        assert_eq!(job.wait().kind, number::LOST);
        // The library is connected to the new one.
        self.run_a_job("new");
        self.close();
    }

    /// There is no other connection where this one was handed over: a job of a QEMU that lives on
    /// is lost, for nobody can hear of it.
    fn drop_for_good(mut self) {
        self.machine.add_disk("disk");
        let job = self.monitor.job(None, 0);
        job.start("block-stream", &json!({"device": "disk", "speed": STANDSTILL}));
        self.drop_connection();
        let lost = job.wait();
        assert_eq!((lost.kind, lost.loss), (number::LOST, number::LOSS_NO_CONNECTION), "{lost:#?}");
        self.monitor.fails_to_connect(libc::ENOTCONN);
        let jobs = self.machine.execute("query-jobs", &json!({}));
        assert_eq!(jobs[0]["id"], json!(job.id()), "{jobs}");
        assert_eq!(self.processes(), [number::PROCESS_FIRST]);
        self.close();
    }

    fn close(mut self) {
        self.monitor.close();
        self.told.until("CLOSED", |event| event.kind == number::CLOSED);
        drop(self.listener);
    }
}

/// Longer than a socket's name may be, by going to and fro.
fn long_path(machine: &Machine, file: &str) -> String {
    let directory = machine.path("");
    let directory = directory.to_str().expect("a temporary directory has an ASCII name");
    let name = directory.trim_end_matches('/').rsplit('/').next().expect("it has a name");
    format!("{directory}{}{file}", format!("../{name}/").repeat(10))
}

fn abstract_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("blockjob-tests-{}-{count}", process::id())
}

/// A port on which nobody listens.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address").port()
}

/// The command inherits this descriptor, by the number 100.
#[expect(unsafe_code, reason = "a command inherits no other descriptors than the usual three")]
fn inherit(command: &mut Command, descriptor: RawFd) {
    let body = move || {
        // SAFETY: dup2 may be called between fork and exec, and no pointers are passed.
        let result = unsafe { libc::dup2(descriptor, 100) };
        if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the body does no more than that.
    unsafe { command.pre_exec(body) };
}

fn a_path(host: Host) {
    let machine = Machine::start(host);
    let address = format!("unix:{}", machine.library_socket().display());
    let scene = Scene::begin(machine, &address, |_| {});
    scene.drop_and_restart(true);
}

fn a_path_that_is_too_long_for_a_socket(host: Host) {
    let machine = Machine::start(host);
    let path = long_path(&machine, "library.qmp");
    assert!(path.len() > 107);
    let scene = Scene::begin(machine, &format!("unix:{path}"), |_| {});
    scene.drop_and_restart(true);
}

fn an_abstract_name(host: Host) {
    let name = abstract_name();
    let place = format!("path={name},abstract=on,server=on,wait=off");
    let machine = Machine::start_at(host, &place, |_| {});
    let scene = Scene::begin(machine, &format!("unix:@{name}"), |_| {});
    scene.drop_and_restart(true);
}

fn a_port(host: Host) {
    let port = free_port();
    let place = format!("host=127.0.0.1,port={port},server=on,wait=off");
    let machine = Machine::start_at(host, &place, |_| {});
    let scene = Scene::begin(machine, &format!("tcp:localhost:{port}"), |_| {});
    scene.drop_and_restart(false);
}

/// The kernel knows who made the pair, and that is not QEMU.
fn a_pair_of_sockets(host: Host) {
    let begin = || {
        let (ours, theirs) = UnixStream::pair().expect("there are descriptors left");
        let fd = theirs.as_raw_fd();
        let machine = Machine::start_at(host, "fd=100", |command| inherit(command, fd));
        // Or it would not end with QEMU.
        drop(theirs);
        let address = format!("fd:{}", ours.into_raw_fd());
        // Time without a connection is not waited for.
        Scene::begin(machine, &address, |_| {})
    };
    begin().drop_for_good();
    let mut scene = begin();
    scene.run_a_job("disk");
    let job = scene.killed_job();
    let lost = job.wait();
    assert_eq!((lost.kind, lost.loss), (number::LOST, number::LOSS_NO_CONNECTION), "{lost:#?}");
    scene.monitor.fails_to_connect(libc::ENOTCONN);
    scene.close();
}

/// Somebody else has dialled, and QEMU's process is known all the same.
fn a_connection_that_was_made_for_the_library(host: Host) {
    let begin = || {
        let machine = Machine::start(host);
        let dialled = UnixStream::connect(machine.library_socket()).expect("QEMU listens");
        let pid = machine.pid();
        let address = format!("fd:{}", dialled.into_raw_fd());
        Scene::begin(machine, &address, |monitor| monitor.set_peer(-1, pid))
    };
    begin().drop_for_good();
    let mut scene = begin();
    scene.run_a_job("disk");
    let job = scene.killed_job();
    let lost = job.wait();
    assert_eq!((lost.kind, lost.loss), (number::LOST, number::LOSS_QEMU_GONE), "{lost:#?}");
    scene.monitor.fails_to_connect(libc::ENOTCONN);
    scene.close();
}

fn qemu_dials_a_path(host: Host) {
    let place = format!("path=library.qmp,server=off,{}", redial(host));
    let machine = Machine::start_at(host, &place, |_| {});
    let address = format!("unix:{},server=on", machine.library_socket().display());
    let socket = machine.library_socket();
    let (user, pid) = (effective_user(), machine.pid());
    let removed = || (!socket.exists()).then_some(());
    let listener = Listener::new();
    let monitor = listener.monitor_at(MONITOR, &address);
    monitor.set_peer(user, pid + 1);
    let words = monitor.fails_to_connect(libc::EACCES);
    assert!(words.contains(&format!("process {pid} of user {user} holds")), "{words}");
    monitor.close();
    eventually("the library's file is removed", removed);

    let mut scene = Scene::begin(machine, &address, |monitor| monitor.set_peer(user, pid));
    scene.run_a_job("disk");
    scene.reconnect(number::PROCESS_SAME);
    let lost = scene.killed_job().wait();
    assert_eq!((lost.kind, lost.loss), (number::LOST, number::LOSS_QEMU_GONE), "{lost:#?}");
    scene.close();
    eventually("the library's file is removed", removed);
}

fn qemu_dials_a_long_path(host: Host) {
    let place = format!("path=library.qmp,server=off,{}", redial(host));
    let machine = Machine::start_at(host, &place, |_| {});
    let address = format!("unix:{},server=on", long_path(&machine, "library.qmp"));
    let scene = Scene::begin(machine, &address, |_| {});
    scene.drop_and_restart(true);
}

fn qemu_dials_an_abstract_name(host: Host) {
    let name = abstract_name();
    let place = format!("path={name},abstract=on,server=off,{}", redial(host));
    let machine = Machine::start_at(host, &place, |_| {});
    let scene = Scene::begin(machine, &format!("unix:@{name},server=on"), |_| {});
    scene.drop_and_restart(true);
}

fn qemu_dials_a_port(host: Host) {
    let port = free_port();
    let place = format!("host=127.0.0.1,port={port},server=off,{}", redial(host));
    let machine = Machine::start_at(host, &place, |_| {});
    let scene = Scene::begin(machine, &format!("tcp:127.0.0.1:{port},server=on"), |_| {});
    scene.drop_and_restart(false);
}

fn qemu_dials_a_descriptor(host: Host) {
    let place = format!("path=library.qmp,server=off,{}", redial(host));
    let machine = Machine::start_at(host, &place, |_| {});
    let listener = UnixListener::bind(machine.library_socket()).expect("the directory is new");
    let address = format!("fd:{},server=on", listener.into_raw_fd());
    let scene = Scene::begin(machine, &address, |_| {});
    scene.drop_and_restart(true);
}

/// QEMU itself can be told to drop a connection, since 6.0 and not in the storage daemon; the tests
/// of each address drop theirs at the library's end.
fn a_connection_that_qemu_drops_is_to_the_same_process(host: Host) {
    if host == Host::StorageDaemon {
        return;
    }
    let dialling = format!("path=library.qmp,server=off,{}", redial(host));
    for (place, options) in [("path=library.qmp,server=on,wait=off", ""), (&dialling, ",server=on")]
    {
        let machine = Machine::start_at(host, place, |_| {});
        let address = format!("unix:{}{options}", machine.library_socket().display());
        let mut scene = Scene::begin(machine, &address, |_| {});
        if scene.machine.qmp().version() < (6, 0) {
            return;
        }
        scene
            .machine
            .execute("yank", &json!({"instances": [{"type": "chardev", "id": "library"}]}));
        scene.told.until_many(2, |event| event.kind == number::CONNECTED);
        let last = scene.told.so_far.iter().rfind(|event| event.kind == number::CONNECTED);
        assert_eq!(last.map(|event| event.process), Some(number::PROCESS_SAME), "{place}");
        scene.run_a_job("disk");
        scene.close();
    }
}

fn a_monitor_that_another_client_holds_is_busy(host: Host) {
    let machine = Machine::start(host);
    let other = Qmp::connect(&machine.library_socket()).expect("QEMU listens");
    let listener = Listener::new();
    let monitor = listener.monitor(MONITOR, &machine.library_socket());
    monitor.set_connect_timeout(200);
    monitor.set_reconnect(1, 20);
    let mut told = Told::from(listener.observe(Some(&monitor)));
    let words = monitor.fails_to_connect(libc::EBUSY);
    let holder = format!(
        "another client holds this monitor, which serves one at a time: process {}",
        process::id()
    );
    assert!(words.contains(&holder), "{words}");
    told.until("DISCONNECTED", |event| {
        event.reason.as_ref().is_some_and(|reason| reason.contains(&holder))
    });
    drop(other);
    told.until("CONNECTED", |event| event.kind == number::CONNECTED);
    monitor.close();
}

fn a_port_that_another_client_holds_is_busy(host: Host) {
    let port = free_port();
    let place = format!("host=127.0.0.1,port={port},server=on,wait=off");
    let _machine = Machine::start_at(host, &place, |_| {});
    let mut other = TcpStream::connect(("127.0.0.1", port)).expect("QEMU listens");
    other.read_exact(&mut [0]).expect("QEMU greets");
    let listener = Listener::new();
    let monitor = listener.monitor_at(MONITOR, &format!("tcp:localhost:{port}"));
    monitor.set_connect_timeout(200);
    monitor.set_reconnect(1, 20);
    let mut told = Told::from(listener.observe(Some(&monitor)));
    let words = monitor.fails_to_connect(libc::EBUSY);
    let holder = format!(
        "another client holds this monitor, which serves one at a time: process {}",
        process::id()
    );
    assert!(words.contains(&holder), "{words}");
    drop(other);
    told.until("CONNECTED", |event| event.kind == number::CONNECTED);
    monitor.close();
}

fn a_qemu_that_is_stopped_is_not_busy(host: Host) {
    let machine = Machine::start(host);
    machine.hang();
    let listener = Listener::new();
    let monitor = listener.monitor(MONITOR, &machine.library_socket());
    monitor.set_connect_timeout(200);
    monitor.set_reconnect(1, 20);
    // By the third attempt those before have filled its queue.
    for _ in 0..4 {
        let words = monitor.fails_to_connect(libc::ETIMEDOUT);
        assert!(words.contains("stopped"), "{words}");
    }
    machine.go_on();
    let mut told = Told::from(listener.observe(Some(&monitor)));
    told.until("CONNECTED", |event| event.kind == number::CONNECTED);
    monitor.close();
}

/// The ports of a connection by TCP. The descriptor may be anything, and is left as it is.
#[expect(unsafe_code, reason = "the descriptor is the library's, and only looked at")]
fn ports(fd: RawFd) -> Option<[u16; 2]> {
    // SAFETY: it is open, or asking fails; and it is not closed here.
    let stream = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(fd) });
    Some([stream.peer_addr().ok()?.port(), stream.local_addr().ok()?.port()])
}

/// Is it a connection by a unix socket with that process, and not the tests' own?
#[expect(unsafe_code, reason = "the standard library does not tell who the other end is")]
fn is_to(fd: RawFd, pid: i64) -> bool {
    // SAFETY: it is open, or asking fails; and it is not closed here.
    let stream = ManuallyDrop::new(unsafe { UnixStream::from_raw_fd(fd) });
    let Ok(name) = stream.peer_addr() else { return false };
    let is_tests = name.as_pathname().is_some_and(|path| path.ends_with("tests.qmp"));
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = libc::socklen_t::try_from(size_of::<libc::ucred>()).expect("it is small");
    let place = (&raw mut peer).cast();
    // SAFETY: the kernel writes at most `size` bytes to the place, which has as many.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, place, &raw mut size) };
    result == 0 && i64::from(peer.pid) == pid && !is_tests
}

/// Ends a connection both ways, for both ends.
#[expect(unsafe_code, reason = "the descriptor is the library's")]
fn shut(fd: RawFd) {
    // SAFETY: it takes numbers.
    let result = unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[expect(unsafe_code, reason = "the standard library does not tell who we are")]
fn effective_user() -> i64 {
    // SAFETY: it always succeeds.
    unsafe { libc::geteuid() }.into()
}
