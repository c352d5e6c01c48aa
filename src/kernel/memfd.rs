//! Sealed memory files: a large message written once, handed over as a descriptor, and unchangeable from then on.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// The largest memory file that is accepted, in bytes. 10,000 virtual servers are about 10 MB.
pub const LIMIT: usize = 256 << 20;

/// Without these a sender could change or cut the contents under the reader.
fn seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE
}

/// A sealed memory file that holds `bytes`.
pub fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut writer = Writer::new()?;
    writer.write(bytes)?;
    writer.sealed()
}

/// A memory file that is being written.
pub struct Writer {
    file: File,
    length: usize,
}

impl Writer {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        Ok(Self { file: memfd_create(c"keepalived-rs", flags)?.into(), length: 0 })
    }

    /// Appends. More than [`LIMIT`] bytes, which nobody would accept, are refused.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length = self.length.saturating_add(bytes.len());
        if self.length > LIMIT {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the memory file would be too large"));
        }
        self.file.write_all(bytes)
    }

    /// The file, which cannot be changed any more.
    pub fn sealed(self) -> io::Result<OwnedFd> {
        fcntl(&self.file, FcntlArg::F_ADD_SEALS(seals() | SealFlag::F_SEAL_SEAL))?;
        Ok(self.file.into())
    }
}

/// The contents of a memory file. Refuses what is not sealed, and what is larger than [`LIMIT`].
pub fn contents(descriptor: OwnedFd) -> io::Result<Vec<u8>> {
    let present = SealFlag::from_bits_truncate(fcntl(descriptor.as_fd(), FcntlArg::F_GET_SEALS)?);
    if !present.contains(seals()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the memory file is not sealed"));
    }
    let file = File::from(descriptor);
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length > LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the memory file is too large"));
    }
    let mut bytes = vec![0; length];
    // The offset is the sender's; reading by position does not depend on it.
    let mut at = At { file: &file, offset: 0 };
    at.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Bytes put aside: many in a memory file, where they are nobody's dirty pages, few as they are.
pub struct Stash(Place);

enum Place {
    Here(Vec<u8>),
    File(OwnedFd),
}

impl Stash {
    /// Bytes from this number on go into a file.
    const MANY: usize = 16 << 10;

    /// Puts them aside.
    pub fn new(bytes: Vec<u8>) -> Self {
        if bytes.len() >= Self::MANY
            && let Ok(stash) = Self::in_file(&bytes)
        {
            return stash;
        }
        Self(Place::Here(bytes))
    }

    /// Puts them into a file, however few.
    pub fn in_file(bytes: &[u8]) -> io::Result<Self> {
        sealed(bytes).map(Place::File).map(Self)
    }

    /// The bytes.
    pub fn contents(&self) -> io::Result<Vec<u8>> {
        match &self.0 {
            Place::Here(bytes) => Ok(bytes.clone()),
            Place::File(file) => contents(file.try_clone()?),
        }
    }
}

/// Reads by position.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = std::os::unix::fs::FileExt::read_at(self.file, into, self.offset)?;
        self.offset = self.offset.saturating_add(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_read_back_and_cannot_be_changed() {
        let file = sealed(b"ten thousand servers").unwrap();
        let mut writer = File::from(file.try_clone().unwrap());
        assert!(writer.write_all(b"x").is_err());
        assert!(writer.set_len(0).is_err());
        assert_eq!(contents(file).unwrap(), b"ten thousand servers");
    }

    #[test]
    fn what_is_put_aside_comes_back_as_often_as_it_is_asked_for() {
        for length in [0, 5, 100_000] {
            let bytes: Vec<u8> = (0..length).map(|n: u32| n.to_le_bytes()[0]).collect();
            let stash = Stash::new(bytes.clone());
            assert_eq!(matches!(stash.0, Place::File(_)), length > 1000);
            assert_eq!(stash.contents().unwrap(), bytes);
            assert_eq!(stash.contents().unwrap(), bytes);
        }
    }

    #[test]
    fn an_unsealed_file_and_a_pipe_are_refused() {
        let open = memfd_create(c"open", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        assert_eq!(contents(open).unwrap_err().to_string(), "the memory file is not sealed");
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        assert!(contents(reader).is_err());
    }
}
