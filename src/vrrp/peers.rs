//! Other routers of the same virtual router that are configured otherwise: each difference is told once, with both
//! values, and again only when it changes or is gone.
//!
//! Beside stock's own lines, which name one side. Whatever is sent, little is remembered and little is said.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::event::Detail;
use super::instance::Machine;
use crate::config::model::Auth;

/// Routers remembered by an instance.
const MOST: usize = 8;
/// Lines of one instance in a minute: anybody on the segment can make up differences.
const LINES: u8 = 8;
const MINUTE: Duration = Duration::from_secs(60);
/// Addresses shown of a list.
const SHOWN: usize = 8;

/// What nodes of one virtual router must have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Version,
    Authentication,
    Interval,
    Addresses,
}

impl Field {
    const ALL: [Self; 4] = [Self::Version, Self::Authentication, Self::Interval, Self::Addresses];

    fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Authentication => "authentication",
            Self::Interval => "advertisement interval",
            Self::Addresses => "address list",
        }
    }
}

/// Who differs, and in what.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Peers {
    /// The one noticed last stands last.
    known: Vec<Peer>,
    budget: Budget,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Peer {
    source: IpAddr,
    /// For each field a number that stands for the value told.
    told: [Option<u64>; Field::ALL.len()],
}

impl Machine<'_> {
    /// Another router differs; `value` is a number that stands for its value.
    pub(super) fn differs(
        &mut self,
        from: IpAddr,
        field: Field,
        value: u64,
        ours: impl Display,
        theirs: impl Display,
    ) {
        let peers = &mut self.run.peers;
        let place = peers.known.iter().position(|peer| peer.source == from);
        if place.is_some_and(|place| peers.known[place].told[field as usize] == Some(value)) {
            return;
        }
        // What is not told now is told with a later advert.
        if !peers.budget.spend(self.now, LINES, MINUTE) {
            return;
        }
        let mut peer = match place {
            Some(place) => peers.known.remove(place),
            None => Peer { source: from, told: [None; Field::ALL.len()] },
        };
        if peers.known.len() >= MOST {
            peers.known.remove(0);
        }
        peer.told[field as usize] = Some(value);
        peers.known.push(peer);
        self.log(
            Detail::Normal,
            format_args!("{from} differs in its {}: ours {ours}, theirs {theirs}", field.name()),
        );
    }

    /// Another router does not differ in this.
    pub(super) fn agrees(&mut self, from: IpAddr, field: Field) {
        let Some(place) = self.run.peers.known.iter().position(|peer| peer.source == from) else { return };
        if self.run.peers.known[place].told[field as usize].take().is_none() {
            return;
        }
        if self.run.peers.known[place].told == [None; Field::ALL.len()] {
            self.run.peers.known.remove(place);
        }
        if self.run.peers.budget.spend(self.now, LINES, MINUTE) {
            self.log(Detail::Normal, format_args!("{from} differs no longer in its {}", field.name()));
        }
    }

    /// The advert was accepted: of its sender at most interval and addresses differ.
    pub(super) fn agrees_in_the_rest(&mut self, from: IpAddr) {
        if !self.run.peers.known.is_empty() {
            self.agrees(from, Field::Version);
            self.agrees(from, Field::Authentication);
        }
    }
}

/// The kind of authentication, in a word; never a secret.
pub(super) fn kind(auth: &Auth) -> &'static str {
    match auth {
        Auth::None => "none",
        Auth::Pass(_) => "PASS",
        Auth::Ah(_) => "AH",
        Auth::Hmac(_) => "auth_hmac",
    }
}

/// The same of an authentication type in an advert.
pub(super) fn kind_of_type(number: u8) -> &'static str {
    match number {
        0 => "none",
        1 => "PASS",
        2 => "AH",
        _ => "unknown",
    }
}

/// A number that stands for a list (FNV-1a).
pub(super) fn mark(addresses: impl Iterator<Item = IpAddr>) -> u64 {
    let add = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    addresses.fold(0xcbf2_9ce4_8422_2325, |sum, address| match address {
        IpAddr::V4(v4) => v4.octets().into_iter().fold(sum, add),
        IpAddr::V6(v6) => v6.octets().into_iter().fold(sum, add),
    })
}

/// The first addresses of a list, and how many there are.
pub(super) struct Listed<I>(pub(super) I);

impl<I: Iterator<Item = IpAddr> + Clone> Display for Listed<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.clone().count();
        if count == 0 {
            return f.write_str("no address");
        }
        for (place, address) in self.0.clone().take(SHOWN).enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{address}")?;
        }
        if count > SHOWN { write!(f, " and {} more", count - SHOWN) } else { Ok(()) }
    }
}
