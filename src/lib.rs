//! The inside of `libblockjob.so`: it tells a management program how QEMU's block jobs end.
//!
//! The product is the C library and `include/blockjob.h`; this Rust side is reachable for tests,
//! benches and fuzzing only, and promises no stability. Four storeys, imports point downwards:
//!
//! * [`capi`]: the face: every exported function and every raw pointer from C;
//! * [`engine`]: the threads and what they own: sockets, queues, registrations;
//! * [`qmp`]: the protocol without I/O: bytes and `now` in, values out;
//! * [`model`]: the nouns, plain values.
//!
//! An event's way: the reactor reads bytes, the hub turns them into events, delivery hands each to
//! whoever the roster says asked, and the face calls C.

pub mod capi;
pub mod engine;
pub mod model;
pub mod qmp;
