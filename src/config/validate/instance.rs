//! One instance after the whole file is read: rows 6 to 36 of spec/vrrp-config.md §4, in their order.

use std::net::IpAddr;
use std::time::Duration;

use super::authentication::window_of;
use super::links::{Names, ipvlan_source};
use super::vrrp::{Commands, Refused, notify_scripts};
use crate::config::blocks::address::{AddressDraft, IFA_F_NODAD};
use crate::config::blocks::vrrp_instance::Draft;
use crate::config::blocks::vrrp_sync_group::{self};
use crate::config::blocks::{quoted, vrrp_script};
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::{
    Auth, Family, InitialState, Instance, InstanceLinks, Priority, Transport, VirtualAddress, Vrid,
    VrrpVersion,
};
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::config::syntax::Word;
use crate::config::value::is_link_local;

/// What rows 37 and 38 compare.
pub(super) struct Sockets {
    pub(super) vrid: Span,
}

/// An address line on its interface, with stock's defaults.
pub(super) fn configured(draft: &AddressDraft<'_>, interface: String) -> VirtualAddress {
    let v6_default = if draft.prefix == 128 { 0 } else { u32::MAX };
    VirtualAddress {
        address: draft.address,
        prefix: draft.prefix,
        interface,
        scope: draft.scope.unwrap_or(0),
        broadcast: draft.broadcast,
        label: draft.label.clone(),
        peer: draft.peer,
        // Stock: no duplicate address detection unless `-nodad` asks for it.
        flags: if draft.address.is_ipv6() { draft.flags ^ IFA_F_NODAD } else { draft.flags & !IFA_F_NODAD },
        preferred_lifetime: match draft.address {
            IpAddr::V4(_) => draft.preferred_lifetime,
            IpAddr::V6(_) => {
                draft.preferred_lifetime.or(Some(v6_default)).filter(|&seconds| seconds != u32::MAX)
            }
        },
        no_track: draft.no_track,
        track_group: draft.track_group.clone(),
        use_vmac: draft.use_vmac,
    }
}

/// Builds one instance.
pub(super) struct Builder<'b, 'a> {
    pub(super) reader: &'b mut Reader<'a>,
    pub(super) draft: &'b Draft<'a>,
    pub(super) group: Option<&'b vrrp_sync_group::Draft<'a>>,
    pub(super) scripts: &'b [vrrp_script::Draft<'a>],
    pub(super) commands: &'b Commands,
    pub(super) names: &'b mut Names,
}

impl Builder<'_, '_> {
    pub(super) fn name(&self) -> String {
        self.draft.name.map(quoted).unwrap_or_default()
    }

    fn head(&self) -> Option<Span> {
        self.draft.name.map(Word::span)
    }

    pub(super) fn warn(
        &mut self,
        id: &'static str,
        span: Option<Span>,
        what: &str,
        help: &str,
        stock: &'static str,
    ) {
        let Some(span) = span.or(self.head()) else { return };
        let message = format!("vrrp_instance `{}`: {what}", self.name());
        let mut report = Diagnostic::warning(id, span, message).stock(stock);
        if !help.is_empty() {
            report = report.help(help);
        }
        self.reader.push(report);
    }

    fn refuse(&mut self, id: &'static str, span: Option<Span>, what: &str, help: &str) -> Refused {
        let span = span.or(self.head());
        let message = format!("vrrp_instance `{}`: {what}", self.name());
        if let Some(span) = span {
            self.reader
                .push(Diagnostic::error(id, span, message).help(help).stock("refuses to start (exit 2)"));
        }
        Refused
    }

