//! A certificate that is ordered from an authority, and how its orders go.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::kept::{Kept, same_names};
use crate::admin::OrderStatus;
use crate::net::tls::{Certificate, CertificateError, self_signed};

/// A certificate that is ordered, for the listeners that name the same names.
#[derive(Debug)]
pub(in crate::app) struct Ordered {
    names: Vec<String>,
    /// What is served until the first one was issued: one that was issued for some of the names, or
    /// one that clients refuse, so that the proxy starts.
    stand_in: Certificate,
    progress: Mutex<Progress>,
}

/// How its orders go.
#[derive(Debug)]
pub(in crate::app) struct Progress {
    /// The newest that was issued; `None` if none was.
    pub issued: Option<Certificate>,
    /// Orders that ended with a certificate.
    pub orders: u64,
    /// Orders that did not.
    pub failures: u64,
    /// Orders that failed since the last one that did not.
    pub failed_in_a_row: u32,
    /// Certificates in a row that were to be renewed as soon as they were there.
    pub stale_in_a_row: u32,
    /// When the last one was issued in this process.
    pub issued_at: Option<SystemTime>,
    /// No order begins before, whatever is suggested.
    pub not_before: SystemTime,
    /// When the next order begins.
    pub next_order: SystemTime,
    /// When the authority is asked again when it suggests to renew.
    pub next_look: SystemTime,
    /// Whether it has suggested a time.
    pub is_suggested: bool,
    /// The point of the suggested window at which this process renews, from 0 to 1.
    pub share: f64,
    /// What an operator should know, as a sentence.
    pub note: Option<String>,
}

impl Ordered {
    /// The certificate for these names, which may have been ordered before the start.
    pub(super) fn new(names: &[String], kept: &Kept) -> Result<Self, CertificateError> {
        let wanted = summary(names);
        let mut stand_in = None;
        let (issued, note) = match kept.certificate(names) {
            Ok(Some(certificate)) => (Some(certificate), None),
            Ok(None) => {
                stand_in = kept.nearest(names);
                let served = match &stand_in {
                    Some((_, has)) => format!("the one for {} is served until then", summary(has)),
                    None => {
                        "a self-signed one is served until then, which clients refuse".to_owned()
                    }
                };
                let note = format!("no certificate has been issued for {wanted} yet; {served}");
                (None, Some(note))
            }
            Err(reason) => {
                let note = format!(
                    "the certificate for {wanted} that was ordered before can't be used: \
                     {reason}; another one is ordered, and a self-signed one is served until then"
                );
                (None, Some(note))
            }
        };
        let note = match (note, kept.problem()) {
            (None, problem) => problem,
            (note, None) => note,
            (Some(note), Some(problem)) => Some(format!("{note}; {problem}")),
        };
        let next_order = issued.as_ref().map_or_else(SystemTime::now, renewal);
        let local: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(Self {
            names: names.to_vec(),
            stand_in: match stand_in {
                Some((certificate, _)) => certificate,
                None => self_signed(&local)?,
            },
            progress: Mutex::new(Progress {
                issued,
                orders: 0,
                failures: 0,
                failed_in_a_row: 0,
                stale_in_a_row: 0,
                issued_at: None,
                not_before: SystemTime::UNIX_EPOCH,
                next_order,
                next_look: SystemTime::UNIX_EPOCH,
                is_suggested: false,
                share: rand::random(),
                note,
            }),
        })
    }

    /// The names, in lower case.
    pub(in crate::app) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it is for these names, in whatever order.
    pub(super) fn is_for(&self, names: &[String]) -> bool {
        same_names(&self.names, names)
    }

    /// The names in few words.
    pub(in crate::app) fn summary(&self) -> String {
        summary(&self.names)
    }

    pub(in crate::app) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is served now.
    pub(super) fn served(&self) -> Certificate {
        let progress = self.progress();
        progress.issued.as_ref().unwrap_or(&self.stand_in).clone()
    }

    /// Whether one was issued, and not only one that stands in.
    pub(super) fn is_issued(&self) -> bool {
        self.progress().issued.is_some()
    }

    pub(super) fn note(&self) -> Option<String> {
        self.progress().note.clone()
    }

    pub(super) fn status(&self) -> OrderStatus {
        let progress = self.progress();
        OrderStatus {
            issued: progress.issued.is_some(),
            completed: progress.orders,
            failed: progress.failures,
            next: progress.next_order,
        }
    }
}

/// When a certificate is renewed if the authority suggests nothing: after two thirds of its life.
pub(in crate::app) fn renewal(certificate: &Certificate) -> SystemTime {
    let (begins, expires) = (certificate.begins(), certificate.expires());
    let life = expires.duration_since(begins).unwrap_or_default();
    begins.checked_add(life / 3 * 2).unwrap_or(expires)
}

fn summary(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first, more @ ..] => format!("{first} and {} more", more.len()),
    }
}
