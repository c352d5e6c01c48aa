//! Which function plays which role.

use std::os::fd::OwnedFd;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::child::{Parent, Role};
use super::exit::Exit;
use super::ipc::{FromChild, ToChild};
use super::options::Options;
use super::{checkers, prober};
use crate::config::model::VrrpPart;
use crate::kernel::error::Error;

/// Plays `role` until it is over.
pub async fn play(role: Role, options: Options, channel: OwnedFd) -> Result<Exit, Error> {
    match role {
        Role::Vrrp => Ok(idle(Parent::<VrrpPart>::new(channel, &options)?).await),
        Role::Checkers => checkers::run(options, channel).await,
        Role::Prober => prober::play(channel).await,
    }
}

/// Agrees to everything and does nothing: a child without work.
async fn idle<P: Serialize + DeserializeOwned>(mut parent: Parent<P>) -> Exit {
    loop {
        match parent.next().await.message {
            ToChild::Prepare { generation, .. } => {
                parent.tell(&FromChild::Prepared { generation, plan: Vec::new() });
            }
            ToChild::Commit { generation } => parent.tell(&FromChild::Committed { generation }),
            ToChild::Stop => {
                parent.tell(&FromChild::Stopped);
                parent.flush().await;
                return Exit::Success;
            }
            ToChild::Abort { .. } | ToChild::ScriptEnded { .. } | ToChild::Prober | ToChild::Dump(_) => {}
        }
    }
}
