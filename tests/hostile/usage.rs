//! What this process uses, as the kernel counts it.

use std::fs;

/// Descriptors that are open.
pub fn descriptors() -> usize {
    // One is that of the directory while it is read.
    fs::read_dir("/proc/self/fd").expect("/proc is mounted").count() - 1
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
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel says it");
    let kilobytes = line.trim().strip_suffix(" kB").expect("it counts in kilobytes");
    kilobytes.parse::<usize>().expect("a number") << 10
}
