//! The gRPC health protocol (`grpc.health.v1.Health/Check`): the question's bytes, and what an answer means.
//!
//! Pure. The transport is [`super::http2`]; the few protobuf fields are read here, because a runtime and a compiler for two
//! messages of one field each would be most of the program. What is kept of an answer is at most [`MESSAGE_LIMIT`] bytes.

use crate::check::Unhealthy;

/// What stands for the path of a url that says `/`.
pub const PATH: &str = "/grpc.health.v1.Health/Check";

/// Longer answers are none, in bytes; the longest that the protocol knows has two.
pub const MESSAGE_LIMIT: usize = 1024;

/// A message's flag and length, in bytes (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// What is told of a server's own words, in characters.
const TEXT_LIMIT: usize = 120;

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// A `HealthCheckRequest` as it is sent; the empty name asks for the server as a whole.
pub fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 4);
    if !service.is_empty() {
        // Field 1, length-delimited.
        message.push(0x0a);
        let mut length = service.len();
        while length > 0x7f {
            message.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
            length >>= 7;
        }
        message.push(u8::try_from(length).unwrap_or(0));
        message.extend_from_slice(service.as_bytes());
    }
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(&message);
    bytes
}

/// The path that is asked: the url's own, unless it is just `/`, which no method has.
pub fn path(configured: &str) -> &str {
    if configured == "/" { PATH } else { configured }
}

/// The fields of a header block that gRPC looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// `content-type`.
    pub content_type: Option<&'a [u8]>,
    /// `grpc-status`.
    pub status: Option<&'a [u8]>,
    /// `grpc-message`, percent-encoded.
    pub message: Option<&'a [u8]>,
}

/// An answer being received.
#[derive(Debug, Default)]
pub struct HealthAnswer {
    body: Vec<u8>,
    too_long: bool,
    foreign: Option<String>,
    /// grpc-status and grpc-message, when they came.
    ended: Option<(Option<u32>, String)>,
}

impl HealthAnswer {
    /// The first header block; it ends the call when there is nothing else.
    pub fn head(&mut self, fields: Fields<'_>) {
        let content_type = fields.content_type.unwrap_or_default();
        if !content_type.starts_with(b"application/grpc") {
            self.foreign = Some(text(content_type));
        }
        self.tail(fields);
    }

    /// The next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        let room = PREFIX + MESSAGE_LIMIT - self.body.len();
        self.too_long |= bytes.len() > room;
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The header block behind the body.
    pub fn tail(&mut self, fields: Fields<'_>) {
        if let Some(status) = fields.status {
            let number = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
            self.ended = Some((number, fields.message.map(decoded).unwrap_or_default()));
        }
    }

    /// The verdict.
    pub fn end(self) -> Result<(), Unhealthy> {
        if let Some(content_type) = self.foreign {
            return Err(Unhealthy::NotGrpc { content_type });
        }
        let Some((status, message)) = self.ended else { return Err(Unhealthy::NoStatus) };
        match status {
            None => return Err(Unhealthy::NoStatus),
            Some(0) => {}
            Some(code) => return Err(Unhealthy::Refused { code, message }),
        }
        let malformed = |what: &str| Err(Unhealthy::Malformed { what: what.to_owned() });
        if self.too_long {
            return malformed("it is longer than 1024 bytes");
        }
        let Some((&[compressed, a, b, c, d], message)) = self.body.split_first_chunk::<PREFIX>() else {
            return malformed(if self.body.is_empty() { "it is empty" } else { "it is cut short" });
        };
        if compressed != 0 {
            return malformed("it is compressed, which was not asked for");
        }
        if u64::from(u32::from_be_bytes([a, b, c, d])) != message.len() as u64 {
            return malformed("it is not one whole message");
        }
        match serving_status(message) {
            None => malformed("it is no HealthCheckResponse"),
            Some(SERVING) => Ok(()),
            Some(status) => Err(Unhealthy::Status { status }),
        }
    }
}

