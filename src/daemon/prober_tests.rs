//! The prober as the checkers process meets it, with real servers behind it.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use super::*;
use crate::check::probe::{connect, server};
use crate::check::{Failure, Probe};
use crate::config::model::{Connection, HttpProtocol, LocalEnd, Rare};
use crate::kernel::fdpass;

type Near = Channel<ToProber, FromProber>;

/// Runs `test` against a prober with this many slots. Returns how the prober ended.
fn with_prober<F: Future>(slots: usize, test: impl FnOnce(Near) -> F) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (near, far) = Near::pair().unwrap();
        let prober = serve(Channel::new(far).unwrap(), slots, || {});
        let test = async {
            tokio::time::timeout(Duration::from_secs(30), test(near)).await.expect("the test takes too long");
        };
        let (exit, ()) = tokio::join!(prober, test);
        exit
    })
}

async fn reports(near: &mut Near, number: usize) -> Vec<ProbeReport> {
    let mut all = Vec::new();
    while all.len() < number {
        let FromProber::Done(reports) = near.next().await.unwrap().unwrap().message;
        all.extend(reports);
    }
    assert_eq!(all.len(), number);
    all.sort_by_key(|report| report.id);
    all
}

fn connection(destination: SocketAddr) -> Connection {
    Connection { destination, local: Rare::default(), timeout: Duration::from_secs(20) }
}

fn tcp(id: u64, destination: SocketAddr) -> ProbeRequest {
    ProbeRequest { id, probe: Probe::Tcp(connection(destination)) }
}

fn http(id: u64, destination: SocketAddr) -> ProbeRequest {
    let url = server::url();
    let connection = connection(destination);
    ProbeRequest { id, probe: Probe::Http { connection, tls: None, protocol: HttpProtocol::V1_0, url } }
}

/// Listens; connections wait in its queue unless they are accepted.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn every_request_of_a_batch_is_answered_once_and_a_closed_channel_ends_the_prober() {
    let (_listening, open) = listener();
    let exit = with_prober(8, |mut near| async move {
        let closed = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        closed.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let nobody = closed.local_addr().unwrap().as_socket().unwrap();
        let requests = (0..100).map(|id| tcp(id, if id % 2 == 0 { open } else { nobody })).collect();
        near.send(&ToProber::Probe(requests)).unwrap();
        for report in reports(&mut near, 100).await {
            let passed = report.outcome == Outcome::Passed;
            assert_eq!(passed, report.id % 2 == 0, "{report:?}");
            assert!(passed || matches!(report.outcome, Outcome::Failed(Failure::ConnectRefused { .. })));
        }
    });
    assert_eq!(exit, Exit::Success);
}

#[test]
fn a_cancelled_probe_leaves_its_server_and_is_not_reported() {
    let (listening, silent) = listener();
    let accepted = thread::spawn(move || listening.accept().unwrap().0);
    with_prober(8, |mut near| async move {
        near.send(&ToProber::Probe(vec![http(1, silent)])).unwrap();
        // The server has the connection, so the probe runs.
        let stream = tokio::task::spawn_blocking(|| accepted.join().unwrap()).await.unwrap();
        near.send(&ToProber::Cancel(vec![1, 99])).unwrap();
        let left = tokio::task::spawn_blocking(move || {
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            (&stream).read_to_end(&mut Vec::new())
        });
        assert!(left.await.unwrap().is_ok(), "the prober keeps the connection");
        near.send(&ToProber::ProbeOn(Box::new(tcp(2, silent)))).unwrap();
        assert_eq!(reports(&mut near, 1).await[0].id, 2);
    });
}

#[test]
fn what_has_no_slot_waits_and_can_be_cancelled() {
    let (_silent_listener, silent) = listener();
    let (_listening, open) = listener();
    with_prober(1, |mut near| async move {
        near.send(&ToProber::Probe(vec![http(1, silent), tcp(2, open), tcp(3, open)])).unwrap();
        let early = tokio::time::timeout(Duration::from_millis(50), near.next()).await;
        assert!(early.is_err(), "the only slot is taken, but {early:?}");
        near.send(&ToProber::Cancel(vec![2, 1])).unwrap();
        let report = &reports(&mut near, 1).await[0];
        assert_eq!((report.id, &report.outcome), (3, &Outcome::Passed));
    });
}

#[test]
fn of_many_requests_some_begin_and_the_others_when_those_got_on() {
    let (_listening, open) = listener();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (probes, running) = (Arc::new(Probes::new()), JoinSet::new());
        let (handles, queue) = (HashMap::new(), VecDeque::new());
        let mut prober = Prober { probes, running, handles, queue, slots: 2 * BEGINNERS + 1 };
        let requests = (0..1000).map(|id| tcp(id, open)).collect();
        prober.hear(Received { message: ToProber::Probe(requests), descriptor: None });
        assert!(prober.is_in_burst());
        for running in [BEGINNERS, 2 * BEGINNERS, prober.slots, prober.slots] {
            assert_eq!(prober.may_start(), prober.running.len() < prober.slots);
            prober.start_queued();
            assert_eq!(prober.running.len(), running);
        }
    });
}

#[test]
fn a_probe_uses_the_socket_that_came_with_it() {
    let bind = IpAddr::from([127, 0, 0, 79]);
    let (listening, open) = listener();
    with_prober(1, |mut near| async move {
        for id in 0..3 {
            let local = LocalEnd { bind: Some(bind), ..LocalEnd::default() }.into();
            let socket = connect::open(&Connection { local, ..connection(open) }).unwrap();
            near.send_with(&ToProber::ProbeOn(Box::new(tcp(id, open))), socket).unwrap();
        }
        for report in reports(&mut near, 3).await {
            assert_eq!(report.outcome, Outcome::Passed);
        }
    });
    for _ in 0..3 {
        assert_eq!(listening.accept().unwrap().1.ip(), bind);
    }
}

#[test]
fn a_socket_that_did_not_come_is_not_tried() {
    let (_listening, open) = listener();
    with_prober(1, |mut near| async move {
        near.send(&ToProber::ProbeOn(Box::new(tcp(7, open)))).unwrap();
        let report = &reports(&mut near, 1).await[0];
        assert!(matches!(report.outcome, Outcome::NotTried { errno: None, .. }), "{report:?}");
    });
}

#[test]
fn a_prober_that_missed_what_it_was_asked_ends_so_that_another_one_is_asked() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let exit = runtime.block_on(async {
        let (near, far) = fdpass::pair().unwrap();
        let near = fdpass::PacketSocket::new(near).unwrap();
        // A request in a memory file that did not come.
        near.send(&[1], &[]).unwrap();
        let prober = serve(Channel::new(far).unwrap(), 8, || {});
        tokio::time::timeout(Duration::from_secs(30), prober)
            .await
            .expect("it goes on as if nothing were lost")
    });
    assert_eq!(exit, Exit::Fatal);
}

#[test]
fn the_loop_turns_while_probes_run_however_long_none_of_them_ends() {
    let (_listening, silent) = listener();
    let turns = std::cell::Cell::new(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut near, far) = Near::pair().unwrap();
        let prober = serve(Channel::new(far).unwrap(), 8, || turns.set(turns.get() + 1));
        let test = async {
            near.send(&ToProber::Probe(vec![http(1, silent)])).unwrap();
            tokio::time::sleep(PULSE / 2).await;
            let begun = turns.get();
            // Nothing happens but time, and nobody says anything.
            tokio::time::sleep(4 * PULSE).await;
            assert!(turns.get() > begun + 2, "{} turns", turns.get() - begun);
            drop(near);
        };
        tokio::join!(prober, test);
    });
}
