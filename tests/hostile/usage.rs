//! What this process holds of the kernel: memory, descriptors, threads.

use std::fmt;
use std::fs;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Memory that the kernel has given to it, now and at most.
    pub resident_kib: u64,
    pub peak_kib: u64,
    /// What of it the allocator has given out, the tests' own among it.
    pub in_use_kib: u64,
    pub descriptors: usize,
    pub threads: usize,
}

/// How much more there may be at the end.
pub struct Bounds {
    pub resident_kib: u64,
    pub in_use_kib: u64,
}

impl Usage {
    pub fn now() -> Self {
        Self {
            resident_kib: status_kib("VmRSS:"),
            peak_kib: status_kib("VmHWM:"),
            in_use_kib: in_use() >> 10,
            descriptors: descriptors(),
            threads: fs::read_dir("/proc/self/task").expect("there is a /proc").count(),
        }
    }

    /// The same when nothing is under way: what the allocator keeps for the next flood is given back.
    pub fn at_rest() -> Self {
        give_back();
        Self::now()
    }

    pub fn print(moments: &[(&str, Self)]) {
        println!(
            "{:8} {:>16} {:>12} {:>12} {:>12} {:>8}",
            "", "resident, KiB", "peak, KiB", "in use, KiB", "descriptors", "threads"
        );
        for (name, usage) in moments {
            println!(
                "{name:8} {:>16} {:>12} {:>12} {:>12} {:>8}",
                usage.resident_kib,
                usage.peak_kib,
                usage.in_use_kib,
                usage.descriptors,
                usage.threads
            );
        }
    }

    /// Nothing has grown since.
    pub fn assert_within(&self, before: &Self, bounds: &Bounds) {
        assert_eq!(self.descriptors, before.descriptors, "descriptors leak: {:#?}", open());
        assert_eq!(self.threads, before.threads, "threads are left");
        for (what, now, then, bound) in [
            ("resident", self.resident_kib, before.resident_kib, bounds.resident_kib),
            ("in use", self.in_use_kib, before.in_use_kib, bounds.in_use_kib),
        ] {
            let grown = now.saturating_sub(then);
            assert!(grown <= bound, "{grown} KiB more are {what}, and {bound} may be");
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resident_kib, peak_kib, in_use_kib, descriptors, threads } = self;
        write!(
            f,
            "{resident_kib} KiB resident ({peak_kib} at most, {in_use_kib} in use), \
             {descriptors} descriptors, {threads} threads"
        )
    }
}

/// Memory that is resident, in bytes.
pub fn resident() -> usize {
    status("VmRSS:")
}

/// The most that was since `forget_peak`.
pub fn peak() -> usize {
    status("VmHWM:")
}

/// From here on `peak` counts anew.
pub fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("a process may forget its own peak");
}

/// Address space, in bytes.
pub fn address_space() -> usize {
    status("VmSize:")
}

fn status(name: &str) -> usize {
    usize::try_from(status_kib(name) << 10).expect("it is our own memory")
}

fn status_kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("there is a /proc");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).expect("the kernel tells it")
}

/// The threads, by their names, for which a SIGPIPE waits. It waits for a thread that blocks it, as
/// all of the library's do, also where the process ignores it, as all programs in Rust do.
pub fn threads_with_sigpipe() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("there is a /proc");
    let mut names = Vec::new();
    // One that has ended meanwhile has no status, and nothing waits for it.
    for status in tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok())
    {
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.expect("the kernel tells it").trim()
        };
        let pending = ["SigPnd:", "ShdPnd:"].map(|set| u64::from_str_radix(value(set), 16));
        let bit = 1 << (libc::SIGPIPE - 1);
        if pending.iter().any(|set| set.as_ref().expect("a set is a number") & bit != 0) {
            names.push(value("Name:").to_owned());
        }
    }
    names
}

/// Descriptors that are open, with the one by which they are counted.
pub fn descriptors() -> usize {
    open().len()
}

/// What each open descriptor is of.
pub fn open() -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc/self/fd").expect("there is a /proc");
    entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect()
}

/// The bytes that malloc has given out, in all its arenas.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no other way to ask")]
fn in_use() -> u64 {
    // SAFETY: it takes nothing, and may be called at any time.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as u64
}

/// The allocator is to give large blocks back as soon as they are free. Otherwise each of its arenas
/// keeps up to 64 MiB for later, once a block of 32 MiB was needed, and memory tells nothing.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no other way to say so")]
pub fn keep_little() {
    for which in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: it takes numbers, and may be called at any time.
        let taken = unsafe { libc::mallopt(which, 128 << 10) };
        assert_eq!(taken, 1, "the allocator does as it is told");
    }
}

#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no other way to say so")]
fn give_back() {
    // SAFETY: it takes a number, and may be called at any time.
    unsafe { libc::malloc_trim(0) };
}

/// musl does not tell.
#[cfg(not(target_env = "gnu"))]
fn in_use() -> u64 {
    0
}

#[cfg(not(target_env = "gnu"))]
pub fn keep_little() {}

/// musl keeps little.
#[cfg(not(target_env = "gnu"))]
fn give_back() {}
