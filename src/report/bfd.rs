//! `keepalived_bfd.data`: the sessions of the BFD process, as text. spec/dump-format.md §5.

use std::fmt::{Arguments, Write as _};

use super::clock::{Clock, Moment};
use super::global::{Writer, global};
use crate::bfd::Snapshot;
use crate::config::model::{BfdInstance, BfdSession, Global};
use crate::time::Time;

/// What the BFD process knows at this moment.
pub struct BfdData<'a> {
    /// Global values.
    pub global: &'a Global,
    /// Instances in file order, each with the state of its session. Those that cannot run are left out.
    pub instances: Vec<(&'a BfdInstance, Option<Live>)>,
    /// The listening sockets: whether it is that of multihop, and its descriptor.
    pub descriptors: &'a [(bool, i32)],
    /// This moment.
    pub clock: Clock,
}

/// A session at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// What the core says.
    pub state: Snapshot,
    /// Its sending socket; -1 for none.
    pub descriptor: i32,
}

/// The whole file.
pub fn bfd_data(data: &BfdData<'_>) -> String {
    let mut out = String::new();
    global(&mut out, data.global, Writer::Bfd);
    let mut line = |indent: usize, text: Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:indent$}{text}", "");
    };
    line(0, format_args!("------< BFD Data >------"));
    for (multihop, descriptor) in data.descriptors {
        let which = if *multihop { "multihop fd_in" } else { "fd_in" };
        line(1, format_args!("{which} = {descriptor}"));
    }
    line(1, format_args!("thread_in = 0x(nil)"));
    let running = data.instances.iter().filter_map(|(it, state)| Some((*it, it.session.as_ref()?, *state)));
    for (index, (instance, session, state)) in running.enumerate() {
        if index == 0 {
            line(0, format_args!("------< BFD Topology >------"));
        }
        line(1, format_args!("BFD Instance = {}", instance.name));
        write_session(&mut |text| line(3, text), instance, session);
        let state = state.unwrap_or(Live { state: Snapshot::idle(session), descriptor: -1 });
        write_state(&mut |text| line(3, text), state, data.clock);
    }
    out
}

fn write_session(line: &mut dyn FnMut(Arguments<'_>), instance: &BfdInstance, session: &BfdSession) {
    let yes = |value: bool| if value { "Yes" } else { "No" };
    line(format_args!("Neighbor IP = {}", session.neighbor));
    if let Some(source) = session.source {
        line(format_args!("Source IP = {source}"));
    }
    line(format_args!("Required min RX interval = {} us", session.min_rx.as_micros()));
    line(format_args!("Desired min TX interval = {} us", session.min_tx.as_micros()));
    line(format_args!("Desired idle TX interval = {} us", session.idle_tx.as_micros()));
    line(format_args!("Detection multiplier = {}", session.multiplier));
    let ttl = if session.neighbor.is_ipv4() { "TTL" } else { "hoplimit" };
    line(format_args!("{ttl} = {}", session.ttl));
    line(format_args!("max_hops = {}", session.max_hops));
    line(format_args!("passive = {}", session.passive));
    line(format_args!("send event to VRRP process = {}", yes(instance.tells_vrrp)));
    line(format_args!("send event to checker process = {}", yes(instance.tells_checkers)));
}

/// Addresses of stock's timers mean nothing here: they are all null.
fn write_state(line: &mut dyn FnMut(Arguments<'_>), Live { state, descriptor }: Live, clock: Clock) {
    let bit = |value: bool| if value { "" } else { "!" };
    let due = |time: Option<Time>| {
        time.map_or("[disabled]".to_owned(), |time| {
            let moment: Moment = clock.epoch_of(Some(time));
            format!("{moment} ({})", moment.short())
        })
    };
    line(format_args!("fd_out {descriptor}"));
    line(format_args!("thread_open_fd_out 0x(nil)"));
    for (name, time) in [("out", state.next_send), ("exp", state.expires), ("rst", state.resets)] {
        line(format_args!("thread_{name} 0x(nil)"));
        line(format_args!("sands_{name} = {}", due(time)));
    }
    line(format_args!("send error = {}", state.send_error));
    line(format_args!("local state = {}", state.local.name()));
    line(format_args!("remote state = {}", state.remote.name()));
    line(format_args!("local discriminator = 0x{:x}", state.local_discriminator));
    line(format_args!("remote discriminator = 0x{:x}", state.remote_discriminator));
    line(format_args!("local diag = {}", state.local_diagnostic.name()));
    line(format_args!("remote diag = {}", state.remote_diagnostic.name()));
    line(format_args!("remote min tx intv = {} us", state.remote_min_tx.as_micros()));
    line(format_args!("remote min rx intv = {} us", state.remote_min_rx.as_micros()));
    line(format_args!("local demand = {}", u8::from(state.local_demand)));
    line(format_args!("remote demand = {}", u8::from(state.remote_demand)));
    line(format_args!("remote detect multiplier = {}", state.remote_multiplier));
    line(format_args!("{}poll, {}final", bit(state.poll), bit(state.is_final)));
    line(format_args!("local tx intv = {} us", state.local_tx.as_micros()));
    line(format_args!("remote tx intv = {} us", state.remote_tx.as_micros()));
    line(format_args!("local detection time = {} us", state.local_detection.as_micros()));
    line(format_args!("remote detection time = {} us", state.remote_detection.as_micros()));
    match state.last_seen {
        None => line(format_args!("last_seen = [never]")),
        Some(time) => {
            let moment = clock.epoch_of(Some(time));
            line(format_args!("last seen = {moment} ({})", moment.odd()));
        }
    }
}
