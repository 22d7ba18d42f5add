//! How many connections each owner has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::Owner;

/// The connections of all owners.
#[derive(Debug, Default)]
pub struct Places {
    taken: Mutex<HashMap<Owner, usize>>,
}

/// One connection of an owner; given back on drop.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    owner: Owner,
}

impl Places {
    fn taken(&self) -> MutexGuard<'_, HashMap<Owner, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection of `owner`, if it has fewer than `most`; 0 sets no limit.
    pub fn take(self: &Arc<Self>, owner: &Owner, most: usize) -> Option<Place> {
        let mut taken = self.taken();
        let count = taken.get(owner).copied().unwrap_or(0);
        if most > 0 && count >= most {
            return None;
        }
        taken.insert(owner.clone(), count + 1);
        Some(Place {
            places: Arc::clone(self),
            owner: owner.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(count) = taken.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back() {
        let places = Arc::new(Places::default());
        let (ada, bob) = (Owner::new("ada"), Owner::new("bob"));
        let first = places.take(&ada, 2);
        let second = places.take(&ada, 2);
        assert!(first.is_some() && second.is_some());
        assert!(places.take(&ada, 2).is_none());
        assert!(places.take(&bob, 2).is_some(), "owners are apart");
        assert!(places.take(&ada, 0).is_some(), "no limit");
        drop(first);
        assert!(places.take(&ada, 2).is_some());
        drop(second);
        assert!(places.taken().is_empty());
    }
}