    #[expect(clippy::cognitive_complexity, reason = "the rows of the spec's table, in its order")]
    pub(super) fn build(&mut self) -> Result<(Instance, Sockets), Refused> {
        let draft = self.draft;
        let global = self.reader.drafts.global.values.clone();
        // Rows 3, 4.
        let Some((vrid, vrid_span)) = draft.virtual_router_id else {
            return Err(self.refuse(
                "no-vrid",
                None,
                "has no `virtual_router_id`",
                "add `virtual_router_id N`, 1..255, the same on all nodes of this virtual router",
            ));
        };
        if draft.interface.is_none() && (draft.unicast.is_none() || draft.use_vmac.is_some()) {
            return Err(self.refuse("no-interface", None, "has no `interface`", "add `interface NAME`"));
        }
        // Rows 6 to 11.
        let strict = draft.strict_mode.unwrap_or(global.vrrp_strict);
        let family = draft.family.unwrap_or(Family::V4);
        let mut version = match (draft.version, family) {
            (Some((version, _)), _) => version,
            (None, Family::V6) => VrrpVersion::V3,
            (None, Family::V4) => global.vrrp_version,
        };
        if strict && family == Family::V6 && version == VrrpVersion::V2 {
            let span = draft.version.map(|(_, span)| span);
            self.warn(
                "strict-mode",
                span,
                "IPv6 needs version 3 in strict mode",
                "remove `version 2`",
                "uses version 3",
            );
            version = VrrpVersion::V3;
        }
        let master = matches!(draft.state, Some((InitialState::Master, _)));
        let priority = match draft.priority {
            Some((priority, _)) => priority,
            None if master => Priority::OWNER,
            None => Priority::DEFAULT,
        };
        if master && draft.priority.is_none() {
            let span = draft.state.map(|(_, span)| span);
            if let Some(span) = span {
                let message = format!("vrrp_instance `{}`: without `priority` a MASTER has 255", self.name());
                self.reader.push(
                    Diagnostic::warning("implied-owner", span, message)
                        .class(Class::None)
                        .help("add `priority N`, as `priority 100`")
                        .stock("makes it the owner of the addresses (255), without a word"),
                );
            }
        }
        let owner = priority.is_owner();
        let mut initial = match draft.state {
            Some((state, _)) => state,
            None if owner => InitialState::Master,
            None => InitialState::Backup,
        };
        if strict && (initial == InitialState::Master) != owner {
            let span = draft.state.map(|(_, span)| span);
            self.warn(
                "strict-mode",
                span,
                "in strict mode MASTER and priority 255 belong together",
                "write `state BACKUP`, or `priority 255`",
                "changes the state",
            );
            initial = if owner { InitialState::Master } else { InitialState::Backup };
        }
        let mut config_fault: Option<String> = None;
        let mut auth = self.auth(strict, version, family, owner, &mut initial);
        let transport = self.transport(strict, family, &mut config_fault)?;
        let unicast = matches!(transport, Transport::Unicast { .. });
        // Row 16.
        if draft.interface.is_none() {
            match draft.source {
                None => {
                    return Err(self.refuse(
                        "no-source",
                        None,
                        "without `interface` it needs a source address",
                        "add `unicast_src_ip ADDRESS`, or `interface NAME`",
                    ));
                }
                Some((IpAddr::V6(source), span)) if is_link_local(source) => {
                    return Err(self.refuse(
                        "no-source",
                        Some(span),
                        "a link-local source needs an `interface`",
                        "add `interface NAME`",
                    ));
                }
                Some(_) => {}
            }
        }
        let mut links = self.own_link(strict, (family, vrid), &mut config_fault);
        // Row 18.
        let facts = draft.interface.and_then(|name| self.reader.world.facts.interfaces.get(name.as_str()));
        if facts.is_some_and(|facts| !facts.multicast && !unicast) {
            let span = draft.interface.map(Word::span);
            self.warn(
                "no-multicast",
                span,
                "the interface has no multicast",
                "add `unicast_peer { … }`",
                "stays in FAULT",
            );
            config_fault.get_or_insert_with(|| "the interface has no multicast".to_owned());
        }
        // Row 19.
        if let Some(first) = draft.vips.first()
            && let IpAddr::V6(address) = first.address
            && !unicast
            && !is_link_local(address)
        {
            let class = if strict { Class::Other } else { Class::None };
            let message =
                format!("vrrp_instance `{}`: the first IPv6 address should be link-local", self.name());
            self.reader.push(
                Diagnostic::warning("not-link-local", first.span, message)
                    .class(class)
                    .help("put a link-local address first, as `fe80::1`")
                    .stock("says so and goes on"),
            );
        }
        let (vips, excluded) = self.addresses((family, vrid), version, &auth, &mut links);
        // Row 22.
        let mut preempt = draft.nopreempt.is_none();
        let mut preempt_delay = draft.preempt_delay.map_or(Duration::ZERO, |(delay, _)| delay);
        if let Some(span) = draft.nopreempt {
            if owner {
                self.warn(
                    "contradiction",
                    Some(span),
                    "`nopreempt` cannot be kept by the owner of the addresses (priority 255)",
                    "remove `nopreempt`, or lower the priority",
                    "ignores `nopreempt`",
                );
                preempt = true;
            } else if initial == InitialState::Master {
                self.warn(
                    "contradiction",
                    Some(span),
                    "`nopreempt` does not work with `state MASTER`",
                    "write `state BACKUP` on all nodes",
                    "ignores `nopreempt`",
                );
                preempt = true;
            }
        }
        if let Some((_, span)) = draft.preempt_delay.filter(|(delay, _)| !delay.is_zero()) {
            let why = if strict {
                Some("in strict mode there is no `preempt_delay`")
            } else if initial == InitialState::Master {
                Some("`preempt_delay` does not work with `state MASTER`")
            } else if !preempt {
                Some("`preempt_delay` does nothing with `nopreempt`")
            } else {
                None
            };
            if let Some(why) = why {
                let help = if initial == InitialState::Master {
                    "write `state BACKUP`"
                } else {
                    "remove one of them"
                };
                self.warn("contradiction", Some(span), why, help, "ignores `preempt_delay`");
                preempt_delay = Duration::ZERO;
            }
        }
        // Row 23.
        let mut down_timer_adverts =
            draft.down_timer_adverts.map_or(global.down_timer_adverts, |(adverts, _)| adverts);
        if strict && down_timer_adverts != 3 {
            let span = draft.down_timer_adverts.map(|(_, span)| span);
            self.warn(
                "strict-mode",
                span,
                "in strict mode `down_timer_adverts` is 3",
                "remove the line",
                "uses 3",
            );
            down_timer_adverts = 3;
        }
        // Row 24.
        if preempt && let Some((_, span)) = draft.timer_expired_backup {
            let help = "add `nopreempt`, or remove the line";
            self.warn(
                "contradiction",
                Some(span),
                "`timer_expired_backup` needs `nopreempt`",
                help,
                "ignores it",
            );
        }
        // Row 25.
        let accept = match draft.accept {
            Some((true, span)) if strict && version == VrrpVersion::V2 && !owner => {
                self.warn(
                    "strict-mode",
                    Some(span),
                    "in strict mode version 2 has no `accept` below priority 255",
                    "remove `accept`",
                    "ignores `accept`",
                );
                false
            }
            Some((accept, _)) => accept,
            None => !strict || owner,
        };
        let garp = self.garp(strict, &global.garp);
        let (lower_prio_no_advert, higher_prio_send_advert) = self.advert_rules(strict);
        let owner_ignore_adverts = self.owner_rule(strict, owner);
        let advert_int = self.advert_int(version);
        window_of(&mut auth, advert_int);
        // Row 32.
        let promote_secondaries = draft.promote_secondaries.is_some();
        if let Some(span) = draft.promote_secondaries.filter(|_| draft.use_vmac.is_some()) {
            self.warn("contradiction", Some(span), "`promote_secondaries` with a VMAC", "", "ignores it");
        }
        let track_interfaces = self.track_interfaces();
        // Row 35.
        if vips.is_empty() {
            self.no_address(strict, version)?;
        }
        let (track_interfaces, track_scripts) = self.weights(track_interfaces, owner);
        let others = self.other_weights(owner);
        let smtp_alert = draft.smtp_alert.or(global.smtp_alert_vrrp).or(global.smtp_alert).unwrap_or(false);
        let unicast_without_peers =
            draft.unicast.is_some() && matches!(transport, Transport::Multicast { .. });
        let instance = Instance {
            name: self.draft.name.map(|name| name.as_str().to_owned()).unwrap_or_default(),
            family,
            version,
            vrid,
            interface: draft.interface.map(|name| name.as_str().to_owned()),
            initial,
            priority,
            advert_int,
            transport,
            source: draft.source.map(|(address, _)| address).or(ipvlan_source(&links)),
            links: links.into(),
            track_source: draft.track_src_ip && draft.source.is_some(),
            auth,
            vips,
            excluded: excluded.into(),
            routes: draft.routes.clone().into(),
            rules: draft.rules.clone().into(),
            preempt,
            preempt_delay,
            down_timer_adverts,
            timer_expired_backup: draft.timer_expired_backup.map(|(highest, _)| highest).filter(|_| !preempt),
            dont_track_primary: draft.dont_track_primary,
            track_interfaces: track_interfaces.into(),
            track_scripts: track_scripts.into(),
            track_files: others.files.into(),
            track_processes: others.processes.into(),
            track_bfds: others.bfds.into(),
            garp: garp.into(),
            accept,
            strict,
            skip_check_adv_addr: draft.skip_check_adv_addr.unwrap_or(global.vrrp_skip_check_adv_addr),
            lower_prio_no_advert,
            higher_prio_send_advert,
            owner_ignore_adverts,
            check_unicast_src: draft.check_unicast_src || global.vrrp_check_unicast_src,
            v3_checksum_as_v2: draft.v3_checksum_as_v2.unwrap_or(global.v3_checksum_as_v2),
            promote_secondaries: promote_secondaries && draft.use_vmac.is_none(),
            notify: notify_scripts(&draft.notify, self.commands).into(),
            notify_deleted: draft.notify_deleted,
            smtp_alert,
            notify_priority_changes: draft.notify_priority_changes.unwrap_or(global.notify_priority_changes),
            unicast_without_peers,
            unicast_fault_no_peer: draft.unicast_fault_no_peer,
            kernel_rx_buffer: draft.kernel_rx_buf_size,
            debug: draft.debug,
            vip_repair: draft.vip_repair.or(self.reader.drafts.global.vip_repair).unwrap_or_default(),
            config_fault,
        };
        Ok((instance, Sockets { vrid: vrid_span }))
    }