/// Field 1 of a `HealthCheckResponse`: the last one counts, none is 0, others are skipped.
fn serving_status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match (tag >> 3, tag & 7) {
            (1, 0) => status = varint(&mut message)?,
            (0 | 1, _) => return None,
            (_, 0) => {
                varint(&mut message)?;
            }
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// A base-128 number of at most ten bytes.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A percent-encoded text, for people.
fn decoded(mut encoded: &[u8]) -> String {
    let mut bytes = Vec::new();
    while let [first, rest @ ..] = encoded {
        let digits = rest.first_chunk::<2>().filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        encoded = if escaped.is_some() { &rest[2..] } else { rest };
    }
    text(&bytes)
}

/// A server's words fit for one line of a log.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(TEXT_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRPC: Fields<'_> = Fields { content_type: Some(b"application/grpc"), status: None, message: None };
    const OK: Fields<'_> = Fields { content_type: None, status: Some(b"0"), message: None };

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0][..], &length, message].concat()
    }

    fn answer(body: &[u8]) -> Result<(), Unhealthy> {
        let mut answer = HealthAnswer::default();
        answer.head(GRPC);
        answer.feed(body);
        answer.tail(OK);
        answer.end()
    }

    #[test]
    fn the_question_has_the_bytes_of_the_protocol() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("db"), [0, 0, 0, 0, 4, 0x0a, 2, b'd', b'b']);
        let long = question(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
        assert_eq!(long.len(), 8 + 300);
    }

    #[test]
    fn a_path_that_no_method_has_stands_for_the_usual_one() {
        assert_eq!(path("/"), PATH);
        assert_eq!(path("/proxied/grpc.health.v1.Health/Check"), "/proxied/grpc.health.v1.Health/Check");
    }

    #[test]
    fn only_serving_passes() {
        assert_eq!(answer(&[0, 0, 0, 0, 2, 0x08, 1]), Ok(()));
        for (message, status) in [(&[0x08, 2][..], 2), (&[], 0), (&[0x08, 3], 3), (&[0x08, 0xac, 2], 300)] {
            assert_eq!(answer(&framed(message)), Err(Unhealthy::Status { status }));
        }
        assert_eq!(answer(&framed(&[0x08, 2, 0x08, 1])), Ok(()), "the last one counts");
    }

    #[test]
    fn fields_of_later_versions_are_skipped() {
        let message =
            [0x12, 2, 0xff, 0xff, 0x18, 0x80, 1, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x2d, 1, 2, 3, 4, 0x08, 1];
        assert_eq!(answer(&framed(&message)), Ok(()));
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        let malformed = |what: &str| Err(Unhealthy::Malformed { what: what.into() });
        assert_eq!(answer(b""), malformed("it is empty"));
        assert_eq!(answer(&[0, 0, 0]), malformed("it is cut short"));
        assert_eq!(answer(&[1, 0, 0, 0, 2, 8, 1]), malformed("it is compressed, which was not asked for"));
        assert_eq!(answer(&[0, 0, 0, 0, 3, 8, 1]), malformed("it is not one whole message"));
        assert_eq!(answer(&[0, 0, 0, 0, 1, 8, 1]), malformed("it is not one whole message"));
        for bad in [&[0x08][..], &[0x08, 0x80], &[0x0a, 9], &[0x0b, 0x0c], &[0x00, 1], &[0x0d, 1, 2, 3, 4]] {
            assert_eq!(answer(&framed(bad)), malformed("it is no HealthCheckResponse"), "{bad:?}");
        }
        let padded = [&[0x12, 0xfd, 0x07][..], &[0; 1021], &[8, 1]].concat();
        assert_eq!(answer(&framed(&padded)), malformed("it is longer than 1024 bytes"));
        assert_eq!(answer(&framed(&[&[0x12, 0xfb, 0x07][..], &[0; 1019], &[8, 1]].concat())), Ok(()));
    }

    #[test]
    fn a_call_that_ends_otherwise_says_how() {
        let ended = |head: Fields<'_>, tail: Option<Fields<'_>>| {
            let mut answer = HealthAnswer::default();
            answer.head(head);
            if let Some(tail) = tail {
                answer.feed(&[0, 0, 0, 0, 2, 8, 1]);
                answer.tail(tail);
            }
            answer.end().map_err(|unhealthy| unhealthy.to_string())
        };
        let no = |reason: &str| Err(reason.to_owned());
        let not_found = Fields { status: Some(b"5"), message: Some(b"unknown%20service%0a"), ..GRPC };
        assert_eq!(ended(not_found, None), no("grpc-status 5 (NOT_FOUND): unknown service "));
        let unimplemented = Fields { status: Some(b"12"), ..GRPC };
        assert_eq!(ended(unimplemented, None), no("grpc-status 12 (UNIMPLEMENTED)"));
        let odd = Fields { status: Some(b"99"), ..OK };
        assert_eq!(ended(GRPC, Some(odd)), no("grpc-status 99"));
        assert_eq!(ended(GRPC, None), no("the answer ended without a grpc-status"));
        assert_eq!(
            ended(GRPC, Some(Fields { status: Some(b"x"), ..OK })),
            no("the answer ended without a grpc-status")
        );
        let page = Fields { content_type: Some(b"text/html"), ..OK };
        assert_eq!(ended(page, Some(OK)), no("the answer is text/html, not application/grpc"));
        assert_eq!(ended(GRPC, Some(OK)), Ok(()));
        assert_eq!(answer(&framed(&[8, 2])).unwrap_err().to_string(), "the service is NOT_SERVING");
        assert_eq!(answer(&framed(&[8, 7])).unwrap_err().to_string(), "the service is in state 7");
    }

    #[test]
    fn a_servers_words_are_one_short_line() {
        assert_eq!(decoded(b"a%41%zz%4"), "aA%zz%4");
        assert_eq!(decoded(&[b'x'; 5000]).len(), TEXT_LIMIT);
        assert_eq!(decoded(b"%ff%fe"), "\u{fffd}\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_verdict(
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..2000),
                prop::collection::vec(any::<u8>(), 0..20).prop_map(|message| framed(&message)),
            ],
            cut in any::<prop::sample::Index>(),
        ) {
            let (first, second) = body.split_at(cut.index(body.len() + 1));
            let mut pieces = HealthAnswer::default();
            pieces.head(GRPC);
            pieces.feed(first);
            pieces.feed(second);
            prop_assert!(pieces.body.len() <= PREFIX + MESSAGE_LIMIT);
            pieces.tail(OK);
            prop_assert_eq!(pieces.end(), answer(&body));
        }

        #[test]
        fn a_question_is_one_field_with_the_name(service in ".{1,300}") {
            let bytes = question(&service);
            let mut message = &bytes[PREFIX + 1..];
            prop_assert_eq!(varint(&mut message), Some(service.len() as u64));
            prop_assert_eq!(message, service.as_bytes());
        }
    }
}
