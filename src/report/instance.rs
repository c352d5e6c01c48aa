//! What `keepalived.data` says of one instance, line by line in stock's order. spec/dump-format.md §3.

use super::routing;
use super::text::{self, Installed, enabled, shortest, yes};
use super::vrrp::{Page, Socket, View, carrier};
use crate::config::model::{
    AntiReplay, Auth, AuthHmac, Family, HmacMode, Instance, Transport, UnicastChecksum, VirtualAddress,
    VirtualLinkKind, VrrpPart, VrrpVersion,
};
use crate::vrrp::{Faults, InstanceSnapshot, ListenerKind, VrrpState};

impl Page {
    pub(super) fn instance(&mut self, view: View<'_>, config: &Instance, now: &InstanceSnapshot) {
        self.put(format_args!(" VRRP Instance = {}", config.name));
        let version = match config.version {
            VrrpVersion::V2 => 2,
            VrrpVersion::V3 => 3,
        };
        self.line(format_args!("VRRP Version = {version}"));
        let group = view.part.sync_groups.iter().find(|group| group.members.contains(&config.name));
        if let Some(group) = group {
            self.line(format_args!("Sync group = {}", group.name));
        }
        if config.family == Family::V6 {
            self.line(format_args!("Using Native IPv6"));
        }
        self.state(view, config, now);
        self.links(view, config);
        match (&config.interface, &config.links.own) {
            (Some(base), Some(own)) => {
                let kind = match own.kind {
                    VirtualLinkKind::Vmac { .. } => "vmac",
                    VirtualLinkKind::Ipvlan { .. } => "ipvlan",
                };
                let xmit = if config.links.xmit_base { ", xmit base i/f" } else { "" };
                self.line(format_args!("Interface = {}, {kind} on {base}{xmit}", own.name));
            }
            (Some(name), None) => self.line(format_args!("Interface = {name}")),
            (None, _) => self.line(format_args!("Interface = not configured")),
        }
        if let Some(vrf) = &config.links.vrf {
            self.line(format_args!("VRF = {vrf}"));
        }
        for (applies, text) in [
            (config.dont_track_primary, "VRRP interface tracking disabled"),
            (config.skip_check_adv_addr, "Skip checking advert IP addresses"),
            (config.strict, "Enforcing strict VRRP compliance"),
        ] {
            if applies {
                self.line(format_args!("{text}"));
            }
        }
        match (now.source, config.source) {
            (Some(source), Some(_)) => {
                self.line(format_args!("Using src_ip = {source} (from configuration)"));
            }
            (Some(source), None) => self.line(format_args!("Using src_ip = {source}")),
            (None, _) => self.line(format_args!("Using src_ip = (none)")),
        }
        if let Transport::Multicast { group } = &config.transport {
            let interface = view.snapshot.interfaces.iter();
            let index = interface
                .filter(|interface| Some(interface.link.name.as_str()) == config.advert_interface())
                .map(|interface| interface.link.index)
                .next();
            match (config.family, index) {
                (Family::V6, Some(index)) => {
                    self.line(format_args!("Multicast address {group}, ifindex {index}"));
                }
                _ => self.line(format_args!("Multicast address {group}")),
            }
        }
        self.settings(view, config, now);
        self.addresses(config, now);
        self.unicast(view, config, now);
        if !config.routes.is_empty() {
            self.line(format_args!("Virtual Routes :"));
        }
        for route in &config.routes {
            self.entry(format_args!("{}", routing::route(route)));
        }
        if !config.rules.is_empty() {
            self.line(format_args!("Virtual Rules :"));
        }
        for rule in &config.rules {
            self.entry(format_args!("{}", routing::rule(rule)));
        }
        self.trackers(&config.track_interfaces, &config.track_scripts);
        self.more_trackers(&config.into(), "Tracked processes :");
        self.line(format_args!("Using smtp notification = {}", yes(config.smtp_alert)));
        let deleted = if config.notify_deleted { "Deleted" } else { "Fault" };
        self.line(format_args!("Notify deleted = {deleted}"));
        self.notify(&view.part.global, &config.notify);
        self.line(format_args!("Notify priority changes = {}", config.notify_priority_changes));
    }

