//! What an HTTP check reads from an answer: the status, what `Content-Length` said, the MD5 of the body.
//!
//! Pure and incremental: [`HttpResponse::feed`] takes the bytes of one read, whatever they are; the body is never kept.
//! Our own parser, because stock's rules (spec/checkers.md §7) are looser and narrower than any HTTP library's: every
//! first line is accepted whose first blank is followed by three digits and a blank, headers are not looked at,
//! `Content-Length:` is searched as text in all that arrived with the header's end, and chunks are not decoded.

use md5::{Digest as _, Md5};

use super::scan::{self, Scan, Scanned, Wanted};

/// Stock: the buffer for the header, in bytes; the blank line that ends it must fit.
pub const HEADER_LIMIT: usize = 4095;

const HEADER_END: &[u8] = b"\r\n\r\n";
const CONTENT_LENGTH: &[u8] = b"Content-Length:";

/// Is the MD5 of the body wanted?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digesting {
    /// Compute it.
    Yes,
    /// The body is only counted.
    No,
    /// Compute it, and keep a copy of what arrives, of at most [`COPY_LIMIT`] bytes: for people who look at it.
    AndCopying,
}

/// What [`Digesting::AndCopying`] keeps at most: 16 MiB.
pub const COPY_LIMIT: usize = 16 << 20;

/// What the bytes fed so far amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The end of the header has not come yet.
    Header,
    /// The header is complete; what follows is body, until the stream ends.
    Body,
}

/// The header does not end within [`HEADER_LIMIT`] bytes. Stock calls this "no data received".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header is longer than {HEADER_LIMIT} bytes")]
pub struct HeaderTooLong;

/// A whole answer, after the end of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code, 0..=999; `None` when the first line was not as stock wants it.
    pub status: Option<u16>,
    /// What `Content-Length` said.
    pub announced: Option<u64>,
    /// Bytes of body received.
    pub received: u64,
    /// MD5 of the body, limited to `announced` bytes; `None` when it was not wanted.
    pub digest: Option<[u8; 16]>,
    /// What came of the pattern; `None` when there is none.
    pub scanned: Option<Scanned>,
    /// Header and body as they came; only with [`Digesting::AndCopying`].
    pub copy: Option<Vec<u8>>,
}

/// An answer being received.
#[derive(Debug)]
pub struct HttpResponse {
    /// Bytes of a header that has not ended; at most [`HEADER_LIMIT`]. Most headers come whole and never lie here.
    header: Vec<u8>,
    complete: bool,
    status: Option<u16>,
    announced: Option<u64>,
    received: u64,
    digest: Option<Md5>,
    scan: Option<Scan>,
    copy: Option<Vec<u8>>,
}

impl HttpResponse {
    /// Nothing received yet.
    pub fn new(digesting: Digesting) -> Self {
        Self {
            header: Vec::new(),
            complete: false,
            status: None,
            announced: None,
            received: 0,
            digest: (digesting != Digesting::No).then(Md5::new),
            scan: None,
            copy: (digesting == Digesting::AndCopying).then(Vec::new),
        }
    }

    /// Looks for this pattern too: in the body, and in the header when body came with its end.
    pub fn looking_for(self, wanted: Wanted) -> Self {
        Self { scan: Some(Scan::new(wanted)), ..self }
    }

    /// A header that was read elsewhere, of an answer that is no text: what follows is body. `status` is 100..=999.
    pub fn head(&mut self, status: u16, announced: Option<u64>) {
        (self.complete, self.status, self.announced) = (true, Some(status), announced);
    }

    /// How many bytes the next read may bring so that the same bytes arrive together as in stock; `None` is any number.
    pub fn room(&self) -> Option<usize> {
        match &self.scan {
            _ if !self.complete => Some(HEADER_LIMIT - self.header.len()),
            Some(scan) if scan.is_looking() => Some(scan::LIMIT),
            _ => None,
        }
    }