    /// Rows 14, 15, 26.
    fn transport(
        &mut self,
        strict: bool,
        family: Family,
        config_fault: &mut Option<String>,
    ) -> Result<Transport, Refused> {
        let draft = self.draft;
        let global = &self.reader.drafts.global.values;
        let default_group = match family {
            Family::V4 => IpAddr::V4(global.vrrp_mcast_group4),
            Family::V6 => IpAddr::V6(global.vrrp_mcast_group6),
        };
        let group = draft.mcast_dst_ip.map_or(default_group, |(group, _)| group);
        let ttl = draft.unicast_ttl.map(|(ttl, _)| ttl);
        let checksum = draft.old_unicast_checksum;
        if draft.peers.is_empty() {
            if draft.unicast.is_some() && draft.unicast_fault_no_peer {
                config_fault.get_or_insert_with(|| "unicast without peers".to_owned());
                return Ok(Transport::Unicast { peers: Vec::new(), ttl, checksum });
            }
            if draft.unicast.is_some() {
                self.warn(
                    "without-peers",
                    draft.unicast,
                    "a word for unicast, but no peers",
                    "add `unicast_peer { ADDRESS }`, or write `mcast_src_ip` for the source",
                    "uses multicast",
                );
            }
            return Ok(Transport::Multicast { group });
        }
        let facts = draft.interface.and_then(|name| self.reader.world.facts.interfaces.get(name.as_str()));
        if strict && facts.is_some_and(|facts| facts.multicast) {
            return Err(self.refuse(
                "strict-mode",
                draft.unicast,
                "in strict mode there is no unicast on an interface with multicast",
                "remove `unicast_peer`, or strict mode",
            ));
        }
        if let Some((_, span)) = draft.mcast_dst_ip {
            self.warn(
                "contradiction",
                Some(span),
                "`mcast_dst_ip` with unicast peers",
                "remove one of them",
                "ignores it",
            );
        }
        Ok(Transport::Unicast { peers: draft.peers.clone(), ttl, checksum })
    }

