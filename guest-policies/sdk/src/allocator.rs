//! The allocator of a policy: the standard library's (dlmalloc), but for where its memory comes
//! from.
//!
//! A component has whole pages of 64 KiB, and what its data and its stack leave of the last is
//! free. The standard library's asks the host for another page all the same, with its first
//! allocation. That is two system calls in the life of an instance, and with `isolation =
//! "request"` they were a third of what a fresh instance costs. Here the first allocations come
//! from what is left.
//!
//! Only for `wasm32-unknown-unknown` without threads: for WASI a C library's allocator begins at
//! the same place.

use core::{
    alloc::{GlobalAlloc, Layout},
    arch::wasm32,
    cell::{Cell, UnsafeCell},
    ptr,
};

use dlmalloc::{Allocator, Dlmalloc};

const PAGE: usize = 64 * 1024;
/// Less than this is not worth a segment of its own.
const WORTHWHILE: usize = 1024;

#[global_allocator]
static ALLOCATOR: Pages = Pages {
    heap: UnsafeCell::new(Dlmalloc::new_with_allocator(Memory)),
    primed: Cell::new(false),
};

struct Pages {
    heap: UnsafeCell<Dlmalloc<Memory>>,
    primed: Cell<bool>,
}

// SAFETY: a policy's memory belongs to one thread; the contract has no other.
unsafe impl Sync for Pages {}

impl Pages {
    #[allow(
        clippy::mut_from_ref,
        reason = "one thread, and no allocation calls back into another"
    )]
    fn heap(&self) -> &mut Dlmalloc<Memory> {
        // SAFETY: there is one thread, and `Dlmalloc` never comes back here.
        let heap = unsafe { &mut *self.heap.get() };
        if !self.primed.replace(true) {
            // With the first request `Memory` gives what is left of the last page, which may be too
            // little for the request itself. SAFETY: freed as it was allocated; nobody else has
            // seen it.
            unsafe {
                let first = heap.malloc(1, 1);
                if !first.is_null() {
                    heap.free(first, 1, 1);
                }
            }
        }
        heap
    }
}

// SAFETY: it all is `Dlmalloc`'s, which keeps the rules.
unsafe impl GlobalAlloc for Pages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        unsafe { self.heap().malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        unsafe { self.heap().calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { self.heap().free(ptr, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's.
        unsafe {
            self.heap()
                .realloc(ptr, layout.size(), layout.align(), new_size)
        }
    }
}

/// Where dlmalloc gets memory.
struct Memory;

unsafe extern "C" {
    /// Where the linker put the end of data and stack.
    static __heap_base: u8;
    /// And the end of the memory that a component begins with. What is behind was grown, by whom is
    /// not known.
    static __heap_end: u8;
}

/// Whether the rest of the first pages is nobody's yet.
static UNTOUCHED: Untouched = Untouched(Cell::new(true));

struct Untouched(Cell<bool>);

// SAFETY: one thread.
unsafe impl Sync for Untouched {}

// SAFETY: what is given was nobody's before: the rest between the linker's addresses, once, or new
// pages.
unsafe impl Allocator for Memory {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if UNTOUCHED.0.replace(false) {
            let (base, end) = (
                (&raw const __heap_base).addr(),
                (&raw const __heap_end).addr(),
            );
            if end.saturating_sub(base) >= WORTHWHILE {
                return (ptr::with_exposed_provenance_mut(base), end - base, 0);
            }
        }
        let pages = size.div_ceil(PAGE);
        match wasm32::memory_grow(0, pages) {
            usize::MAX => (ptr::null_mut(), 0, 0),
            before => {
                // The last page of the address space is given without its end, which no address is
                // behind of.
                let base = before * PAGE;
                let length = if base.wrapping_add(pages * PAGE) == 0 {
                    pages * PAGE - 16
                } else {
                    pages * PAGE
                };
                (ptr::with_exposed_provenance_mut(base), length, 0)
            }
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}
