//! The SNMP subagent: a task of the reporter that owns the connection to the `AgentX` master.
//!
//! What is answered and notified is in `crate::snmp`; here are the socket, the clock and the age of what is known. The
//! parent connects to a local socket, which lets only root in; to others the reporter connects itself. A master that is not
//! there, goes away or does not read is tried again with back-off and holds nobody up.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use super::ipc::{Extent, FromReporter, Order, Reported, Service};
use super::respawn::BackOff;
use super::slot::until;
use crate::config::model::ReporterPart;
use crate::kernel::timer::now;
use crate::lvs::snapshot::CheckersSnapshot;
use crate::report::event::ReporterEvent;
use crate::snmp::agent::{Agent, Heard};
use crate::snmp::keepalived_vrrp::node;
use crate::snmp::packet::{Body, HEADER, LIMIT, Packet, Range};
use crate::snmp::settings::Setting;
use crate::snmp::tree::Tree;
use crate::snmp::view::View;
use crate::snmp::{self, traps};
use crate::vrrp::Snapshot;

/// What is known of vrrp is asked for anew after this time, when somebody wants to know.
const YOUNG: Duration = Duration::from_secs(1);

/// How long an answer waits for it.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a notification does: nobody asks for it twice.
const LONG_PATIENCE: Duration = Duration::from_secs(2);

/// How long the master may take to read.
const SLOW: Duration = Duration::from_secs(5);

/// Events that wait for what is known of the state; more are lost.
const EVENTS: usize = 4096;

/// Requests that wait for it; a master that has more to ask is not read before they are answered.
const REQUESTS: usize = 256;

/// What the task is told. It ends when nobody can tell it anything any more.
#[derive(Debug)]
pub(super) enum ToAgent {
    /// This runs now.
    Configure(Box<ReporterPart>),
    /// So vrrp is.
    Vrrp(Box<Snapshot>),
    /// So checkers is.
    Checkers(Box<CheckersSnapshot>),
    /// Something happened.
    Event(ReporterEvent),
    /// The connection that was asked for, if there is a master.
    Connected(Option<OwnedFd>),
}

/// A byte stream to a master.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

struct Connection {
    stream: Box<dyn Stream>,
    /// What was read and is no whole packet yet.
    bytes: Vec<u8>,
    since: Instant,
}

/// The task.
pub(super) struct Subagent {
    asks: Sender<FromReporter>,
    view: View,
    tree: Tree<View>,
    agent: Agent,
    connection: Option<Connection>,
    /// Since when what is known of vrrp is known; `None` is too old.
    known: Option<Instant>,
    /// When an answer no longer waits for it.
    asked: Option<Instant>,
    /// When a notification no longer does.
    overdue: Option<Instant>,
    /// Who has not answered.
    awaited: Vec<Reported>,
    /// How much was asked for.
    extent: Extent,
    /// Packets whose answers wait for it.
    packets: Vec<Packet>,
    /// Events whose notifications wait for it.
    events: Vec<ReporterEvent>,
    /// So many of them happened before it was asked for.
    covered: usize,
    back_off: BackOff,
    /// When the master is tried again.
    due: Option<Instant>,
    /// It was said that there is no master.
    complained: bool,
}

impl Subagent {
    /// `asks` leads to the parent.
    pub(super) fn new(asks: Sender<FromReporter>) -> Self {
        let view = View {
            part: ReporterPart::default(),
            version: super::COMPATIBLE,
            vrrp: None,
            checkers: None,
            began: now(),
            now: now(),
        };
        Self {
            asks,
            tree: snmp::tree(&view),
            view,
            agent: Agent::new(Vec::new()),
            connection: None,
            known: None,
            asked: None,
            overdue: None,
            awaited: Vec::new(),
            extent: Extent::Usual,
            packets: Vec::new(),
            events: Vec::new(),
            covered: 0,
            back_off: BackOff::default(),
            due: None,
            complained: false,
        }
    }

