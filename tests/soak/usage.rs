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
        let status = fs::read_to_string("/proc/self/status").expect("there is a /proc");
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).expect("the kernel tells it")
        };
        Self {
            resident_kib: kib("VmRSS:"),
            peak_kib: kib("VmHWM:"),
            in_use_kib: in_use() >> 10,
            descriptors: open().len(),
            threads: fs::read_dir("/proc/self/task").expect("there is a /proc").count(),
        }
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

/// What each open descriptor is of.
pub fn open() -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc/self/fd").expect("there is a /proc");
    // The one by which they are read is gone by then.
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

/// musl does not tell.
#[cfg(not(target_env = "gnu"))]
fn in_use() -> u64 {
    0
}
