//! Where a monitor is reached, in QEMU's own syntax: `unix:PATH`.

use std::path::{Path, PathBuf};

use super::error::{Code, Error};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
}

impl Address {
    /// Reads an address. As in QEMU's options, `,,` stands for one comma of the path.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let invalid = |what: &str| {
            Err(Error::new(Code::Invalid, format!("address \"{text}\" {what}; wanted unix:PATH")))
        };
        let Some(rest) = text.strip_prefix("unix:") else {
            return invalid("does not begin with unix:");
        };
        let path = rest.replace(",,", "\0");
        if path.contains(',') {
            return invalid("has options, which are not known (a comma of the path is written ,,)");
        }
        let path = path.replace('\0', ",");
        if path.is_empty() {
            return invalid("has no path");
        }
        if path.len() > UNIX_PATH_MAX {
            let text = format!(
                "the path of \"{text}\" has {} bytes; a unix socket's has at most {UNIX_PATH_MAX}",
                path.len()
            );
            return Err(Error::new(Code::TooLong, text));
        }
        Ok(Self::Unix(path.into()))
    }

    pub fn path(&self) -> &Path {
        let Self::Unix(path) = self;
        path
    }
}

/// `sun_path` has 108 bytes, the last one for the NUL.
const UNIX_PATH_MAX: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (Code, String) {
        let error = Address::parse(text).unwrap_err();
        (error.code, error.text)
    }

    #[test]
    fn a_unix_path_is_taken_as_it_is() {
        let parsed = |text: &str| Address::parse(text).unwrap().path().to_path_buf();
        assert_eq!(parsed("unix:/run/vm.qmp"), Path::new("/run/vm.qmp"));
        assert_eq!(parsed("unix:relative:with spaces"), Path::new("relative:with spaces"));
        assert_eq!(parsed("unix:/a,,b"), Path::new("/a,b"));
    }

    #[test]
    fn what_is_no_unix_path_is_refused_with_the_address_and_the_way_out() {
        for text in ["", "/run/vm.qmp", "tcp:localhost:4444", "UNIX:/a", "unix:", "unix:/a,b"] {
            let (code, message) = refused(text);
            assert_eq!(code, Code::Invalid, "{text}");
            assert!(message.contains(&format!("\"{text}\"")), "{message}");
            assert!(message.contains("unix:PATH"), "{message}");
        }
    }

    #[test]
    fn a_path_of_107_bytes_is_the_longest() {
        assert!(Address::parse(&format!("unix:{}", "x".repeat(107))).is_ok());
        assert_eq!(refused(&format!("unix:{}", "x".repeat(108))).0, Code::TooLong);
    }
}
