//! Facts about TLS in routes whose requests never come by it.

use super::Table;
use crate::config::{Fact, Listener, Route};
use crate::document::At;

/// What a fact about TLS needs of some listener.
type Needs = (Fact, &'static str, fn(&Listener) -> bool, &'static str);

const NEEDS: [Needs; 4] = [
    (Fact::Sni, "sni", has_tls, "`tls`"),
    (Fact::TlsVersion, "tls-version", has_tls, "`tls`"),
    (
        Fact::CertificateSubject,
        "certificate-subject",
        asks_clients,
        "`tls.client-ca`",
    ),
    (
        Fact::CertificateFingerprint,
        "certificate-fingerprint",
        asks_clients,
        "`tls.client-ca`",
    ),
];

fn has_tls(listener: &Listener) -> bool {
    listener.tls.is_some()
}

fn asks_clients(listener: &Listener) -> bool {
    let tls = listener.tls.as_ref();
    tls.is_some_and(|tls| tls.clients.is_some())
}

impl Table<'_> {
    /// Says which of them are always empty.
    pub(super) fn check_facts(&mut self, listeners: &[At<Listener>]) {
        let serving = || {
            let all = listeners.iter().map(|listener| &listener.value);
            all.filter(|listener| !listener.forward && listener.tcp.is_none())
        };
        for (fact, name, fulfils, needed) in NEEDS {
            if serving().any(fulfils) {
                continue;
            }
            let says = |route: &&At<Route>| {
                let edits = &route.value.edits;
                edits.request.says(&fact) || edits.response.says(&fact)
            };
            // One is enough, because it is about the listeners.
            if let Some(route) = self.routes.iter().find(says) {
                let message = format!(
                    "writes a field with {{{name}}}, which is always empty, because no listener \
                     has {needed}; add one, or remove {{{name}}}"
                );
                self.findings.warning(&route.place, message);
            }
        }
    }
}
