//! The protocol, without I/O: bytes and `now` in, values out. No socket, clock, thread or chance
//! is to be found here, so whole fleets of QEMUs can be played through it from a seed.
//!
//! Bytes go through [`line`] (where does a message end), [`message`] (what is it, loosely) and
//! [`decode`] (what does it say, strictly); nearly all events are plain enough for [`event`], which
//! reads them in one pass. [`session`] is one monitor's life (with `connection`, `handshake`,
//! `incoming`, `requests`, [`control`], `info`, `progress`, `keepalive`, the program's own
//! [`command`]s, and all that are under way in [`exchange`]), [`hub`] all of them. Which jobs there
//! are and how each ends is [`jobs`]' to say, of each by its [`job`] (does its id still mean it:
//! `incarnation`; how has it ended: `outcome`) and what was [`asked`] of it: as it is heard in
//! `hearing`, after a gap in `reconcile`, and from QEMU's event [`journal`] in `findings` (of one
//! job in `found`), with what is kept for that in `reading`; `ends` tells it.
//!
//! What a session counts and says of itself is in its [`diary`]; how the wire is shown in a bug
//! report in `wire`, and what is left out there in `secrets`.

#![forbid(unsafe_code)]

pub mod act;
pub mod asked;
mod backoff;
pub mod command;
mod connection;
pub mod control;
pub mod cut;
pub mod decode;
pub mod diary;
pub mod encode;
mod ends;
pub mod event;
pub mod exchange;
mod findings;
mod found;
mod handshake;
mod hearing;
pub mod hub;
mod incarnation;
mod incoming;
mod info;
pub mod job;
pub mod jobs;
pub mod journal;
mod keepalive;
pub mod line;
pub mod listing;
pub mod message;
mod outcome;
pub mod position;
mod progress;
mod reading;
mod reconcile;
mod requests;
mod restart;
pub mod secrets;
pub mod session;
pub mod start;
mod starting;
mod strict;
pub mod trail;
pub mod wire;
