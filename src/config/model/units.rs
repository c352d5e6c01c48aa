//! Numbers with their unit and range in the type.

use std::fmt;
use std::num::NonZeroU8;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A virtual router identifier, 1..=255 (RFC 9568 §5.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vrid(NonZeroU8);

impl Vrid {
    /// `None` for 0.
    pub fn new(vrid: u8) -> Option<Self> {
        NonZeroU8::new(vrid).map(Self)
    }

    /// The number on the wire.
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A VRRP priority, 1..=255; 255 is the address owner (RFC 9568 §5.2.4). Priority 0 is a message, not a priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Priority(NonZeroU8);

impl Priority {
    /// The address owner's.
    pub const OWNER: Self = Self(NonZeroU8::MAX);
    /// RFC 9568 §5.2.4.
    pub const DEFAULT: Self = Self(NonZeroU8::MIN.saturating_add(99));

    /// `None` for 0.
    pub fn new(priority: u8) -> Option<Self> {
        NonZeroU8::new(priority).map(Self)
    }

    /// The number on the wire.
    pub fn get(self) -> u8 {
        self.0.get()
    }

    /// Is this the address owner's priority?
    pub fn is_owner(self) -> bool {
        self == Self::OWNER
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An advertisement interval in centiseconds: whole seconds up to 255 s in version 2, up to 40.95 s in version 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Centis(pub u16);

impl Centis {
    /// One second, the default interval (RFC 9568 §6.1).
    pub const SECOND: Self = Self(100);

    /// The same as a duration.
    pub fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0) * 10)
    }
}

/// The protocol version of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum VrrpVersion {
    /// RFC 3768.
    V2,
    /// RFC 9568 (and 5798).
    V3,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: std::net::IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}
