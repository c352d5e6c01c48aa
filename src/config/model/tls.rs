//! What TLS checks present to servers, and what they ask of them (spec/lvs-config.md §11).

use std::fmt;

use serde::{Deserialize, Serialize};

/// `SSL`: what SSL checks present to servers, as written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ssl {
    /// Password of the key.
    pub password: Option<String>,
    /// CA file; stock verifies nothing with it.
    pub ca: Option<String>,
    /// Certificate chain.
    pub certificate: Option<String>,
    /// Private key.
    pub key: Option<String>,
}

/// `@keepalived-rs tls_verify`: who a server must prove to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum TlsVerify {
    /// Nobody, as with stock.
    #[default]
    No,
    /// One whose certificate the host's trust store vouches for.
    System,
    /// One whose certificate the CA of the profile vouches for.
    Ca,
}

/// Everything that the prober needs for one kind of TLS connection, with the contents of the files: the prober reads
/// none. Checks name theirs by number.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct TlsProfile {
    /// PEM: certificates of authorities.
    pub ca: Option<Vec<u8>>,
    /// PEM: our certificate, then those up to an authority.
    pub certificate: Option<Vec<u8>>,
    /// PEM: our private key.
    pub key: Option<Vec<u8>>,
    /// Of the key.
    pub password: Option<String>,
    /// What the server must show.
    pub verify: TlsVerify,
    /// The name its certificate must bear; `None` is the server name of the handshake, the Host header or the address.
    pub name: Option<String>,
}

/// Without the secrets.
impl fmt::Debug for TlsProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsProfile")
            .field("ca", &self.ca.as_ref().map(Vec::len))
            .field("certificate", &self.certificate.as_ref().map(Vec::len))
            .field("verify", &self.verify)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
