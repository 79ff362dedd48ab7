//! `redirect` of a route: a URL or a path with parts of the request in it.

use super::answers::RouteRedirect;
use super::conditions::PathMatch;
use super::host;
use super::template::{Template, check_text};
use super::unmeant::Unmeant;
use super::variables::Spot;
use crate::document::{Findings, Node};

/// Reads a URL, or a table of URL and status.
pub(super) fn read(node: Node, path: &PathMatch, findings: &mut Findings) -> Option<RouteRedirect> {
    if node.is_string() {
        return Some(made(308, read_target(node, path, findings)?, path));
    }
    let example = "{ to = \"https://www.example.com{path}\", status = 301 }";
    let mut section = node.section_such_as(example, findings)?;
    let place = section.place.clone();
    let status = section.take("status");
    let status = status.and_then(|n| {
        n.parsed_scalar(findings, |written| match written {
            "301" | "302" | "303" | "307" | "308" => Ok(written.parse().unwrap_or(308)),
            _ => Err(format!(
                "{written} is not a redirect; write 308 or 307 (the method stays), 301, 302 or 303"
            )),
        })
    });
    let to = section.take("to");
    if to.is_none() {
        let message = "has no `to`; write for example \"https://www.example.com{path}\"";
        findings.error(&place, message);
    }
    let to = to.and_then(|n| read_target(n, path, findings));
    section.finish(findings);
    let status = status.map_or(308, |status| status.value);
    Some(made(status, to?, path))
}

fn made(status: u16, to: Template, path: &PathMatch) -> RouteRedirect {
    RouteRedirect {
        status,
        keeps_query: !to.has_query(),
        to,
        path: path.clone(),
    }
}

fn read_target(node: Node, path: &PathMatch, findings: &mut Findings) -> Option<Template> {
    let spot = Spot::Url;
    let unmeant = Unmeant { spot, path };
    let read = |written: &str| match target(written, path) {
        Ok(to) => Ok((to, written.to_owned())),
        // What a variable makes of the URL is no help.
        Err(why) => Err(unmeant
            .variable_in(written)
            .or_else(|| with_status(written))
            .unwrap_or(why)),
    };
    let to = node.parsed(findings, read)?;
    let (template, written) = to.value;
    unmeant.warn(&written, &to.place, findings);
    Some(template)
}

/// What stands in the place of a status in front of a URL.
fn with_status(written: &str) -> Option<String> {
    let (status, to) = written.split_once(' ')?;
    matches!(status, "301" | "302" | "303" | "307" | "308")
        .then(|| format!("{written:?} has a status; write {{ to = {to:?}, status = {status} }}"))
}

/// Reads a URL, or a path on the same host.
fn target(written: &str, path: &PathMatch) -> Result<Template, String> {
    check_text(written)?;
    let after_scheme = ["https://", "http://", "{scheme}://"]
        .iter()
        .find_map(|scheme| written.strip_prefix(scheme));
    let whole = match after_scheme {
        Some(rest) => check_authority(written, rest)?,
        None => written,
    };
    if after_scheme.is_none() && (!whole.starts_with('/') || whole.starts_with("//")) {
        return Err(format!(
            "{written:?} is not a place to redirect to; begin it with `https://`, `http://`, \
             `{{scheme}}://` or one `/`"
        ));
    }
    if whole.contains("{scheme}") {
        return Err(format!("{written:?} has {{scheme}} in its path; remove it"));
    }
    Template::parse(written, path, true)
}

