//! What a network card itself says of its link, for `linkbeat_interfaces`: its MII registers, its driver, or its flags.
//! For cards whose driver does not tell the kernel (spec/vrrp-config.md §1).

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::error::{Doing, Error};
use crate::config::model::Polling;

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const SIOCGMIIPHY: libc::c_ulong = 0x8947;
const SIOCGMIIREG: libc::c_ulong = 0x8948;
/// `linux/ethtool.h`.
const ETHTOOL_GLINK: u32 = 0x0a;
/// Basic mode status register (`linux/mii.h`), and its bit for the link. The bit remembers a loss until it is read.
const MII_BMSR: u16 = 1;
const BMSR_LSTATUS: u16 = 4;

/// `struct mii_ioctl_data`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct MiiData {
    phy: u16,
    register: u16,
    value_in: u16,
    value_out: u16,
}

/// `struct ethtool_value`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Asks for links.
pub struct Linkbeat(OwnedFd);

impl Linkbeat {
    /// Opens the socket that the questions go through.
    pub fn open() -> Result<Self, Error> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        socket(AddressFamily::Inet, SockType::Datagram, flags, None)
            .map(Self)
            .doing(|| "opening a socket to ask for links")
    }

    /// The first way that this card answers: MII, then the driver, then the flags, which always do.
    pub fn way(&self, interface: &str) -> Polling {
        if self.mii(interface).is_ok() {
            Polling::Mii
        } else if self.ethtool(interface).is_ok() {
            Polling::Ethtool
        } else {
            Polling::Ioctl
        }
    }

    /// Is there a link? An interface that does not exist or does not answer has none.
    pub fn is_up(&self, interface: &str, way: Polling) -> bool {
        match way {
            Polling::Mii => self.mii(interface),
            Polling::Ethtool => self.ethtool(interface),
            Polling::Ioctl => self.flags(interface),
        }
        .unwrap_or(false)
    }

    fn mii(&self, interface: &str) -> Result<bool, Errno> {
        let mut request = request(interface)?;
        // SAFETY: the kernel and we read the union as the same plain numbers; 8 of its 16 or more bytes.
        let data = unsafe { &mut *(&raw mut request.ifr_ifru).cast::<MiiData>() };
        *data = MiiData::default();
        self.ask(SIOCGMIIPHY, &mut request)?;
        let mut status = 0;
        // The first reading may be of a loss that is over.
        for _ in 0..2 {
            // SAFETY: as above.
            let data = unsafe { &mut *(&raw mut request.ifr_ifru).cast::<MiiData>() };
            data.register = MII_BMSR;
            self.ask(SIOCGMIIREG, &mut request)?;
            // SAFETY: as above.
            status = unsafe { *(&raw const request.ifr_ifru).cast::<MiiData>() }.value_out;
        }
        Ok(status & BMSR_LSTATUS != 0)
    }

    fn ethtool(&self, interface: &str) -> Result<bool, Errno> {
        let mut value = EthtoolValue { command: ETHTOOL_GLINK, data: 0 };
        let mut request = request(interface)?;
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        self.ask(SIOCETHTOOL, &mut request)?;
        Ok(value.data != 0)
    }

    fn flags(&self, interface: &str) -> Result<bool, Errno> {
        let mut request = request(interface)?;
        self.ask(libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: the kernel has filled in the flags.
        let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
        Ok(flags & libc::IFF_RUNNING != 0)
    }

    fn ask(&self, what: libc::c_ulong, request: &mut libc::ifreq) -> Result<(), Errno> {
        // SAFETY: the request, and what it points to, live for the call; the kernel writes within both.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), what as _, &raw mut *request) };
        Errno::result(result).map(drop)
    }
}

/// An empty request for an interface.
fn request(interface: &str) -> Result<libc::ifreq, Errno> {
    // SAFETY: all zero is a valid `struct ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = interface.as_bytes();
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::ENODEV);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::in_namespace;

    #[test]
    fn an_interface_that_is_not_there_has_no_link() {
        let linkbeat = Linkbeat::open().unwrap();
        for way in [Polling::Mii, Polling::Ethtool, Polling::Ioctl] {
            assert!(!linkbeat.is_up("nothing0", way));
        }
        assert!(!linkbeat.is_up("a-name-that-is-much-too-long", Polling::Ioctl));
    }

    #[test]
    fn a_cable_with_both_ends_up_has_a_link_and_one_without_has_none() {
        in_namespace(|| {
            crate::kernel::testing::wire("near0", "far0");
            let linkbeat = Linkbeat::open().unwrap();
            assert_eq!(linkbeat.way("near0"), Polling::Ethtool, "a veth has no MII registers");
            let seen = || [Polling::Ethtool, Polling::Ioctl].map(|way| linkbeat.is_up("near0", way));
            assert_eq!(seen(), [true, true]);
            crate::kernel::testing::run("ip link set far0 down");
            crate::kernel::testing::eventually(|| seen() == [false, false]);
        });
    }
}
