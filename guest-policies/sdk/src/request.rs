//! The request, and the header fields of the message on its way.

use std::{fmt, time::Duration};

use crate::{
    contract::{attempts, types},
    cookie::is_token,
};

/// Fields that a policy can't write. What a client says in them it can't read either.
const HOST_OWNED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

const MAX_NAME: usize = 256;

/// Whether this can be the name of a field.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(is_token)
}

/// Whether the host owns the field of this name.
pub(crate) fn is_owned(name: &str) -> bool {
    HOST_OWNED
        .iter()
        .any(|owned| owned.eq_ignore_ascii_case(name))
}

/// The request being decided, after the host normalised it: framing and hop-by-hop fields are gone,
/// and the forwarding fields are those that the backend will see.
///
/// Each read copies what is asked for out of the host, so read once what you need twice.
#[derive(Debug)]
pub struct Request<'a> {
    told: &'a types::Request,
}

impl<'a> Request<'a> {
    #[doc(hidden)]
    #[inline]
    pub fn of(told: &'a types::Request) -> Self {
        Request { told }
    }

    /// The method as received, case and all: `GET`, `POST`, ...
    #[inline]
    pub fn method(&self) -> String {
        self.told.method()
    }

    /// How long the client still waits for the answer, by what a gRPC call allows (`grpc-timeout`);
    /// `None` if it has not said.
    #[inline]
    pub fn time_left(&self) -> Option<Duration> {
        attempts::milliseconds_left().map(Duration::from_millis)
    }

    /// `http` or `https`: how the client reached the proxy.
    #[inline]
    pub fn scheme(&self) -> String {
        self.told.scheme()
    }

    /// The host asked for: lower case, without port and without trailing dot. Empty if an HTTP/1.0
    /// client named none.
    #[inline]
    pub fn host(&self) -> String {
        self.told.host()
    }

    /// The path in normal form, which routes match too, without the query: see
    /// [`raw_path`](Self::raw_path) for the other.
    #[inline]
    pub fn path(&self) -> String {
        self.told.path()
    }

    /// The query without its `?`, percent-encoding untouched; `None` if the target has no `?`.
    #[inline]
    pub fn query(&self) -> Option<String> {
        self.told.query()
    }

    /// The IP address of the client: the peer of the connection, or what a trusted proxy in front
    /// told.
    #[inline]
    pub fn client_address(&self) -> String {
        self.told.client_address()
    }

    /// The pool that the request's route leads to: the `id` that [`Topology`](crate::Topology)
    /// told. Where the route has several, the one that their weights have chosen, and after
    /// [`Route`](crate::Route) the one that takes the request. 4294967295 in
    /// [`DecideDestination`](crate::DecideDestination), where none is chosen yet.
    #[inline]
    pub fn pool(&self) -> u32 {
        self.told.pool()
    }

    /// The pools of the request's route by their `id`, in the order of the configuration: those
    /// that [`Route`](crate::Route) may choose; in
    /// [`DecideDestination`](crate::DecideDestination) those of `[forward]`.
    #[inline]
    pub fn pools(&self) -> Vec<u32> {
        self.told.pools()
    }

    /// The index in [`pools`](Self::pools) of the first whose `id` is the wanted one: what
    /// [`Route`](crate::Route) answers.
    #[inline]
    pub fn pool_index(&self, mut is_wanted: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut pools = (0..).zip(self.pools());
        pools.find(|(_, pool)| is_wanted(*pool)).map(|(at, _)| at)
    }

    /// The value of the first field of this name (case-insensitive), as bytes: values need not be
    /// UTF-8.
    #[inline]
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.told.header(name)
    }

    /// The value of the first field of this name, if it is UTF-8.
    pub fn header_text(&self, name: &str) -> Option<String> {
        String::from_utf8(self.header(name)?).ok()
    }

    /// The values of all fields of this name, in the order received.
    #[inline]
    pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        self.told.header_values(name)
    }

    /// The names of all fields in the order received, lower case; a repeated field is listed each
    /// time.
    pub fn header_names(&self) -> Vec<String> {
        self.told.header_names()
    }

    /// The value of the first cookie of this name that a `Cookie` field brings (RFC 6265 section
    /// 4.2), without quotes.
    pub fn cookie(&self, name: &str) -> Option<Vec<u8>> {
        crate::cookie::find(&self.header("cookie")?, name).map(<[u8]>::to_vec)
    }
}

