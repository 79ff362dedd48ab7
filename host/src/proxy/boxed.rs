//! Futures in boxes.

use std::pin::Pin;

/// Puts what is made into a box, and makes it there. `Box::pin` would make a future on the stack
/// and then copy it, with all of the room that it will need later: kilobytes for each request. With
/// the memory asked for first, nothing can go wrong between the making and its place, and the
/// compiler leaves the copy out.
#[inline]
pub(super) fn boxed<T>(make: impl FnOnce() -> T) -> Pin<Box<T>> {
    Box::into_pin(Box::write(Box::new_uninit(), make()))
}
