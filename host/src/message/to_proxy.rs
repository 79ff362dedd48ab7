//! What a request says to the forward proxy that it is sent to, beside what goes on.

/// What a request says to a forward proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToProxy<'a> {
    /// The form of its target.
    pub form: TargetForm,
    /// The value of `Proxy-Authorization`; `None` if there is none, or more than one.
    pub authorization: Option<&'a [u8]>,
}

/// The form of a request's target (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetForm {
    /// A path, or `*`: for a server, not for a proxy.
    Origin,
    /// A URL of this scheme.
    Absolute {
        /// Whether it is `https`.
        https: bool,
    },
    /// A host and a port: of `CONNECT`.
    Authority,
}
