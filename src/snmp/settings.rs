//! The objects that a manager may set. Pure.

use super::keepalived_check::WEIGHT;
use super::keepalived_vrrp::{BASE_PRIORITY, PREEMPT, node};
use super::packet::Value;
use super::view::View;
use crate::config::model::Priority;

/// What a manager sets; it holds until the next reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// The base priority of an instance.
    Priority {
        /// Its name.
        instance: String,
        /// 1..=255.
        priority: Priority,
    },
    /// Does an instance take over from a lower priority?
    Preempt {
        /// Its name.
        instance: String,
        /// Does it?
        preempt: bool,
    },
    /// The weight of a real server.
    Weight {
        /// Place of its virtual server in the configuration.
        virtual_server: usize,
        /// Its own place in that.
        real_server: usize,
        /// 0..=65535.
        weight: u32,
    },
}

/// Why something cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another type is wanted.
    WrongType,
    /// No such value.
    WrongValue,
    /// There is no such object, and none can be made.
    NoCreation,
    /// It can only be read.
    NotWritable,
}

/// What setting this object would change, and what that is now.
pub(super) fn setting(view: &View, name: &[u32], value: &Value) -> Result<(Setting, Setting), Refusal> {
    if let Some([WEIGHT, server, real]) = name.strip_prefix(node(&[3, 4, 1]).as_slice()) {
        return weight(view, *server, *real, value);
    }
    let entry = node(&[2, 3, 1]);
    let Some([column @ (BASE_PRIORITY | PREEMPT), row]) = name.strip_prefix(entry.as_slice()) else {
        return Err(Refusal::NotWritable);
    };
    let place = usize::try_from(*row).ok().and_then(|row| row.checked_sub(1));
    let config = place.and_then(|place| view.part.vrrp.instances.get(place)).ok_or(Refusal::NoCreation)?;
    let Value::Integer(number) = *value else { return Err(Refusal::WrongType) };
    let instance = config.name.clone();
    if *column == BASE_PRIORITY {
        let priority = u8::try_from(number).ok().and_then(Priority::new).ok_or(Refusal::WrongValue)?;
        let before = config.priority;
        Ok((
            Setting::Priority { instance: instance.clone(), priority },
            Setting::Priority { instance, priority: before },
        ))
    } else {
        let preempt = match number {
            1 => true,
            2 => false,
            _ => return Err(Refusal::WrongValue),
        };
        let before = config.preempt;
        Ok((
            Setting::Preempt { instance: instance.clone(), preempt },
            Setting::Preempt { instance, preempt: before },
        ))
    }
}

/// The same of a real server; the sorry server, which is numbered first, has none.
fn weight(view: &View, server: u32, real: u32, value: &Value) -> Result<(Setting, Setting), Refusal> {
    let place = |number: u32| usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    let virtual_server = place(server).ok_or(Refusal::NoCreation)?;
    let config = view.part.checkers.virtual_servers.get(virtual_server).ok_or(Refusal::NoCreation)?;
    let sorry = usize::from(config.sorry_server.is_some());
    let real_server =
        place(real).ok_or(Refusal::NoCreation)?.checked_sub(sorry).ok_or(Refusal::NotWritable)?;
    let before = config.real_servers.get(real_server).ok_or(Refusal::NoCreation)?.weight;
    let Value::Integer(number) = *value else { return Err(Refusal::WrongType) };
    let weight = u32::try_from(number).ok().filter(|weight| *weight <= 65535).ok_or(Refusal::WrongValue)?;
    let set = |weight| Setting::Weight { virtual_server, real_server, weight };
    Ok((set(weight), set(before)))
}
