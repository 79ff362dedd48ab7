//! Certificates from an authority (ACME, RFC 8555): ordered one at a time, renewed before they
//! expire, kept in `state-dir`. A task of the control side; workers only answer challenges.

mod account;
mod failure;
mod http;
mod order;
mod schedule;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{Account, CertificateIdentifier, Error};
use tokio::time::{sleep, timeout};

use self::failure::Failure;
use self::http::Http;
use self::order::{Answers, Issued, order};
use super::certificates::{Kept, ListenerCertificates, Ordered, Progress, renewal};
use crate::config::{Acme, Config};
use crate::ground;
use crate::net::tls::Certificate;

/// For a whole order. Authorities that check names for longer are asked again.
const PATIENCE: Duration = Duration::from_secs(600);
/// The clock may be set, and a machine suspended: times are compared anew after this.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);
/// How long an authority without a suggestion (ARI) is not asked for one again.
const NO_SUGGESTION: Duration = Duration::from_secs(24 * 3600);

/// What orders and renews.
struct Orders {
    settings: Acme,
    kept: Kept,
    certificates: Arc<ListenerCertificates>,
}

/// Orders and renews for as long as it is polled.
pub(super) async fn keep_ordered(config: Arc<Config>, certificates: Arc<ListenerCertificates>) {
    let (Some(settings), Some(state_dir)) = (&config.acme, &config.state_dir) else {
        return;
    };
    if certificates.ordered().is_empty() {
        return;
    }
    let orders = Orders {
        settings: settings.clone(),
        kept: Kept::new(state_dir, &settings.directory),
        certificates,
    };
    ground::stays("what orders certificates", || orders.run()).await;
}

impl Orders {
    async fn run(&self) {
        loop {
            let all = self.certificates.ordered().iter();
            let Some((next, ordered)) = all.map(|o| (next(o), o)).min_by_key(|(next, _)| *next)
            else {
                return;
            };
            match next.duration_since(SystemTime::now()) {
                Ok(left) if !left.is_zero() => sleep(left.min(LONGEST_SLEEP)).await,
                _ => self.act(ordered).await,
            }
        }
    }

    /// Asks what the authority suggests, or orders.
    async fn act(&self, ordered: &Arc<Ordered>) {
        let now = SystemTime::now();
        let is_due = ordered.progress().next_order <= now;
        if !is_due {
            // Whatever happens, even a panic, it is not asked at once again.
            ordered.progress().next_look = schedule::look_again(now, NO_SUGGESTION);
            return self.look(ordered).await;
        }
        let failed = {
            let mut progress = ordered.progress();
            let failed = progress.failed_in_a_row.saturating_add(1);
            progress.next_order = schedule::again(now, failed, None, rand::random());
            failed
        };
        ground::fault_point("acme");
        tracing::info!("ordering a certificate for {}", ordered.summary());
        let http = match Http::new(self.settings.ca.as_deref()) {
            Ok(http) => http,
            Err(reason) => return self.failed(ordered, failed, &Failure::new(&reason), None),
        };
        let issued = match timeout(PATIENCE, self.issue(ordered, &http)).await {
            Ok(issued) => issued,
            Err(_) => Err(Failure::new("the order was not completed in ten minutes")),
        };
        match issued.and_then(|issued| self.serve(ordered, issued)) {
            Ok(()) => {}
            Err(failure) => self.failed(ordered, failed, &failure, http.again()),
        }
    }

    /// Orders; once more with a new account if the authority does not know the one that is kept.
    async fn issue(&self, ordered: &Ordered, http: &Http) -> Result<Issued, Failure> {
        match self.issue_once(ordered, http).await {
            Err(failure) if failure.is_of_account => {
                tracing::warn!("the authority does not know our account; making another one");
                let forgotten = self.kept.forget_account();
                forgotten.map_err(|e| {
                    Failure::new(&format!("the unknown account can't be removed: {e}"))
                })?;
                self.issue_once(ordered, http).await
            }
            issued => issued,
        }
    }

    async fn issue_once(&self, ordered: &Ordered, http: &Http) -> Result<Issued, Failure> {
        let account = account::account(&self.settings, &self.kept, http).await?;
        let mut answers = Answers::new(&self.certificates);
        let (names, challenge) = (ordered.names(), self.settings.challenge);
        // What was refused once may have been refused for that.
        let replaced = {
            let progress = ordered.progress();
            let is_known = progress.is_suggested && progress.failed_in_a_row == 0;
            progress.issued.clone().filter(|_| is_known)
        };
        let replaces = replaced
            .as_ref()
            .and_then(|issued| identifier(issued.der()?));
        order(&account, names, challenge, replaces, &mut answers).await
    }

