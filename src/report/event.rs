//! What FIFO lines, mails, SNMP traps and D-Bus signals are made of: one event of vrrp or checkers, with its cause.
//!
//! Pure data. The vrrp and checkers processes tell these to the parent, which writes them to the FIFOs and passes them on to the reporter; there
//! they are lost without harm while there is none.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::vrrp::{AdvertError, StateWord, Subject, Transition};

/// Something that those around the daemon are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReporterEvent {
    /// An instance or a sync group entered a state, saw an advert of lower priority, or changed its priority.
    Vrrp(Transition),
    /// An instance or a sync group is in this state still: told again after a reload, for the FIFOs only.
    Stands(Transition),
    /// A received advert was refused.
    Advert {
        /// Name of the instance.
        instance: String,
        /// Who sent it.
        source: IpAddr,
        /// Why.
        error: AdvertError,
    },
    /// Somebody is to get a mail of this.
    Mail(Alert),
    /// A real server came into service or left it.
    RealServer(ServerChange),
    /// A virtual server gained or lost its quorum.
    Quorum {
        /// How logs name the virtual server: `[10.0.0.1]:tcp:80`.
        name: String,
        /// Is there a quorum now?
        up: bool,
    },
}

/// A real server came into service or left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerChange {
    /// Address and port of the real server; a reload may have removed it from the configuration.
    pub real_server: (IpAddr, u16),
    /// How logs name the virtual server: `[10.0.0.1]:tcp:80`.
    pub virtual_name: String,
    /// How logs name the real server: `[10.0.0.2]:tcp:80`.
    pub real_name: String,
    /// Is it in service now?
    pub up: bool,
}

/// What a mail is about: `smtp_alert` of whom it concerns asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Alert {
    /// An instance or a sync group entered a state.
    Vrrp {
        /// Which.
        subject: Subject,
        /// What it entered.
        state: StateWord,
    },
    /// A check of a real server passed or failed, or the server leaves.
    RealServer {
        /// As logs name it.
        real_name: String,
        /// As logs name its virtual server.
        virtual_name: String,
        /// Passed?
        up: bool,
        /// What happened, in stock's words.
        text: String,
    },
    /// A virtual server gained or lost its quorum, or leaves.
    VirtualServer {
        /// As logs name it.
        name: String,
        /// Gained?
        up: bool,
        /// What happened, in stock's words.
        text: String,
    },
}
