//! The resources of the contract, which the host implements.

/// The resource `types.request`. There is one request to a call, so its handle carries nothing.
pub struct Request;

/// The resource `types.headers`.
pub struct Headers;
