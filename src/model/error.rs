//! What went wrong: a code for the program, a sentence for its user.

use std::{fmt, io};

/// Says what was wanted, what came, from which monitor, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub text: String,
    /// QEMU's class of its refusal of a command.
    pub class: Option<String>,
}

/// Why, without an operating system's numbers: the face turns them into errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// An argument is wrong.
    Invalid,
    /// Text is not UTF-8.
    NotUtf8,
    /// Text is longer than its bound.
    TooLong,
    /// It is too late for this setting.
    Busy,
    /// It was done before.
    Already,
    /// There is no such thing.
    NotFound,
    /// It would wait for itself.
    Deadlock,
    /// The listener was stopped, or the monitor closed.
    Shutdown,
    /// The handle was inherited across a fork.
    Forked,
    /// The time given has passed.
    TimedOut,
    /// The peer does not speak QMP.
    Protocol,
    /// QEMU refused a command.
    Remote,
    /// The path is no socket.
    NotSocket,
    /// Somebody else holds the other end.
    Denied,
    /// The peer ended the connection.
    Reset,
    /// There is no connection now.
    NotConnected,
    /// This QEMU cannot do it.
    NotSupported,
    /// Nothing is known yet.
    NoData,
    /// No thread could be started.
    NoThread,
    /// A bound was reached: the program does not take what it asked for.
    NoBuffers,
    /// There is no memory for it.
    NoMemory,
    /// A fault of this library.
    Internal,
    /// What the operating system answered, as its errno.
    Os(i32),
}

impl Error {
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), class: None }
    }

    /// QEMU refused a command.
    pub fn refused(class: &str, description: &str) -> Self {
        let text = format!("{class}: {description}");
        Self { code: Code::Remote, text, class: Some(class.to_owned()) }
    }

    /// An answer of the operating system to `deed`.
    pub fn os(deed: &str, error: &io::Error) -> Self {
        let code = error.raw_os_error().map_or(Code::Internal, Code::Os);
        Self::new(code, format!("{deed}: {error}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}
