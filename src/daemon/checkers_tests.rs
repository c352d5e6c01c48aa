//! The whole process on one thread, with a parent and a prober played here. Needs a kernel with IPVS; elsewhere it is
//! skipped, aloud.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};

use super::*;
use crate::check::{Failure, Outcome, ProbeReport, ProbeRequest};
use crate::config::model::{CheckKind, VirtualServer};
use crate::daemon::director::Kernel;
use crate::daemon::packed::Packed;
use crate::kernel::fdpass;
use crate::kernel::testing::in_namespace;
use crate::lvs::table::Table;
use crate::lvs::virtual_server::tests::virtual_server;

type ParentEnd = Channel<ToChild<PackedCheckers>, FromChild>;
type ProberEnd = Channel<FromProber, ToProber>;

/// Runs the process and this play against it, on one event loop.
fn play(part: impl AsyncFnOnce(&mut Play) + Send + 'static) {
    in_namespace(|| {
        if let Err(error) = Ipvs::open() {
            eprintln!("SKIPPED: {error}");
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (parent, far) = ParentEnd::pair().unwrap();
            let mut play = Play {
                parent,
                prober: None,
                generation: 0,
                state: None,
                stopped: false,
                early: VecDeque::new(),
                ipvs: Ipvs::open().unwrap(),
            };
            let run = async { run(Options::default(), far).await.unwrap() };
            let script = async {
                part(&mut play).await;
                play.stop().await;
                // The process ends when it has said so.
                std::future::pending::<()>().await;
            };
            let limit = tokio::time::sleep(Duration::from_secs(30));
            tokio::select! {
                exit = run => assert_eq!(exit, Exit::Success),
                () = script => {}
                () = limit => panic!("nothing happens any more"),
            }
        });
    });
}

struct Play {
    parent: ParentEnd,
    prober: Option<ProberEnd>,
    generation: u64,
    state: Option<Vec<u8>>,
    stopped: bool,
    /// What was said before a configuration was running.
    early: VecDeque<FromChild>,
    ipvs: Ipvs,
}

impl Play {
    /// The next message that is not a state; states are kept.
    async fn hear(&mut self) -> FromChild {
        if let Some(message) = self.early.pop_front() {
            return message;
        }
        self.hear_next().await
    }

    async fn hear_next(&mut self) -> FromChild {
        loop {
            match self.parent.next().await.expect("the process lives").unwrap().message {
                FromChild::State(state) => self.state = Some(state),
                FromChild::Report(_) => {}
                message => return message,
            }
        }
    }

    async fn stop(&mut self) {
        if !std::mem::replace(&mut self.stopped, true) {
            self.parent.send(&ToChild::Stop).unwrap();
            while self.hear().await != FromChild::Stopped {}
        }
    }

    async fn state(&mut self) -> Vec<u8> {
        while self.state.is_none() {
            if let FromChild::State(state) = self.parent.next().await.unwrap().unwrap().message {
                self.state = Some(state);
            }
        }
        self.state.take().unwrap()
    }

    /// Both phases.
    async fn configure(&mut self, part: CheckersPart, state: Option<Vec<u8>>) -> Vec<String> {
        self.generation += 1;
        let generation = self.generation;
        let virtual_servers = Packed::new(&part.virtual_servers);
        let part = PackedCheckers { common: part, virtual_servers };
        self.parent.send(&ToChild::Prepare { generation, part, state }).unwrap();
        let plan = match self.hear().await {
            FromChild::Prepared { plan, .. } => plan,
            other => panic!("{other:?}"),
        };
        self.parent.send(&ToChild::Commit { generation }).unwrap();
        loop {
            match self.hear_next().await {
                FromChild::Committed { generation: committed } if committed == generation => return plan,
                message => self.early.push_back(message),
            }
        }
    }

    fn bring_prober(&mut self) {
        let (prober, far) = ProberEnd::pair().unwrap();
        self.prober = Some(prober);
        self.parent.send_with(&ToChild::Prober, far).unwrap();
    }

    /// One that is nothing but its socket.
    fn bring_bare_prober(&mut self) -> OwnedFd {
        let (near, far) = fdpass::pair().unwrap();
        self.parent.send_with(&ToChild::Prober, far).unwrap();
        near
    }

    /// Ends the next attempts like this, given the port they go to.
    async fn answer(&mut self, passes: impl Fn(u16) -> bool) -> usize {
        let prober = self.prober.as_mut().unwrap();
        let message = prober.next().await.unwrap().unwrap().message;
        let ToProber::Probe(requests) = message else { panic!("{message:?}") };
        let report = |request: &ProbeRequest| ProbeReport {
            id: request.id,
            outcome: if passes(request.probe.connection().destination.port()) {
                Outcome::Passed
            } else {
                Outcome::Failed(Failure::ConnectTimeout)
            },
            known: now(),
            remarks: Vec::new(),
        };
        prober.send(&FromProber::Done(requests.iter().map(report).collect())).unwrap();
        requests.len()
    }

    /// `10.9.0.1:tcp:80: 10.1.0.1:8000*1 …`, sorted.
    fn table(&mut self) -> Vec<String> {
        let keys = Kernel::services(&mut self.ipvs).unwrap();
        let mut table = Table::default();
        self.ipvs.read_into(&mut table, &keys).unwrap();
        let mut lines: Vec<String> = keys
            .iter()
            .map(|key| {
                let known = table.get(key).unwrap();
                let parts: Vec<String> = known
                    .destinations
                    .iter()
                    .map(|(key, settings)| format!("{key}*{}", settings.weight))
                    .collect();
                format!("{key}: {}", parts.join(" "))
            })
            .collect();
        lines.sort();
        lines
    }
}

