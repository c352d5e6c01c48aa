//! A mail as stock writes it: subject, body, headers, and the addresses for the envelope. Pure.
//!
//! Delivered by [`super::smtp`] and `daemon::mailer`. spec/daemon-behaviour.md §9, spec/checkers.md §16.

use std::collections::HashMap;

use crate::config::model::Global;
use crate::report::event::Alert;
use crate::vrrp::{StateWord, Subject};

/// Columns after which the list of recipients is folded (RFC 5322 §2.1.1).
const FOLD: usize = 78;

/// What a mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// What stands behind `[router_id] ` in the subject.
    pub subject: String,
    /// The text between the marks `=> ` and ` <=`.
    pub body: String,
}

/// What was mailed last of whom: the same state is not mailed twice.
#[derive(Debug, Default)]
pub struct Mailed(HashMap<String, StateWord>);

impl Mailed {
    /// The mail for an alert, if there is to be one.
    pub fn mail(&mut self, alert: &Alert, global: &Global) -> Option<Mail> {
        match alert {
            Alert::Vrrp { subject, state } => {
                if !state.is_state() || (*state == StateWord::Fault && global.no_email_faults) {
                    return None;
                }
                let key = match subject {
                    Subject::Instance(name) => format!("i{name}"),
                    Subject::Group(name) => format!("g{name}"),
                };
                if matches!(state, StateWord::Deleted | StateWord::Stop) {
                    self.0.remove(&key);
                } else if self.0.insert(key, *state) == Some(*state) {
                    return None;
                }
                Some(of_vrrp(subject, *state))
            }
            Alert::RealServer { real_name, virtual_name, up, text } => Some(Mail {
                subject: format!("Realserver {real_name} of virtual server {virtual_name} - {}", word(*up)),
                body: text.clone(),
            }),
            Alert::VirtualServer { name, up, text } => {
                Some(Mail { subject: format!("Virtualserver {name} - {}", word(*up)), body: text.clone() })
            }
        }
    }
}

fn word(up: bool) -> &'static str {
    if up { "UP" } else { "DOWN" }
}

fn of_vrrp(subject: &Subject, state: StateWord) -> Mail {
    let what = match state {
        StateWord::Stop => "Stopping".to_owned(),
        StateWord::Deleted => "Deleted".to_owned(),
        _ => format!("Entering {} state", state.name()),
    };
    match subject {
        Subject::Instance(name) => Mail {
            subject: format!("VRRP Instance {name} - {what}"),
            body: match state {
                StateWord::Master => "VRRP Instance is now owning VRRP VIPs",
                StateWord::Stop => "VRRP Instance stopping",
                StateWord::Deleted => "VRRP Deleted at reload",
                _ => "VRRP Instance is no longer owning VRRP VIPs",
            }
            .to_owned(),
        },
        Subject::Group(name) => Mail {
            subject: format!("VRRP Group {name} - {what}"),
            body: match state {
                StateWord::Stop => "All VRRP group instances are now stopping".to_owned(),
                _ => format!("All VRRP group instances are now in {} state", state.name()),
            },
        },
    }
}

/// Many mails as one: what a storm becomes with `mail_digest`. Each with the date it would have had.
pub fn digest(mails: &[(String, Mail)]) -> Mail {
    let lines = mails.iter().map(|(date, mail)| format!("{date}: {}: {}", mail.subject, mail.body));
    Mail { subject: format!("{} changes", mails.len()), body: lines.collect::<Vec<_>>().join("\r\n") }
}

/// A mail ready to be handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The name given in HELO.
    pub helo: String,
    /// The sender's address alone.
    pub from: String,
    /// The recipients' addresses alone.
    pub to: Vec<String>,
    /// Headers and text, up to the last dot.
    pub text: String,
}

/// Puts a mail into its envelope; `date` as RFC 5322 wants it. `None` if nobody is to get it.
pub fn letter(mail: &Mail, date: &str, global: &Global) -> Option<Letter> {
    let from = global.email_from.as_deref()?;
    if global.email_to.is_empty() {
        return None;
    }
    let subject = one_line(&mail.subject);
    let text = format!(
        "Date: {date}\r\nFrom: {}\r\nSubject: [{}] {subject}\r\nX-Mailer: Keepalived\r\nTo: {}\r\n\r\n\
         => {} <=\r\n\r\n.\r\n",
        display(from),
        one_line(&global.router_id),
        recipients(&global.email_to),
        lines(&mail.body),
    );
    Some(Letter {
        helo: global.smtp_helo_name.clone().unwrap_or_else(|| "localhost".to_owned()),
        from: address(from).to_owned(),
        to: global.email_to.iter().map(|to| address(to).to_owned()).collect(),
        text,
    })
}

/// The part between angle brackets, else all of it.
fn address(text: &str) -> &str {
    match text.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')) {
        Some((address, _)) => address,
        None => text.trim(),
    }
}

