//! The macro that makes a component of a policy.

use std::cell::RefCell;

pub use crate::attempt::past;

/// Makes a component of a policy, with the hooks that are named and no others.
///
/// ```
/// use waypost_policy::prelude::*;
///
/// #[derive(Default)]
/// struct First;
///
/// impl Select for First {
///     fn select(&mut self, _request: &Request, attempt: &Attempt) -> Decision {
///         if attempt.number == 1 { Decision::Backend(0) } else { Decision::Pass }
///     }
/// }
///
/// waypost_policy::export!(First: Select);
/// ```
///
/// The hooks are [`Configure`](crate::Configure), [`Topology`](crate::Topology),
/// [`Select`](crate::Select), [`EditRequest`](crate::EditRequest),
/// [`EditTarget`](crate::EditTarget), [`Route`](crate::Route),
/// [`DecideDestination`](crate::DecideDestination), [`EditResponse`](crate::EditResponse),
/// [`EditLocalResponse`](crate::EditLocalResponse), [`CheckRange`](crate::CheckRange) and
/// [`Completed`](crate::Completed). Without `Configure` a policy begins as its `Default`. Once in a
/// crate.
#[macro_export]
macro_rules! export {
    ($policy:ty: $($hook:ident),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "the functions that the host calls have no Rust names")]
        const _: () = {
            static STATE: $crate::export::State<$policy> = $crate::export::State::new();

            #[inline(always)]
            fn ask<R>(question: impl FnOnce(&mut $policy) -> R) -> R {
                STATE.ask(|| $crate::__first!($policy; $($hook)+), question)
            }

            struct Component;

            $($crate::__export!($hook: $policy);)+
        };

        #[cfg(not(target_arch = "wasm32"))]
        impl $crate::testing::Exported for $policy {
            const HOOKS: &'static [&'static str] = &[$(::std::stringify!($hook)),+];

            fn start(settings: $crate::Settings) -> ::std::result::Result<Self, ::std::string::String> {
                $crate::__start!($policy; settings; $($hook)+)
            }

            $($crate::__told!($hook: $policy);)+
        }

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            $(const _: fn() = || {
                fn implements<P: $crate::$hook>() {}
                implements::<$policy>();
            };)+
        };
    };
}

/// What answers a hook that is asked before there is a policy.
#[doc(hidden)]
#[macro_export]
macro_rules! __first {
    ($policy:ty; Configure $($rest:ident)*) => { $crate::export::not_configured() };
    ($policy:ty; $other:ident $($rest:ident)*) => { $crate::__first!($policy; $($rest)*) };
    ($policy:ty;) => {{
        $crate::glue::report_panics();
        <$policy as ::std::default::Default>::default()
    }};
}

/// How a policy begins in a test.
#[doc(hidden)]
#[macro_export]
macro_rules! __start {
    ($policy:ty; $settings:ident; Configure $($rest:ident)*) => {
        <$policy as $crate::Configure>::configure($settings)
    };
    ($policy:ty; $settings:ident; $other:ident $($rest:ident)*) => {
        $crate::__start!($policy; $settings; $($rest)*)
    };
    ($policy:ty; $settings:ident;) => {
        $settings.refuse_any().map(|()| <$policy as ::std::default::Default>::default())
    };
}

/// What a policy is told in a test.
#[doc(hidden)]
#[macro_export]
macro_rules! __told {
    (Topology: $policy:ty) => {
        fn backends_changed(&mut self, pool: &$crate::Pool, backends: &[$crate::Backend]) {
            <$policy as $crate::Topology>::backends_changed(self, pool, backends);
        }
    };
    ($other:ident: $policy:ty) => {};
}

