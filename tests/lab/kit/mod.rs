//! The parts every lab case and the demo are made of: hosts, daemons, the wire, servers and clients.
//!
//! Nothing here knows the inside of a daemon: it is started by its command line and watched by what it sends, what it
//! does to the kernel, what it logs and whom it tells. The demo (`examples/cluster`) uses the same files.
#![allow(dead_code, reason = "the lab and the demo each use a part of the kit")]

pub(crate) mod addresses;
pub(crate) mod daemon;
pub(crate) mod frr;
pub(crate) mod guest;
pub(crate) mod http;
pub(crate) mod inject;
pub(crate) mod ipvs;
pub(crate) mod net;
pub(crate) mod pipe;
pub(crate) mod place;
pub(crate) mod post;
pub(crate) mod relay;
pub(crate) mod told;
pub(crate) mod wait;
pub(crate) mod wire;