/// Checks the host of a URL, and returns what follows it.
fn check_authority<'w>(written: &str, rest: &'w str) -> Result<&'w str, String> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let mut parts = rest.match_indices('{').map(|(at, _)| at);
    let path = parts.find(|at| !rest[*at..].starts_with("{host}"));
    let end = end.min(path.unwrap_or(end));
    let (authority, rest) = rest.split_at(end);
    let named = authority.replace("{host}", "h");
    let (name, port) = named.split_once(':').unwrap_or((&named, "1"));
    let is_address = named.starts_with('[');
    let is_name = host::normalise_host(&named).is_some_and(|host| !host.is_empty());
    if !is_name || (!is_address && (name.is_empty() || port.parse::<u16>().is_err())) {
        return Err(format!(
            "{written:?} has {authority:?} for a host; write for example \
             \"https://www.example.com{{path}}\" or \"https://{{host}}:8443{{path}}\""
        ));
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::super::pattern::Pattern;
    use super::super::template::Parts;
    use super::*;

    fn prefix() -> PathMatch {
        PathMatch::Prefix("/x".to_owned())
    }

    fn fill(template: &str, path: &str, rest: &str) -> String {
        fill_by(template, &prefix(), (path, rest, &[]))
    }

    fn fill_by(template: &str, of: &PathMatch, parts: (&str, &str, &[&str])) -> String {
        let (path, rest, groups) = parts;
        target(template, of).unwrap().fill(Parts {
            scheme: "http",
            host: "a.test",
            path,
            rest,
            groups,
        })
    }

    #[test]
    fn a_group_never_becomes_a_host_either() {
        let of = PathMatch::Regex(Pattern::new("^/(a(?<name>.*))$").unwrap());
        for (template, groups, url) in [
            ("https://b.test{1}", ["", "a/x", "/x"], "https://b.test/a/x"),
            (
                "https://b.test{name}",
                ["", "", ".evil"],
                "https://b.test/.evil",
            ),
            ("/{name}", ["", "", "/evil.test"], "/evil.test"),
            ("/{2}{1}", ["", "\\evil", ""], "/%5Cevil"),
            ("/new/{1}?of={2}", ["", "a", "&b"], "/new/a?of=%26b"),
            // A group that has found nothing doubles no slash of the text.
            ("/{1}/{2}", ["", "", "evil.test/x"], "/evil.test/x"),
            ("/{1}/{2}", ["", "", ""], "/"),
            ("/{1}/{2}", ["", "/", "/evil.test"], "/evil.test"),
            ("/{1}{2}/x", ["", "", ""], "/x"),
            (
                "{scheme}://{host}/{1}/{2}",
                ["", "", "evil.test"],
                "http://a.test/evil.test",
            ),
            ("https://b.test{1}/z", ["", "/", ""], "https://b.test/z"),
            ("/a?u=/{1}/b", ["", "", ""], "/a?u=//b"),
            // A star is a name in a path, and only a path that is nothing else has no URL.
            ("/new/{1}", ["", "*", ""], "/new/*"),
            ("/{1}", ["", "\u{e9}<\">", ""], "/%C3%A9%3C%22%3E"),
        ] {
            assert_eq!(
                fill_by(template, &of, ("/a", "", &groups)),
                url,
                "{template}"
            );
        }
        for (template, words) in [
            ("/{3}", "not known"),
            ("/{other}", "not known"),
            ("/{rest}", "what follows the prefix"),
            ("https://b.test:{1}", "for a host"),
        ] {
            let error = target(template, &of).unwrap_err();
            assert!(error.contains(words), "{template}: {error}");
        }
    }

    #[test]
    fn a_path_never_becomes_a_host_or_a_part_of_one() {
        for (template, path, rest, url) in [
            ("https://b.test{path}", "/x", "", "https://b.test/x"),
            ("https://b.test/{path}", "/x", "", "https://b.test/x"),
            ("https://b.test", "/x", "", "https://b.test/"),
            ("https://b.test/y", "/x", "", "https://b.test/y"),
            ("https://b.test?y=1", "/x", "", "https://b.test?y=1"),
            ("https://b.test{rest}", "/x", "", "https://b.test/"),
            ("https://b.test{rest}", "/x;v", ";v", "https://b.test/;v"),
            ("https://b.test{rest}?y=1", "/x", "", "https://b.test/?y=1"),
            ("{scheme}://b.test{path}", "/x", "", "http://b.test/x"),
            (
                "https://{host}:8443{path}",
                "/x",
                "",
                "https://a.test:8443/x",
            ),
            ("https://b.test{path}", "*", "", "https://b.test/"),
            ("/{rest}", "/x/y", "/y", "/y"),
            ("/{rest}/x", "/x", "", "/x"),
            ("/store/{rest}", "/x/*", "*", "/store/*"),
            ("/{path}", "/\\evil.test", "", "/%5Cevil.test"),
            ("/{rest}", "/x\\evil", "\\evil", "/%5Cevil"),
            ("/new{rest}", "/x", "", "/new"),
            ("/new{rest}", "/x;v=1", ";v=1", "/new;v=1"),
            ("/new{rest}", "/x/", "/", "/new/"),
            (
                "/login?next={path}",
                "/x&a=b%2F",
                "",
                "/login?next=/x%26a%3Db%252F",
            ),
            ("/a{path}/b", "/\\x\\", "", "/a/%5Cx%5C/b"),
            ("/in?to=https://c.test", "/x", "", "/in?to=https://c.test"),
            (
                "/in?to=https://c.test&x=1",
                "/x",
                "",
                "/in?to=https://c.test&x=1",
            ),
        ] {
            assert_eq!(fill(template, path, rest), url, "{template} {path} {rest}");
        }
    }

    #[test]
    fn wrong_templates_are_errors() {
        for (template, words) in [
            ("", "begin it with"),
            ("b.test/x", "begin it with"),
            ("//b.test/x", "begin it with"),
            ("{path}", "begin it with"),
            ("ftp://b.test/", "begin it with"),
            ("https://", "for a host"),
            ("https://{path}", "for a host"),
            ("https://u@b.test/", "for a host"),
            ("https://b.test:x/", "for a host"),
            ("https://b.test:99999/", "for a host"),
            ("https://b.test:{path}", "for a host"),
            ("https://b_é.test/", "percent-encode"),
            ("/a b", "percent-encode"),
            ("/\\b", "percent-encode"),
            ("/x#y", "fragment"),
            ("/{uri}", "not known"),
            ("/{path", "without its"),
            ("/x{scheme}", "in its path"),
        ] {
            let error = target(template, &prefix()).unwrap_err();
            assert!(error.contains(words), "{template}: {error}");
        }
    }
}