/// The header fields of the message on its way: the request's in
/// [`EditRequest`](crate::EditRequest), the response's in [`EditResponse`](crate::EditResponse) and
/// [`EditLocalResponse`](crate::EditLocalResponse). Names are case-insensitive.
///
/// What no client may say for the host can't be written: framing and the hop (`content-length`,
/// `host`, `proxy-*`, ...), who the client is (`x-forwarded-*`, `x-real-ip`, ...), `via`,
/// `cdn-loop`, `x-waypost-*`, and what `connection` names.
#[derive(Debug)]
pub struct Headers<'a> {
    told: &'a types::Headers,
}

impl<'a> Headers<'a> {
    #[doc(hidden)]
    #[inline]
    pub fn of(told: &'a types::Headers) -> Self {
        Headers { told }
    }

    /// The value of the first field of this name.
    #[inline]
    pub fn first(&self, name: &str) -> Option<Vec<u8>> {
        self.told.first(name)
    }

    /// The values of all fields of this name, in order.
    pub fn values(&self, name: &str) -> Vec<Vec<u8>> {
        self.told.values(name)
    }

    /// The names of all fields in order, lower case; a repeated field is listed each time.
    pub fn names(&self) -> Vec<String> {
        self.told.names()
    }

    /// Checks the name of a field that settings tell the policy to read or to write, under this
    /// key; for [`Configure`](crate::Configure). An error says that it is no name, or that the host
    /// owns the field.
    pub fn check_name(key: &str, name: &str) -> Result<(), String> {
        if !is_name(name) {
            return Err(format!("{key}: \"{name}\" is not a field name"));
        }
        match is_owned(name) {
            true => Err(format!(
                "{key}: \"{name}\" belongs to the proxy, not to a policy"
            )),
            false => Ok(()),
        }
    }

    /// Replaces all fields of this name by one.
    #[inline]
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), HeaderError> {
        self.told
            .set(name, value.as_ref())
            .map_err(HeaderError::from)
    }

    /// Adds one more field, after those that are there.
    #[inline]
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), HeaderError> {
        self.told
            .append(name, value.as_ref())
            .map_err(HeaderError::from)
    }

    /// Removes all fields of this name; fine if there is none.
    #[inline]
    pub fn remove(&mut self, name: &str) -> Result<(), HeaderError> {
        self.told.remove(name).map_err(HeaderError::from)
    }
}

/// Why an edit of a header field was refused. Nothing changed; the request goes on unless the hook
/// decides otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// Not a token (RFC 9110 section 5.6.2), or longer than 256 bytes.
    InvalidName,
    /// A control character such as CR, LF or NUL (RFC 9110 section 5.5), or longer than 8 KiB.
    InvalidValue,
    /// A field that the host owns.
    Forbidden,
    /// More edits or more bytes than one hook may make (64 edits, 32 KiB).
    TooMany,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            HeaderError::InvalidName => "invalid-name",
            HeaderError::InvalidValue => "invalid-value",
            HeaderError::Forbidden => "forbidden",
            HeaderError::TooMany => "too-many",
        })
    }
}

impl std::error::Error for HeaderError {}

impl Request<'_> {
    /// The path as it was received, percent-encoding and all: what the backend gets, unless the
    /// operator has it normalised.
    #[inline]
    pub fn raw_path(&self) -> String {
        self.told.raw_path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_settings_are_checked() {
        assert_eq!(Headers::check_name("key", "X-Tenant"), Ok(()));
        for name in ["", "a b", "a:", "\u{e4}", &"a".repeat(257)] {
            assert_eq!(
                Headers::check_name("key", name),
                Err(format!("key: \"{name}\" is not a field name"))
            );
        }
        let error = Headers::check_name("key", "Content-Length").unwrap_err();
        assert_eq!(
            error,
            "key: \"Content-Length\" belongs to the proxy, not to a policy"
        );
    }
}
