//! Any bytes as what an HTTP/2 server sends, in any pieces, to a plain and to a gRPC check: no panic, and an end when the
//! stream has ended. The first byte says how many of the next are lengths of pieces; its lowest bit chooses the question.
#![cfg_attr(fuzzing, no_main)]

use std::time::Duration;

use keepalived_rs::check::Failure;
use keepalived_rs::check::probe::http_response::{Digesting, HttpResponse};
use keepalived_rs::check::probe::http2::{Question, ask};
use tokio::io::AsyncWriteExt as _;

keepalived_rs_fuzz::target!(run);

fn run(bytes: &[u8]) {
    let Some((&number, bytes)) = bytes.split_first() else { return };
    let (lengths, stream) = bytes.split_at(bytes.len().min(usize::from(number >> 1)));
    let health_of = (number & 1 == 1).then_some("service");
    let question = Question { scheme: "http", host: "host", path: "/", health_of };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        // What we say is never longer than this, unless the server makes us say more than it does.
        let (near, mut far) = tokio::io::duplex(stream.len() * 8 + 65_536);
        let feed = async {
            let mut rest = stream;
            for length in lengths {
                let (piece, behind) = rest.split_at(rest.len().min(usize::from(*length)));
                far.write_all(piece).await.ok();
                tokio::task::yield_now().await;
                rest = behind;
            }
            far.write_all(rest).await.ok();
            far.shutdown().await.ok();
        };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        let told = ask(near, &question, HttpResponse::new(Digesting::Yes), deadline);
        let (told, ()) = tokio::join!(told, feed);
        assert!(!matches!(told, Err(Failure::ReadTimeout { .. })), "it waited for a server that has left");
        if let Ok((response, health)) = told {
            assert_eq!(health.is_some(), health_of.is_some());
            let response = response.finish().expect("a header came");
            assert!(response.received <= stream.len() as u64);
        }
    });
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        keepalived_rs_fuzz::corpus("http2_answer").iter().for_each(|bytes| super::run(bytes));
    }
}
