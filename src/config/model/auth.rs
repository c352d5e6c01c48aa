//! How adverts are authenticated: `authentication` and `auth_hmac` (spec/vrrp-config.md §2.1). Secrets are never shown.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The authentication of an instance: the two blocks exclude each other.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Auth {
    /// Type 0.
    None,
    /// Type 1: eight bytes in clear, zero padded.
    Pass([u8; 8]),
    /// Type 2: an `IPsec` authentication header, keyed with eight bytes, zero padded. Version 2 over IPv4 only.
    Ah([u8; 8]),
    /// `auth_hmac`: type 0 and a trailer.
    Hmac(Box<AuthHmac>),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Pass(_) => f.write_str("Pass(********)"),
            Self::Ah(_) => f.write_str("Ah(********)"),
            Self::Hmac(hmac) => f.debug_tuple("Hmac").field(hmac).finish(),
        }
    }
}

/// `auth_hmac`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthHmac {
    /// The keys that received trailers may be made with; each id once.
    pub keys: Vec<HmacKey>,
    /// Id of the key that ours are made with; it is among `keys`.
    pub active: u8,
    /// Against recorded adverts.
    pub anti_replay: AntiReplay,
    /// What is asked of others.
    pub mode: HmacMode,
}

impl AuthHmac {
    /// The key of this id.
    pub fn key(&self, id: u8) -> Option<&HmacKey> {
        self.keys.iter().find(|key| key.id == id)
    }
}

/// One `key`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacKey {
    /// 1..=255.
    pub id: u8,
    /// 32 to 64 bytes.
    pub value: Vec<u8>,
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HmacKey({})", self.id)
    }
}

/// `anti_replay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AntiReplay {
    /// The sender's clock must be right, and each sender's sequence grow.
    Time {
        /// How wrong it may be, 1 to 300 s.
        window: Duration,
    },
    /// Each sender's sequence must grow.
    Monotonic,
}

/// `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HmacMode {
    /// Sign, and accept only what is signed.
    Enforce,
    /// Sign, and accept what is not signed, too.
    Permissive,
    /// Do not sign; accept what is not signed, and check what is.
    ReceiveOnly,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_ever_printed() {
        let hmac = AuthHmac {
            keys: vec![HmacKey { id: 9, value: b"a very long and very secret key!".to_vec() }],
            active: 9,
            anti_replay: AntiReplay::Monotonic,
            mode: HmacMode::Enforce,
        };
        let shown = format!(
            "{:?}",
            [Auth::Pass(*b"secret\0\0"), Auth::Ah(*b"secret\0\0"), Auth::Hmac(Box::new(hmac))]
        );
        assert!(!shown.contains("secret") && !shown.contains("115"), "{shown}");
        assert!(shown.contains("HmacKey(9)"), "{shown}");
    }
}