/// As it stands in a header: a name with special characters between quotes (RFC 5322 §3.2.3).
fn display(text: &str) -> String {
    let Some((name, rest)) = text.rsplit_once('<') else { return one_line(text) };
    let name = one_line(name.trim());
    let quoted = name.len() > 1 && name.starts_with('"') && name.ends_with('"');
    if quoted
        || name.is_empty()
        || !name.contains(['(', ')', '<', '>', '[', ']', ':', ';', '@', '\\', ',', '.', '"'])
    {
        return one_line(text);
    }
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\" <{}", one_line(rest))
}

/// Separated by commas, folded.
fn recipients(to: &[String]) -> String {
    let mut list = String::new();
    let mut column = "To: ".len();
    for (index, one) in to.iter().map(|to| display(to)).enumerate() {
        if index > 0 {
            list.push(',');
            column += 1;
            if column + 1 + one.len() > FOLD {
                list.push_str("\r\n");
                column = 0;
            }
            list.push(' ');
            column += 1;
        }
        column += one.len();
        list.push_str(&one);
    }
    list
}

/// As lines of a mail: none of them can be taken for its end (RFC 5321 §4.5.2), wherever the text had its line ends. Stock
/// stuffs no dots: its texts have none at the beginning of a line.
fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // The first stands behind other text.
    for (place, line) in text.split(['\r', '\n']).filter(|line| !line.is_empty()).enumerate() {
        if place > 0 {
            out.push_str(if line.starts_with('.') { "\r\n." } else { "\r\n" });
        }
        out.push_str(line);
    }
    out
}

/// What comes from the configuration must not become another header.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global() -> Global {
        Global {
            router_id: "my router".into(),
            email_from: Some("Kee Pal. <k@x.org>".into()),
            email_to: vec!["a@x.org".into(), "Some One <c@x.org>".into()],
            smtp_helo_name: Some("helo.name".into()),
            ..Global::default()
        }
    }

    fn vrrp(subject: Subject, state: StateWord) -> Alert {
        Alert::Vrrp { subject, state }
    }

    #[test]
    fn a_letter_is_stocks() {
        let v1 = Subject::Instance("V1".into());
        let mail = Mailed::default().mail(&vrrp(v1, StateWord::Master), &global()).unwrap();
        let letter = letter(&mail, "Sat, 21 Nov 2026 17:25:27 +0000", &global()).unwrap();
        assert_eq!(letter.helo, "helo.name");
        assert_eq!(letter.from, "k@x.org");
        assert_eq!(letter.to, ["a@x.org", "c@x.org"]);
        assert_eq!(
            letter.text,
            "Date: Sat, 21 Nov 2026 17:25:27 +0000\r\n\
             From: \"Kee Pal.\" <k@x.org>\r\n\
             Subject: [my router] VRRP Instance V1 - Entering MASTER state\r\n\
             X-Mailer: Keepalived\r\n\
             To: a@x.org, Some One <c@x.org>\r\n\r\n\
             => VRRP Instance is now owning VRRP VIPs <=\r\n\r\n.\r\n"
        );
    }

    #[test]
    fn a_state_is_mailed_once_and_faults_not_if_unwanted() {
        let mut mailed = Mailed::default();
        let group = || Subject::Group("G".into());
        let first = mailed.mail(&vrrp(group(), StateWord::Fault), &global()).unwrap();
        assert_eq!(first.subject, "VRRP Group G - Entering FAULT state");
        assert_eq!(first.body, "All VRRP group instances are now in FAULT state");
        assert_eq!(mailed.mail(&vrrp(group(), StateWord::Fault), &global()), None);
        assert_eq!(mailed.mail(&vrrp(group(), StateWord::MasterPriority), &global()), None);
        assert!(mailed.mail(&vrrp(group(), StateWord::Backup), &global()).is_some());
        let quiet = Global { no_email_faults: true, ..global() };
        assert_eq!(mailed.mail(&vrrp(group(), StateWord::Fault), &quiet), None);
    }

    #[test]
    fn recipients_are_folded_and_nothing_makes_another_header() {
        let to: Vec<String> = (0..6).map(|n| format!("somebody.{n}@mail.example.org")).collect();
        let list = recipients(&to);
        assert!(list.split("\r\n").all(|line| line.len() <= FOLD), "{list}");
        assert!(list.split("\r\n").skip(1).all(|line| line.starts_with(' ')), "{list}");
        let evil = Global { router_id: "x\r\nBcc: y".into(), ..global() };
        let mail = Mail { subject: "s".into(), body: "b\r\n.\r\nRSET".into() };
        let text = letter(&mail, "now", &evil).unwrap().text;
        assert!(!text.contains("\r\nBcc"), "{text}");
        assert_eq!(text.matches("\r\n.\r\n").count(), 1, "{text}");
        let bare = Mail { subject: "s".into(), body: "b\n.\nRSET\r.\rx".into() };
        let text = letter(&bare, "now", &evil).unwrap().text;
        assert!(text.contains("=> b\r\n..\r\nRSET\r\n..\r\nx <="), "{text}");
    }

    #[test]
    fn without_sender_or_recipients_there_is_no_letter() {
        let mail = Mail { subject: String::new(), body: String::new() };
        assert_eq!(letter(&mail, "", &Global { email_to: vec![], ..global() }), None);
        assert_eq!(letter(&mail, "", &Global { email_from: None, ..global() }), None);
    }
}