    /// Rows 21 and 34.
    fn addresses(
        &mut self,
        (family, vrid): (Family, Vrid),
        version: VrrpVersion,
        auth: &Auth,
        links: &mut InstanceLinks,
    ) -> (Vec<VirtualAddress>, Vec<VirtualAddress>) {
        let draft = self.draft;
        let mtu = draft
            .interface
            .and_then(|name| self.reader.world.facts.interfaces.get(name.as_str()))
            .map_or(1500, |facts| usize::try_from(facts.mtu).unwrap_or(1500));
        let auth_data = if version == VrrpVersion::V2 && family == Family::V4 { 8 } else { 0 };
        let seal = match auth {
            Auth::None | Auth::Pass(_) => 0,
            Auth::Ah(_) => 24,
            Auth::Hmac(_) => 28,
        };
        // Stock counts the Ethernet header, too. A peer of stock's drops what has another number of addresses than it.
        let room = match family {
            Family::V4 => mtu.saturating_sub(14 + 20 + 8 + auth_data + seal) / 4,
            Family::V6 => mtu.saturating_sub(14 + 40 + 8 + seal) / 16,
        };
        let limit = room.clamp(1, 255);
        let mut vips: Vec<VirtualAddress> = Vec::with_capacity(draft.vips.len());
        let mut excluded: Vec<VirtualAddress> = Vec::new();
        for address in &draft.vips {
            let Some(address) = self.address(address, (family, vrid), links) else { continue };
            if vips.len() < limit { vips.push(address) } else { excluded.push(address) }
        }
        if let Some(first) = draft.vips.get(limit).filter(|_| !excluded.is_empty()) {
            let what = format!("an advert holds {limit} addresses, and there are {}", draft.vips.len());
            let help = "put the rest into `virtual_ipaddress_excluded`";
            self.warn("too-many-addresses", Some(first.span), &what, help, "treats those beyond as excluded");
        }
        for address in &draft.excluded {
            excluded.extend(self.address(address, (family, vrid), links));
        }
        (vips, excluded)
    }

