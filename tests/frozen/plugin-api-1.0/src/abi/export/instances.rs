//! The table by which instances are named across the boundary.
//!
//! What the host holds is a number in the shape of a pointer, so that a call with one that was shut down, or
//! that is another component's, finds nothing.

use std::any::Any;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

type Table = HashMap<usize, Arc<dyn Any + Send + Sync>>;

static TABLE: LazyLock<RwLock<Table>> = LazyLock::new(RwLock::default);
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// The name of an instance across the boundary; never null.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Name(usize);

impl Name {
    pub(super) fn as_ptr(self) -> *mut c_void {
        std::ptr::without_provenance_mut(self.0)
    }

    pub(super) fn from_ptr(pointer: *mut c_void) -> Self {
        Self(pointer.addr())
    }
}

pub(super) fn insert<T: Any + Send + Sync>(instance: Arc<T>) -> Name {
    let name = NEXT.fetch_add(1, Ordering::Relaxed);
    TABLE
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name, instance);
    Name(name)
}

pub(super) fn get<T: Any + Send + Sync>(name: Name) -> Option<Arc<T>> {
    let instance = TABLE
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&name.0)
        .cloned();
    instance.and_then(|instance| instance.downcast().ok())
}

pub(super) fn is_empty() -> bool {
    TABLE
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .is_empty()
}

pub(super) fn remove<T: Any + Send + Sync>(name: Name) -> Option<Arc<T>> {
    let instance = get::<T>(name)?;
    TABLE
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&name.0);
    Some(instance)
}
