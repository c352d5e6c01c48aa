//! The parent's event loop: signals, children, scripts; start, reload and stop.
//!
//! It connects [`Supervisor`], [`Scripts`] and [`Requests`], and decides only what happens when: that a reload waits for the
//! one before it, that a refused one changes nothing, when the daemon ends and with which code.

use std::time::Duration;

use tracing::info;

use super::authority::Authority;
use super::child::Role;
use super::configuration::{Past, Read, Source};
use super::control::{self, Control};
use super::dump::{self, Content, Owner};
use super::exit::Exit;
use super::fifos::Fifos;
use super::ipc::{Dump, FromChild, FromReporter, Order};
use super::options::Options;
use super::places::Places;
use super::reload_time::ReloadTime;
use super::reload_words::{Copies, Marker, passes_check};
use super::scripts::{self, Ended, Scripts};
use super::service;
use super::signals::{Request, Requests};
use super::supervise::{self, Cause, Happening, Supervisor};
use super::systemd::Systemd;
use super::watch::Watch;
use super::watch_files;
use crate::config::model::{Command, Config, Global, ScriptEnd};
use crate::config::value::Mode;
use crate::kernel::error::Error;
use crate::kernel::{process, timer};
use crate::report::global;

/// How long notify scripts may go on after the children have ended; stock gives them its last second.
const SCRIPTS_LIMIT: Duration = Duration::from_secs(1);

/// What the daemon is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first configuration is on its way.
    Starting,
    /// Nothing is under way.
    Running,
    /// Another configuration is on its way.
    Reloading,
    /// Children are releasing what they hold.
    Stopping(Exit),
}

/// The parent process while it has an event loop.
pub struct Reign {
    options: Options,
    source: Source,
    /// Of the reading that the running configuration came from.
    running: Past,
    /// The first one, until it has been dealt with.
    first: Option<Read>,
    /// Of the one that is under way.
    proposed: Option<Past>,
    supervisor: Supervisor,
    scripts: Scripts<Role>,
    fifos: Fifos,
    /// Of the running configuration, and of the one under way or just replaced: scripts of what was removed still run.
    authorities: [Authority; 2],
    /// What the running configuration wants watched.
    watch: Watch,
    /// What the one under way wants watched.
    coming: Option<Watch>,
    requests: Requests,
    reload_time: ReloadTime,
    copies: Copies,
    /// Reloads so far, refused ones too; for names of copies.
    reloads: u32,
    /// Of the vrrp process; 0 before there was one.
    vrrp_pid: u32,
    systemd: Systemd,
    control: Option<Control>,
    phase: Phase,
    /// One more reload was asked for.
    reload_again: bool,
    /// `Startup complete` was logged: as with stock, the first load that gives a child something to do is the start.
    started: bool,
}

impl Reign {
    /// Needs a tokio runtime. Signals are heard from here on.
    pub fn new(
        options: Options,
        places: &Places,
        source: Source,
        first: Read,
        instance: Option<String>,
    ) -> Result<Self, Error> {
        let supervisor = Supervisor::new(supervise::Options {
            vrrp: !options.subsystems.no_vrrp,
            checkers: !options.subsystems.no_checkers,
            bfd: !options.subsystems.no_bfd,
            respawn: !options.dont_respawn,
            all: options.subsystems.all,
            instance,
            vrrp_pid: places.vrrp.clone(),
            checkers_pid: places.checkers.clone(),
            bfd_pid: places.bfd.clone(),
        });
        Ok(Self {
            requests: Requests::listen(options.ignore_sigint)?,
            options,
            source,
            running: first.past(),
            first: Some(first),
            proposed: None,
            supervisor,
            scripts: Scripts::new(),
            fifos: Fifos::default(),
            authorities: [Authority::default(), Authority::default()],
            watch: Watch::default(),
            coming: None,
            reload_time: ReloadTime::default(),
            copies: Copies::default(),
            reloads: 0,
            vrrp_pid: 0,
            systemd: Systemd::from_environment(),
            control: None,
            phase: Phase::Starting,
            reload_again: false,
            started: false,
        })
    }

