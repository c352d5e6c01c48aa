//! Receive buffers of sockets, as `*_rcv_bufs` and `vrrp_rx_bufs_policy` ask for them (spec/global-defs.md).

use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};

use super::error::{Doing, Error};
use crate::config::model::ReceiveBuffer;

/// Gives a socket the receive buffer that is configured for it; 0 bytes leaves it as it is. `whose` names the socket.
/// The kernel doubles the number, and without force cuts it to the host's limit.
pub fn set_receive_buffer(socket: &impl AsFd, wanted: ReceiveBuffer, whose: &str) -> Result<(), Error> {
    let bytes = usize::try_from(wanted.bytes).unwrap_or(usize::MAX);
    match (bytes, wanted.force) {
        (0, _) => return Ok(()),
        (_, true) => setsockopt(socket, sockopt::RcvBufForce, &bytes),
        (_, false) => setsockopt(socket, sockopt::RcvBuf, &bytes),
    }
    .doing(|| format!("giving {whose} a receive buffer of {bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::getsockopt;
    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn the_kernel_has_twice_what_is_asked_for_and_nothing_asked_for_changes_nothing() {
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None).unwrap();
        let size = || getsockopt(&socket, sockopt::RcvBuf).unwrap();
        let usual = size();
        set_receive_buffer(&socket, ReceiveBuffer { bytes: 0, force: true }, "a socket").unwrap();
        assert_eq!(size(), usual);
        set_receive_buffer(&socket, ReceiveBuffer { bytes: 20_000, force: false }, "a socket").unwrap();
        assert_eq!(size(), 40_000);
    }
}
