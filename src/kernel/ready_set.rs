//! Many sockets behind one descriptor: an epoll set of its own, which the event loop watches as a whole. The set may
//! change at any time, and asking it costs by what is ready, not by what is in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::error::{Doing, Error};
use super::readiness::Steady;

/// Sockets with a number each.
pub struct ReadySet(Epoll);

impl ReadySet {
    /// Sockets told at a time.
    pub const MOST: usize = 32;

    /// An empty set.
    pub fn new() -> Result<Self, Error> {
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(Self).doing(|| "creating an epoll set")
    }

    /// Adds a socket under this number. It leaves the set when it is closed.
    pub fn add(&self, socket: impl AsFd, number: u64) -> Result<(), Error> {
        self.0
            .add(socket, EpollEvent::new(EpollFlags::EPOLLIN, number))
            .doing(|| "adding a socket to an epoll set")
    }

    /// The numbers of at most [`Self::MOST`] sockets that can be read now; the next call goes on with the others. `WouldBlock`
    /// if there is none.
    pub fn ready(&self) -> io::Result<Vec<u64>> {
        let mut events = [EpollEvent::empty(); Self::MOST];
        let count = loop {
            match self.0.wait(&mut events, EpollTimeout::ZERO) {
                Ok(0) => return Err(io::ErrorKind::WouldBlock.into()),
                Ok(count) => break count,
                // Must not look like "nothing there", which the loop would wait upon.
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        };
        Ok(events[..count].iter().map(EpollEvent::data).collect())
    }
}

impl AsFd for ReadySet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

// SAFETY: the epoll descriptor is opened in `new`, never replaced, and closed on drop.
unsafe impl Steady for ReadySet {}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::kernel::readiness::Watched;

    fn pair() -> (Socket, Socket) {
        Socket::pair(Domain::UNIX, Type::SEQPACKET.nonblocking(), None).unwrap()
    }

    #[test]
    fn the_loop_wakes_for_the_sockets_that_can_be_read_and_closed_ones_are_gone() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let set = Watched::readable_only(ReadySet::new().unwrap()).unwrap();
            let ((near, far), (gone, _kept)) = (pair(), pair());
            set.get().add(&near, 7).unwrap();
            set.get().add(&gone, 8).unwrap();
            drop(gone);
            let write = async { far.send(b"x").unwrap() };
            let (ready, _) = tokio::join!(set.read(ReadySet::ready), write);
            assert_eq!(ready.unwrap(), [7]);
            // Still readable, so still told.
            assert_eq!(set.read(ReadySet::ready).await.unwrap(), [7]);
            near.recv(&mut [std::mem::MaybeUninit::uninit(); 8]).unwrap();
            assert_eq!(set.get().ready().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            far.send(b"y").unwrap();
            assert_eq!(set.read(ReadySet::ready).await.unwrap(), [7]);
        });
    }
}
