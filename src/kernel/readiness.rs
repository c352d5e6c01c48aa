//! Waiting for a descriptor on tokio's event loop, soundly: tokio's own constructor is `unsafe`, because a type may
//! swap its descriptor behind the loop's back. Those listed here do not.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::task::{Context, Poll};

use nix::sys::timerfd::TimerFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::error::{Doing, Error};

/// Types that hold one descriptor from birth to drop.
///
/// # Safety
/// `as_fd` must return the same open descriptor for the whole life of the value.
pub unsafe trait Steady: AsFd {}

// SAFETY: an `OwnedFd` can only be replaced through `&mut`, which `Watched` does not give.
unsafe impl Steady for OwnedFd {}
// SAFETY: as for `OwnedFd`, which it wraps.
unsafe impl Steady for socket2::Socket {}
// SAFETY: as for `OwnedFd`, which it wraps.
unsafe impl Steady for TimerFd {}

struct Held<T>(T);

impl<T: Steady> AsRawFd for Held<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// A descriptor known to the event loop. It must be non-blocking.
pub struct Watched<T: Steady>(AsyncFd<Held<T>>);

impl<T: Steady> Watched<T> {
    /// Watches for readable and writable. Must be called inside a tokio runtime.
    pub fn new(inner: T) -> Result<Self, Error> {
        Self::with(inner, Interest::READABLE | Interest::WRITABLE)
    }

    /// Watches for readable only, for sockets that are hardly ever full.
    pub fn readable_only(inner: T) -> Result<Self, Error> {
        Self::with(inner, Interest::READABLE)
    }

    fn with(inner: T, interest: Interest) -> Result<Self, Error> {
        // SAFETY: `Steady` promises one descriptor for the value's life, and no `&mut T` is handed out.
        unsafe { AsyncFd::register_with_interest(Held(inner), interest) }
            .map_err(io::Error::from)
            .doing(|| "registering a descriptor with the event loop")
            .map(Self)
    }

    /// The object itself.
    pub fn get(&self) -> &T {
        &self.0.get_ref().0
    }

    /// The object, which the event loop does not watch any more.
    pub fn into_inner(self) -> T {
        self.0.into_inner().0
    }

    /// Waits until `read` gives something else than `WouldBlock`. Safe to cancel.
    pub async fn read<R>(&self, read: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.until(Interest::READABLE, read).await
    }

    /// As [`Self::read`], for who waits for several at once. Only one task may wait this way.
    pub fn poll_read<R>(
        &self,
        context: &mut Context<'_>,
        mut read: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            let mut ready = std::task::ready!(self.0.poll_read_ready(context))?;
            if let Ok(result) = ready.try_io(|held| read(&held.get_ref().0)) {
                return Poll::Ready(result);
            }
        }
    }

    /// As [`Self::read`], for a descriptor that has no more to read after one success (a timer): it is not asked again
    /// before it has news.
    pub async fn read_all<R>(&self, mut read: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(result) = ready.try_io(|held| read(&held.get_ref().0)) {
                // Only what was seen before the reading is forgotten, not what came since.
                ready.clear_ready();
                return result;
            }
        }
    }

    /// Waits until `write` gives something else than `WouldBlock`. Safe to cancel.
    pub async fn write<R>(&self, write: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.until(Interest::WRITABLE, write).await
    }

    /// As [`Self::write`], for who waits for several at once. Only one task may wait this way.
    pub fn poll_write<R>(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            let mut ready = std::task::ready!(self.0.poll_write_ready(context))?;
            if let Ok(result) = ready.try_io(|held| write(&held.get_ref().0)) {
                return Poll::Ready(result);
            }
        }
    }

    async fn until<R>(&self, interest: Interest, mut act: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        loop {
            let mut ready = self.0.ready(interest).await?;
            if let Ok(result) = ready.try_io(|held| act(&held.get_ref().0)) {
                return result;
            }
        }
    }
}

impl<T: Steady> AsFd for Watched<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn a_read_waits_for_the_first_bytes_and_returns_them() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let (near, far) = Socket::pair(Domain::UNIX, Type::SEQPACKET.nonblocking(), None).unwrap();
            let near = Watched::new(near).unwrap();
            let read = near.read(|socket| {
                let mut bytes = [0; 8];
                nix::sys::socket::recv(socket.as_raw_fd(), &mut bytes, nix::sys::socket::MsgFlags::empty())
                    .map(|length| bytes[..length].to_vec())
                    .map_err(io::Error::from)
            });
            let write = async { far.send(b"hello").unwrap() };
            let (read, _) = tokio::join!(read, write);
            assert_eq!(read.unwrap(), b"hello");
        });
    }
}
