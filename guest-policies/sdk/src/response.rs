//! The answer that a policy gives to the client in place of a backend.

/// An answer to the client.
///
/// The host adds the framing and a `date`. Refused, and counted as an invalid answer, if the status
/// is not in 200 to 599, a field is invalid or belongs to the host, there are more than 64 fields,
/// or the body is over 64 KiB.
///
/// ```
/// # use waypost_policy::Response;
/// let busy = Response::new(503).field("retry-after", "30").text("Come back in half a minute.\n");
/// assert_eq!(busy.value("content-type"), Some(&b"text/plain; charset=utf-8"[..]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header fields: name and value, repeated names allowed.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body; may be empty.
    pub body: Vec<u8>,
}

impl Response {
    /// A response without fields and body.
    pub fn new(status: u16) -> Self {
        Response {
            status,
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    /// With one more field.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// With this body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With this body, which is plain text.
    pub fn text(self, body: impl Into<String>) -> Self {
        self.field("content-type", "text/plain; charset=utf-8")
            .body(body.into())
    }

    /// With this body, which is HTML.
    pub fn html(self, body: impl Into<String>) -> Self {
        self.field("content-type", "text/html; charset=utf-8")
            .body(body.into())
    }

    /// The value of the first field of this name.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        let mut named = self
            .fields
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_slice())
    }
}
