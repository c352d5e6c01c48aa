//! TLS profiles: the contents of the files that TLS checks need, read here because the processes that use them may not
//! (spec/lvs-config.md §11).

use super::vrrp::Refused;
use crate::config::blocks::http::TlsDraft;
use crate::config::diagnostic::{Class, Diagnostic};
use crate::config::model::{Config, Ssl, TlsProfile, TlsVerify};
use crate::config::reader::Reader;
use crate::config::source::Span;

/// Fills in `ssl` and the profiles. Stock's checker process exits when a file of `SSL` cannot be loaded and there is a
/// check that needs it.
pub(super) fn profiles(reader: &mut Reader<'_>, config: &mut Config) -> Result<(), Refused> {
    let block = reader.drafts.ssl.take();
    let general = std::mem::take(&mut reader.drafts.ssl_tls);
    let own = std::mem::take(&mut reader.drafts.tls_profiles);
    let used = reader.drafts.tls_used;
    let (head, ssl) = block.unzip();
    let empty = Ssl::default();
    let base = ssl.as_ref().unwrap_or(&empty);
    let mut complete = true;
    let mut profiles = vec![profile(reader, base, &general, head, &mut complete)];
    for draft in &own {
        let merged = TlsDraft {
            verify: draft.verify.clone().or_else(|| general.verify.clone()),
            name: if draft.verify.is_some() { draft.name.clone() } else { general.name.clone() },
            certificate: draft.certificate.clone().or_else(|| general.certificate.clone()),
            key: if draft.certificate.is_some() { draft.key.clone() } else { general.key.clone() },
            span: draft.span,
        };
        profiles.push(profile(reader, base, &merged, draft.span, &mut complete));
    }
    config.ssl = ssl;
    config.tls_profiles = profiles;
    if complete || !used { Ok(()) } else { Err(Refused) }
}

fn profile(
    reader: &mut Reader<'_>,
    ssl: &Ssl,
    draft: &TlsDraft,
    at: Option<Span>,
    complete: &mut bool,
) -> TlsProfile {
    let at = draft.span.or(at);
    let mut read = |path: Option<&String>| {
        let path = path?;
        match reader.world.files.read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                *complete = false;
                report(reader, at, format!("`{path}` cannot be read: {error}"));
                None
            }
        }
    };
    let (verify, own_ca) = match draft.verify.as_deref() {
        None | Some("off") => (TlsVerify::No, None),
        Some("system") => (TlsVerify::System, None),
        Some(_) => (TlsVerify::Ca, draft.verify.as_ref()),
    };
    // A certificate of its own comes with its own key.
    let (certificate, key, password) = match &draft.certificate {
        Some(file) => (Some(file), draft.key.as_ref(), None),
        None => (ssl.certificate.as_ref(), ssl.key.as_ref(), ssl.password.clone()),
    };
    let profile = TlsProfile {
        ca: read(own_ca.or(ssl.ca.as_ref())),
        certificate: read(certificate),
        key: read(key),
        password: password.or_else(|| ssl.password.clone()),
        verify,
        name: draft.name.clone(),
    };
    if *complete && let Err(reason) = (reader.world.facts.tls.0)(&profile) {
        *complete = false;
        report(reader, at, format!("the files of TLS checks cannot be used: {reason}"));
    }
    profile
}

fn report(reader: &mut Reader<'_>, at: Option<Span>, message: String) {
    let Some(span) = at else { return };
    reader.push(
        // `-t` of stock does not open them.
        Diagnostic::error("tls-file", span, message)
            .class(Class::None)
            .help("files are PEM; an encrypted key needs `password`")
            .stock("its checker process exits at start if there is a SSL_GET"),
    );
}