    /// Lives until nobody can tell it anything any more.
    pub(super) async fn live(mut self, mut told: Receiver<ToAgent>) {
        loop {
            let may_read = self.packets.len() < REQUESTS;
            let read = async {
                match &mut self.connection {
                    Some(connection) if may_read => connection.stream.read_buf(&mut connection.bytes).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                message = told.recv() => match message {
                    Some(message) => self.hear(message).await,
                    None => break,
                },
                read = read => self.received(read).await,
                () = until(self.asked) => {
                    // From a process that is busy or gone: better old than none.
                    self.asked = None;
                    self.answer_all().await;
                }
                () = until(self.overdue) => {
                    self.awaited.clear();
                    self.settle().await;
                }
                () = until(self.due) => self.reach().await,
            }
        }
        self.covered = self.events.len();
        self.settle().await;
        let bytes = self.agent.close();
        self.send(bytes).await;
    }

    async fn hear(&mut self, message: ToAgent) {
        match message {
            ToAgent::Configure(part) => self.configure(*part),
            ToAgent::Vrrp(snapshot) => {
                self.view.vrrp = Some(*snapshot);
                self.tree = snmp::tree(&self.view);
                self.told(Reported::Vrrp).await;
            }
            ToAgent::Checkers(snapshot) => {
                // Of the configuration before, perhaps.
                if snapshot.servers.len() == self.view.part.checkers.virtual_servers.len() {
                    self.view.checkers = Some(*snapshot);
                }
                self.told(Reported::Checkers).await;
            }
            ToAgent::Event(event) => {
                self.known = None;
                if self.view.part.global.snmp.traps && self.events.len() < EVENTS {
                    self.events.push(event);
                    self.learn().await;
                }
            }
            ToAgent::Connected(Some(socket)) => {
                let stream = StdStream::from(socket);
                match stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream)) {
                    Ok(stream) => self.begin(Box::new(stream)).await,
                    Err(error) => self.lost(&error.to_string()),
                }
            }
            ToAgent::Connected(None) => self.lost("there is no master"),
        }
    }

    fn configure(&mut self, part: ReporterPart) {
        let (before, after) = (&self.view.part.global.snmp, &part.global.snmp);
        let is_other = snmp::subtrees(before) != snmp::subtrees(after) || before.socket != after.socket;
        self.view.part = part;
        self.known = None;
        // Of instances that may be others now.
        if self.view.vrrp.as_ref().is_some_and(|it| it.instances.len() != self.view.part.vrrp.instances.len())
        {
            self.view.vrrp = None;
        }
        self.view.checkers = None;
        self.tree = snmp::tree(&self.view);
        if is_other {
            self.agent = Agent::new(snmp::subtrees(&self.view.part.global.snmp));
            self.connection = None;
            self.due = Some(Instant::now());
        }
    }

    /// Goes to the master, or has the parent go.
    async fn reach(&mut self) {
        self.due = None;
        let socket = self.view.part.global.snmp.socket.clone();
        let Some(address) = socket.as_deref().and_then(remote) else {
            let _ = self.asks.send(FromReporter::Connect(Service::AgentX)).await;
            return;
        };
        match timeout(SLOW, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => self.begin(Box::new(stream)).await,
            Ok(Err(error)) => self.lost(&format!("connecting to {address}: {error}")),
            Err(_) => self.lost(&format!("{address} does not answer")),
        }
    }

    async fn begin(&mut self, stream: Box<dyn Stream>) {
        self.connection = Some(Connection { stream, bytes: Vec::new(), since: Instant::now() });
        self.packets.clear();
        let bytes = self.agent.open();
        self.send(bytes).await;
    }

    async fn received(&mut self, read: io::Result<usize>) {
        match read {
            Ok(0) => return self.lost("the connection was closed"),
            Ok(_) => {}
            Err(error) => return self.lost(&error.to_string()),
        }
        while let Some(packet) = self.packet() {
            if Agent::needs_view(&packet) {
                self.packets.push(packet);
                continue;
            }
            self.answer(&packet).await;
        }
        if !self.packets.is_empty() {
            self.learn().await;
        }
    }

    /// The next whole packet of what was read.
    fn packet(&mut self) -> Option<Packet> {
        let bytes = &mut self.connection.as_mut()?.bytes;
        let length = match Packet::length(bytes.first_chunk::<HEADER>()?) {
            Ok(length) => length,
            Err(error) => {
                self.lost(&format!("it says {error}"));
                return None;
            }
        };
        if bytes.len() < length {
            debug_assert!(length <= HEADER + LIMIT);
            return None;
        }
        let packet = Packet::decode(&bytes[..length]);
        bytes.drain(..length);
        match packet {
            Ok(packet) => Some(packet),
            Err(error) => {
                self.lost(&format!("it says {error}"));
                None
            }
        }
    }

    /// Has what is known be young, then goes on with what waits for it.
    async fn learn(&mut self) {
        let extent = self.wanted();
        let is_young = self.known.is_some_and(|known| known.elapsed() < YOUNG);
        if is_young && (extent == Extent::Usual || self.extent == extent) {
            self.settle().await;
        } else if self.awaited.is_empty() {
            self.ask(extent).await;
        } else if self.asked.is_none() && !self.packets.is_empty() {
            self.asked = Some(Instant::now() + PATIENCE);
        }
    }

    /// How much has to be known for what waits.
    fn wanted(&self) -> Extent {
        if self.packets.iter().any(wants_real_servers) { Extent::Whole } else { Extent::Usual }
    }

    /// Asks all who run how they are.
    async fn ask(&mut self, extent: Extent) {
        let part = &self.view.part;
        let whom = [
            (Reported::Vrrp, !part.vrrp.instances.is_empty()),
            (Reported::Checkers, !part.checkers.virtual_servers.is_empty()),
        ];
        self.awaited = whom.into_iter().filter(|(_, runs)| *runs).map(|(who, _)| who).collect();
        // An answer is later than what came before the question, of all processes.
        self.covered = self.events.len();
        if self.awaited.is_empty() {
            return Box::pin(self.settle()).await;
        }
        self.extent = extent;
        let now = Instant::now();
        (self.asked, self.overdue) = (Some(now + PATIENCE), Some(now + LONG_PATIENCE));
        for who in self.awaited.clone() {
            let _ = self.asks.send(FromReporter::Snapshot(who, extent)).await;
        }
    }

    /// One of those who were asked has answered.
    async fn told(&mut self, who: Reported) {
        let before = self.awaited.len();
        self.awaited.retain(|awaited| *awaited != who);
        if before == 0 || !self.awaited.is_empty() {
            return;
        }
        if self.covered == self.events.len() {
            self.known = Some(Instant::now());
        }
        if self.extent == Extent::Usual && self.wanted() == Extent::Whole {
            return self.ask(Extent::Whole).await;
        }
        self.settle().await;
    }

    /// Notifies and answers what has waited.
    async fn settle(&mut self) {
        (self.asked, self.overdue) = (None, None);
        self.view.now = now();
        // What happens while a session is being opened is told when it is.
        let covered = if self.agent.is_open() { std::mem::take(&mut self.covered) } else { 0 };
        for event in self.events.drain(..covered.min(self.events.len())).collect::<Vec<_>>() {
            let notifications = match &event {
                ReporterEvent::Vrrp(transition) => traps::of_transition(&self.view, transition),
                ReporterEvent::Advert { instance, source, error } => {
                    traps::of_bad_advert(&self.view, instance, *source, *error).into_iter().collect()
                }
                ReporterEvent::RealServer(change) => {
                    traps::of_real_server(&self.view, change).into_iter().collect()
                }
                ReporterEvent::Quorum { name, up, .. } => {
                    traps::of_quorum(&self.view, name, *up).into_iter().collect()
                }
                ReporterEvent::Stands(_) | ReporterEvent::Mail(_) => Vec::new(),
            };
            for values in notifications {
                let bytes = self.agent.notify(values);
                self.send(bytes).await;
            }
        }
        self.answer_all().await;
        // What happened after the question.
        if self.agent.is_open() && !self.events.is_empty() && self.awaited.is_empty() {
            self.ask(Extent::Usual).await;
        }
    }

    /// Answers what has waited.
    async fn answer_all(&mut self) {
        self.view.now = now();
        for packet in std::mem::take(&mut self.packets) {
            self.answer(&packet).await;
        }
    }

    async fn answer(&mut self, packet: &Packet) {
        let mut out = Vec::new();
        let heard = self.agent.hear(packet, &self.tree, &self.view, &mut out);
        self.send(out).await;
        match heard {
            Heard::Nothing => {}
            Heard::Opened => {
                self.complained = false;
                info!("Connected to the AgentX master");
                // For what happened meanwhile.
                Box::pin(self.ask(Extent::Usual)).await;
            }
            Heard::Set(settings) => {
                for setting in settings {
                    self.set(setting).await;
                }
            }
            Heard::Over(why) => self.lost(&why),
        }
    }

    /// Passes a setting on; it is seen at once.
    async fn set(&mut self, setting: Setting) {
        let instances = &mut self.view.part.vrrp.instances;
        let order = match setting {
            Setting::Priority { instance, priority } => {
                instances.iter_mut().filter(|it| it.name == instance).for_each(|it| it.priority = priority);
                Order::SetPriority { instance, priority }
            }
            Setting::Preempt { instance, preempt } => {
                instances.iter_mut().filter(|it| it.name == instance).for_each(|it| it.preempt = preempt);
                Order::SetPreempt { instance, preempt }
            }
            Setting::Weight { virtual_server, real_server, weight } => {
                let servers = &mut self.view.part.checkers.virtual_servers;
                let server = servers.get_mut(virtual_server);
                if let Some(real) = server.and_then(|it| it.real_servers.get_mut(real_server)) {
                    real.weight = weight;
                }
                Order::SetWeight { virtual_server, real_server, weight }
            }
        };
        self.known = None;
        let _ = self.asks.send(FromReporter::Order(order)).await;
    }

    async fn send(&mut self, bytes: Vec<u8>) {
        let Some(connection) = &mut self.connection else { return };
        if bytes.is_empty() {
            return;
        }
        match timeout(SLOW, connection.stream.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.lost(&error.to_string()),
            Err(_) => self.lost("it does not read"),
        }
    }

    /// Tries again later. Said once, until it works again.
    fn lost(&mut self, why: &str) {
        let lived = self.connection.take().map_or(Duration::ZERO, |connection| connection.since.elapsed());
        (self.packets, self.events, self.covered) = (Vec::new(), Vec::new(), 0);
        let wait = self.back_off.died(lived);
        if std::mem::replace(&mut self.complained, true) {
            debug!("AgentX: {why}");
        } else {
            info!("The AgentX master is not available, tried again from time to time: {why}");
        }
        self.due = Some(Instant::now() + wait);
    }
}

