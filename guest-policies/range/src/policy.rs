//! The component: the contract on one side, `verdict` on the other.

#![allow(unsafe_code, missing_docs, reason = "the generated bindings")]

use crate::{
    parse,
    verdict::{self, Verdict},
};

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package waypost:range-policy;

        world range-policy {
            include waypost:policy/imports@0.1.0;
            export waypost:policy/range@0.1.0;
        }
    ",
    generate_all,
});

use exports::waypost::policy::range::{self, ByteRange, Request, Response};

struct Range;

impl range::Guest for Range {
    fn check(request: &Request) -> Result<Option<Vec<ByteRange>>, Response> {
        let query = request.query();
        match verdict::decide(&request.header_values("range"), query.as_deref()) {
            Verdict::Untouched => Ok(None),
            Verdict::Ignored => Ok(Some(Vec::new())),
            Verdict::Ranges(ranges) => Ok(Some(ranges.into_iter().map(ByteRange::from).collect())),
            Verdict::Conflict(sentence) => Err(not_satisfiable(sentence)),
        }
    }
}

impl From<parse::ByteRange> for ByteRange {
    fn from(range: parse::ByteRange) -> Self {
        match range {
            parse::ByteRange::Between(first, last) => ByteRange { first: Some(first), last: Some(last) },
            parse::ByteRange::From(first) => ByteRange { first: Some(first), last: None },
            parse::ByteRange::Final(length) => ByteRange { first: None, last: Some(length) },
        }
    }
}

fn not_satisfiable(sentence: &str) -> Response {
    let plain = ("content-type".to_owned(), b"text/plain; charset=utf-8".to_vec());
    Response { status: 416, headers: vec![plain], body: sentence.as_bytes().to_vec() }
}

export!(Range);
