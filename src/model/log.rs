//! How much a line of the log matters.

/// The numbers are C's: a level is asked for with all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A fault of the library's own.
    Error = 1,
    /// Something went wrong, or something is lost.
    Warning = 2,
    /// What a person who looks after the machine would like to know.
    Info = 3,
    /// Each message that is sent and received.
    Debug = 4,
}

impl Level {
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Error, Self::Warning, Self::Info, Self::Debug]
            .into_iter()
            .find(|level| *level as i32 == number)
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}