    /// Does every read cost a search? Then the others must have their turn after each.
    pub fn is_searched(&self) -> bool {
        self.scan.as_ref().is_some_and(Scan::is_looking)
    }

    /// Takes the bytes of one read.
    ///
    /// While the header lasts, what comes in one call belongs together: a `Content-Length:` in the body counts when it
    /// came with the end of the header, and only then. More than [`Self::room`] bytes are taken as several reads.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Progress, HeaderTooLong> {
        if let Some(copy) = &mut self.copy {
            let room = COPY_LIMIT - copy.len().min(COPY_LIMIT);
            copy.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        if self.complete {
            self.body(bytes);
            return Ok(Progress::Body);
        }
        let room = HEADER_LIMIT - self.header.len();
        let (first, rest) = bytes.split_at(bytes.len().min(room));
        let known = std::mem::take(&mut self.header);
        if known.is_empty() {
            if !self.begin(first, 0) {
                self.header.extend_from_slice(first);
            }
        } else {
            let searched = known.len().saturating_sub(HEADER_END.len() - 1);
            let mut header = known;
            header.extend_from_slice(first);
            if !self.begin(&header, searched) {
                self.header = header;
            }
        }
        if self.complete {
            self.body(rest);
            return Ok(Progress::Body);
        }
        if self.header.len() == HEADER_LIMIT { Err(HeaderTooLong) } else { Ok(Progress::Header) }
    }

    /// Has the end of the header been received?
    pub fn header_complete(&self) -> bool {
        self.complete
    }

    /// Has anything been received?
    pub fn begun(&self) -> bool {
        self.complete || !self.header.is_empty()
    }

    /// The end of the stream. `None` when the header was not complete: nothing usable was received.
    pub fn finish(self) -> Option<Response> {
        self.complete.then(|| Response {
            status: self.status,
            announced: self.announced,
            received: self.received,
            digest: self.digest.map(|digest| digest.finalize().into()),
            scanned: self.scan.map(Scan::end),
            copy: self.copy,
        })
    }

    /// Looks for the end of the header in all that was received; from there on it is body. The first `searched` bytes
    /// are known not to contain it.
    fn begin(&mut self, received: &[u8], searched: usize) -> bool {
        let Some(end) = find(&received[searched..], HEADER_END) else { return false };
        let end = searched + end + HEADER_END.len();
        self.complete = true;
        self.status = status(&received[..end]);
        self.announced = content_length(received);
        if let Some(scan) = self.scan.as_mut().filter(|_| end < received.len()) {
            scan.feed(received);
        }
        self.count(&received[end..]);
        true
    }

    fn body(&mut self, bytes: &[u8]) {
        if let Some(scan) = &mut self.scan {
            scan.feed(bytes);
        }
        self.count(bytes);
    }

    fn count(&mut self, bytes: &[u8]) {
        if let Some(digest) = &mut self.digest {
            let left = self.announced.map_or(u64::MAX, |announced| announced.saturating_sub(self.received));
            let counted = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            digest.update(&bytes[..counted]);
        }
        self.received = self.received.saturating_add(bytes.len() as u64);
    }
}