/// Real server `n` is checked at port `n`.
fn checked(real_servers: u8) -> VirtualServer {
    let mut vs = virtual_server(real_servers);
    for (rs, port) in vs.real_servers.iter_mut().zip(1..) {
        let CheckKind::Tcp(connection) = &mut rs.checkers[0].kind else { continue };
        connection.destination.set_port(port);
    }
    vs
}

fn part(virtual_servers: Vec<VirtualServer>) -> CheckersPart {
    CheckersPart { virtual_servers, ..CheckersPart::default() }
}

#[test]
fn results_become_entries_and_a_stop_leaves_nothing() {
    play(async |play: &mut Play| {
        let plan = play.configure(part(vec![checked(2)]), None).await;
        assert_eq!(plan, ["virtual server [10.9.0.1]:tcp:80 added"]);
        assert_eq!(play.table(), ["10.9.0.1:tcp:80: 10.1.0.1:8000*1 10.1.0.2:8000*1"]);
        let FromChild::Notify { receiver, commands } = play.hear().await else { panic!("no quorum_up") };
        assert_eq!((receiver.as_str(), &*commands[0].path), ("VS [10.9.0.1]:tcp:80", "/x/quorum_up"));

        play.bring_prober();
        assert_eq!(play.answer(|port| port == 1).await, 2);
        let FromChild::Notify { receiver, .. } = play.hear().await else { panic!("no notify_down") };
        assert_eq!(receiver, "RS [10.1.0.2]:tcp:8000 [10.9.0.1]:tcp:80");
        assert_eq!(play.table(), ["10.9.0.1:tcp:80: 10.1.0.1:8000*1"]);

        play.stop().await;
        assert_eq!(play.table(), [""; 0]);
    });
}

#[test]
fn a_successor_goes_on_and_attempts_are_asked_again_of_a_new_prober() {
    play(async |play: &mut Play| {
        play.configure(part(vec![checked(2)]), None).await;
        play.state().await;
        play.bring_prober();
        play.answer(|port| port == 1).await;
        let state = play.state().await;
        let table = play.table();
        assert_eq!(table.len(), 1);

        // The successor has the same table before it.
        let (parent, far) = ParentEnd::pair().unwrap();
        let first = std::mem::replace(&mut play.parent, parent);
        play.early.clear();
        let successor = async { run(Options::default(), far).await.unwrap() };
        let script = async {
            play.configure(part(vec![checked(2)]), Some(state)).await;
            assert_eq!(play.table(), table);
            play.bring_prober();
            // The first prober dies with the attempts.
            let message = play.prober.as_mut().unwrap().next().await.unwrap().unwrap().message;
            assert!(matches!(message, ToProber::Probe(requests) if requests.len() == 2));
            play.bring_prober();
            assert_eq!(play.answer(|_| true).await, 2);
            let FromChild::Notify { receiver, .. } = play.hear().await else { panic!("no notify_up") };
            assert_eq!(receiver, "RS [10.1.0.2]:tcp:8000 [10.9.0.1]:tcp:80");
        };
        tokio::select! {
            exit = successor => panic!("{exit:?}"),
            () = script => {}
        }
        play.parent = first;
    });
}

/// Waits until the process has let go of the other end.
async fn left(prober: &OwnedFd) {
    loop {
        let mut polled = [PollFd::new(prober.as_fd(), PollFlags::empty())];
        poll(&mut polled, PollTimeout::ZERO).unwrap();
        if polled[0].revents().unwrap().contains(PollFlags::POLLHUP) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_prober_that_cannot_be_asked_or_understood_is_left_and_the_next_one_asked_again() {
    play(async |play: &mut Play| {
        play.configure(part(vec![checked(2)]), None).await;
        let deaf = play.bring_bare_prober();
        shutdown(deaf.as_raw_fd(), Shutdown::Read).unwrap();
        left(&deaf).await;
        let mad = play.bring_bare_prober();
        send(mad.as_raw_fd(), &[9, 9], MsgFlags::empty()).unwrap();
        left(&mad).await;
        play.bring_prober();
        assert_eq!(play.answer(|_| true).await, 2);
    });
}

#[test]
fn timeouts_are_set_changed_and_put_back() {
    play(async |play: &mut Play| {
        let original = play.ipvs.timeouts().unwrap();
        let with = |tcp, udp| {
            let mut part = part(vec![checked(1)]);
            part.global.lvs_timeouts = LvsTimeouts { tcp, tcp_fin: 0, udp };
            part
        };
        play.configure(with(100, 0), None).await;
        let expected = LvsTimeouts { tcp: 100, ..original };
        assert_eq!(play.ipvs.timeouts().unwrap(), expected);
        while !matches!(play.hear().await, FromChild::Notify { .. }) {}
        play.configure(with(0, 77), None).await;
        assert_eq!(play.ipvs.timeouts().unwrap(), LvsTimeouts { udp: 77, ..original });
        play.stop().await;
        assert_eq!(play.ipvs.timeouts().unwrap(), original);
    });
}