/// One hook of the component.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (Configure: $policy:ty) => {
        impl $crate::glue::configuration::Guest for Component {
            fn configure(settings: ::std::string::String) -> ::std::result::Result<(), ::std::string::String> {
                $crate::glue::report_panics();
                let policy = <$policy as $crate::Configure>::configure($crate::Settings::new(settings))?;
                STATE.begin(policy);
                Ok(())
            }
        }
        $crate::glue::export_configuration!(Component with_types_in $crate::glue::configuration_world);
    };
    (Topology: $policy:ty) => {
        impl $crate::glue::topology::Guest for Component {
            fn backends_changed(
                pool: $crate::glue::topology::Pool,
                generation: u64,
                backends: ::std::vec::Vec<$crate::glue::topology::Backend>,
            ) {
                let (pool, backends) = $crate::glue::told(pool, generation, backends);
                ask(|policy| <$policy as $crate::Topology>::backends_changed(policy, &pool, &backends));
            }
        }
        $crate::glue::export_topology!(Component with_types_in $crate::glue::topology_world);
    };
    (Select: $policy:ty) => {
        impl $crate::glue::selection::Guest for Component {
            fn select(
                request: &$crate::glue::Request,
                pool: u32,
                attempt: u32,
            ) -> ::std::result::Result<::std::option::Option<u32>, $crate::glue::Response> {
                let past;
                let mut failed: &[$crate::FailedAttempt] = &[];
                // The first attempt is nearly every request: it costs no call and no allocation.
                if attempt > 1 {
                    past = $crate::export::past();
                    failed = &past;
                }
                let (request, attempt) = ($crate::Request::of(request), $crate::Attempt::of(pool, attempt, failed));
                ask(|policy| <$policy as $crate::Select>::select(policy, &request, &attempt).into())
            }
        }
        $crate::glue::export_selection!(Component with_types_in $crate::glue::selection_world);
    };
    (EditRequest: $policy:ty) => {
        impl $crate::glue::request_headers::Guest for Component {
            fn edit_request(
                request: &$crate::glue::Request,
                headers: &$crate::glue::Headers,
            ) -> ::std::result::Result<(), $crate::glue::Response> {
                let (request, mut headers) = ($crate::Request::of(request), $crate::Headers::of(headers));
                let edited = ask(|policy| <$policy as $crate::EditRequest>::edit_request(policy, &request, &mut headers));
                edited.map_err(::std::convert::Into::into)
            }
        }
        $crate::glue::export_request_headers!(Component with_types_in $crate::glue::request_headers_world);
    };
    (EditTarget: $policy:ty) => {
        impl $crate::glue::request_target::Guest for Component {
            fn edit_target(
                request: &$crate::glue::Request,
                target: &$crate::glue::Target,
            ) -> ::std::result::Result<(), $crate::glue::Response> {
                let (request, mut target) = ($crate::Request::of(request), $crate::Target::of(target));
                let edited = ask(|policy| <$policy as $crate::EditTarget>::edit_target(policy, &request, &mut target));
                edited.map_err(::std::convert::Into::into)
            }
        }
        $crate::glue::export_request_target!(Component with_types_in $crate::glue::request_target_world);
    };
    (Route: $policy:ty) => {
        impl $crate::glue::routing::Guest for Component {
            fn route(
                request: &$crate::glue::Request,
            ) -> ::std::result::Result<::std::option::Option<u32>, $crate::glue::Response> {
                let request = $crate::Request::of(request);
                ask(|policy| <$policy as $crate::Route>::route(policy, &request).into())
            }
        }
        $crate::glue::export_routing!(Component with_types_in $crate::glue::routing_world);
    };
    (DecideDestination: $policy:ty) => {
        impl $crate::glue::destination::Guest for Component {
            fn decide(
                request: &$crate::glue::Request,
                port: u16,
                user: ::std::option::Option<::std::string::String>,
            ) -> ::std::result::Result<::std::option::Option<u32>, $crate::glue::Response> {
                let (request, destination) = ($crate::Request::of(request), $crate::Destination { port, user });
                ask(|policy| {
                    <$policy as $crate::DecideDestination>::decide_destination(policy, &request, &destination).into()
                })
            }
        }
        $crate::glue::export_destination!(Component with_types_in $crate::glue::destination_world);
    };
    (EditLocalResponse: $policy:ty) => {
        impl $crate::glue::local_response::Guest for Component {
            fn edit_local_response(
                request: &$crate::glue::Request,
                status: u16,
                source: $crate::glue::local_response::Source,
                headers: &$crate::glue::Headers,
            ) {
                let (request, mut headers) = ($crate::Request::of(request), $crate::Headers::of(headers));
                ask(|policy| {
                    <$policy as $crate::EditLocalResponse>::edit_local_response(
                        policy,
                        &request,
                        status,
                        source.into(),
                        &mut headers,
                    );
                });
            }
        }
        $crate::glue::export_local_response!(Component with_types_in $crate::glue::local_response_world);
    };
    (EditResponse: $policy:ty) => {
        impl $crate::glue::response_headers::Guest for Component {
            fn edit_response(
                request: &$crate::glue::Request,
                status: u16,
                backend: u32,
                headers: &$crate::glue::Headers,
            ) -> ::std::result::Result<(), $crate::glue::Response> {
                let (request, mut headers) = ($crate::Request::of(request), $crate::Headers::of(headers));
                let edited = ask(|policy| {
                    <$policy as $crate::EditResponse>::edit_response(policy, &request, status, backend, &mut headers)
                });
                edited.map_err(::std::convert::Into::into)
            }
        }
        $crate::glue::export_response_headers!(Component with_types_in $crate::glue::response_headers_world);
    };
    (CheckRange: $policy:ty) => {
        impl $crate::glue::range::Guest for Component {
            fn check(
                request: &$crate::glue::Request,
            ) -> ::std::result::Result<
                ::std::option::Option<::std::vec::Vec<$crate::glue::range::ByteRange>>,
                $crate::glue::Response,
            > {
                let request = $crate::Request::of(request);
                ask(|policy| <$policy as $crate::CheckRange>::check_range(policy, &request)).into()
            }
        }
        $crate::glue::export_range!(Component with_types_in $crate::glue::range_world);
    };
    (Completed: $policy:ty) => {
        impl $crate::glue::completion::Guest for Component {
            fn completed(request: &$crate::glue::Request, outcome: $crate::glue::completion::Outcome) {
                let (request, outcome) = ($crate::Request::of(request), $crate::Outcome::from(outcome));
                ask(|policy| <$policy as $crate::Completed>::completed(policy, &request, &outcome));
            }
        }
        $crate::glue::export_completion!(Component with_types_in $crate::glue::completion_world);
    };
}

