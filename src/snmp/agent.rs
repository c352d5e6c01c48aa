//! One session of a subagent with its master (RFC 2741 §7): registers the trees, answers, sends notifications. Pure.
//!
//! Packets go in and bytes come out; whoever owns the socket keeps the view of the state young.

use super::packet::{Body, Oid, Packet, Range, Value, VarBind};
use super::settings::{Refusal, Setting, setting};
use super::tree::Tree;
use super::view::View;

/// Who we are, as the master shows it.
const DESCRIPTION: &str = "Keepalived";

/// Seconds the master may wait for an answer.
const TIMEOUT: u8 = 5;

/// Of two subagents for one object the smaller number wins; 127 is usual.
const PRIORITY: u8 = 127;

/// Values in one answer to a `GetBulk`; the master asks again for more.
const BULK: usize = 500;

/// Errors of a response (RFC 2741 §6.2.16).
const PROCESSING_ERROR: u16 = 268;

/// How far the session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not opened.
    Closed,
    /// The master has not answered yet.
    Opening,
    /// It has.
    Open,
}

/// What came of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Nothing to do but send what is to be sent.
    Nothing,
    /// The session is open and everything is registered.
    Opened,
    /// A manager has set something.
    Set(Vec<Setting>),
    /// The session is over, for this reason.
    Over(String),
}

/// A session.
#[derive(Debug)]
pub struct Agent {
    phase: Phase,
    session: u32,
    /// Number of our last packet.
    last: u32,
    subtrees: Vec<Oid>,
    /// Of the set that is under way: what it would change, and what that was before.
    tested: Vec<(Setting, Setting)>,
}

impl Agent {
    /// For these subtrees, none within another.
    pub fn new(subtrees: Vec<Oid>) -> Self {
        Self { phase: Phase::Closed, session: 0, last: 0, subtrees, tested: Vec::new() }
    }

    /// The first bytes on a new connection.
    pub fn open(&mut self) -> Vec<u8> {
        self.phase = Phase::Opening;
        (self.session, self.last) = (0, 0);
        self.tested.clear();
        let id = self.subtrees.first().cloned().unwrap_or_default();
        self.say(Body::Open { timeout: TIMEOUT, id, description: DESCRIPTION.to_owned() })
    }

    /// The last bytes on a connection.
    pub fn close(&mut self) -> Vec<u8> {
        self.phase = Phase::Closed;
        self.say(Body::Close { reason: 5 })
    }

    /// A notification; nothing while there is no session.
    pub fn notify(&mut self, values: Vec<VarBind>) -> Vec<u8> {
        match self.phase {
            Phase::Open => self.say(Body::Notify(values)),
            Phase::Closed | Phase::Opening => Vec::new(),
        }
    }

    /// Has the master opened the session?
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Does the answer to this packet depend on the state?
    pub fn needs_view(packet: &Packet) -> bool {
        matches!(packet.body, Body::Get(_) | Body::GetNext(_) | Body::GetBulk { .. } | Body::TestSet(_))
    }

    fn say(&mut self, body: Body) -> Vec<u8> {
        self.last = self.last.wrapping_add(1);
        Packet { session: self.session, transaction: self.last, id: self.last, body }.encode()
    }

    /// Takes what the master said; what is to be said goes to `out`.
    pub fn hear(&mut self, packet: &Packet, tree: &Tree<View>, view: &View, out: &mut Vec<u8>) -> Heard {
        let mut answer = |error: u16, index: usize, values: Vec<VarBind>| {
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            let body = Body::Response { uptime: 0, error, index, values };
            let Packet { session, transaction, id, .. } = *packet;
            out.extend(Packet { session, transaction, id, body }.encode());
        };
        match &packet.body {
            Body::Response { error, .. } => return self.answered(packet.session, *error, out),
            Body::Close { reason } => {
                self.phase = Phase::Closed;
                return Heard::Over(format!("the master has closed the session (reason {reason})"));
            }
            Body::Get(ranges) => {
                answer(0, 0, ranges.iter().map(|range| tree.get(view, &range.start)).collect());
            }
            Body::GetNext(ranges) => {
                answer(0, 0, ranges.iter().map(|range| tree.next(view, range)).collect());
            }
            Body::GetBulk { non_repeaters, max_repetitions, ranges } => {
                let (once, often) = ranges.split_at(usize::from(*non_repeaters).min(ranges.len()));
                let mut values: Vec<_> = once.iter().map(|range| tree.next(view, range)).collect();
                let mut often: Vec<Range> = often.to_vec();
                for _ in 0..*max_repetitions {
                    if often.is_empty() || values.len() + often.len() > BULK {
                        break;
                    }
                    let mut is_over = true;
                    for range in &mut often {
                        let found = tree.next(view, range);
                        is_over &= found.value == Value::EndOfMibView;
                        range.start.clone_from(&found.name);
                        range.include = false;
                        values.push(found);
                    }
                    if is_over {
                        break;
                    }
                }
                answer(0, 0, values);
            }
            Body::TestSet(values) => {
                self.tested.clear();
                for (place, VarBind { name, value }) in values.iter().enumerate() {
                    match setting(view, name, value) {
                        Ok(change) => self.tested.push(change),
                        Err(refusal) => {
                            self.tested.clear();
                            answer(refusal.number(), place + 1, Vec::new());
                            return Heard::Nothing;
                        }
                    }
                }
                answer(0, 0, Vec::new());
            }
            Body::CommitSet => {
                answer(0, 0, Vec::new());
                return Heard::Set(self.tested.iter().map(|(new, _)| new.clone()).collect());
            }
            Body::UndoSet => {
                answer(0, 0, Vec::new());
                return Heard::Set(self.tested.drain(..).map(|(_, old)| old).collect());
            }
            // No answer is awaited.
            Body::CleanupSet => self.tested.clear(),
            _ => answer(PROCESSING_ERROR, 0, Vec::new()),
        }
        Heard::Nothing
    }

