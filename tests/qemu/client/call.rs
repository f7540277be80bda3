//! The one way by which these tests call the library.

/// Calls one function of the library.
macro_rules! call {
    ($name:ident($($argument:expr),*)) => {{
        let function = functions().$name;
        // SAFETY: each handle in this file is one that the library gave and that lives until the
        // drop of its owner; each text ends in NUL and lives until the call has returned.
        unsafe { function($($argument),*) }
    }};
}
