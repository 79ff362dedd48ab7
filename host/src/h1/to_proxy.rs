//! What a request says to the forward proxy that it is sent to, beside what goes on.

use memchr::memmem;

use crate::message::{TargetForm, ToProxy};

/// Reads it out of a whole head that [`super::parse_request`] has accepted: lines that end with
/// CRLF, and names without white space.
pub fn to_proxy(head: &[u8]) -> ToProxy<'_> {
    let mut lines = Lines(head);
    let first = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let mut words = first.split(|b| *b == b' ');
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    let form = match target {
        [b'/', ..] | b"*" => TargetForm::Origin,
        _ if method == Some(b"CONNECT") => TargetForm::Authority,
        target => TargetForm::Absolute {
            https: target
                .get(..6)
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https:")),
        },
    };
    let mut all = lines.filter_map(authorization);
    let authorization = all.next();
    ToProxy {
        form,
        authorization: authorization.filter(|_| all.next().is_none()),
    }
}

/// The value of a line, if it is the field with the client's credentials.
fn authorization(line: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"proxy-authorization:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    name.eq_ignore_ascii_case(NAME).then(|| value.trim_ascii())
}

/// The lines of a head, without their ends.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memmem::find(self.0, b"\r\n")?;
        let (line, rest) = self.0.split_at(end);
        self.0 = &rest[2..];
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_and_the_credentials_are_read() {
        let form = |line: &str| to_proxy(format!("{line} HTTP/1.1\r\n\r\n").as_bytes()).form;
        let absolute = |https| TargetForm::Absolute { https };
        assert_eq!(form("\r\nGET /http://a"), TargetForm::Origin);
        assert_eq!(form("OPTIONS *"), TargetForm::Origin);
        assert_eq!(form("GET http://a/"), absolute(false));
        assert_eq!(form("GET HTTPS://a/"), absolute(true));
        assert_eq!(form("CONNECT a:1"), TargetForm::Authority);
        let head = |fields: &str| format!("GET http://a/ HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        let one = head("Proxy-Authorization:  Basic eA== \r\n");
        assert_eq!(
            to_proxy(one.as_bytes()).authorization,
            Some(&b"Basic eA=="[..])
        );
        let two = head("proxy-authorization: a\r\nproxy-authorization: b\r\n");
        assert_eq!(to_proxy(two.as_bytes()).authorization, None);
        let other = head("x: proxy-authorization: a\r\nproxy-authorization-x: b\r\n");
        assert_eq!(to_proxy(other.as_bytes()).authorization, None);
    }
}
