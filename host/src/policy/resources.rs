//! The resources of the contract, which the host implements.

/// The resource `types.request`. There is one request to a call, so its handle carries nothing.
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Request;

/// The resource `types.headers`.
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Headers;

/// The resource `types.target`.
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Target;
