//! How each job's end is known, story by story: what QEMU says, and what is told of it. Every fact
//! of QEMU that breaks naive clients has its story here; `tests/storm` mixes them by chance.

mod asked;
mod bounds;
mod control;
mod facts;
mod gaps;
mod journal;
mod keepalive;
mod lists;
mod progress;
mod told_by_journal;
mod world;
