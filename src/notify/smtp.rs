//! The dialogue with a mail relay, without the connection: bytes of replies in, bytes of commands out.
//!
//! HELO, MAIL, RCPT for each recipient, DATA, the mail, QUIT; no EHLO, TLS or AUTH, as stock (spec/daemon-behaviour.md §9).
//! Replies are foreign bytes: lines and replies are bounded, and nothing is taken on trust but their code.

use std::collections::VecDeque;

use super::mail::Letter;

/// Longest line of a reply, in bytes (RFC 5321 §4.5.3.1.5 says 512).
const LINE: usize = 1024;
/// Most lines of a reply.
const LINES: usize = 128;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send(Vec<u8>),
    /// The relay has the mail; only QUIT was still under way.
    Delivered,
    /// It has not.
    Failed(Failure),
}

/// Why a mail was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// An unexpected code, in stock's words.
    #[error("Error processing {command} cmd on SMTP server. SMTP status code = {code}")]
    Refused {
        /// What it answers.
        command: &'static str,
        /// Its code, 100..=999.
        code: u16,
    },
    /// No reply at all: no code, or too long.
    #[error("the answer to {command} is no reply of a SMTP server")]
    Nonsense {
        /// What it answers.
        command: &'static str,
    },
}

impl Failure {
    /// May the same mail pass another time (RFC 5321 §4.2.1)?
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Refused { code: 400..=499, .. })
    }
}

/// One step: what is sent, what it is called, and which codes go on.
struct Step {
    name: &'static str,
    text: Vec<u8>,
    wanted: &'static [u16],
}

/// One mail on its way.
pub struct Dialogue {
    steps: VecDeque<Step>,
    /// What the next reply answers.
    name: &'static str,
    wanted: &'static [u16],
    line: Vec<u8>,
    lines: usize,
    over: bool,
}

impl Dialogue {
    /// Begins with the relay's greeting.
    pub fn new(letter: &Letter) -> Self {
        let step = |name, text: String, wanted| Step { name, text: text.into_bytes(), wanted };
        let mut steps = VecDeque::new();
        steps.push_back(step("HELO", format!("HELO {}\r\n", letter.helo), &[250]));
        steps.push_back(step("MAIL", format!("MAIL FROM:<{}>\r\n", letter.from), &[250]));
        for to in &letter.to {
            steps.push_back(step("RCPT", format!("RCPT TO:<{to}>\r\n"), &[250, 251]));
        }
        steps.push_back(step("DATA", "DATA\r\n".to_owned(), &[354]));
        steps.push_back(step("BODY", letter.text.clone(), &[250]));
        Self { steps, name: "CONNECT", wanted: &[220], line: Vec::new(), lines: 0, over: false }
    }

    /// Takes what the relay said.
    pub fn hear(&mut self, bytes: &[u8], out: &mut Vec<Output>) {
        for byte in bytes {
            if self.over {
                return;
            }
            if *byte != b'\n' {
                if self.line.len() == LINE {
                    return self.fail(Failure::Nonsense { command: self.name }, out);
                }
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            self.lines += 1;
            match reply(&line) {
                Some((_, false)) if self.lines < LINES => {}
                Some((code, true)) => {
                    self.lines = 0;
                    self.answered(code, out);
                }
                _ => return self.fail(Failure::Nonsense { command: self.name }, out),
            }
        }
    }

    /// Nothing more is to be said or heard.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// What the next reply answers, for the log.
    pub fn waits_for(&self) -> &'static str {
        self.name
    }

    fn answered(&mut self, code: u16, out: &mut Vec<Output>) {
        if !self.wanted.contains(&code) {
            return self.fail(Failure::Refused { command: self.name, code }, out);
        }
        if let Some(Step { name, text, wanted }) = self.steps.pop_front() {
            self.name = name;
            self.wanted = wanted;
            out.push(Output::Send(text));
        } else {
            out.push(Output::Send(b"QUIT\r\n".to_vec()));
            out.push(Output::Delivered);
            self.over = true;
        }
    }

    fn fail(&mut self, failure: Failure, out: &mut Vec<Output>) {
        out.push(Output::Send(b"QUIT\r\n".to_vec()));
        out.push(Output::Failed(failure));
        self.over = true;
    }
}

/// The code of a line, and whether it is the last of its reply.
fn reply(line: &[u8]) -> Option<(u16, bool)> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (code, rest) = line.split_at_checked(3)?;
    let code =
        std::str::from_utf8(code).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((code.parse().ok()?, rest.first() != Some(&b'-')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letter() -> Letter {
        Letter {
            helo: "h".into(),
            from: "f@x".into(),
            to: vec!["a@x".into(), "b@x".into()],
            text: "Subject: s\r\n\r\nb\r\n.\r\n".into(),
        }
    }

    /// Everything that is said to this relay.
    fn talk(replies: &[&str]) -> (Vec<String>, Vec<Output>) {
        let mut dialogue = Dialogue::new(&letter());
        let (mut said, mut ends) = (Vec::new(), Vec::new());
        for reply in replies {
            let mut out = Vec::new();
            dialogue.hear(reply.as_bytes(), &mut out);
            for output in out {
                match output {
                    Output::Send(bytes) => said.push(String::from_utf8(bytes).unwrap()),
                    end => ends.push(end),
                }
            }
        }
        (said, ends)
    }

    #[test]
    fn a_mail_goes_through_command_by_command() {
        let ok = "250 ok\r\n";
        let (said, ends) =
            talk(&["220-a\r\n220 b\r\n", "250-x\r\n250", " y\r\n", ok, ok, "251 fwd\r\n", "354\n", ok]);
        assert_eq!(
            said,
            [
                "HELO h\r\n",
                "MAIL FROM:<f@x>\r\n",
                "RCPT TO:<a@x>\r\n",
                "RCPT TO:<b@x>\r\n",
                "DATA\r\n",
                "Subject: s\r\n\r\nb\r\n.\r\n",
                "QUIT\r\n"
            ]
        );
        assert_eq!(ends, [Output::Delivered]);
    }

    #[test]
    fn a_refusal_ends_it_with_quit() {
        let (said, ends) = talk(&["220 a\r\n", "250 b\r\n", "550 no\r\n", "250 late\r\n"]);
        assert_eq!(said.last().unwrap(), "QUIT\r\n");
        let refused = Failure::Refused { command: "MAIL", code: 550 };
        assert_eq!(ends, [Output::Failed(refused)]);
        assert!(!refused.is_transient());
        assert!(Failure::Refused { command: "RCPT", code: 451 }.is_transient());
    }

    #[test]
    fn what_is_no_reply_ends_it_too() {
        for nonsense in ["hello\r\n", "22\r\n", &"2".repeat(LINE + 1), &"220-x\r\n".repeat(LINES + 1)] {
            let (_, ends) = talk(&[nonsense]);
            assert_eq!(ends, [Output::Failed(Failure::Nonsense { command: "CONNECT" })]);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_it_ends_once(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let mut dialogue = Dialogue::new(&letter());
            let mut out = Vec::new();
            for chunk in bytes.chunks(7) {
                dialogue.hear(chunk, &mut out);
            }
            let ends = out.iter().filter(|output| !matches!(output, Output::Send(_))).count();
            prop_assert_eq!(ends, usize::from(dialogue.is_over()));
        }
    }
}