    /// From `State` to `Master down timer`: what is true now.
    fn state(&mut self, view: View<'_>, config: &Instance, now: &InstanceSnapshot) {
        self.line(format_args!("State = {}", now.state.name()));
        if now.state == VrrpState::Backup {
            if let Some((master, priority)) = now.master {
                self.line(format_args!("Master router = {master}"));
                self.line(format_args!("Master priority = {priority}"));
            } else {
                self.line(format_args!("Master router = (none)"));
                self.line(format_args!("Master priority = 0"));
            }
            if config.version == VrrpVersion::V3 {
                let millis = u32::from(now.master_advert_int.0) * 10;
                self.line(format_args!("Master advert interval = {millis} milli-sec"));
            }
        }
        if now.state == VrrpState::Master && config.priority.is_owner() {
            self.line(format_args!("Rogue master counter = 0"));
            self.line(format_args!("Roger timer thread = (nil)"));
        }
        let is_unicast = matches!(config.transport, Transport::Unicast { .. });
        // Other flags count, too, but have no line of their own.
        if is_unicast
            || config.unicast_without_peers
            || config.unicast_fault_no_peer
            || config.promote_secondaries
            || !config.preempt
            || !config.accept
            || config.dont_track_primary
            || config.skip_check_adv_addr
            || config.source.is_some()
            || config.links.own.is_some()
        {
            self.line(format_args!("Flags:"));
            if is_unicast {
                let twin = if has_twin(view.part, config) { " with VRID duplication" } else { "" };
                self.entry(format_args!("Using unicast{twin}"));
            }
            if config.unicast_without_peers {
                self.entry(format_args!("Unicast config option specified but using multicast"));
            }
            if config.unicast_fault_no_peer {
                self.entry(format_args!("If unicast go to fault state if no peers"));
            }
        } else {
            self.line(format_args!("Flags: none"));
        }
        if now.logged != 0 {
            self.line(format_args!("Rate-limit flags = 0x{:x}", now.logged));
        }
        self.line(format_args!("Wantstate = {}", now.wanted.name()));
        self.line(format_args!("Number of config faults = {}", u8::from(now.faults.config)));
        self.line(format_args!("Number of tracker faults = {}", now.faults.trackers));
        self.faults(now.faults);
        self.line(format_args!("Number of track scripts init = {}", now.scripts_pending));
        let transition = view.clock.epoch_of(now.last_transition);
        self.line(format_args!("Last transition = {transition} ({})", transition.long()));
        match now.timer {
            Some(_) => {
                let timer = view.clock.epoch_of(now.timer);
                self.line(format_args!("Read timeout = {timer} ({})", timer.long()));
            }
            None => self.line(format_args!("Read timeout = DISABLED")),
        }
        self.line(format_args!("Master down timer = {} usecs", now.master_down.as_micros()));
    }

    fn faults(&mut self, faults: Faults) {
        let flags = [
            (faults.interface_down, "i/f down"),
            (faults.base_down, "base i/f down"),
            (faults.no_source, "no source IP address"),
            (faults.config, "config error"),
            (faults.trackers > 0, "unspecified"),
        ];
        if flags.iter().all(|(is_set, _)| !is_set) {
            self.line(format_args!("Flags of interface faults - (none)"));
            return;
        }
        self.line(format_args!("Flags of interface faults:"));
        for (_, name) in flags.iter().filter(|(is_set, _)| *is_set) {
            self.entry(format_args!("{name}"));
        }
    }

    /// From the ARP schedule to the version 3 checksum: what is configured.
    fn settings(&mut self, view: View<'_>, config: &Instance, now: &InstanceSnapshot) {
        let garp = &config.garp;
        self.line(format_args!("Gratuitous ARP delay = {}", garp.delay.as_secs()));
        self.line(format_args!("Gratuitous ARP repeat = {}", garp.repeat));
        self.line(format_args!("Gratuitous ARP refresh = {}", garp.refresh.as_secs()));
        self.line(format_args!("Gratuitous ARP refresh repeat = {}", garp.refresh_repeat));
        self.line(format_args!("Gratuitous ARP lower priority delay = {}", garp.lower_prio_delay.as_secs()));
        self.line(format_args!("Gratuitous ARP lower priority repeat = {}", garp.lower_prio_repeat));
        self.line(format_args!("Down timer adverts = {}", config.down_timer_adverts));
        if !garp.extra.interval.is_zero() {
            let (what, seconds) =
                (if garp.extra.all { "i/f" } else { "VMAC" }, garp.extra.interval.as_secs());
            self.line(format_args!("Gratuitous ARP for each secondary {what} = {seconds}"));
        }
        let (lower, higher) = (!config.lower_prio_no_advert, config.higher_prio_send_advert);
        self.line(format_args!("Send advert after receive lower priority advert = {lower}"));
        self.line(format_args!("Send advert after receive higher priority advert = {higher}"));
        if config.priority.is_owner() {
            let ignores = config.owner_ignore_adverts;
            self.line(format_args!("Address owner ignores received adverts = {ignores}"));
        }
        self.line(format_args!("Virtual Router ID = {}", config.vrid));
        self.line(format_args!("Priority = {}", config.priority));
        self.line(format_args!("Effective priority = {}", now.effective_priority));
        self.line(format_args!("Total priority = {}", now.total_priority));
        if !config.preempt {
            self.line(format_args!("Highest other priority = {}", now.highest_other));
        }
        let interval = config.advert_int.0;
        match config.version {
            VrrpVersion::V2 => self.line(format_args!("Advert interval = {} sec", interval / 100)),
            VrrpVersion::V3 => {
                self.line(format_args!("Advert interval = {} milli-sec", u32::from(interval) * 10));
            }
        }
        self.line(format_args!("Last advert sent = {}", view.clock.epoch_of(now.last_advert)));
        self.line(format_args!("Accept = {}", enabled(config.accept)));
        self.line(format_args!("Preempt = {}", enabled(config.preempt)));
        if !config.preempt_delay.is_zero() {
            self.line(format_args!("Preempt delay = {} secs", shortest(config.preempt_delay)));
        }
        self.line(format_args!("Promote_secondaries = {}", enabled(config.promote_secondaries)));
        match (&config.auth, config.version) {
            (Auth::Pass(_), _) => {
                self.line(format_args!("Authentication type = SIMPLE_PASSWORD"));
                self.line(format_args!("Password = ********"));
            }
            (Auth::Ah(_), _) => self.line(format_args!("Authentication type = IPSEC_AH")),
            (Auth::None | Auth::Hmac(_), VrrpVersion::V2) => {
                self.line(format_args!("Authentication type = none"));
            }

            (Auth::None | Auth::Hmac(_), VrrpVersion::V3) => {}
        }
        if let Auth::Hmac(hmac) = &config.auth {
            self.hmac(hmac);
        }
        if config.version == VrrpVersion::V3 && config.family == Family::V4 {
            let as_v2 = enabled(config.v3_checksum_as_v2);
            self.line(format_args!("VRRPv3 uses VRRPv2 checksum = {as_v2}"));
        }
        if let Some(bytes) = config.kernel_rx_buffer {
            self.line(format_args!("Kernel rx buffer size = {bytes}"));
        }
        if config.debug != 0 {
            self.line(format_args!("Debug level = {}", config.debug));
        }
    }