/// Where `what` begins.
fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The status code: three digits and a blank, after the first blank of the first line.
fn status(header: &[u8]) -> Option<u16> {
    let line = header.split(|byte| *byte == b'\r').next()?;
    let blank = line.iter().position(|byte| *byte == b' ')?;
    match line.get(blank + 1..blank + 5)? {
        [digits @ .., b' '] if digits.iter().all(u8::is_ascii_digit) => {
            Some(digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
        }
        _ => None,
    }
}

/// What follows the first `Content-Length:`, wherever that stands; measured with genhash, the text ends at a NUL, blanks
/// and a plus may precede the number, a carriage return must follow it, and nothing at all is 0. Else there is no limit.
fn content_length(received: &[u8]) -> Option<u64> {
    let text = received.split(|byte| *byte == 0).next()?;
    let value = &text[find(text, CONTENT_LENGTH)? + CONTENT_LENGTH.len()..];
    let value = &value[..value.iter().position(|byte| *byte == b'\r')?];
    if value.is_empty() {
        return Some(0);
    }
    let value = std::str::from_utf8(value).ok()?.trim_start_matches([' ', '\t']);
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(reads: &[&[u8]]) -> Option<Response> {
        let mut response = HttpResponse::new(Digesting::Yes);
        for read in reads {
            response.feed(read).ok()?;
        }
        response.finish()
    }

    fn digest(reads: &[&[u8]]) -> String {
        let digest = answer(reads).unwrap().digest.unwrap();
        format!("{:032x}", u128::from_be_bytes(digest))
    }

    const OK: &str = "HTTP/1.1 200 OK\r\n";

    #[test]
    fn the_digest_vectors_of_the_spec_hold() {
        let d = |rest: &str| digest(&[format!("{OK}{rest}").as_bytes()]);
        assert_eq!(d("Content-Length: 5\r\n\r\nhello"), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(d("Content-Length: 3\r\n\r\nhello"), "46356afe55fa3cea9cbe73ad442cad47");
        assert_eq!(d("content-length: 3\r\n\r\nhello"), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(
            digest(&[format!("{OK}\r\n").as_bytes(), b"hello"]),
            "5d41402abc4b2a76b9719d911017c592",
            "no length, body later"
        );
        assert_eq!(
            d("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
            "79e9489e3bd3f0cb0158215341de046d"
        );
        assert_eq!(d("Content-Length: 0\r\n\r\n"), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(d("Content-Length: 9\r\n\r\nhello"), "5d41402abc4b2a76b9719d911017c592");
        let long = format!("Content-Length: 20000\r\n\r\n{}", "x".repeat(20_000));
        assert_eq!(d(&long), "e5d2c6fe7777b38038eb8315e1f5c734");
        assert_eq!(d("\r\nContent-Length: 2\r\nhello"), "6bc2d2565ee5fbde75273949f2d2df0a");
    }

    #[test]
    fn a_content_length_in_a_later_packet_is_body_only() {
        let late = answer(&[b"HTTP/1.0 200 OK\r\n\r\n", b"Content-Length: 2\r\nhello"]).unwrap();
        assert_eq!((late.announced, late.received), (None, 24));
    }

    #[test]
    fn a_content_length_that_comes_with_the_last_byte_of_the_header_counts() {
        let reads: [&[u8]; 2] = [b"HTTP/1.0 200 OK\r\nX: 1\r\n\r", b"\nContent-Length: 2\r\nhello"];
        let answer = answer(&reads).unwrap();
        assert_eq!(answer.announced, Some(2));
        assert_eq!(digest(&reads), "6bc2d2565ee5fbde75273949f2d2df0a");
    }

    #[test]
    fn lengths_are_read_as_genhash_reads_them() {
        let announced = |text: &str| content_length(format!("{OK}{text}\r\n\r\nhello").as_bytes());
        for (text, expected) in [
            ("Content-Length:5", Some(5)),
            ("Content-Length:\t 2", Some(2)),
            ("Content-Length:+2", Some(2)),
            ("Content-Length:", Some(0)),
            ("X-Content-Length: 2", Some(2)),
            ("Content-Length: 2\r\nContent-Length: 3", Some(2)),
            ("Content-Length: abc", None),
            ("Content-Length: -1", None),
            ("Content-Length: 99999999999999999999", None),
            ("Content-Length: 0x5", None),
            ("Content-Length: 2x", None),
            ("Content-Length: 3, 4", None),
            ("Content-Length 2", None),
            ("X: \0\r\nContent-Length: 2", None),
        ] {
            assert_eq!(announced(text), expected, "{text:?}");
        }
        assert_eq!(content_length(b"\r\n\r\nContent-Length: 2"), None, "the number has not ended");
    }

    #[test]
    fn a_status_is_three_digits_between_blanks() {
        let code = |line: &str| answer(&[format!("{line}\r\n\r\n").as_bytes()]).unwrap().status;
        assert_eq!(code("HTTP/1.1 200 OK"), Some(200));
        assert_eq!(code("HTTP/1.1 301 Moved"), Some(301));
        assert_eq!(code("x 999 "), Some(999));
        for bad in [
            "HTTP/1.1 200",
            "HTTP/1.1  200 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2x0 OK",
            "HTTP/1.1",
            "",
            "HTTP/1.1\r\nServer: 200 OK",
        ] {
            assert_eq!(code(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_header_of_4095_bytes_fits_and_one_more_does_not() {
        for (length, fits) in [(4094, true), (4095, true), (4096, false)] {
            let mut header = format!("{OK}X: ");
            header.push_str(&"a".repeat(length - header.len() - 4));
            header.push_str("\r\n\r\n");
            let header = header.as_bytes();
            assert_eq!(answer(&[header, b"hello"]).is_some(), fits, "{length}");
            assert_eq!(answer(&[&header[..1000], &header[1000..]]).is_some(), fits, "{length} in two");
            let together = [header, b"hello"].concat();
            assert_eq!(answer(&[&together]).is_some(), fits, "{length} with the body");
        }
    }

    #[test]
    fn what_has_no_header_end_is_no_answer() {
        for nothing in ["", "HTTP/1.0 200 OK\n\nhello", "hello", "HTTP/1.0 200 OK\r\n"] {
            assert_eq!(answer(&[nothing.as_bytes()]), None, "{nothing:?}");
        }
    }

    /// Cuts `bytes` at these places (taken modulo its length).
    fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        places.push(bytes.len());
        places.sort_unstable();
        let mut start = 0;
        places
            .into_iter()
            .map(|place| {
                let part = &bytes[start..place];
                start = place;
                part
            })
            .collect()
    }

    fn fragment() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            Just(b"\r\n\r\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
            Just(b"Content-Length: 7\r\n".to_vec()),
            prop::collection::vec(Just(b'a'), 0..3000),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_do_not_panic_and_are_not_kept(
            fragments in prop::collection::vec(fragment(), 0..12),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let bytes = fragments.concat();
            let mut response = HttpResponse::new(Digesting::Yes);
            for part in split(&bytes, &cuts) {
                let fed = response.feed(part);
                prop_assert!(response.header.capacity() <= 2 * HEADER_LIMIT);
                if fed.is_err() {
                    break;
                }
            }
            prop_assert!(response.header.is_empty() || !response.header_complete());
            let _ = response.finish();
        }

        #[test]
        fn the_pieces_do_not_matter_when_the_header_holds_the_length(
            length in 0..200_u64,
            body in prop::collection::vec(any::<u8>(), 0..6000),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let bytes = [format!("{OK}Content-Length: {length}\r\n\r\n").as_bytes(), &body].concat();
            let whole = answer(&[&bytes]);
            prop_assert!(whole.is_some());
            prop_assert_eq!(answer(&split(&bytes, &cuts)), whole);
        }

        #[test]
        fn the_pieces_do_not_matter_when_there_is_no_length(
            body in prop::collection::vec(any::<u8>(), 0..6000),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            prop_assume!(find(&body, CONTENT_LENGTH).is_none());
            let bytes = [format!("{OK}\r\n").as_bytes(), &body].concat();
            let parts = split(&bytes, &cuts);
            let status = answer(&[&bytes]);
            prop_assert_eq!(answer(&parts), status);
            let md5: [u8; 16] = Md5::digest(&body).into();
            prop_assert_eq!(answer(&parts).unwrap().digest, Some(md5));
        }
    }
}
