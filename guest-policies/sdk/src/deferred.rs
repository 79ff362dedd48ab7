//! Exports that free what an answer holds when the next call comes, and not in a call of their own.
//!
//! The canonical ABI lets a component export a second function for each hook, which the host calls
//! when it has read the answer, so that its memory can be freed (`post-return`). The generated
//! bindings export one wherever an answer *may* hold memory, so each selection would enter the
//! guest twice, to find in the second call that a number holds none: 220 of the runtime's 4,000
//! instructions of a call. A hook is never asked twice at once, so what the last answer holds can
//! as well wait for the next call. It is one answer of each hook at most.
//!
//! Each macro here takes the place of the generated one of the same interface;
//! [`glue`](crate::glue) sees to it that it is the one that is found.

use std::cell::Cell;

/// What the last answer of a hook may hold.
#[derive(Debug)]
pub struct Left(Cell<*mut u8>);

// SAFETY: without shared memory an instance of a component has one thread.
#[cfg(all(target_arch = "wasm32", not(target_feature = "atomics")))]
#[allow(
    unsafe_code,
    reason = "a thread-local costs a call through a table in every hook"
)]
unsafe impl Sync for Left {}

impl Left {
    /// Nothing yet.
    #[expect(clippy::new_without_default, reason = "a default is not const")]
    pub const fn new() -> Self {
        Left(Cell::new(std::ptr::null_mut()))
    }

    /// Frees the last answer, and asks for the next. The two are the generated functions of one
    /// hook.
    #[inline(always)]
    pub fn ask(&self, free: impl FnOnce(*mut u8), hook: impl FnOnce() -> *mut u8) -> *mut u8 {
        // Taken first: if the hook traps, nothing is freed twice.
        let last = self.0.replace(std::ptr::null_mut());
        if !last.is_null() {
            free(last);
        }
        let answer = hook();
        self.0.set(answer);
        answer
    }
}

/// The export of one hook.
#[doc(hidden)]
#[macro_export]
macro_rules! __deferred {
    ($name:literal, $call:path, $free:path, ($($parameter:ident: $type:ty),+)) => {
        const _: () = {
            static LEFT: $crate::deferred::Left = $crate::deferred::Left::new();

            // SAFETY: the host calls it as the canonical ABI says, and `LEFT` holds what it has
            // returned.
            #[unsafe(export_name = $name)]
            unsafe extern "C" fn asked($($parameter: $type),+) -> *mut u8 {
                LEFT.ask(|answer| unsafe { $free(answer) }, || unsafe { $call($($parameter),+) })
            }
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __deferred_selection {
    ($ty:ident with_types_in $($path:tt)*) => {
        $crate::__deferred!(
            "waypost:policy/selection@0.1.0#select",
            $($path)*::_export_select_cabi::<$ty>,
            $($path)*::__post_return_select::<$ty>,
            (request: i32, pool: i32, attempt: i32)
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __deferred_request_headers {
    ($ty:ident with_types_in $($path:tt)*) => {
        $crate::__deferred!(
            "waypost:policy/request-headers@0.1.0#edit-request",
            $($path)*::_export_edit_request_cabi::<$ty>,
            $($path)*::__post_return_edit_request::<$ty>,
            (request: i32, headers: i32)
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __deferred_request_target {
    ($ty:ident with_types_in $($path:tt)*) => {
        $crate::__deferred!(
            "waypost:policy/request-target@0.1.0#edit-target",
            $($path)*::_export_edit_target_cabi::<$ty>,
            $($path)*::__post_return_edit_target::<$ty>,
            (request: i32, target: i32)
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __deferred_routing {
    ($ty:ident with_types_in $($path:tt)*) => {
        $crate::__deferred!(
            "waypost:policy/routing@0.1.0#route",
            $($path)*::_export_route_cabi::<$ty>,
            $($path)*::__post_return_route::<$ty>,
            (request: i32)
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __deferred_destination {
    ($ty:ident with_types_in $($path:tt)*) => {
        $crate::__deferred!(
            "waypost:policy/destination@0.1.0#decide",
            $($path)*::_export_decide_cabi::<$ty>,
            $($path)*::__post_return_decide::<$ty>,
            (request: i32, port: i32, has_user: i32, user: *mut u8, user_length: usize)
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __deferred_response_headers {
    ($ty:ident with_types_in $($path:tt)*) => {
        $crate::__deferred!(
            "waypost:policy/response-headers@0.1.0#edit-response",
            $($path)*::_export_edit_response_cabi::<$ty>,
            $($path)*::__post_return_edit_response::<$ty>,
            (request: i32, status: i32, backend: i32, headers: i32)
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __deferred_range {
    ($ty:ident with_types_in $($path:tt)*) => {
        $crate::__deferred!(
            "waypost:policy/range@0.1.0#check",
            $($path)*::_export_check_cabi::<$ty>,
            $($path)*::__post_return_check::<$ty>,
            (request: i32)
        );
    };
}

/// The generated modules as the generated macros look for them, with the macros above in the place
/// of theirs.
macro_rules! worlds {
    ($($module:ident: $macro:ident as $generated:ident;)+) => {
        $(
            #[doc(hidden)]
            pub mod $module {
                pub mod exports {
                    pub mod waypost {
                        pub mod policy {
                            pub mod $module {
                                pub use crate::bindings::$module::exports::waypost::policy::$module::*;
                                pub use crate::$macro as $generated;
                            }
                        }
                    }
                }
            }
        )+
    };
}

worlds! {
    selection: __deferred_selection as __export_waypost_policy_selection_0_1_0_cabi;
    request_headers: __deferred_request_headers as __export_waypost_policy_request_headers_0_1_0_cabi;
    request_target: __deferred_request_target as __export_waypost_policy_request_target_0_1_0_cabi;
    routing: __deferred_routing as __export_waypost_policy_routing_0_1_0_cabi;
    destination: __deferred_destination as __export_waypost_policy_destination_0_1_0_cabi;
    response_headers: __deferred_response_headers as __export_waypost_policy_response_headers_0_1_0_cabi;
    range: __deferred_range as __export_waypost_policy_range_0_1_0_cabi;
}