    fn answered(&mut self, session: u32, error: u16, out: &mut Vec<u8>) -> Heard {
        match (self.phase, error) {
            (Phase::Opening, 0) => {
                self.phase = Phase::Open;
                self.session = session;
                for subtree in self.subtrees.clone() {
                    out.extend(self.say(Body::Register { priority: PRIORITY, subtree }));
                }
                Heard::Opened
            }
            (Phase::Opening, error) => Heard::Over(format!("the master refuses the session (error {error})")),
            (_, 0) => Heard::Nothing,
            // Somebody else answers for it.
            (_, 263) => Heard::Over("another subagent has registered the same objects".to_owned()),
            // The session is not known (any more): the master was restarted.
            (_, error) => Heard::Over(format!("the master refuses a packet (error {error})")),
        }
    }
}

impl Refusal {
    fn number(self) -> u16 {
        match self {
            Self::WrongType => 7,
            Self::WrongValue => 10,
            Self::NoCreation => 11,
            Self::NotWritable => 17,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::ReporterPart;
    use crate::snmp;
    use crate::time::Time;
    use crate::vrrp::tests::samples::instance;

    fn view() -> View {
        let mut part = ReporterPart::default();
        part.global.snmp.vrrp = true;
        part.vrrp.instances.push(instance("V", 51, 100));
        View { part, version: "v0", vrrp: None, checkers: None, began: Time::ZERO, now: Time::ZERO }
    }

    /// What the agent says to this, and what comes of it.
    fn ask(agent: &mut Agent, body: Body) -> (Vec<Packet>, Heard) {
        let view = view();
        let packet = Packet { session: 9, transaction: 5, id: 6, body };
        let mut out = Vec::new();
        let heard = agent.hear(&packet, &snmp::tree(&view), &view, &mut out);
        let mut said = Vec::new();
        while let Some(header) = out.first_chunk() {
            let length = Packet::length(header).unwrap();
            said.push(Packet::decode(&out[..length]).unwrap());
            out.drain(..length);
        }
        (said, heard)
    }

    fn response(error: u16) -> Body {
        Body::Response { uptime: 0, error, index: 0, values: Vec::new() }
    }

    fn opened() -> Agent {
        let mut agent = Agent::new(vec![vec![1, 3, 6, 1, 4], vec![1, 3, 6, 1, 5]]);
        agent.open();
        let (said, heard) = ask(&mut agent, response(0));
        assert_eq!(heard, Heard::Opened);
        assert!(said.iter().all(|packet| packet.session == 9), "{said:?}");
        let registered = said.iter().filter(|packet| matches!(packet.body, Body::Register { .. }));
        assert_eq!(registered.count(), 2);
        agent
    }

    #[test]
    fn a_session_is_opened_and_registers_and_a_refusal_ends_it() {
        let mut agent = opened();
        assert!(matches!(ask(&mut agent, response(263)).1, Heard::Over(_)));
        let mut refused = Agent::new(Vec::new());
        refused.open();
        assert!(matches!(ask(&mut refused, response(256)).1, Heard::Over(_)));
        assert!(refused.notify(Vec::new()).is_empty(), "there is no session");
    }

    #[test]
    fn a_set_is_tested_committed_and_undone() {
        let mut agent = opened();
        let name = snmp::keepalived_vrrp::node(&[2, 3, 1, 7, 1]);
        let mut test = |number: i32| {
            let value = Value::Integer(number);
            let values = vec![VarBind { name: name.clone(), value }];
            match ask(&mut agent, Body::TestSet(values)).0.remove(0).body {
                Body::Response { error, .. } => error,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!([test(0), test(256), test(-1), test(120)], [10, 10, 10, 0]);
        let set = |heard| match heard {
            Heard::Set(settings) => match settings.as_slice() {
                [Setting::Priority { priority, .. }] => priority.get(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        assert_eq!(set(ask(&mut agent, Body::CommitSet).1), 120);
        assert_eq!(set(ask(&mut agent, Body::UndoSet).1), 100);
    }

    #[test]
    fn a_bulk_answer_is_bounded_and_ends_with_the_tree() {
        let mut agent = opened();
        let range = Range { start: vec![1, 3], include: false, end: Vec::new() };
        let body = Body::GetBulk { non_repeaters: 0, max_repetitions: u16::MAX, ranges: vec![range; 3] };
        let (said, _) = ask(&mut agent, body);
        let Body::Response { values, .. } = &said[0].body else { panic!("{said:?}") };
        assert!(values.len() <= BULK);
        assert!(
            values.ends_with(&[VarBind { value: Value::EndOfMibView, ..values[values.len() - 1].clone() }])
        );
    }
}
