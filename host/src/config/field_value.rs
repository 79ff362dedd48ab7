//! The values of the header fields that a route writes, with facts about the request in them.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::PathMatch;
use super::variables::{self, Spot};

/// What is encoded of a text in which a percent sign means nothing by itself, so that the text can
/// be had back.
pub const NOT_OF_TEXT: &AsciiSet = &CONTROLS.add(b'%');

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// As it stands.
    Fixed(Vec<u8>),
    /// With facts about the request in it.
    Filled(Box<FieldTemplate>),
}

/// A value with facts about the request in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTemplate {
    /// In order.
    pub pieces: Vec<FieldPiece>,
    /// The route's path, which says what `{rest}` and groups are.
    pub path: PathMatch,
}

/// A piece of a [`FieldTemplate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldPiece {
    /// As it stands.
    Text(Vec<u8>),
    /// A fact.
    Fact(Fact),
}

/// What a value may say of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The client's address.
    Client,
    /// `http` or `https`.
    Scheme,
    /// The host that was asked for, without a port.
    Host,
    /// The same as it was sent, perhaps with a port.
    Authority,
    /// The method.
    Method,
    /// The path in normal form.
    Path,
    /// The query without its `?`.
    Query,
    /// What follows the route's prefix in the path.
    Rest,
    /// What this group of the route's expression has found in the path.
    Group(usize),
    /// This field of the request, in lower case.
    Header(Box<str>),
    /// A number that no other request has.
    RequestId,
    /// Its trace, where there is one.
    TraceId,
    /// The server that the client asked for in its handshake.
    Sni,
    /// The version of TLS.
    TlsVersion,
    /// The subject of the client's certificate.
    CertificateSubject,
    /// The SHA-256 of that certificate.
    CertificateFingerprint,
    /// The route.
    Route,
    /// The pool.
    Pool,
}

/// Those that have one name and nothing else, as they are written.
const NAMED: [(&str, Fact); 15] = [
    ("client", Fact::Client),
    ("scheme", Fact::Scheme),
    ("host", Fact::Host),
    ("authority", Fact::Authority),
    ("method", Fact::Method),
    ("path", Fact::Path),
    ("query", Fact::Query),
    ("request-id", Fact::RequestId),
    ("trace-id", Fact::TraceId),
    ("sni", Fact::Sni),
    ("tls-version", Fact::TlsVersion),
    ("certificate-subject", Fact::CertificateSubject),
    ("certificate-fingerprint", Fact::CertificateFingerprint),
    ("route", Fact::Route),
    ("pool", Fact::Pool),
];
/// In front of the name of a field.
const HEADER: &str = "header.";

impl FieldValue {
    /// Reads a value in which `{client}` and its like are facts about a request whose path matches
    /// this. A brace that begins no name stands for itself, as in a value that is JSON.
    pub(super) fn parse(value: &[u8], path: &PathMatch) -> Result<Self, String> {
        let (mut pieces, mut text) = (Vec::new(), Vec::new());
        let mut rest = value;
        while let Some(at) = memchr::memchr(b'{', rest) {
            let (before, from) = rest.split_at(at);
            text.extend_from_slice(before);
            if let Some(after) = from.strip_prefix(b"{{") {
                text.push(b'{');
                rest = after;
            } else if let Some(name) = name(&from[1..]) {
                if !text.is_empty() {
                    pieces.push(FieldPiece::Text(std::mem::take(&mut text)));
                }
                pieces.push(FieldPiece::Fact(fact(name, path)?));
                rest = &from[name.len() + 2..];
            } else {
                text.push(b'{');
                rest = &from[1..];
            }
        }
        text.extend_from_slice(rest);
        if pieces.is_empty() {
            return Ok(Self::Fixed(text));
        }
        if !text.is_empty() {
            pieces.push(FieldPiece::Text(text));
        }
        let path = path.clone();
        Ok(Self::Filled(Box::new(FieldTemplate { pieces, path })))
    }

    /// Puts the name of the route in, which is known only when its hosts are.
    pub(super) fn name_route(&mut self, route: &str) {
        let Self::Filled(template) = self else { return };
        for piece in &mut template.pieces {
            if *piece == FieldPiece::Fact(Fact::Route) {
                let name = utf8_percent_encode(route, NOT_OF_TEXT).to_string();
                *piece = FieldPiece::Text(name.into_bytes());
            }
        }
    }

    /// Whether it is this fact, or has it in it.
    pub(super) fn says(&self, fact: &Fact) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Filled(template) => {
                let is_it = |piece: &FieldPiece| matches!(piece, FieldPiece::Fact(f) if f == fact);
                template.pieces.iter().any(is_it)
            }
        }
    }
}

/// Whether this is a fact about every request.
pub(super) fn is_fact(name: &str) -> bool {
    let is_field = |field: &str| !field.is_empty();
    NAMED.iter().any(|(known, _)| *known == name) || name.strip_prefix(HEADER).is_some_and(is_field)
}