/// Does somebody ask for the statistics of real servers? They are the columns 14 to 39 of their table.
fn wants_real_servers(packet: &Packet) -> bool {
    let (first, behind) = (node(&[3, 4, 1, 13]), node(&[3, 4, 1, 40]));
    let wants = |range: &Range| range.start >= first && range.start < behind;
    match &packet.body {
        Body::Get(ranges) | Body::GetNext(ranges) => ranges.iter().any(wants),
        // It may come to them from afar.
        Body::GetBulk { ranges, .. } => {
            ranges.iter().any(|range| range.start >= node(&[3, 3, 1]) && range.start < behind)
        }
        _ => false,
    }
}

/// `tcp:HOST:PORT` or `HOST:PORT` of `snmp_socket`; others are local.
fn remote(socket: &str) -> Option<&str> {
    let address = socket.strip_prefix("tcp:").unwrap_or(socket);
    let is_local = address.starts_with("unix:") || address.starts_with('/');
    (!is_local && address.rsplit_once(':')?.1.parse::<u16>().is_ok()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Instance, VrrpVersion};
    use crate::snmp::packet::Value;
    use crate::vrrp::{StateWord, Subject, Transition};

    #[test]
    fn remote_masters_are_told_from_local_ones() {
        assert_eq!(remote("tcp:localhost:705"), Some("localhost:705"));
        assert_eq!(remote("10.0.0.1:705"), Some("10.0.0.1:705"));
        assert_eq!([remote("unix:/run/x"), remote("/run/x:1"), remote("udp:x")], [None; 3]);
    }

    /// What was sent since the last look.
    async fn sent(master: &mut tokio::io::DuplexStream) -> Vec<Body> {
        let mut bytes = Vec::new();
        while let Ok(Ok(length)) = timeout(Duration::from_millis(20), master.read_buf(&mut bytes)).await
            && length > 0
        {}
        let mut found = Vec::new();
        while let Some(header) = bytes.first_chunk() {
            let length = Packet::length(header).unwrap();
            found.push(Packet::decode(&bytes[..length]).unwrap().body);
            bytes.drain(..length);
        }
        found
    }

    #[tokio::test]
    async fn a_notification_waits_for_what_is_known_after_its_event() {
        use crate::vrrp::tests::samples::{Bench, instance, part};
        let (asks, mut wanted) = tokio::sync::mpsc::channel(16);
        let (ours, mut master) = tokio::io::duplex(1 << 16);
        let vrrp = part(&[Instance { version: VrrpVersion::V3, ..instance("V", 51, 100) }]);
        let (mut bench, _) = Bench::start(&vrrp);
        let before = bench.router.snapshot(bench.now);
        bench.wait(20.0);
        let after = bench.router.snapshot(bench.now);
        let mut part = ReporterPart { vrrp, ..ReporterPart::default() };
        part.checkers.virtual_servers.push(crate::lvs::virtual_server::tests::virtual_server(1));
        (part.global.snmp.rfc_v3, part.global.snmp.checker, part.global.snmp.traps) = (true, true, true);
        let mut agent = Subagent::new(asks);
        agent.configure(part);
        agent.begin(Box::new(ours)).await;
        let body = Body::Response { uptime: 0, error: 0, index: 0, values: Vec::new() };
        agent.answer(&Packet { session: 9, transaction: 1, id: 1, body }).await;
        let asked = |wanted: &mut Receiver<FromReporter>| {
            let mut count = 0;
            while let Ok(FromReporter::Snapshot(..)) = wanted.try_recv() {
                count += 1;
            }
            count
        };
        assert_eq!(asked(&mut wanted), 2, "vrrp and checkers");
        // It becomes master between the answers of the two.
        agent.hear(ToAgent::Vrrp(Box::new(before))).await;
        let subject = Subject::Instance("V".to_owned());
        let transition =
            Transition { subject, state: StateWord::Master, priority: 100, cause: String::new() };
        agent.hear(ToAgent::Event(ReporterEvent::Vrrp(transition))).await;
        agent.hear(ToAgent::Checkers(Box::default())).await;
        let notified = |bodies: Vec<Body>| -> Vec<_> {
            bodies.into_iter().filter(|body| matches!(body, Body::Notify(_))).collect()
        };
        assert!(notified(sent(&mut master).await).is_empty(), "of what was known before");
        assert_eq!(asked(&mut wanted), 2, "again");
        agent.hear(ToAgent::Vrrp(Box::new(after))).await;
        agent.hear(ToAgent::Checkers(Box::default())).await;
        let all = notified(sent(&mut master).await);
        let [Body::Notify(values)] = all.as_slice() else { panic!("{all:?}") };
        // Nobody was heard.
        assert_eq!(values.last().map(|it| &it.value), Some(&Value::Integer(3)), "{values:?}");
    }
}
