//! How far a request may go yet (RFC 9110 section 7.6.2).

use super::refusal::{LocalReply, Refusal};
use crate::message::{Fields, Malformed};

/// Counts this hop in the `Max-Forwards` field of an `OPTIONS` request, so that the next one finds
/// one less.
///
/// # Errors
///
/// At 0 the proxy answers the request itself. A field that is not one number is refused, because
/// the hop that answers would otherwise depend on how each one reads it.
#[cold]
pub(super) fn count_down(fields: &mut Fields) -> Result<(), Box<LocalReply>> {
    let number = number(fields).ok_or(Refusal::Malformed(Malformed::MaxForwards))?;
    let left = number
        .checked_sub(1)
        .ok_or_else(|| Box::new(LocalReply::Options))?;
    fields.set(b"max-forwards", left.to_string().as_bytes());
    Ok(())
}

fn number(fields: &Fields) -> Option<u64> {
    let mut values = fields.values("max-forwards");
    let value = values
        .next()
        .filter(|value| !value.is_empty() && value.iter().all(u8::is_ascii_digit))?;
    let add = |n: u64, digit: &u8| n.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    values.next().is_none().then(|| value.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(values: &[&str]) -> Result<String, Box<LocalReply>> {
        let mut fields = Fields::new();
        values
            .iter()
            .for_each(|value| fields.append(b"Max-Forwards", value.as_bytes()));
        count_down(&mut fields)?;
        assert_eq!(fields.values("max-forwards").count(), 1);
        Ok(String::from_utf8(fields.first("max-forwards").unwrap().to_vec()).unwrap())
    }

    #[test]
    fn each_hop_takes_one_and_the_last_answers() {
        for (before, after) in [
            ("1", "0"),
            ("10", "9"),
            ("007", "6"),
            ("99999999999999999999999", "18446744073709551614"),
        ] {
            assert_eq!(counted(&[before]).unwrap(), after, "{before}");
        }
        assert!(matches!(*counted(&["0"]).unwrap_err(), LocalReply::Options));
        assert!(matches!(
            *counted(&["000"]).unwrap_err(),
            LocalReply::Options
        ));
    }

    #[test]
    fn a_field_that_is_not_one_number_is_refused() {
        for values in [
            &[""][..],
            &["-1"],
            &["+1"],
            &["1.0"],
            &["0x1"],
            &["1, 2"],
            &["1 2"],
            &["1", "1"],
            &["0", "5"],
        ] {
            let refused = counted(values).unwrap_err();
            assert!(
                matches!(
                    *refused,
                    LocalReply::Refusal(Refusal::Malformed(Malformed::MaxForwards))
                ),
                "{values:?}"
            );
        }
    }
}
