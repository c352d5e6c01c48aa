//! What `vrrp_instance NAME { … }` says, as read: before anything of it is checked.

use std::net::IpAddr;
use std::time::Duration;

use super::address::AddressDraft;
use super::auth::{AuthType, HmacDraft};
use super::tracking::Trackers;
use super::vmac::{IpvlanDraft, VmacDraft};
use super::vrrp_sync_group::Notify;
use crate::config::model::{
    Family, GarpExtra, InitialState, Priority, Route, Rule, UnicastChecksum, UnicastPeer, VipRepair, Vrid,
    VrrpVersion,
};
use crate::config::source::Span;
use crate::config::syntax::Word;

/// A value and where it was given.
pub type Placed<T> = Option<(T, Span)>;

/// A block as read.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the keyword of its name")]
pub struct Draft<'a> {
    /// Its name.
    pub name: Option<&'a Word>,
    /// Set by the first address, or by `native_ipv6`.
    pub family: Option<Family>,
    pub version: Placed<VrrpVersion>,
    pub virtual_router_id: Placed<Vrid>,
    pub interface: Option<&'a Word>,
    pub vrf: Option<&'a Word>,
    pub state: Placed<InitialState>,
    pub priority: Placed<Priority>,
    /// Microseconds.
    pub advert_int: Placed<Duration>,
    /// The first word that asks for unicast.
    pub unicast: Option<Span>,
    pub peers: Vec<UnicastPeer>,
    /// Where each of `peers` stands.
    pub peer_places: Vec<Span>,
    /// `mcast_src_ip` or `unicast_src_ip`.
    pub source: Placed<IpAddr>,
    pub mcast_dst_ip: Placed<IpAddr>,
    pub track_src_ip: bool,
    pub unicast_ttl: Placed<u8>,
    pub unicast_fault_no_peer: bool,
    pub old_unicast_checksum: UnicastChecksum,
    pub check_unicast_src: bool,
    pub use_vmac: Option<VmacDraft<'a>>,
    pub use_ipvlan: Option<IpvlanDraft<'a>>,
    pub use_vmac_addr: Option<Span>,
    pub vmac_xmit_base: Option<Span>,
    pub garp_extra: Option<GarpExtra>,
    pub vips: Vec<AddressDraft<'a>>,
    pub excluded: Vec<AddressDraft<'a>>,
    /// `virtual_routes`.
    pub routes: Vec<Route>,
    /// `virtual_rules`.
    pub rules: Vec<Rule>,
    pub no_virtual_ipaddress: Option<Span>,
    pub auth_type: Placed<AuthType>,
    pub auth_pass: Placed<String>,
    pub auth_hmac: Option<HmacDraft>,
    pub nopreempt: Option<Span>,
    pub preempt_delay: Placed<Duration>,
    pub down_timer_adverts: Placed<u8>,
    pub timer_expired_backup: Option<(Priority, Span)>,
    pub dont_track_primary: bool,
    pub trackers: Trackers<'a>,
    pub accept: Option<(bool, Span)>,
    pub strict_mode: Option<bool>,
    pub skip_check_adv_addr: Option<bool>,
    pub garp_master_delay: Option<Duration>,
    pub garp_master_repeat: Option<u32>,
    pub garp_master_refresh: Option<Duration>,
    pub garp_master_refresh_repeat: Option<u32>,
    pub garp_lower_prio_delay: Placed<Duration>,
    pub garp_lower_prio_repeat: Placed<u32>,
    pub lower_prio_no_advert: Placed<bool>,
    pub higher_prio_send_advert: Placed<bool>,
    pub owner_ignore_adverts: Placed<bool>,
    pub v3_checksum_as_v2: Option<bool>,
    pub promote_secondaries: Option<Span>,
    pub notify: Notify,
    pub notify_deleted: bool,
    pub smtp_alert: Option<bool>,
    pub notify_priority_changes: Option<bool>,
    /// `lvs_sync_daemon_interface`.
    pub lvs_sync_interface: Option<&'a Word>,
    pub kernel_rx_buf_size: Option<u32>,
    /// `linkbeat_use_polling`.
    pub linkbeat: bool,
    pub debug: u8,
    /// `@keepalived-rs vip_repair`.
    pub vip_repair: Option<VipRepair>,
}
