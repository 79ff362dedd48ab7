//! The length that a body is declared to have.

use super::refusal::Refusal;
use crate::message::BodyLength;

/// Refuses a body whose declared length is above the limit of its route, or of all.
#[inline]
pub(super) fn check_length(
    length: BodyLength,
    of_route: Option<u64>,
    of_all: u64,
) -> Result<(), Refusal> {
    let limit = of_route.unwrap_or(of_all);
    match length {
        BodyLength::Known(n) if limit > 0 && n > limit => Err(Refusal::BodyTooLarge),
        _ => Ok(()),
    }
}
