//! Which function plays which role.

use std::os::fd::OwnedFd;

use super::child::{Parent, Role};
use super::exit::Exit;
use super::options::Options;
use super::{bfd, checkers, prober, reporter, vrrp};
use crate::kernel::error::Error;

/// Plays `role` until it is over.
pub async fn play(role: Role, options: Options, channel: OwnedFd) -> Result<Exit, Error> {
    match role {
        Role::Vrrp => Ok(Box::pin(vrrp::run(&options, Parent::new(channel, &options)?)).await),
        Role::Checkers => checkers::run(options, channel).await,
        Role::Prober => prober::play(channel).await,
        Role::Bfd => bfd::run(Parent::new(channel, &options)?, options.dump_config).await,
        Role::Reporter => Box::pin(reporter::play(&options, channel)).await,
    }
}