    /// Starts with `config` and lives until the daemon ends.
    pub async fn live(mut self, config: Config) -> Exit {
        watch_files::initialise(&config.track_files);
        drop(Marker::left(&config.global));
        if let Some(read) = self.first.take() {
            self.copies.save(&config.global, &read);
        }
        if !self.start_up(&config.global).await {
            return Exit::Success;
        }
        self.control = Control::open(&control::path(config.global.ident_suffix().as_deref()));
        self.propose(config);
        loop {
            tokio::select! {
                biased;
                // First: children that got the terminal's SIGINT too must not look like lost ones.
                request = self.requests.next() => self.request(request),
                () = self.reload_time.due() => self.request(Request::Reload),
                happening = self.supervisor.next() => {
                    if matches!(happening, Happening::Stopped)
                        && let Phase::Stopping(exit) = self.phase
                    {
                        tokio::join!(self.scripts.drain(SCRIPTS_LIMIT), self.fifos.finish(SCRIPTS_LIMIT));
                        self.shut_down().await;
                        return exit;
                    }
                    self.happened(happening);
                }
                readings = self.watch.next() => readings.into_iter().for_each(|reading| self.supervisor.reading(reading)),
                () = self.fifos.serve() => {}
                (id, command) = control::next(&mut self.control) => self.commanded(id, command),
                Ended { asker, id, end } = self.scripts.ended() => self.supervisor.script_ended(asker, id, end),
            }
        }
    }

    /// What came in by the control socket.
    fn commanded(&mut self, id: u64, command: control::Command) {
        let order = match command {
            control::Command::Drain { target, wish } => Order::Drain { id, target, wish },
            control::Command::Drained => Order::Drained { id },
        };
        if !self.supervisor.order(&order)
            && let Some(control) = &mut self.control
        {
            control
                .answer(id, Err("no checkers process is running: there are no virtual servers".to_owned()));
        }
    }

    /// Runs `startup_script`, once, before there is any child. False if the daemon is told to end meanwhile.
    async fn start_up(&mut self, global: &Global) -> bool {
        let Some(command) = &global.startup_script else { return true };
        let script = scripts::alone("startup", command, global.startup_script_timeout);
        tokio::pin!(script);
        loop {
            tokio::select! {
                biased;
                request = self.requests.next() => match request {
                    Request::Stop => {
                        info!("Stopping");
                        return false;
                    }
                    Request::Reload => self.reload_again = true,
                    Request::Dump(_) => {}
                },
                () = &mut script => return true,
            }
        }
    }

    /// Runs `shutdown_script`, when all children have ended.
    async fn shut_down(&self) {
        let global = &self.supervisor.running().global;
        if let Some(command) = &global.shutdown_script {
            scripts::alone("shutdown", command, global.shutdown_script_timeout).await;
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Stop => self.stop(Exit::Success),
            Request::Reload => match self.phase {
                Phase::Running => self.reload(),
                Phase::Starting | Phase::Reloading => {
                    info!("Reload already in progress, request queued");
                    self.reload_again = true;
                }
                Phase::Stopping(_) => {}
            },
            Request::Dump(dump) => {
                if dump == Dump::Data {
                    let running = &self.supervisor.running().global;
                    let mut text = String::new();
                    global::parent(&mut text, running, self.reload_time.scheduled().as_deref());
                    dump::write(Content::Data(Owner::Parent), running, &text);
                }
                self.supervisor.dump(dump);
            }
        }
    }

    fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Committed { plan } => self.committed(&plan),
            Happening::Refused { reasons, cause } => self.refused(&reasons, cause),
            Happening::Asked { role, message } => self.asked(role, message),
            Happening::Wanted(message) => self.wanted(&message),
            Happening::Died { role, permanent, .. } => {
                // A successor goes on with the scripts of a lost vrrp process.
                if role != Role::Vrrp || permanent.is_some() || self.options.dont_respawn {
                    self.scripts.kill_all(role);
                }
                if let Some(exit) = permanent {
                    self.systemd.failed(if exit == Exit::Config { libc::EINVAL } else { libc::EPERM });
                    self.stop(exit);
                } else if self.options.dont_respawn && !matches!(role, Role::Prober | Role::Reporter) {
                    self.stop(Exit::Success);
                }
            }
            // The end of a stop is seen by `live`.
            Happening::Started { role: Role::Vrrp, pid } => {
                self.vrrp_pid = pid;
                self.supervisor.scripts_running(self.scripts.running(Role::Vrrp));
                self.tell_readings();
            }
            Happening::Started { role: Role::Checkers, .. } => self.tell_readings(),
            Happening::Started { .. } | Happening::Stopped => {}
        }
    }

    /// Gives a configuration to the children.
    fn propose(&mut self, config: Config) {
        self.authorities[1] = Authority::of(&config);
        self.coming = Some(Watch::new(&config));
        self.fifos.prepare(&config, self.options.subsystems);
        self.supervisor.propose(config);
        // Before the children are told to commit: what is new has its state from the first moment.
        self.tell_readings();
    }

    /// Tells all that is known of what is tracked.
    fn tell_readings(&mut self) {
        let watched = self.coming.as_ref().unwrap_or(&self.watch).readings();
        for reading in watched.into_iter().chain(self.supervisor.sessions()) {
            self.supervisor.reading(reading);
        }
    }

    /// The proposed configuration runs.
    fn committed(&mut self, plan: &[String]) {
        // At start everything is new; a reload says what it changed.
        for line in plan.iter().filter(|_| self.started) {
            info!("{line}");
        }
        // What was replaced may still be notifying that it is gone.
        self.authorities.swap(0, 1);
        self.fifos.commit();
        if let Some(watch) = self.coming.take() {
            self.watch = watch;
        }
        if let Some(past) = self.proposed.take() {
            self.running = past;
        }
        if self.started {
            self.save_data(true);
        }
        let (config, counts) = (self.supervisor.running(), self.supervisor.counts());
        self.reload_time.follow(&config.global.reload);
        process::set_umask(self.options.umask.unwrap_or(config.global.umask));
        let status =
            format!("{} VRRP instances, {} virtual servers", counts.instances, counts.virtual_servers);
        if !self.started && !self.supervisor.has_children() {
            info!("Warning - keepalived has no configuration to run");
        } else {
            info!("{}", if self.started { "Reload complete" } else { "Startup complete" });
            self.started = true;
        }
        self.systemd.ready(&status);
        self.settled(Phase::Running);
    }

    /// The proposed configuration does not run.
    fn refused(&mut self, reasons: &[(Role, String)], cause: Cause) {
        if matches!(self.phase, Phase::Stopping(_)) {
            return;
        }
        for (role, reason) in reasons {
            info!("{} process refuses the configuration: {reason}", role.title());
        }
        if self.phase != Phase::Starting {
            return self.keep();
        }
        // As with stock: what vrrp refuses is the configuration's fault, what checkers refuse is the host's.
        let vrrp = reasons.iter().any(|(role, _)| *role == Role::Vrrp);
        let exit = if vrrp && cause == Cause::Answer { Exit::Config } else { Exit::Fatal };
        if let Some((role, _)) = reasons.first() {
            let name = role.speaker().ident(None);
            info!("{name} exited with permanent error {}. Terminating", exit.word());
        }
        self.systemd.failed(libc::EINVAL);
        self.stop(exit);
    }

    fn asked(&mut self, role: Role, message: FromChild) {
        let allowed = |command: &Command| self.authorities.iter().any(|authority| authority.allows(command));
        match message {
            FromChild::RunScript { id, command, timeout } => {
                if allowed(&command) {
                    self.scripts.run(role, id, &command, timeout);
                } else {
                    info!(
                        "{} process asks for a script that is not configured: {}",
                        role.title(),
                        command.path
                    );
                    self.supervisor.script_ended(role, id, ScriptEnd::NotStarted { errno: libc::EPERM });
                }
            }
            FromChild::KillScript { id } => self.scripts.kill(role, id),
            FromChild::Dumped { dump, text } => self.dumped(role, dump, &text),
            FromChild::Notify { receiver, commands } => {
                let (commands, refused): (Vec<_>, Vec<_>) = commands.into_iter().partition(allowed);
                for command in refused {
                    info!(
                        "{} process asks for a script that is not configured: {}",
                        role.title(),
                        command.path
                    );
                }
                self.scripts.notify(&receiver, commands);
            }
            FromChild::Report(event) => self.fifos.tell(&event),
            FromChild::Answer { id, answer } => {
                if let Some(control) = &mut self.control {
                    control.answer(id, answer);
                }
            }
            FromChild::Session { name, up } => self.supervisor.session(name, up),
            // The supervisor's.
            FromChild::Snapshot(_)
            | FromChild::Prepared { .. }
            | FromChild::Refused { .. }
            | FromChild::Committed { .. }
            | FromChild::State(_)
            | FromChild::Reports(_)
            | FromChild::Stopped => {}
        }
    }

    /// What the reporter may ask for.
    fn wanted(&mut self, message: &FromReporter) {
        match *message {
            FromReporter::Dump(dump) => self.request(Request::Dump(dump)),
            FromReporter::Reload => self.request(Request::Reload),
            FromReporter::Connect(service) => {
                let connection = service::connect(service, &self.supervisor.running().global);
                self.supervisor.connected(service, connection);
            }
            // The supervisor's.
            FromReporter::Snapshot(..) | FromReporter::Order(_) => {}
        }
    }

    /// Writes what a child has to say into its file.
    fn dumped(&self, role: Role, dump: Dump, text: &str) {
        let running = &self.supervisor.running().global;
        let content = match (role, dump) {
            (Role::Vrrp, Dump::Data) => Content::Data(Owner::Vrrp),
            (Role::Checkers, Dump::Data) => Content::Data(Owner::Checkers),
            (Role::Bfd, Dump::Data) => Content::Data(Owner::Bfd),
            (Role::Vrrp, Dump::Stats | Dump::StatsClear) => Content::Stats,
            (Role::Vrrp, Dump::Json) => Content::Json,
            (Role::Vrrp, Dump::Saved { number, after }) => {
                return Copies::save_data(running, self.vrrp_pid, number, after, text);
            }
            _ => return,
        };
        dump::write(content, running, text);
    }

    /// Has the vrrp process' data saved beside a reload, if that is wanted (`config_save_dir`).
    fn save_data(&mut self, after: bool) {
        if self.supervisor.running().global.files.config_save_dir.is_some() {
            self.supervisor.dump(Dump::Saved { number: self.reloads, after });
        }
    }

    /// Reads the files again and proposes what they say, or keeps what runs.
    fn reload(&mut self) {
        self.phase = Phase::Reloading;
        self.reloads += 1;
        self.systemd.reloading(timer::now());
        if !passes_check(&mut self.source, &self.supervisor.running().global) {
            return self.keep();
        }
        info!("Reloading ...");
        self.save_data(false);
        let marker = Marker::set(&self.supervisor.running().global);
        let read = self.source.read(Mode::Run);
        drop(marker);
        let mut read = match read {
            Ok(read) => read,
            Err(error) => {
                info!("{error}");
                return self.keep();
            }
        };
        for line in read.lines() {
            info!("{line}");
        }
        let (past, damage) = (read.past(), read.damage(&self.running));
        let config = match read.take_config() {
            Ok(config) => config,
            Err(exit) => {
                info!("A daemon that starts with this configuration exits with status {}", exit.code());
                return self.keep();
            }
        };
        let mut obstacles = unchangeable(self.supervisor.running(), &config);
        obstacles.extend(damage);
        if !obstacles.is_empty() {
            for obstacle in &obstacles {
                info!("Not reloaded: {obstacle}");
            }
            return self.keep();
        }
        self.copies.save(&config.global, &read);
        self.proposed = Some(past);
        self.propose(config);
    }

    /// The reload is over and nothing has changed.
    fn keep(&mut self) {
        info!("Reload refused: the configuration that was running before goes on running");
        self.proposed = None;
        if self.coming.take().is_some() {
            self.tell_readings();
        }
        self.authorities[1] = Authority::default();
        self.reload_time.follow(&self.supervisor.running().global.reload);
        self.fifos.abort();
        self.systemd.ready("Reload refused, the previous configuration is running: see the log");
        self.settled(Phase::Running);
    }

    fn settled(&mut self, phase: Phase) {
        self.phase = phase;
        if std::mem::take(&mut self.reload_again) {
            self.reload();
        }
    }

    fn stop(&mut self, exit: Exit) {
        if matches!(self.phase, Phase::Stopping(_)) {
            return;
        }
        info!("Stopping");
        self.phase = Phase::Stopping(exit);
        // Before anybody else is told: who takes over waits for what the vrrp process says last.
        self.supervisor.stop(self.supervisor.running().global.child_wait_time);
        self.systemd.stopping();
    }
}

/// What a running daemon cannot take over.
fn unchangeable(running: &Config, wanted: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let mut fixed = |what: &str, changed: bool| {
        if changed {
            found.push(format!("Cannot change {what} at a reload - please restart keepalived"));
        }
    };
    fixed("instance name", running.global.instance != wanted.global.instance);
    fixed("network namespace", running.global.net_namespace != wanted.global.net_namespace);
    fixed("IPVS network namespace", running.global.net_namespace_ipvs != wanted.global.net_namespace_ipvs);
    let table = |config: &Config| config.global.nftables.table().to_owned();
    fixed("nftables table name", table(running) != table(wanted));
    let marks = |config: &Config| config.global.nftables_ipvs.as_ref().map(|ipvs| ipvs.table.clone());
    let renamed = marks(running).zip(marks(wanted)).is_some_and(|(before, after)| before != after);
    fixed("nftables table name of IPVS", renamed);
    fixed("disable_local_igmp", running.global.disable_local_igmp != wanted.global.disable_local_igmp);
    fixed("use_pid_dir", running.global.use_pid_dir != wanted.global.use_pid_dir);
    found
}
