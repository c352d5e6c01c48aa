//! SNMP by `AgentX`: packets, one session, and the objects of the MIBs over one view of the state. Pure.
//! spec/daemon-behaviour.md §13, RFC 2741, RFC 2787, RFC 6527.

#![expect(clippy::unnecessary_wraps, reason = "what gives a value is a column, and others have none")]
#![expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "a column is given its row by reference, whatever it is"
)]

pub mod agent; // one session with a master
pub mod keepalived_check; // KEEPALIVED-MIB: check
mod keepalived_routing; // KEEPALIVED-MIB: routes and rules
pub mod keepalived_vrrp; // KEEPALIVED-MIB: global and vrrp
pub mod packet; // AgentX packets
pub mod rfc; // VRRP-MIB and VRRPV3-MIB
pub mod settings; // what a manager may set
pub mod traps; // notifications
pub mod tree; // objects in order
pub mod view; // what they are taken from

use packet::Oid;
use tree::Tree;
use view::View;

use crate::config::model::Snmp;

/// The objects that the configuration asks for. Made anew when it, or the number of interfaces, changes.
pub fn tree(view: &View) -> Tree<View> {
    let snmp = &view.part.global.snmp;
    let mut branches = Vec::new();
    if snmp.vrrp || snmp.checker {
        branches.extend(keepalived_vrrp::global(view));
    }
    if snmp.vrrp {
        branches.extend(keepalived_vrrp::vrrp(view));
    }
    if snmp.checker {
        branches.extend(keepalived_check::check(view));
    }
    if snmp.rfc_v2 {
        branches.extend(rfc::v2(view));
    }
    if snmp.rfc_v3 {
        branches.extend(rfc::v3(view));
    }
    Tree::new(branches)
}

/// What is registered with the master.
pub fn subtrees(snmp: &Snmp) -> Vec<Oid> {
    let mut out = Vec::new();
    if snmp.vrrp || snmp.checker {
        out.push(keepalived_vrrp::node(&[1]));
    }
    if snmp.vrrp {
        out.push(keepalived_vrrp::node(&[2]));
    }
    if snmp.checker {
        out.push(keepalived_vrrp::node(&[3]));
    }
    if snmp.rfc_v2 {
        out.push(rfc::V2.to_vec());
    }
    if snmp.rfc_v3 {
        out.push(rfc::V3.to_vec());
    }
    out
}
