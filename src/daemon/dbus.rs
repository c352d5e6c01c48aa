//! The D-Bus interface: a task of the reporter that owns the name, its objects and the connection.
//!
//! spec/daemon-behaviour.md §14. The parent connects, so root is who owns the name, as with stock and its policy; a bus that
//! is not there, goes away or does not read is tried again with back-off and holds nobody up.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, timeout};
use tracing::{debug, info};
use zbus::object_server::SignalEmitter;
use zbus::{Connection, connection, interface};

use super::ipc::{Dump, FromReporter, Order, Service};
use super::respawn::BackOff;
use super::slot::until;
use crate::config::model::{Family, Global, Instance};

/// Where all objects are, whatever the name on the bus is.
const ROOT: &str = "/org/keepalived/Vrrp1";

/// The name on the bus, where no other is given.
const NAME: &str = "org.keepalived.Vrrp1";

/// How long the bus may take to answer, and to take a signal.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection must have lasted to be tried again at once.
const SIGNAL: Duration = Duration::from_secs(1);

/// What the task is told. It ends, after the last signal, when nobody can tell it anything any more.
#[derive(Debug)]
pub(super) enum ToBus {
    /// These are the objects now.
    Configure(Layout),
    /// An instance is in this state.
    State {
        /// Its name.
        instance: String,
        /// spec/vrrp-behaviour.md §4.
        code: u32,
    },
    /// An instance has been in this state.
    Known {
        /// Its name.
        instance: String,
        /// spec/vrrp-behaviour.md §4.
        code: u32,
    },
    /// The connection that was asked for, if there is a bus.
    Connected(Option<OwnedFd>),
}

/// What is on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    name: String,
    /// Path of the general object.
    general: String,
    /// Path and name of each instance.
    instances: BTreeMap<String, String>,
}

impl Layout {
    /// Of a configuration.
    pub(super) fn of(global: &Global, instances: &[Instance]) -> Self {
        let mut root = ROOT.to_owned();
        for part in [&global.net_namespace, &global.instance].into_iter().flatten() {
            root = format!("{root}/{}", element(part));
        }
        let none = global.dbus.no_interface_name.as_deref().unwrap_or("none");
        let path = |instance: &Instance| {
            let interface = instance.interface.as_deref().unwrap_or(none);
            let family = match instance.family {
                Family::V4 => "IPv4",
                Family::V6 => "IPv6",
            };
            format!("{root}/Instance/{}/{}/{family}", element(interface), instance.vrid.get())
        };
        Self {
            name: global.dbus.service_name.clone().unwrap_or_else(|| NAME.to_owned()),
            general: format!("{root}/Vrrp"),
            instances: instances.iter().map(|it| (path(it), it.name.clone())).collect(),
        }
    }
}

/// A path holds letters, digits and `_` only.
fn element(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// What a state is called.
fn word(code: u32) -> &'static str {
    match code {
        0 => "Init",
        1 => "Backup",
        2 => "Master",
        3 => "Fault",
        97 => "Deleted",
        98 => "Stop",
        _ => "Unknown",
    }
}

/// The general object.
struct Vrrp {
    asks: Sender<FromReporter>,
}

impl Vrrp {
    /// Passes a wish on; one of too many is dropped.
    fn ask(&self, what: FromReporter) {
        let _ = self.asks.try_send(what);
    }
}

#[interface(name = "org.keepalived.Vrrp1.Vrrp")]
impl Vrrp {
    fn print_data(&self) {
        info!("Printing VRRP data on DBus request");
        self.ask(FromReporter::Dump(Dump::Data));
    }

    fn print_stats(&self) {
        info!("Printing VRRP stats on DBus request");
        self.ask(FromReporter::Dump(Dump::Stats));
    }

    fn print_stats_clear(&self) {
        info!("Printing and clearing VRRP stats on DBus request");
        self.ask(FromReporter::Dump(Dump::StatsClear));
    }

    fn reload_config(&self) {
        info!("Reloading the configuration on DBus request");
        self.ask(FromReporter::Reload);
    }

