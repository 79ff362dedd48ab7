//! Signs in values of a route that stand there as they are, and were hardly meant so: a warning for
//! the first of each value.

use super::PathMatch;
use super::field_value::is_fact;
use super::variables::{self, Spot};
use crate::document::{Findings, Place};

/// A value of a route with this path: where it was written decides about what its signs mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unmeant<'p> {
    pub spot: Spot,
    pub path: &'p PathMatch,
}

impl Unmeant<'_> {
    /// Notes a warning if the text says something that is hardly meant.
    pub(super) fn warn(self, text: &str, place: &Place, findings: &mut Findings) {
        let signs = text.match_indices(['$', '{']);
        let found = signs.filter_map(|(at, sign)| match sign {
            "$" => self.variable(&text[at + 1..]),
            // The second of two belongs to the first.
            _ if text[..at].ends_with('{') || text[..at].ends_with('$') => None,
            _ => self.brace(&text[at + 1..]),
        });
        if let Some(message) = { found }.next() {
            findings.warning(place, message);
        }
    }

    /// What to write in place of the first of nginx's variables, if one is in the text.
    pub(super) fn variable_in(self, text: &str) -> Option<String> {
        let mut found = text.split('$').skip(1).filter_map(|after| {
            let name = word(after, |b| b.is_ascii_alphanumeric() || b == b'_');
            let fact = variables::fact(name, self.spot)?;
            Some(format!(
                "has ${name}, and nothing here is a variable; write {fact}"
            ))
        });
        found.next().map(|what| format!("{text:?} {what}"))
    }

    /// What follows a `$` may be the name of one of nginx's variables.
    fn variable(self, after: &str) -> Option<String> {
        let (open, inside) = match after.strip_prefix('{') {
            Some(inside) => ("{", inside),
            None => ("", after),
        };
        let name = word(inside, |b| b.is_ascii_alphanumeric() || b == b'_');
        let close = if open.is_empty() { "" } else { "}" };
        if !inside[name.len()..].starts_with(close) {
            return None;
        }
        let written = format!("${open}{name}{close}");
        let has_braces = !open.is_empty();
        if has_braces
            && self.is_known(name)
            && matches!(self.spot, Spot::Field | Spot::Url | Spot::Path)
        {
            return Some(format!("sends a `$` before {{{name}}}; remove the `$`"));
        }
        let first = name.bytes().next()?;
        let of_regex = matches!(self.path, PathMatch::Regex(_));
        if first.is_ascii_digit() {
            // A rewrite by nginx has an expression of its own.
            let is_group = match self.spot {
                Spot::Path => true,
                Spot::Field | Spot::Url => of_regex,
                Spot::Response | Spot::Body => false,
            };
            return is_group.then(|| {
                let group = char::from(first);
                format!(
                    "sends ${group} as it stands; write {{{group}}} for what a group of the \
                     route's regular expression has found"
                )
            });
        }
        // Any other name may be a part of a value, of a password even, and is not repeated here.
        let is_other = inside[name.len()..].starts_with('-') && self.spot == Spot::Body;
        (variables::is_known(name) && !is_other).then(|| self.instead_of(&written, name))
    }

    /// The sentence about a variable.
    fn instead_of(self, written: &str, name: &str) -> String {
        let fact = variables::fact(name, self.spot);
        match (self.spot, fact) {
            (Spot::Response | Spot::Body, fact) => self.not_here(written, fact.as_deref()),
            (Spot::Url | Spot::Path, _) if variables::is_of_query(name) => format!(
                "sends {written} as it stands; remove it: the query follows by itself, unless the \
                 value has a `?` of its own"
            ),
            (_, Some(fact)) => format!("sends {written} as it stands; write {fact}"),
            (Spot::Field, None) => format!(
                "sends {written} as it stands: nothing here is a variable; facts about the request \
                 stand in braces, such as {{client}} and {{header.NAME}}"
            ),
            (_, None) => format!(
                "sends {written} as it stands: nothing here is a variable; parts of the request \
                 stand in braces, such as {{path}}"
            ),
        }
    }

    /// The sentence about a fact where none is put in.
    fn not_here(self, written: &str, fact: Option<&str>) -> String {
        let fact = fact.filter(|fact| *fact != written);
        let fact = fact.map_or_else(String::new, |fact| format!(", as {fact}"));
        match self.spot {
            Spot::Body => format!(
                "has {written}, which is sent as it stands: a body is the same for all requests; \
                 `response-headers` may have facts about them{fact}"
            ),
            _ => format!(
                "has {written}, which is sent as it stands; write the field in the route's \
                 `response-headers`, which may have facts about requests{fact}"
            ),
        }
    }

    /// What follows a brace may be the name of a fact.
    fn brace(self, after: &str) -> Option<String> {
        let doubled = after.strip_prefix('{');
        let inside = doubled.unwrap_or(after);
        let spaced = inside.trim_start_matches(' ');
        let name = word(spaced, |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let rest = &spaced[name.len()..];
        let end = rest.trim_start_matches(' ');
        if !self.is_known(name) {
            return None;
        }
        let is_closed = rest
            .split('{')
            .next()
            .is_some_and(|rest| rest.contains('}'));
        let is_bare = spaced.len() == inside.len() && rest.starts_with('}');
        match (self.spot, doubled) {
            // Errors of a template.
            (Spot::Url | Spot::Path, _) if !is_bare || doubled.is_some() => None,
            (Spot::Response | Spot::Body, None) if is_bare => {
                Some(self.not_here(&format!("{{{name}}}"), None))
            }
            (Spot::Response | Spot::Body, _) => None,
            (_, Some(_)) if end.starts_with("}}") => Some(format!(
                "sends the name {name:?} and not the fact, because `{{{{` stands for one brace; \
                 write {{{name}}}"
            )),
            (_, Some(_)) => None,
            (_, None) if is_bare => self.twice_named(name),
            (_, None) if end.starts_with('}') => Some(format!(
                "sends {{ {name} }} as it stands; write {{{name}}}, without spaces"
            )),
            (_, None) if !is_closed => Some(format!(
                "sends {{{name} as it stands; write {{{name}}}, with a brace at its end"
            )),
            (_, None) => None,
        }
    }

    fn is_known(self, name: &str) -> bool {
        match self.spot {
            Spot::Field | Spot::Response | Spot::Body => is_fact(name),
            Spot::Url => matches!(name, "scheme" | "host" | "path"),
            Spot::Path => name == "path",
        }
    }

    /// A group of this name can't be had by it.
    fn twice_named(self, name: &str) -> Option<String> {
        let PathMatch::Regex(pattern) = self.path else {
            return None;
        };
        pattern.group(name).map(|group| {
            format!(
                "has {{{name}}}, which is the request's and not what the group of this name has \
                 found; write {{{group}}} for the group, or give it another name"
            )
        })
    }
}

/// The longest beginning of such characters.
fn word(text: &str, is_of_word: impl Fn(u8) -> bool) -> &str {
    let length = text.bytes().take_while(|b| is_of_word(*b)).count();
    &text[..length]
}
