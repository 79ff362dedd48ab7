//! What stands in the head of a response beside the backend's fields.

/// What the proxy adds to the head of a response.
#[derive(Debug, Clone, Copy)]
pub(in crate::proxy) struct ResponseLines<'a> {
    /// The value of `via`, with the line's end.
    pub via: &'a [u8],
    /// The value of `date`, if the response has none.
    pub date: Option<&'a [u8]>,
    /// What becomes of the client's connection, where its version does not say it.
    pub connection: Option<&'static str>,
}
