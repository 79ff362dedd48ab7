//! The component: the contract on one side, `verdict` on the other.

use waypost_policy::{CheckRange, RangeVerdict, Request, Response};

use crate::verdict::{self, Verdict};

/// Checks what a request asks for.
#[derive(Debug, Default)]
pub struct Range;

impl CheckRange for Range {
    fn check_range(&mut self, request: &Request) -> RangeVerdict {
        let query = request.query();
        match verdict::decide(&request.header_values("range"), query.as_deref()) {
            Verdict::Untouched => RangeVerdict::Untouched,
            Verdict::Ignored => RangeVerdict::Ignore,
            Verdict::Ranges(ranges) => RangeVerdict::Ranges(ranges),
            Verdict::Conflict(sentence) => RangeVerdict::Answer(Response::new(416).text(sentence)),
        }
    }
}

waypost_policy::export!(Range: CheckRange);

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
        let mut check = |target: &str, field: &str| range.check_range(&testing::get(target).field("Range", field));
        assert_eq!(check("/", "bytes=0-9"), RangeVerdict::Ranges(vec![ByteRange::Between(0, 9)]));
        assert_eq!(check("/?range=-5", "bytes=-5"), RangeVerdict::Ranges(vec![ByteRange::Final(5)]));
        assert_eq!(check("/", "bytes=9-0"), RangeVerdict::Ignore);
        assert_eq!(check("/", "lines=1-2"), RangeVerdict::Untouched);
        let RangeVerdict::Answer(response) = check("/?range=1-2", "bytes=0-9") else { panic!("no conflict") };
        assert_eq!(response.status, 416);
    }
}
