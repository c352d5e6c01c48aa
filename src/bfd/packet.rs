//! The BFD control packet (RFC 5880 §4.1): bytes to struct and back. No authentication section is ever sent or accepted.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! |Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
//! |                       My Discriminator                        |
//! |                      Your Discriminator                       |
//! |                    Desired Min TX Interval                    |
//! |                   Required Min RX Interval                    |
//! |                 Required Min Echo RX Interval                 |
//! ```

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes of a packet without authentication.
pub const LENGTH: usize = 24;
/// RFC 5880.
const VERSION: u8 = 1;
/// The highest diagnostic code of RFC 5880.
const LAST_DIAGNOSTIC: u8 = 8;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// The state of a session, ours or the peer's (RFC 5880 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Phase {
    /// 0: taken down by an operator.
    AdminDown,
    /// 1.
    #[default]
    Down,
    /// 2: the peer is heard and has not heard us.
    Init,
    /// 3.
    Up,
}

impl Phase {
    fn code(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    fn of(code: u8) -> Self {
        match code & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    /// As logs name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        }
    }
}

/// Why the last transition out of Up happened (RFC 5880 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// 0.
    pub const NONE: Self = Self(0);
    /// 1: nothing was heard for the detection time.
    pub const EXPIRED: Self = Self(1);
    /// 3: the peer said that it is down.
    pub const NEIGHBOR_DOWN: Self = Self(3);
    /// 7.
    pub const ADMIN_DOWN: Self = Self(7);

    /// As logs name it.
    pub fn name(self) -> &'static str {
        match self.0 {
            0 => "No Diagnostic",
            1 => "Control Detection Time Expired",
            2 => "Echo Function Failed",
            3 => "Neighbor Signaled Session Down",
            4 => "Forwarding Plane Reset",
            5 => "Path Down",
            6 => "Concatenated Path Down",
            7 => "Administratively Down",
            _ => "Reverse Concatenated Path Down",
        }
    }
}

/// A control packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender last went down.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub phase: Phase,
    /// The sender wants an answer with `is_final`.
    pub poll: bool,
    /// The answer to a poll.
    pub is_final: bool,
    /// The peer may stop sending while the session is up.
    pub demand: bool,
    /// Detection multiplier, not 0.
    pub multiplier: u8,
    /// The sender's number of the session, not 0.
    pub mine: u32,
    /// The receiver's number, 0 while it is not known.
    pub yours: u32,
    /// Desired Min TX Interval, microseconds.
    pub min_tx: u32,
    /// Required Min RX Interval, microseconds.
    pub min_rx: u32,
}

/// Why bytes are no packet that we take (spec/bfd.md §2, in its order; the checks that need a session come later).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Shorter than a packet, or not as long as it says.
    #[error("{found} bytes, and the packet says {said}")]
    Length {
        /// Bytes received.
        found: usize,
        /// Its length field.
        said: u8,
    },
    /// Not 1.
    #[error("version {0}")]
    Version(u8),
    /// Detect Mult is 0.
    #[error("detection multiplier 0")]
    Multiplier,
    /// The M bit is reserved.
    #[error("the multipoint bit is set")]
    Multipoint,
    /// My Discriminator is 0.
    #[error("my discriminator is 0")]
    NoDiscriminator,
    /// Your Discriminator is 0 in a state that needs it.
    #[error("your discriminator is 0 in state {}", .0.name())]
    Nameless(Phase),
    /// Poll and final at once.
    #[error("poll and final at once")]
    PollAndFinal,
    /// Above 8.
    #[error("diagnostic {0}")]
    Diagnostic(u8),
}

