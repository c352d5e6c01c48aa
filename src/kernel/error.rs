//! The error of every kernel wrapper: what was being done to what, the errno, and the kernel's own words if it sent any.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// A request the kernel refused. Prints as `adding 10.0.0.1/32 to eth0: File exists (EEXIST)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// What was being done to which object.
    pub doing: String,
    /// Why it failed.
    pub errno: Errno,
    /// The kernel's explanation (a netlink extended ack), if there was one.
    pub note: Option<String>,
}

impl Error {
    /// An error without the kernel's explanation.
    pub fn new(doing: impl Into<String>, errno: Errno) -> Self {
        Self { doing: doing.into(), errno, note: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, reason(self.errno))?;
        match &self.note {
            Some(note) => write!(f, ": {note}"),
            None => Ok(()),
        }
    }
}

/// An errno for people: `File exists (EEXIST)`.
pub fn reason(errno: Errno) -> String {
    format!("{} ({errno:?})", errno.desc())
}

/// Names the action that failed.
pub trait Doing<T> {
    /// Turns a bare OS error into an [`Error`] that says what was being done; `what` runs on failure only.
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, Error>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, Error> {
        self.map_err(|error| {
            let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
            Error::new(what(), errno)
        })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, Error> {
        self.map_err(|errno| Error::new(what(), errno))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_object_the_reason_and_the_errno() {
        let refused: io::Result<()> = Err(io::Error::from_raw_os_error(libc::EEXIST));
        let mut error = refused.doing(|| "adding 10.0.0.1/32 to eth0").unwrap_err();
        assert_eq!(error.to_string(), "adding 10.0.0.1/32 to eth0: File exists (EEXIST)");
        error.note = Some("Address already assigned".into());
        assert!(error.to_string().ends_with("(EEXIST): Address already assigned"));
    }
}