/// The name between the brace before this text and the next one.
fn name(text: &[u8]) -> Option<&str> {
    let is_of_name = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    let length = text.iter().take_while(|b| is_of_name(b)).count();
    let closed = length > 0 && text.get(length) == Some(&b'}');
    closed.then(|| std::str::from_utf8(&text[..length]).ok())?
}

fn fact(name: &str, path: &PathMatch) -> Result<Fact, String> {
    let group = match path {
        PathMatch::Regex(pattern) => pattern.group(name),
        PathMatch::Prefix(_) | PathMatch::Exact(_) => None,
    };
    let field = name.strip_prefix(HEADER).filter(|field| !field.is_empty());
    let known = NAMED.iter().find(|(known, _)| *known == name);
    match (name, known, field, group) {
        (_, Some((_, fact)), _, _) => Ok(fact.clone()),
        ("rest", _, _, _) if matches!(path, PathMatch::Prefix(_)) => Ok(Fact::Rest),
        ("rest", _, _, _) => Err(
            "has {rest}, which is what follows the prefix of a route; write {path}, or give the \
             route a prefix as its path"
                .to_owned(),
        ),
        (_, _, Some(field), _) => Ok(Fact::Header(field.to_ascii_lowercase().into())),
        (_, _, _, Some(group)) => Ok(Fact::Group(group)),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> String {
    let names: Vec<String> = NAMED
        .iter()
        .map(|(name, _)| format!("{{{name}}}"))
        .collect();
    if let Some(fact) = variables::fact(name, Spot::Field) {
        return format!("has {{{name}}}, which is not known; write {fact}, or {{{{ for a brace");
    }
    format!(
        "has {{{name}}}, which is not known; write {}, {{rest}} (what follows the route's prefix), \
         {{header.NAME}} for a field of the request, {{1}} or {{NAME}} for a group of the route's \
         regular expression, or {{{{ for a brace that is meant as one",
        names.join(", ")
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use super::super::pattern::Pattern;
    use super::*;

    fn parse(value: &str) -> Result<FieldValue, String> {
        FieldValue::parse(value.as_bytes(), &PathMatch::Prefix("/x".to_owned()))
    }

    fn pieces(value: &str) -> Vec<FieldPiece> {
        match parse(value).unwrap() {
            FieldValue::Fixed(text) => vec![FieldPiece::Text(text)],
            FieldValue::Filled(template) => template.pieces,
        }
    }

    fn text(text: &str) -> FieldPiece {
        FieldPiece::Text(text.into())
    }

    #[test]
    fn names_in_braces_are_facts_and_other_braces_stand_for_themselves() {
        for literal in [
            "",
            "plain",
            "a{",
            "}",
            "{}",
            "{ host }",
            "{\"group\":\"a\",\"n\":{\"max_age\":1}}",
            "{host",
            "{a b}",
        ] {
            assert_eq!(pieces(literal), [text(literal)]);
        }
        assert_eq!(pieces("{{host}"), [text("{host}")]);
        assert_eq!(pieces("a{{{{b}"), [text("a{{b}")]);
        let host = FieldPiece::Fact(Fact::Host);
        assert_eq!(pieces("{host}"), vec![host.clone()]);
        assert_eq!(pieces("{{{host}"), [text("{"), host.clone()]);
        assert_eq!(
            pieces("a{host}{rest}}b"),
            [text("a"), host, FieldPiece::Fact(Fact::Rest), text("}b")]
        );
        let field = FieldPiece::Fact(Fact::Header("x-a_b".into()));
        assert_eq!(pieces("{header.X-a_b}"), [field]);
        for (name, fact) in NAMED {
            assert!(parse(&format!("{{{name}}}")).unwrap().says(&fact));
        }
    }

    #[test]
    fn groups_are_those_of_the_expression() {
        let of = PathMatch::Regex(Pattern::new("^/(?<user>[a-z]+)/(.*)$").unwrap());
        let parse = |value: &str| FieldValue::parse(value.as_bytes(), &of);
        let value = parse("{user} {2}").unwrap();
        assert!(value.says(&Fact::Group(1)) && value.says(&Fact::Group(2)));
        for (value, words) in [("{3}", "not known"), ("{rest}", "write {path}")] {
            let error = parse(value).unwrap_err();
            assert!(error.contains(words), "{value}: {error}");
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        for value in ["{remote}", "x{Host}", "{1}", "{header.}"] {
            let error = parse(value).unwrap_err();
            for part in ["not known", "{client}", "{certificate-subject}", "{{"] {
                assert!(error.contains(part), "{value}: {error}");
            }
        }
        for (value, meant) in [
            ("{remote_addr}", "write {client}, or"),
            ("{http_x_a}", "write {header.x-a}, or"),
        ] {
            let error = parse(value).unwrap_err();
            assert!(error.contains(meant), "{value}: {error}");
        }
    }
}
