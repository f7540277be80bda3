//! Which library is this.
//!
//! # Version

use std::ffi::c_char;

/// The version of this header, as three numbers.
pub const BLOCKJOB_VERSION_MAJOR: i32 = 0;
pub const BLOCKJOB_VERSION_MINOR: i32 = 1;
pub const BLOCKJOB_VERSION_PATCH: i32 = 0;

/// The version of the library that runs, which may be newer than the header of the build.
///
/// Returns: text such as "0.1.0"; static.
///
/// Threads: any, also inside callbacks and after fork(). Since: 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn blockjob_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