    fn hmac(&mut self, hmac: &AuthHmac) {
        self.line(format_args!("Authentication extension = HMAC-SHA256-128"));
        self.entry(format_args!("Keys = {}, active key id = {}", hmac.keys.len(), hmac.active));
        let mode = match hmac.mode {
            HmacMode::Enforce => "enforce",
            HmacMode::Permissive => "permissive",
            HmacMode::ReceiveOnly => "receive-only",
        };
        self.entry(format_args!("Mode = {mode}"));
        match hmac.anti_replay {
            AntiReplay::Time { window } => {
                self.entry(format_args!("Anti replay = time, window = {} sec", window.as_secs()));
            }
            AntiReplay::Monotonic => self.entry(format_args!("Anti replay = monotonic")),
        }
    }

    fn addresses(&mut self, config: &Instance, now: &InstanceSnapshot) {
        if !config.vips.is_empty() {
            self.line(format_args!("Virtual IP ({}):", config.vips.len()));
            self.list(config, &config.vips, &now.vips_set);
        }
        if !config.excluded.is_empty() {
            self.line(format_args!("Virtual IP Excluded :"));
            self.list(config, &config.excluded, &now.excluded_set);
        }
    }

    fn list(&mut self, config: &Instance, addresses: &[VirtualAddress], set: &[bool]) {
        for (address, set) in addresses.iter().zip(set.iter().chain(std::iter::repeat(&false))) {
            let installed = if *set { Installed::Yes } else { Installed::No };
            self.entry(format_args!("{}", text::address_of(config, address, installed)));
        }
    }

    /// The unicast lines and the descriptors.
    fn unicast(&mut self, view: View<'_>, config: &Instance, now: &InstanceSnapshot) {
        if let Transport::Unicast { peers, ttl, checksum } = &config.transport {
            let ttl = ttl.or((config.family == Family::V4).then_some(255));
            if let Some(ttl) = ttl {
                self.line(format_args!("Unicast TTL = {ttl}"));
            }
            self.line(format_args!("Check unicast src : {}", yes(config.check_unicast_src)));
            self.line(format_args!("Unicast Peer :"));
            for peer in peers {
                let (min, max) = (peer.min_ttl.unwrap_or(0), peer.max_ttl.unwrap_or(255));
                self.entry(format_args!("{} min_ttl {min} max_ttl {max}", peer.address));
            }
            let compatibility = match checksum {
                UnicastChecksum::Old => "config",
                UnicastChecksum::Never => "never",
                UnicastChecksum::Auto if now.old_checksum => "auto",
                UnicastChecksum::Auto => "no",
            };
            self.line(format_args!("Unicast checksum compatibility = {compatibility}"));
        }
        let is_ours = |socket: &&Socket| {
            let listener = &socket.listener;
            let kind = match (&config.transport, now.source) {
                (Transport::Multicast { group }, _) => Some(ListenerKind::Multicast { group: *group }),
                (Transport::Unicast { .. }, Some(source)) => Some(ListenerKind::Unicast { source }),
                (Transport::Unicast { .. }, None) => None,
            };
            listener.interface.as_deref() == config.advert_interface()
                && Some(listener.kind) == kind
                && listener.carrier == carrier(config)
                && listener.vrids.contains(&config.vrid.get())
        };
        match view.sockets.iter().find(is_ours) {
            Some(socket) => {
                self.line(format_args!("fd_in {}, fd_out {}", socket.fd_in, socket.fd_out));
            }
            None => self.line(format_args!("No sockets allocated")),
        }
    }
}

/// Is there another unicast router with this number on its interface?
fn has_twin(part: &VrrpPart, config: &Instance) -> bool {
    part.instances.iter().any(|other| {
        other.name != config.name
            && other.vrid == config.vrid
            && other.family == config.family
            && other.interface == config.interface
            && matches!(other.transport, Transport::Unicast { .. })
    })
}
