//! Any bytes as an answer to an HTTP check, in any pieces: no panic, nothing kept, and the pieces matter only where a
//! `Content-Length` came with the header or behind it. The first byte says how many of the next are lengths of pieces.
#![cfg_attr(fuzzing, no_main)]

use keepalived_rs::check::probe::http_response::{Digesting, HttpResponse, Response};

keepalived_rs_fuzz::target!(run);

fn run(bytes: &[u8]) {
    let Some((&number, bytes)) = bytes.split_first() else { return };
    let (lengths, stream) = bytes.split_at(bytes.len().min(usize::from(number)));
    let whole = answer(&[stream]);
    let mut pieces = Vec::new();
    let mut rest = stream;
    for length in lengths {
        let (piece, behind) = rest.split_at(rest.len().min(usize::from(*length)));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    let split = answer(&pieces);
    assert_eq!(whole.is_some(), split.is_some());
    if let (Some(whole), Some(split)) = (whole, split) {
        assert_eq!((whole.status, whole.received), (split.status, split.received));
        assert!(whole.received <= stream.len() as u64);
        assert!(whole.announced != split.announced || whole.digest == split.digest);
    }
}

fn answer(pieces: &[&[u8]]) -> Option<Response> {
    let mut response = HttpResponse::new(Digesting::Yes);
    for piece in pieces {
        response.feed(piece).ok()?;
    }
    response.finish()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        keepalived_rs_fuzz::corpus("http_response").iter().for_each(|bytes| super::run(bytes));
    }
}
