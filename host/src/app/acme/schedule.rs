//! When certificates are ordered.

use std::time::{Duration, SystemTime};

use crate::app::certificates::renewal;
use crate::net::tls::Certificate;

/// After a first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// However often it fails, and however long an authority wants to be left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// What failures at the same time spread over, as a part of the pause.
const SPREAD: f64 = 0.25;
/// How often the authority is asked when to renew, whatever it wishes (RFC 9773 section 4.3.2).
const LOOKS: (Duration, Duration) = (Duration::from_secs(60), LONGEST_PAUSE);

/// When it is renewed if the authority suggests this window (ARI): at a point of it, but never so
/// late that a failure or two would be an outage. `share` is random, from 0 to 1.
pub(super) fn suggested(
    certificate: &Certificate,
    window: (SystemTime, SystemTime),
    share: f64,
) -> SystemTime {
    let length = window.1.duration_since(window.0).unwrap_or_default();
    let at = window.0.checked_add(length.mul_f64(share.clamp(0.0, 1.0)));
    let (begins, expires) = (certificate.begins(), certificate.expires());
    let life = expires.duration_since(begins).unwrap_or_default();
    let latest = begins.checked_add(life / 10 * 9).unwrap_or(expires);
    at.map_or(latest, |at| at.min(latest))
}

/// When the authority is asked again for its suggestion, if it wishes this pause.
pub(super) fn look_again(now: SystemTime, wished: Duration) -> SystemTime {
    let pause = wished.clamp(LOOKS.0, LOOKS.1);
    now.checked_add(pause).unwrap_or(now)
}

/// When an order is tried again after so many failures in a row, at least one. `share` is random,
/// from 0 to 1.
pub(super) fn again(
    now: SystemTime,
    failed: u32,
    wished: Option<SystemTime>,
    share: f64,
) -> SystemTime {
    let doublings = failed.saturating_sub(1).min(16);
    let pause = FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE);
    let pause = pause.mul_f64(1.0 + SPREAD * share.clamp(0.0, 1.0));
    let wished = wished.and_then(|wished| wished.duration_since(now).ok());
    let pause = pause.max(wished.unwrap_or_default()).min(LONGEST_PAUSE);
    now.checked_add(pause).unwrap_or(now)
}

/// Whether a certificate that has been issued now is to be renewed already, or has replaced one, of
/// the time `last`, that was hardly used.
pub(super) fn is_stale(
    certificate: &Certificate,
    now: SystemTime,
    last: Option<SystemTime>,
) -> bool {
    let life = certificate.expires().duration_since(certificate.begins());
    let short = (life.unwrap_or_default() / 10).min(LONGEST_PAUSE);
    let is_early = |last| now.duration_since(last).unwrap_or_default() < short;
    renewal(certificate) <= now || last.is_some_and(is_early)
}

/// When another one may be ordered after so many of those in a row: an hour later, then two, and so
/// on up to a day.
pub(super) fn stale_again(now: SystemTime, stale: u32, share: f64) -> SystemTime {
    // As after so many failures, the first of which cost a minute.
    again(now, 6 + stale.min(16), None, share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::self_signed;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_pause_doubles_from_a_minute_to_a_day() {
        let now = SystemTime::UNIX_EPOCH + HOUR * 100_000;
        let pause = |failed, share| again(now, failed, None, share).duration_since(now).unwrap();
        assert_eq!(pause(1, 0.0), Duration::from_secs(60));
        assert_eq!(pause(2, 0.0), Duration::from_secs(120));
        assert_eq!(pause(5, 0.0), Duration::from_secs(960));
        assert_eq!(pause(1, 1.0), Duration::from_secs(75));
        for failed in [12, 17, 1_000, u32::MAX] {
            assert_eq!(pause(failed, 1.0), HOUR * 24, "{failed}");
        }
    }

    #[test]
    fn an_authority_that_wants_to_be_left_alone_is_for_a_day_at_most() {
        let now = SystemTime::UNIX_EPOCH + HOUR * 100_000;
        for (wished, expected) in [
            (now + HOUR * 3, HOUR * 3),
            (now + HOUR * 2_000, HOUR * 24),
            (now - HOUR, Duration::from_secs(60)),
        ] {
            let at = again(now, 1, Some(wished), 0.0);
            assert_eq!(at.duration_since(now).unwrap(), expected);
        }
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_or_in_the_suggested_window() {
        let certificate = self_signed(&["a.test"]).unwrap();
        let (begins, expires) = (certificate.begins(), certificate.expires());
        let life = expires.duration_since(begins).unwrap();
        assert_eq!(renewal(&certificate), begins + life / 3 * 2);
        let window = (begins + HOUR, begins + HOUR * 3);
        for (share, at) in [(0.0, 1), (0.5, 2), (1.0, 3)] {
            assert_eq!(suggested(&certificate, window, share), begins + HOUR * at);
        }
        // A window that is upside down, and one that is too late.
        let at = suggested(&certificate, (window.1, window.0), 0.5);
        assert_eq!(at, window.1);
        let late = suggested(&certificate, (expires, expires + HOUR), 0.5);
        assert_eq!(late, begins + life / 10 * 9);
    }

    #[test]
    fn an_authority_is_asked_for_its_window_once_a_minute_to_once_a_day() {
        let now = SystemTime::now();
        for (wished, pause) in [
            (Duration::ZERO, Duration::from_secs(60)),
            (HOUR, HOUR),
            (Duration::MAX, HOUR * 24),
        ] {
            assert_eq!(look_again(now, wished).duration_since(now).unwrap(), pause);
        }
    }

    #[test]
    fn a_certificate_that_is_to_be_renewed_at_once_is_not_ordered_again_at_once() {
        let certificate = self_signed(&["a.test"]).unwrap();
        let begins = certificate.begins();
        let life = certificate.expires().duration_since(begins).unwrap();
        let now = begins + life / 2;
        assert!(!is_stale(&certificate, now, None));
        assert!(is_stale(&certificate, begins + life / 3 * 2, None));
        let short = (life / 10).min(HOUR * 24);
        assert!(is_stale(&certificate, now, Some(now - short / 2)));
        assert!(!is_stale(&certificate, now, Some(now - short * 2)));
        let pause = |stale| {
            let at = stale_again(now, stale, 0.0);
            at.duration_since(now).unwrap()
        };
        assert!(pause(1) >= HOUR && pause(1) <= HOUR * 2, "{:?}", pause(1));
        assert!(pause(2) > pause(1));
        assert_eq!(pause(u32::MAX), HOUR * 24);
    }
}
