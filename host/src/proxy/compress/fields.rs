//! Fields of a response that is compressed on its way, or could be.

use crate::config::{Coding, Compression};
use crate::message::{Fields, syntax};

/// Fields with digests of the body, which is another one then: of the content (RFC 9530 section 2,
/// RFC 1864), and of the representation, of which the coding is a part (RFC 9530 section 3, RFC
/// 3230). A digest that comes after the body is left out too, and so is its entity tag.
const OF_CONTENT: [&str; 4] = ["content-digest", "content-md5", "digest", "repr-digest"];

/// Whether a response with these fields may be compressed: it has one type that is worth it, is not
/// encoded, and its origin has not forbidden it.
pub(super) fn may_be_encoded(fields: &Fields, with: &Compression) -> bool {
    let mut types = fields.values("content-type");
    let (Some(only), None) = (types.next(), types.next()) else {
        return false;
    };
    with.takes(only) && !fields.contains("content-encoding") && !forbids(fields)
}

/// `Cache-Control: no-transform`, of a response or a request (RFC 9111 sections 5.2.1.6 and
/// 5.2.2.6).
pub(super) fn forbids(fields: &Fields) -> bool {
    lists(fields, "cache-control", b"no-transform")
}

/// Whether a member of a list is this one, without parameters.
fn lists(fields: &Fields, name: &str, member: &[u8]) -> bool {
    fields.values(name).any(|value| {
        let mut members = syntax::list(value);
        members.any(|listed| {
            let name = listed.split(|b| *b == b'=').next();
            syntax::trim(name.unwrap_or_default()).eq_ignore_ascii_case(member)
        })
    })
}

/// Says that the response is chosen by `Accept-Encoding` (RFC 9110 section 12.5.5).
pub(super) fn vary(fields: &mut Fields) {
    if !lists(fields, "vary", b"*") && !lists(fields, "vary", b"accept-encoding") {
        fields.append(b"vary", b"accept-encoding");
    }
}

/// Makes the head that of the compressed form.
pub(super) fn encode(fields: &mut Fields, coding: Coding) {
    fields.set(b"content-encoding", coding.name().as_bytes());
    // A part of the compressed form can't be asked for: nobody keeps it.
    fields.remove(b"accept-ranges");
    for name in OF_CONTENT {
        fields.remove(name.as_bytes());
        fields.note_edit(name.as_bytes());
    }
    weaken(fields);
    fields.note_edit(b"etag");
}

/// The same bytes will not come again: the entity tag of both forms is the same only weakly (RFC
/// 9110 section 8.8.1).
fn weaken(fields: &mut Fields) {
    let Some(tag) = fields.first("etag").filter(|tag| tag.starts_with(b"\"")) else {
        return;
    };
    let weak = [&b"W/"[..], tag].concat();
    fields.set(b"etag", &weak);
}

/// Has a 304 name the tag that the client asked by: a cache that holds the compressed form would
/// not find it by a strong one (RFC 9111 section 4.3.4).
pub(super) fn answer_weakly(request: &Fields, fields: &mut Fields) {
    let Some(tag) = fields.first("etag").filter(|tag| tag.starts_with(b"\"")) else {
        return;
    };
    let mut asked = request.values("if-none-match").flat_map(syntax::list);
    let is_weak = |asked: &[u8]| asked.strip_prefix(b"W/") == Some(tag);
    if asked.any(is_weak) {
        weaken(fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.append(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn value(fields: &Fields, name: &str) -> String {
        let values: Vec<_> = fields.values(name).map(String::from_utf8_lossy).collect();
        values.join(" | ")
    }

    #[test]
    fn a_response_varies_once() {
        for (before, after) in [
            ("", "accept-encoding"),
            ("origin", "origin | accept-encoding"),
            ("origin, Accept-Encoding", "origin, Accept-Encoding"),
            ("*", "*"),
            ("accept-encoding-x", "accept-encoding-x | accept-encoding"),
        ] {
            let mut response = match before {
                "" => Fields::new(),
                before => fields(&[("vary", before)]),
            };
            vary(&mut response);
            assert_eq!(value(&response, "vary"), after);
        }
    }

    #[test]
    fn no_transform_is_found_in_any_list_and_in_no_other_word() {
        for (control, forbidden) in [
            (&["no-transform"][..], true),
            (&["max-age=60, No-Transform"], true),
            (&["max-age=60", "public,no-transform"], true),
            (&["no-transform=1"], true),
            (&["no-transformer"], false),
            (&["private=\"no-transform\""], false),
            (&[], false),
        ] {
            let lines: Vec<_> = control.iter().map(|v| ("cache-control", *v)).collect();
            assert_eq!(forbids(&fields(&lines)), forbidden, "{control:?}");
        }
    }

    #[test]
    fn a_strong_tag_becomes_weak_and_what_is_of_the_other_form_goes() {
        for (tag, after) in [("\"a\"", "W/\"a\""), ("W/\"a\"", "W/\"a\""), ("odd", "odd")] {
            let mut response = fields(&[
                ("etag", tag),
                ("accept-ranges", "bytes"),
                ("content-md5", "a"),
                ("repr-digest", "a"),
                ("x", "y"),
            ]);
            encode(&mut response, Coding::Br);
            assert_eq!(value(&response, "etag"), after);
            let mut names: Vec<_> = response.iter().map(|(name, _)| name.to_vec()).collect();
            names.sort();
            assert_eq!(names, [&b"content-encoding"[..], b"etag", b"x"]);
        }
    }

    #[test]
    fn a_304_is_weak_where_it_was_asked_for_by_a_weak_tag() {
        for (asked, after) in [
            ("W/\"a\"", "W/\"a\""),
            ("\"b\", W/\"a\"", "W/\"a\""),
            ("\"a\"", "\"a\""),
            ("*", "\"a\""),
        ] {
            let mut response = fields(&[("etag", "\"a\"")]);
            answer_weakly(&fields(&[("if-none-match", asked)]), &mut response);
            assert_eq!(value(&response, "etag"), after, "{asked}");
        }
    }
}
