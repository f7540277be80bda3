//! What the targets share: how much memory something takes, JSON as another parser reads it, and a
//! world around a listener's sessions.

pub mod chance;
pub mod json;
pub mod memory;
pub mod world;