    fn address(
        &mut self,
        draft: &AddressDraft<'_>,
        router: (Family, Vrid),
        links: &mut InstanceLinks,
    ) -> Option<VirtualAddress> {
        let Some(interface) = self.place(draft, router, links) else {
            let what = format!("the address {} has no interface", draft.address);
            self.warn(
                "no-interface",
                Some(draft.span),
                &what,
                "add `dev INTERFACE` to its line",
                "removes the address",
            );
            return None;
        };
        Some(configured(draft, interface))
    }

    /// Row 35.
    fn no_address(&mut self, strict: bool, version: VrrpVersion) -> Result<(), Refused> {
        let draft = self.draft;
        if draft.no_virtual_ipaddress.is_some() && !strict {
            return Ok(());
        }
        if let Some(span) = draft.no_virtual_ipaddress {
            self.warn(
                "strict-mode",
                Some(span),
                "in strict mode it needs an address",
                "",
                "ignores the line",
            );
        }
        if version == VrrpVersion::V3 || strict {
            return Err(self.refuse(
                "no-address",
                None,
                "has no virtual address",
                "add `virtual_ipaddress { ADDRESS }` (excluded addresses do not count), or `no_virtual_ipaddress`",
            ));
        }
        let help = "add `virtual_ipaddress { ADDRESS }`";
        self.warn("no-address", None, "has no virtual address", help, "runs it nevertheless");
        Ok(())
    }
}
