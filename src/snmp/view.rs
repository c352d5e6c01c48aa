//! What the objects are taken from, and how plain values become values of SNMP. Pure.

use std::net::IpAddr;
use std::time::Duration;

use super::packet::Value;
use crate::config::model::{Command, Instance, ReporterPart};
use crate::lvs::snapshot::CheckersSnapshot;
use crate::time::Time;
use crate::vrrp::{Counters, InstanceSnapshot, Interface, Snapshot};

/// One moment of everything that is told.
pub struct View {
    /// What runs.
    pub part: ReporterPart,
    /// The release whose behaviour this is.
    pub version: &'static str,
    /// How vrrp is; `None` while it does not run or has not said.
    pub vrrp: Option<Snapshot>,
    /// How checkers is; `None` while it does not run or has not said.
    pub checkers: Option<CheckersSnapshot>,
    /// When this process began.
    pub began: Time,
    /// Now.
    pub now: Time,
}

impl View {
    /// An instance of the configuration and how it is.
    pub fn instance(&self, place: usize) -> Option<(&Instance, &InstanceSnapshot)> {
        let snapshot = self.vrrp.as_ref()?;
        Some((self.part.vrrp.instances.get(place)?, snapshot.instances.get(place)?))
    }

    /// An interface of the host by its name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.vrrp.as_ref()?.interfaces.iter().find(|it| it.link.name == name)
    }

    /// Index of the interface that an instance's rows in the MIBs of the RFCs stand under; 0 without one.
    pub fn if_index(&self, instance: &Instance) -> u32 {
        instance.shown_interface().and_then(|name| self.interface(name)).map_or(0, |it| it.link.index)
    }

    /// The statistics of an instance.
    pub fn counters(&self, place: usize) -> Option<&Counters> {
        Some(&self.instance(place)?.1.counters)
    }
}

/// INTEGER of any number that fits.
pub(super) fn int(number: impl TryInto<i32>) -> Option<Value> {
    number.try_into().ok().map(Value::Integer)
}

/// Gauge32 of any number; too large is the largest.
pub(super) fn gauge(number: impl TryInto<u32>) -> Option<Value> {
    Some(Value::Gauge32(number.try_into().unwrap_or(u32::MAX)))
}

/// Counter32, which turns over.
pub(super) fn counter(number: u64) -> Option<Value> {
    Some(Value::Counter32(u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0)))
}

pub(super) fn text(text: &str) -> Option<Value> {
    Some(Value::Octets(text.as_bytes().to_vec()))
}

/// 1 or 2: enabled and disabled, true and false, set and unset.
pub(super) fn one_or_two(yes: bool) -> Option<Value> {
    Some(Value::Integer(if yes { 1 } else { 2 }))
}

/// `InetAddress`.
pub(super) fn address(address: IpAddr) -> Option<Value> {
    Some(Value::Octets(octets(address)))
}

/// An address as bytes.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// `InetAddressType`.
pub(super) fn family(address: IpAddr) -> Option<Value> {
    Some(Value::Integer(if address.is_ipv4() { 1 } else { 2 }))
}

/// `IpAddress`, which is IPv4.
pub(super) fn ipv4(address: IpAddr) -> Option<Value> {
    match address {
        IpAddr::V4(address) => Some(Value::Address(address.octets())),
        IpAddr::V6(_) => None,
    }
}

/// `InetScopeType` of a scope of the kernel.
pub(super) fn scope(scope: u8) -> Option<Value> {
    Some(Value::Integer(match scope {
        0 => 14,
        200 => 5,
        253 => 2,
        254 => 1,
        _ => 0,
    }))
}

pub(super) fn seconds(time: Duration) -> Option<Value> {
    gauge(time.as_secs())
}

/// Stock: each word in quotes.
pub(super) fn command(command: Option<&Command>) -> Option<Value> {
    let words: Vec<String> = command?.argv.iter().map(|word| format!("'{word}'")).collect();
    text(&words.join(" "))
}

/// `TimeTicks` from a moment until now.
pub(super) fn ticks(time: Duration) -> Option<Value> {
    Some(Value::TimeTicks(u32::try_from(time.as_millis() / 10 % (1 << 32)).unwrap_or(0)))
}
