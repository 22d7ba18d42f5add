//! Reading what the other side lends.

use std::mem::{MaybeUninit, align_of, size_of};

use thiserror::Error;

use super::types::{
    EVENT_SUBAGENT, RhAgent, RhCompletion, RhComponent, RhEvent, RhHost, RhLog, RhMapper, RhPlugin,
    RhSink, RhStr, RhToolset,
};
use crate::event::{EventRef, known_name};

/// What is wrong with something that was lent.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum BorrowError {
    /// A pointer that must not be null is.
    #[error("null pointer")]
    Null,
    /// A pointer does not have its type's alignment.
    #[error("misaligned pointer")]
    Misaligned,
    /// A struct's `size` does not even cover itself, or a length is impossible.
    #[error("impossible size")]
    Size,
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
}

/// A struct of [`types`](super::types) that starts with `size`.
///
/// # Safety
///
/// The type is `repr(C)`, its first field is `size: usize`, and all zeros is a valid value of it.
pub(super) unsafe trait Sized_: Copy {}

macro_rules! sized {
    ($($name:ident),*) => {
        $(
            // SAFETY: `repr(C)` with `size` first; integers, raw pointers, `Option<fn>` and `RhStr` (a raw
            // pointer and an integer), of all of which zero is a value.
            unsafe impl Sized_ for $name {}
        )*
    };
}
sized!(
    RhPlugin,
    RhComponent,
    RhAgent,
    RhToolset,
    RhMapper,
    RhEvent,
    RhCompletion,
    RhSink,
    RhLog,
    RhHost
);

/// The struct where it is, if its writer knew all of it.
///
/// # Safety
///
/// As [`read`], during `'a`.
#[inline]
unsafe fn whole<'a, T: Sized_>(from: *const T) -> Result<Option<&'a T>, BorrowError> {
    if from.is_null() {
        return Err(BorrowError::Null);
    }
    if !from.is_aligned() {
        return Err(BorrowError::Misaligned);
    }
    // SAFETY: not null and aligned; by contract at least `size`, the first field, is there.
    let size = unsafe { from.cast::<usize>().read() };
    // SAFETY: by contract there are `size` bytes, so a whole T, and nobody writes them meanwhile.
    Ok((size >= size_of::<T>()).then(|| unsafe { &*from }))
}

/// Copies a struct of which its writer knew `size` bytes; what it did not know is zero, null or absent.
///
/// # Safety
///
/// `from` is null, or points to a `usize` followed by as many bytes of a `T` as it says, at least itself, and
/// nobody writes them during the call.
#[inline]
pub(super) unsafe fn read<T: Sized_>(from: *const T) -> Result<T, BorrowError> {
    // SAFETY: passed on to the caller.
    if let Some(whole) = unsafe { whole(from) }? {
        return Ok(*whole);
    }
    // SAFETY: `whole` has found it to be neither null nor misaligned.
    let size = unsafe { from.cast::<usize>().read() };
    // Down to whole words: a size that ends within a pointer, which none has that comes from this source, must
    // not leave half of one.
    let size = size & !(align_of::<T>() - 1);
    if size < size_of::<usize>() {
        return Err(BorrowError::Size);
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: by contract `size` bytes are readable; they are fewer than a T, which is what `value` has room
    // for, and a local does not overlap what was lent.
    unsafe {
        from.cast::<u8>()
            .copy_to_nonoverlapping(value.as_mut_ptr().cast::<u8>(), size);
    }
    // SAFETY: every byte is zero or the writer's, and zero is a value of every field; no pointer is cut, as
    // none is larger than the alignment.
    Ok(unsafe { value.assume_init() })
}

/// Borrows a string.
///
/// # Safety
///
/// `ptr` is null, or `len` bytes are readable from it and do not change during `'a`.
#[inline]
pub(super) unsafe fn str<'a>(lent: RhStr) -> Result<&'a str, BorrowError> {
    if lent.len == 0 {
        return Ok("");
    }
    if lent.ptr.is_null() {
        return Err(BorrowError::Null);
    }
    if lent.len > isize::MAX as usize {
        return Err(BorrowError::Size);
    }
    // SAFETY: not null, u8 has no alignment, the length is possible; readable and unchanged by contract.
    let bytes = unsafe { std::slice::from_raw_parts(lent.ptr, lent.len) };
    std::str::from_utf8(bytes).map_err(|_| BorrowError::Utf8)
}

/// Lends a string for the length of a call.
#[inline]
pub(super) const fn lend(text: &str) -> RhStr {
    RhStr {
        ptr: text.as_ptr(),
        len: text.len(),
    }
}

/// Lends bytes for the length of a call.
#[cfg(feature = "host")]
pub(super) const fn lend_bytes(bytes: &[u8]) -> RhStr {
    RhStr {
        ptr: bytes.as_ptr(),
        len: bytes.len(),
    }
}

/// Borrows an event.
///
/// # Safety
///
/// `from` as in [`read`] and its strings as in [`str`], during `'a`.
#[inline]
pub(super) unsafe fn event<'a>(from: *const RhEvent) -> Result<EventRef<'a>, BorrowError> {
    let older;
    // SAFETY: passed on to the caller.
    let event = match unsafe { whole(from) }? {
        Some(event) => event,
        None => {
            // SAFETY: passed on to the caller.
            older = unsafe { read(from) }?;
            &older
        }
    };
    let name = match known_name(event.kind) {
        Some(name) => name,
        // SAFETY: passed on to the caller.
        None => unsafe { str(event.name) }?,
    };
    Ok(EventRef {
        kind: event.kind,
        subagent: event.flags & EVENT_SUBAGENT != 0,
        name,
        // SAFETY: passed on to the caller.
        id: unsafe { str(event.id) }?,
        // SAFETY: passed on to the caller.
        parent: unsafe { str(event.parent) }?,
        // SAFETY: passed on to the caller.
        text: unsafe { str(event.text) }?,
        // SAFETY: passed on to the caller.
        json: unsafe { str(event.json) }?,
    })
}

/// Lends an event for the length of a call.
#[inline]
pub(super) fn lend_event(event: EventRef<'_>) -> RhEvent {
    RhEvent {
        size: size_of::<RhEvent>(),
        kind: event.kind,
        flags: if event.subagent { EVENT_SUBAGENT } else { 0 },
        name: lend(event.name),
        id: lend(event.id),
        parent: lend(event.parent),
        text: lend(event.text),
        json: lend(event.json),
    }
}
