//! The component: the contract on one side, `verdict` on the other.

use waypost_policy::{CheckRange, Configure, RangeVerdict, Request, Response, Settings};

use crate::verdict::{self, Verdict};

/// Checks what a request asks for.
#[derive(Debug)]
pub struct Range {
    /// Whether the `range` parameter of a query means what the field means.
    parameter: bool,
}

impl Configure for Range {
    fn configure(settings: Settings) -> Result<Self, String> {
        // One key of two values: a JSON parser would double the size of the component.
        let written: String = settings
            .json()
            .chars()
            .filter(|letter| !letter.is_ascii_whitespace())
            .collect();
        let parameter = match written.as_str() {
            "{}" | r#"{"parameter":true}"# => true,
            r#"{"parameter":false}"# => false,
            _ => {
                return Err(
                    "settings: there is one key, `parameter`; write true or false".to_owned(),
                );
            }
        };
        Ok(Range { parameter })
    }
}

impl CheckRange for Range {
    fn check_range(&mut self, request: &Request) -> RangeVerdict {
        let query = if self.parameter {
            request.query()
        } else {
            None
        };
        match verdict::decide(&request.header_values("range"), query.as_deref()) {
            Verdict::Untouched => RangeVerdict::Untouched,
            Verdict::Ignored => RangeVerdict::Ignore,
            Verdict::Ranges(ranges) => RangeVerdict::Ranges(ranges),
            Verdict::Conflict(sentence) => RangeVerdict::Answer(Response::new(416).text(sentence)),
        }
    }
}

waypost_policy::export!(Range: Configure, CheckRange);

#[cfg(test)]
mod tests {
    use waypost_policy::{
        ByteRange,
        testing::{self, Host},
    };

    use super::*;

    #[test]
    fn every_verdict_reaches_the_host() {
        let mut range = Host::new().load::<Range>("{}").unwrap();
        let mut check = |target: &str, field: &str| {
            range.check_range(&testing::get(target).field("Range", field))
        };
        assert_eq!(
            check("/", "bytes=0-9"),
            RangeVerdict::Ranges(vec![ByteRange::Between(0, 9)])
        );
        assert_eq!(
            check("/?range=-5", "bytes=-5"),
            RangeVerdict::Ranges(vec![ByteRange::Final(5)])
        );
        assert_eq!(
            check("/?range=-5", "lines=1-2"),
            RangeVerdict::Ranges(vec![ByteRange::Final(5)])
        );
        assert_eq!(check("/", "bytes=9-0"), RangeVerdict::Ignore);
        assert_eq!(check("/", "lines=1-2"), RangeVerdict::Untouched);
        let RangeVerdict::Answer(response) = check("/?range=1-2", "bytes=0-9") else {
            panic!("no conflict")
        };
        assert_eq!(response.status, 416);
    }

    #[test]
    fn the_parameter_can_be_left_to_the_application() {
        let mut range = Host::new()
            .load::<Range>(r#"{ "parameter": false }"#)
            .unwrap();
        let mut check = |target: &str, field: &str| {
            range.check_range(&testing::get(target).field("Range", field))
        };
        assert_eq!(
            check("/?range=1-2", "bytes=0-9"),
            RangeVerdict::Ranges(vec![ByteRange::Between(0, 9)])
        );
        assert_eq!(
            range.check_range(&testing::get("/?range=0-9")),
            RangeVerdict::Untouched
        );
        assert!(Host::new().load::<Range>(r#"{"parameter":true}"#).is_ok());
        for wrong in [
            r#"{"parameter":0}"#,
            r#"{"parameters":false}"#,
            "[]",
            r#"{"parameter":true,"a":1}"#,
        ] {
            assert!(
                Host::new()
                    .load::<Range>(wrong)
                    .is_err_and(|error| error.contains("`parameter`")),
                "{wrong}"
            );
        }
    }
}