/// A packet, and whether it claims to be authenticated: stock looks at that last, after the session is found.
pub fn decode(bytes: &[u8]) -> Result<(Packet, Authenticated), DecodeError> {
    let said = bytes.get(3).copied().unwrap_or(0);
    let wrong_length = DecodeError::Length { found: bytes.len(), said };
    let Some((head, _)) = bytes.split_first_chunk::<LENGTH>() else { return Err(wrong_length) };
    if bytes.len() != usize::from(said) {
        return Err(wrong_length);
    }
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if head[0] >> 5 != VERSION {
        return Err(DecodeError::Version(head[0] >> 5));
    }
    let (diagnostic, flags) = (head[0] & 0x1f, head[1]);
    let packet = Packet {
        diagnostic: Diagnostic(diagnostic),
        phase: Phase::of(flags >> 6),
        poll: flags & POLL != 0,
        is_final: flags & FINAL != 0,
        demand: flags & DEMAND != 0,
        multiplier: head[2],
        mine: word(4),
        yours: word(8),
        min_tx: word(12),
        min_rx: word(16),
    };
    if packet.multiplier == 0 {
        return Err(DecodeError::Multiplier);
    }
    if flags & MULTIPOINT != 0 {
        return Err(DecodeError::Multipoint);
    }
    if packet.mine == 0 {
        return Err(DecodeError::NoDiscriminator);
    }
    if packet.yours == 0 && !matches!(packet.phase, Phase::Down | Phase::AdminDown) {
        return Err(DecodeError::Nameless(packet.phase));
    }
    if packet.poll && packet.is_final {
        return Err(DecodeError::PollAndFinal);
    }
    if diagnostic > LAST_DIAGNOSTIC {
        return Err(DecodeError::Diagnostic(diagnostic));
    }
    Ok((packet, if flags & AUTHENTICATION != 0 { Authenticated::Yes } else { Authenticated::No }))
}

/// Does a packet have the A bit?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authenticated {
    /// Yes: it is not taken.
    Yes,
    /// No.
    No,
}

impl Packet {
    /// Its bytes.
    pub fn encode(&self) -> [u8; LENGTH] {
        let flag = |is: bool, bit: u8| if is { bit } else { 0 };
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION << 5 | self.diagnostic.0;
        bytes[1] = self.phase.code() << 6
            | flag(self.poll, POLL)
            | flag(self.is_final, FINAL)
            | flag(self.demand, DEMAND);
        bytes[2] = self.multiplier;
        // 24 fits.
        bytes[3] = u8::try_from(LENGTH).unwrap_or(0);
        let words = [self.mine, self.yours, self.min_tx, self.min_rx];
        for (place, word) in bytes[4..20].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UP: Packet = Packet {
        diagnostic: Diagnostic::NONE,
        phase: Phase::Up,
        poll: true,
        is_final: false,
        demand: false,
        multiplier: 5,
        mine: 0x0102_0304,
        yours: 0x0a0b_0c0d,
        min_tx: 10_000,
        min_rx: 20_000,
    };
    const BYTES: [u8; LENGTH] =
        [0x20, 0xe0, 5, 24, 1, 2, 3, 4, 10, 11, 12, 13, 0, 0, 0x27, 0x10, 0, 0, 0x4e, 0x20, 0, 0, 0, 0];

    #[test]
    fn a_packet_and_its_bytes() {
        assert_eq!(UP.encode(), BYTES);
        assert_eq!(decode(&BYTES), Ok((UP, Authenticated::No)));
    }

    #[test]
    fn what_is_wrong_with_a_packet_is_told() {
        let with = |at: usize, value: u8| {
            let mut bytes = BYTES;
            bytes[at] = value;
            decode(&bytes)
        };
        assert_eq!(decode(&BYTES[..23]), Err(DecodeError::Length { found: 23, said: 24 }));
        assert_eq!(decode(&[]), Err(DecodeError::Length { found: 0, said: 0 }));
        assert_eq!(with(3, 25), Err(DecodeError::Length { found: 24, said: 25 }));
        assert_eq!(with(0, 0x40), Err(DecodeError::Version(2)));
        assert_eq!(with(2, 0), Err(DecodeError::Multiplier));
        assert_eq!(with(1, 0xe1), Err(DecodeError::Multipoint));
        assert_eq!(with(1, 0xf0), Err(DecodeError::PollAndFinal));
        assert_eq!(with(0, 0x29), Err(DecodeError::Diagnostic(9)));
        assert_eq!(with(1, 0xe4).map(|(_, a)| a), Ok(Authenticated::Yes));
        let mut bytes = BYTES;
        bytes[4..8].fill(0);
        assert_eq!(decode(&bytes), Err(DecodeError::NoDiscriminator));
        let mut bytes = BYTES;
        bytes[8..12].fill(0);
        assert_eq!(decode(&bytes), Err(DecodeError::Nameless(Phase::Up)));
        bytes[1] = 0x40;
        assert!(decode(&bytes).is_ok(), "a peer that is down does not know us yet");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_what_is_read_is_written_the_same(bytes: Vec<u8>) {
            if let Ok((packet, _)) = decode(&bytes) {
                prop_assert_eq!(decode(&packet.encode()), Ok((packet, Authenticated::No)));
            }
        }
    }
}
