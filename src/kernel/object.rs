//! Changes of what the vrrp process owns in the kernel, of every kind, in one batch.

use std::collections::HashMap;

use nix::errno::Errno;

use super::address::{self, Address};
use super::error::Error;
use super::netlink::{Answer, Connection, Refusal, Request};
use super::{route, rule};
use crate::vrrp::{Change, Owned};

/// Kernel indices by name.
pub type Indices = HashMap<String, u32>;

/// One answer for each change, in order: what is already as wanted is [`Answer::Done`]. Removals find an interface by a
/// `former` name, too.
pub fn apply<'a>(
    connection: &mut Connection,
    indices: &Indices,
    former: &Indices,
    changes: impl Iterator<Item = (Change, &'a Owned)> + Clone,
) -> Result<Vec<Answer>, Error> {
    // Those on an interface that does not exist are not sent.
    let mut requests = Vec::with_capacity(changes.size_hint().0);
    let build = |(change, object)| {
        request(change, object, (indices, former)).map(|built| requests.push(built)).is_some()
    };
    let is_sent: Vec<bool> = changes.clone().map(build).collect();
    let mut answers = connection.execute(&requests)?.into_iter();
    let answer = |((change, object), is_sent): ((Change, &Owned), bool)| {
        if is_sent {
            settled(change, object, answers.next().unwrap_or(Answer::Lost))
        } else if change == Change::Remove {
            // What was on it went with it.
            Answer::Done
        } else {
            Answer::Refused(Refusal { errno: Errno::ENODEV, note: None })
        }
    };
    Ok(changes.zip(is_sent).map(answer).collect())
}

fn request(change: Change, object: &Owned, (indices, former): (&Indices, &Indices)) -> Option<Request> {
    let index = |name: &str| {
        let former = (change == Change::Remove).then(|| former.get(name)).flatten();
        indices.get(name).or(former).copied()
    };
    match (object, change) {
        (Owned::Address(address), change) => {
            let address = Address::of(address, index(&address.interface)?);
            Some(match change {
                Change::Add => address::add_request(&address),
                Change::Remove => address::remove_request(&address),
            })
        }
        (Owned::Route(ours), Change::Add) => route::add(ours, &index).ok(),
        (Owned::Route(ours), Change::Remove) => route::remove(ours, &index).ok(),
        (Owned::Rule(ours), Change::Add) => Some(rule::add(ours)),
        (Owned::Rule(ours), Change::Remove) => Some(rule::remove(ours)),
    }
}

/// A refusal that says that things are as wanted is none.
fn settled(change: Change, object: &Owned, answer: Answer) -> Answer {
    let Answer::Refused(refusal) = &answer else { return answer };
    let is_fine = match (change, object) {
        (Change::Add, _) => refusal.errno == Errno::EEXIST,
        // The interface went, and its addresses with it.
        (Change::Remove, Owned::Address(_)) => matches!(refusal.errno, Errno::EADDRNOTAVAIL | Errno::ENODEV),
        // What the kernel does not know how to do it has not done either.
        (Change::Remove, Owned::Route(_) | Owned::Rule(_)) => matches!(
            refusal.errno,
            Errno::ESRCH | Errno::ENOENT | Errno::ENODEV | Errno::EINVAL | Errno::EOPNOTSUPP
        ),
    };
    if is_fine { Answer::Done } else { answer }
}