    /// Keeps the certificate and serves it.
    fn serve(&self, ordered: &Arc<Ordered>, issued: Issued) -> Result<(), Failure> {
        let Issued { certificate, pem } = issued;
        let kept = self.kept.keep_certificate(ordered.names(), &pem);
        let served = self.certificates.issued(ordered, &certificate);
        served.map_err(|e| Failure::new(&e))?;
        let mut progress = ordered.progress();
        progress.orders += 1;
        progress.failed_in_a_row = 0;
        self.pause(&mut progress, &certificate);
        progress.next_order = renewal(&certificate).max(progress.not_before);
        progress.next_look = SystemTime::UNIX_EPOCH;
        let (names, expires) = (ordered.summary(), in_words(certificate.expires()));
        progress.issued = Some(certificate);
        progress.note = kept.err().map(|e| {
            format!(
                "the certificate for {names} can't be kept in `state-dir`: {e}; a restart would \
                 order it again"
            )
        });
        match &progress.note {
            Some(note) => tracing::error!("{note}"),
            None => tracing::info!(
                "a certificate for {names} was issued and is served; it expires on {expires}, \
                 and is renewed on {}",
                in_words(progress.next_order)
            ),
        }
        Ok(())
    }

    /// Pauses if the certificate would be ordered again at once: by a clock that is wrong here or
    /// there, or a suggestion that is always in the past. Each order succeeds, and would use up
    /// what the authority gives in a week.
    fn pause(&self, progress: &mut Progress, certificate: &Certificate) {
        let now = SystemTime::now();
        let last = progress.issued_at.replace(now);
        if !schedule::is_stale(certificate, now, last) {
            progress.stale_in_a_row = 0;
            return;
        }
        progress.stale_in_a_row = progress.stale_in_a_row.saturating_add(1);
        progress.not_before = schedule::stale_again(now, progress.stale_in_a_row, rand::random());
        tracing::warn!(
            "the certificate that {} has issued is to be renewed already, by its dates or by the \
             authority's suggestion; the next order is not before {}: is the clock right?",
            self.settings.shown_directory(),
            in_words(progress.not_before)
        );
    }

    fn failed(&self, ordered: &Ordered, failed: u32, failure: &Failure, again: Option<SystemTime>) {
        let mut progress = ordered.progress();
        progress.failures += 1;
        progress.failed_in_a_row = failed;
        progress.next_order = schedule::again(SystemTime::now(), failed, again, rand::random());
        let served = match &progress.issued {
            Some(issued) => format!("the one until {} stays in use", in_words(issued.expires())),
            None => "a self-signed one is served, which clients refuse".to_owned(),
        };
        let note = format!(
            "no certificate for {} from {}: {failure}; {served}, and the next order is on {}",
            ordered.summary(),
            self.settings.shown_directory(),
            in_words(progress.next_order)
        );
        tracing::warn!("{note}");
        progress.note = Some(note);
    }

    /// Asks the authority when it suggests to renew (ARI, RFC 9773), where it does.
    async fn look(&self, ordered: &Ordered) {
        let Some(issued) = ordered.progress().issued.clone() else {
            return;
        };
        let Some(id) = issued.der().and_then(|der| identifier(der)) else {
            return;
        };
        let asked = async {
            let http = Http::new(self.settings.ca.as_deref()).map_err(|e| Failure::new(&e))?;
            let account: Option<Account> = account::existing(&self.kept, &http).await?;
            let Some(account) = account else {
                return Ok(None);
            };
            match account.renewal_info(&id).await {
                Ok((info, pause)) => Ok(Some((info.suggested_window, pause))),
                Err(Error::Unsupported(_)) => Ok(None),
                Err(e) => Err(Failure::from(e)),
            }
        };
        match timeout(PATIENCE, asked).await {
            Ok(Ok(Some((window, pause)))) => {
                let window = (window.start.into(), window.end.into());
                let mut progress = ordered.progress();
                progress.is_suggested = true;
                let suggested = schedule::suggested(&issued, window, progress.share);
                progress.next_order = suggested.max(progress.not_before);
                progress.next_look = schedule::look_again(SystemTime::now(), pause);
            }
            Ok(Ok(None)) => {}
            // What it suggested before, or two thirds of the life, holds.
            Ok(Err(failure)) => tracing::debug!("the authority suggests no time: {failure}"),
            Err(_) => tracing::debug!("the authority suggests no time: it does not answer"),
        }
    }
}

/// When there is something to do for it.
fn next(ordered: &Ordered) -> SystemTime {
    let progress = ordered.progress();
    match progress.issued {
        // An order that has failed is not overtaken by a look.
        Some(_) if progress.failed_in_a_row == 0 => progress.next_order.min(progress.next_look),
        _ => progress.next_order,
    }
}

/// By what an authority knows a certificate; `None` for one that has no such thing.
fn identifier(
    certificate: &rustls::pki_types::CertificateDer<'_>,
) -> Option<CertificateIdentifier<'static>> {
    let id = CertificateIdentifier::try_from(certificate).ok()?;
    Some(id.into_owned())
}

fn in_words(time: SystemTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(time)
}
