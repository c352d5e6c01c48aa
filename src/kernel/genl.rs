//! Generic netlink: the number of a family. It is dynamic, and loading the module behind it is the kernel's business.

use nix::errno::Errno;

use super::netlink::{Connection, Refusal, Request, attributes};

/// `GENL_ID_CTRL` of `linux/genetlink.h`: the family that knows the families.
const CONTROLLER: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// Length of `struct genlmsghdr`.
pub(super) const HEADER: usize = 4;

/// A request of a generic netlink family; attributes follow.
pub(super) fn request(family: u16, command: u8) -> Request {
    Request::new(family, &[command, 1, 0, 0])
}

/// The command and the attributes of a message body.
pub(super) fn split(body: &[u8]) -> Option<(u8, &[u8])> {
    Some((*body.first()?, body.get(HEADER..)?))
}

/// The number under which the kernel knows a family; `ENOENT` when it does not.
pub(super) fn resolve(connection: &mut Connection, name: &str) -> Result<u16, Refusal> {
    let found = connection.query(&resolution(name), |_, body| family_number(body))?;
    found.first().copied().ok_or(Refusal { errno: Errno::ENOENT, note: None })
}

fn resolution(name: &str) -> Request {
    let mut text = name.as_bytes().to_vec();
    text.push(0);
    request(CONTROLLER, CTRL_CMD_GETFAMILY).attribute(CTRL_ATTR_FAMILY_NAME, &text)
}

fn family_number(body: &[u8]) -> Option<u16> {
    let (_, inside) = split(body)?;
    attributes(inside)
        .find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID)
        .and_then(|(_, value)| value.first_chunk().map(|id| u16::from_ne_bytes(*id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resolution_request_is_stocks_bytes() {
        let bytes = resolution("IPVS").bytes(1);
        assert_eq!(bytes[4..6], 16u16.to_ne_bytes());
        let expected = [3, 1, 0, 0, 9, 0, 2, 0, b'I', b'P', b'V', b'S', 0, 0, 0, 0];
        assert_eq!(bytes[16..], expected);
    }

    #[test]
    fn a_family_number_is_found_or_not_and_never_panics() {
        let reply = request(CONTROLLER, 1)
            .attribute(CTRL_ATTR_FAMILY_NAME, b"IPVS\0")
            .attribute(CTRL_ATTR_FAMILY_ID, &0x1du16.to_ne_bytes())
            .bytes(1);
        assert_eq!(family_number(&reply[16..]), Some(0x1d));
        for length in 16..reply.len() {
            let _ = family_number(&reply[16..length]);
        }
    }
}