    #[zbus(signal)]
    async fn vrrp_started(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn vrrp_reloaded(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn vrrp_stopped(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;
}

/// The object of an instance.
struct Virtual {
    name: String,
    state: Arc<AtomicU32>,
    asks: Sender<FromReporter>,
}

#[interface(name = "org.keepalived.Vrrp1.Instance")]
impl Virtual {
    fn send_garp(&self) {
        info!("Sending garps on {} on DBus request", self.name);
        let order = Order::SendGarp { instance: self.name.clone() };
        let _ = self.asks.try_send(FromReporter::Order(order));
    }

    #[zbus(signal)]
    async fn vrrp_status_change(emitter: &SignalEmitter<'_>, status: u32) -> zbus::Result<()>;

    /// Stock: a structure of one string.
    #[zbus(property)]
    fn name(&self) -> (String,) {
        (self.name.clone(),)
    }

    #[zbus(property)]
    fn state(&self) -> (u32, String) {
        let code = self.state.load(Ordering::Relaxed);
        (code, word(code).to_owned())
    }
}

/// The task.
pub(super) struct Bus {
    asks: Sender<FromReporter>,
    /// Who the connection was made by.
    user: u32,
    layout: Option<Layout>,
    /// The state of each instance, by name; shared with its object.
    states: BTreeMap<String, Arc<AtomicU32>>,
    connection: Option<(Connection, Instant)>,
    back_off: BackOff,
    /// When the parent is asked for a connection again.
    due: Option<Instant>,
    /// It was said that there is no bus.
    complained: bool,
}

impl Bus {
    /// `asks` leads to the parent, which connects as `user`.
    pub(super) fn new(asks: Sender<FromReporter>, user: u32) -> Self {
        Self {
            asks,
            user,
            layout: None,
            states: BTreeMap::new(),
            connection: None,
            back_off: BackOff::default(),
            due: None,
            complained: false,
        }
    }

    /// Lives until nobody can tell it anything any more.
    pub(super) async fn live(mut self, mut told: Receiver<ToBus>) {
        loop {
            let connection = self.connection.as_ref().map(|(connection, _)| connection.clone());
            let closed = async {
                match connection {
                    Some(connection) => connection.closed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = told.recv() => match message {
                    Some(message) => self.hear(message).await,
                    None => break,
                },
                () = closed => self.lost("the connection was closed"),
                () = until(self.due) => {
                    self.due = None;
                    let _ = self.asks.send(FromReporter::Connect(Service::Bus)).await;
                }
            }
        }
        if let Some(emitter) = self.general() {
            let _ = timeout(SIGNAL, Vrrp::vrrp_stopped(&emitter)).await;
        }
        if let Some((connection, _)) = self.connection.take() {
            let _ = timeout(SIGNAL, connection.graceful_shutdown()).await;
            info!("Released DBus");
        }
    }

    async fn hear(&mut self, message: ToBus) {
        match message {
            ToBus::Configure(layout) => self.configure(layout).await,
            ToBus::State { instance, code } => self.state(&instance, code).await,
            ToBus::Known { instance, code } => {
                if let Some(state) = self.states.get(&instance) {
                    state.store(code, Ordering::Relaxed);
                }
            }
            ToBus::Connected(None) => self.lost("there is no bus"),
            ToBus::Connected(Some(socket)) => self.connect(socket).await,
        }
    }

    async fn configure(&mut self, layout: Layout) {
        let before = self.layout.replace(layout.clone());
        let keep = |name: &String| layout.instances.values().any(|it| it == name);
        self.states.retain(|name, _| keep(name));
        for name in layout.instances.values() {
            self.states.entry(name.clone()).or_default();
        }
        let Some(before) = before else {
            self.due = Some(Instant::now());
            return;
        };
        if (&before.name, &before.general) != (&layout.name, &layout.general) {
            // Another name: everything anew.
            self.connection = None;
            self.due = Some(Instant::now());
            return;
        }
        for (path, name) in &before.instances {
            if layout.instances.get(path) != Some(name) {
                if !layout.instances.values().any(|it| it == name) {
                    self.signal(path, 97).await;
                }
                if let Some((connection, _)) = &self.connection {
                    let _ = connection.object_server().remove::<Virtual, _>(path.as_str()).await;
                }
            }
        }
        let new: Vec<_> = layout
            .instances
            .iter()
            .filter(|(path, name)| before.instances.get(*path) != Some(*name))
            .collect();
        for (path, name) in new {
            self.serve(path, name).await;
        }
        if let Some(emitter) = self.general() {
            self.sent(timeout(SIGNAL, Vrrp::vrrp_reloaded(&emitter)).await.map_err(|_| ()));
        }
    }

    async fn state(&mut self, instance: &str, code: u32) {
        let Some(state) = self.states.get(instance) else { return };
        if state.swap(code, Ordering::Relaxed) == code {
            return;
        }
        let path = self.layout.as_ref().and_then(|layout| {
            layout.instances.iter().find(|(_, name)| *name == instance).map(|(path, _)| path.clone())
        });
        if let Some(path) = path {
            self.signal(&path, code).await;
        }
    }

    async fn signal(&mut self, path: &str, code: u32) {
        let Some((connection, _)) = &self.connection else { return };
        let Ok(emitter) = SignalEmitter::new(connection, path.to_owned()) else { return };
        let sent = timeout(SIGNAL, Virtual::vrrp_status_change(&emitter, code)).await;
        self.sent(sent.map_err(|_| ()));
    }

    /// A bus that does not take signals is left.
    fn sent(&mut self, sent: Result<zbus::Result<()>, ()>) {
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.lost(&error.to_string()),
            Err(()) => self.lost("it does not take signals"),
        }
    }

    fn general(&self) -> Option<SignalEmitter<'static>> {
        let ((connection, _), layout) = (self.connection.as_ref()?, self.layout.as_ref()?);
        SignalEmitter::new(connection, layout.general.clone()).ok()
    }

    async fn connect(&mut self, socket: OwnedFd) {
        let Some(layout) = self.layout.clone() else { return };
        match timeout(PATIENCE, self.open(socket, &layout)).await {
            Ok(Ok(connection)) => {
                self.connection = Some((connection, Instant::now()));
                self.complained = false;
                info!("Acquired DBus bus {}", layout.name);
                if let Some(emitter) = self.general() {
                    let _ = timeout(SIGNAL, Vrrp::vrrp_started(&emitter)).await;
                }
            }
            Ok(Err(error)) => self.lost(&error.to_string()),
            Err(_) => self.lost("it does not answer"),
        }
    }

    /// Everything is there before anybody can see the name.
    async fn open(&self, socket: OwnedFd, layout: &Layout) -> zbus::Result<Connection> {
        let mut builder = connection::Builder::unix_stream(UnixStream::from(socket))
            .user_id(self.user)
            .serve_at(layout.general.clone(), Vrrp { asks: self.asks.clone() });
        for (path, name) in &layout.instances {
            builder = builder.serve_at(path.clone(), self.object(name));
        }
        builder.name(layout.name.clone()).build().await
    }

    fn object(&self, name: &str) -> Virtual {
        let state = self.states.get(name).cloned().unwrap_or_default();
        Virtual { name: name.to_owned(), state, asks: self.asks.clone() }
    }

    async fn serve(&self, path: &str, name: &str) {
        let Some((connection, _)) = &self.connection else { return };
        if let Err(error) = connection.object_server().at(path, self.object(name)).await {
            info!("D-Bus object {path}: {error}");
        }
    }

    /// Tries again later. Said once, until it works again.
    fn lost(&mut self, why: &str) {
        let lived = self.connection.take().map_or(Duration::ZERO, |(_, since)| since.elapsed());
        let wait = self.back_off.died(lived);
        if std::mem::replace(&mut self.complained, true) {
            debug!("D-Bus: {why}");
        } else {
            info!("D-Bus is not available, tried again from time to time: {why}");
        }
        self.due = Some(Instant::now() + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_stocks() {
        let global =
            Global { net_namespace: Some("n-1".into()), instance: Some("i".into()), ..Global::default() };
        let mut one = crate::vrrp::tests::samples::instance("V", 51, 100);
        one.interface = Some("eth0.5".into());
        let layout = Layout::of(&global, &[one]);
        assert_eq!(layout.general, "/org/keepalived/Vrrp1/n_1/i/Vrrp");
        let path = "/org/keepalived/Vrrp1/n_1/i/Instance/eth0_5/51/IPv4";
        assert_eq!(layout.instances.get(path).map(String::as_str), Some("V"));
        assert_eq!(layout.name, "org.keepalived.Vrrp1");
    }
}
