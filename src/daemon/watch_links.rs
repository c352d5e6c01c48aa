//! Links of cards whose driver does not tell the kernel of them: asked for every second (`linkbeat_interfaces`). Asking may
//! take its time, so the parent does it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::ipc::Reading;
use crate::config::model::{PolledInterface, Polling};
use crate::kernel::linkbeat::Linkbeat;

/// Stock: once a second.
const INTERVAL: Duration = Duration::from_secs(1);

/// The polled cards of a configuration.
#[derive(Default)]
pub(super) struct Links {
    /// `None` when nothing is to be asked.
    linkbeat: Option<Linkbeat>,
    cards: Vec<Card>,
    due: Option<Instant>,
}

struct Card {
    interface: String,
    way: Polling,
    is_up: bool,
}

impl Links {
    /// Asks all for the first time.
    pub(super) fn new(configured: &[PolledInterface]) -> Self {
        if configured.is_empty() {
            return Self::default();
        }
        let linkbeat = match Linkbeat::open() {
            Ok(linkbeat) => linkbeat,
            Err(error) => {
                info!("{error}");
                return Self::default();
            }
        };
        let card = |polled: &PolledInterface| {
            let interface = polled.interface.clone();
            let way = polled.way.unwrap_or_else(|| linkbeat.way(&interface));
            let is_up = linkbeat.is_up(&interface, way);
            Card { interface, way, is_up }
        };
        let cards = configured.iter().map(card).collect();
        Self { linkbeat: Some(linkbeat), cards, due: Some(Instant::now() + INTERVAL) }
    }

    pub(super) fn readings(&self) -> impl Iterator<Item = Reading> + '_ {
        self.cards.iter().map(Card::reading)
    }

    /// Waits for links that changed. Safe to cancel.
    pub(super) async fn next(&mut self) -> Vec<Reading> {
        loop {
            let (Some(linkbeat), Some(due)) = (&self.linkbeat, self.due) else {
                return std::future::pending().await;
            };
            sleep_until(due).await;
            self.due = Some(Instant::now() + INTERVAL);
            let mut changed = Vec::new();
            for card in &mut self.cards {
                let is_up = linkbeat.is_up(&card.interface, card.way);
                if std::mem::replace(&mut card.is_up, is_up) != is_up {
                    changed.push(card.reading());
                }
            }
            if !changed.is_empty() {
                return changed;
            }
        }
    }
}

impl Card {
    fn reading(&self) -> Reading {
        Reading::Link { name: self.interface.clone(), way: self.way, up: self.is_up }
    }
}
