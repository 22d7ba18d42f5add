//! Tool calls that come in fragments.

use std::collections::BTreeMap;

use super::Call;

/// The tool calls of an answer as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// Which of them the fragments at a place of the answer go on with.
    places: BTreeMap<u64, usize>,
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The call at a place: the one that was begun there, or a new one. Servers that give every call the same place
    /// tell calls apart by their ids.
    pub(super) fn at(&mut self, place: u64, id: &str) -> &mut Call {
        let begun = self.places.get(&place).copied();
        let index = match begun {
            Some(index) if id.is_empty() || self.calls[index].id.is_empty() => index,
            Some(index) if self.calls[index].id == id => index,
            _ => {
                self.calls.push(Call::default());
                self.places.insert(place, self.calls.len() - 1);
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[index];
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        call
    }

    /// A place that no call has.
    pub(super) fn next_place(&self) -> u64 {
        self.places.keys().next_back().map_or(0, |last| last + 1)
    }

    /// The calls in the order in which they began, each with an id and a name.
    pub(super) fn finish(self) -> Vec<Call> {
        let mut calls = self.calls;
        calls.retain(|call| !call.name.is_empty() || !call.arguments.trim().is_empty());
        for (number, call) in (1..).zip(&mut calls) {
            if call.id.is_empty() {
                call.id = own_id(number);
            }
        }
        calls
    }
}

impl Call {
    /// Adds to the name: it comes in pieces, or whole, or whole with every fragment.
    pub(super) fn add_name(&mut self, piece: &str) {
        if self.name != piece && self.arguments.is_empty() {
            self.name.push_str(piece);
        }
    }
}

/// An id for a call that has none: nine letters and digits, which is what the strictest servers want.
pub(crate) fn own_id(number: u64) -> String {
    format!("call{:05}", number % 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_pieces_or_again_and_again() {
        let mut call = Call::default();
        call.add_name("get_");
        call.add_name("time");
        call.arguments.push('{');
        call.add_name("get_time");
        assert_eq!(call.name, "get_time");
        let mut call = Call::default();
        call.add_name("get_time");
        call.add_name("get_time");
        assert_eq!(call.name, "get_time");
    }

    #[test]
    fn calls_at_one_place_are_told_apart_by_their_ids() {
        let mut calls = Calls::default();
        calls.at(0, "a").add_name("one");
        calls.at(0, "").arguments.push_str("{}");
        calls.at(0, "b").add_name("two");
        let names: Vec<_> = calls.finish().into_iter().map(|call| call.name).collect();
        assert_eq!(names, ["one", "two"]);
    }

    #[test]
    fn a_call_without_an_id_gets_one() {
        let mut calls = Calls::default();
        calls.at(0, "").add_name("one");
        calls.at(1, "").add_name("two");
        let ids: Vec<_> = calls.finish().into_iter().map(|call| call.id).collect();
        assert_eq!(ids, ["call00001", "call00002"]);
    }
}