/// The one policy of an instance. It is never asked twice at once.
#[derive(Debug)]
#[doc(hidden)]
pub struct State<P> {
    policy: RefCell<Option<P>>,
}

// SAFETY: without shared memory an instance of a component has one thread.
#[cfg(all(target_arch = "wasm32", not(target_feature = "atomics")))]
#[allow(
    unsafe_code,
    reason = "a thread-local costs a call through a table in every hook"
)]
unsafe impl<P> Sync for State<P> {}

impl<P> State<P> {
    /// None yet.
    #[expect(clippy::new_without_default, reason = "a default is not const")]
    pub const fn new() -> Self {
        State {
            policy: RefCell::new(None),
        }
    }

    /// This one.
    #[inline]
    pub fn begin(&self, policy: P) {
        self.policy.replace(Some(policy));
    }

    /// Asks it; the first time there may be none yet.
    #[inline(always)]
    pub fn ask<R>(&self, first: impl FnOnce() -> P, question: impl FnOnce(&mut P) -> R) -> R {
        // What can't happen ends in a trap without a message: the code for one would be in every
        // component.
        let Ok(mut policy) = self.policy.try_borrow_mut() else {
            std::process::abort()
        };
        question(policy.get_or_insert_with(first))
    }
}

/// The host configures before it asks anything else.
#[doc(hidden)]
pub fn not_configured<P>() -> P {
    std::process::abort()
}
