//! The protocol, without I/O: bytes and `now` in, values out. No socket, clock, thread or chance
//! is to be found here, so whole fleets of QEMUs can be played through it from a seed.
//!
//! Bytes go through [`line`] (where does a message end), [`message`] (what is it, loosely) and
//! [`decode`] (what does it say, strictly); [`session`] is one monitor's life, [`hub`] all of them.

#![forbid(unsafe_code)]

pub mod cut;
pub mod decode;
pub mod encode;
pub mod hub;
pub mod journal;
pub mod line;
pub mod message;
pub mod position;
pub mod session;
pub mod trail;
