//! Tool calls that come in fragments.

use std::collections::BTreeMap;

use plugin_api::serde::de::IgnoredAny;
use plugin_api::serde_json;

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

    /// The one with this id.
    pub(super) fn find(&mut self, id: &str) -> Option<&mut Call> {
        let mut calls = self.calls.iter_mut();
        calls.find(|call| !id.is_empty() && call.id == id)
    }

    /// The call that a fragment with this id, this name and these arguments is of, which may lack any of them.
    ///
    /// Servers differ: some give no places, some the same to all calls, some ids to the first fragment of a call alone or a
    /// new one to each. What has no name goes on with the call before, at its place if it has one. What has a name goes on
    /// with it only where something is missing of that call, and no other id tells that it is another.
    pub(super) fn fragment(
        &mut self,
        place: Option<u64>,
        id: &str,
        name: &str,
        arguments: &str,
    ) -> &mut Call {
        let with_id = |call: &Call| !id.is_empty() && call.id == id;
        let begun = match place {
            Some(place) => self.places.get(&place).copied(),
            None => self.calls.iter().position(with_id),
        };
        let last = self.calls.len().checked_sub(1);
        let begun = begun.or(last.filter(|_| place.is_none()));
        let begun = begun.filter(|index| {
            let call = &self.calls[*index];
            if name.is_empty() {
                return true;
            }
            // Names come in pieces as well, where there are places.
            let is_name = place.is_some() || call.name == name || call.name.is_empty();
            let is_of = with_id(call) || id.is_empty() || call.id.is_empty();
            let adds = !is_whole(&call.arguments) || (call.name == name && arguments.is_empty());
            is_of && is_name && adds
        });
        let index = begun.unwrap_or_else(|| {
            self.calls.push(Call::default());
            self.calls.len() - 1
        });
        if let Some(place) = place {
            self.places.insert(place, index);
        }
        let call = &mut self.calls[index];
        if call.id.is_empty() {
            id.clone_into(&mut call.id);
        }
        call
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

/// Whether nothing is missing of the arguments of a call.
fn is_whole(arguments: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(arguments).is_ok()
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

    /// The calls that come of fragments: place, id, name and arguments.
    fn of(fragments: &[(Option<u64>, &str, &str, &str)]) -> Vec<(String, String)> {
        let mut calls = Calls::default();
        for (place, id, name, arguments) in fragments {
            let call = calls.fragment(*place, id, name, arguments);
            call.add_name(name);
            call.arguments.push_str(arguments);
        }
        let calls = calls.finish().into_iter();
        calls.map(|call| (call.name, call.arguments)).collect()
    }

    #[test]
    fn fragments_find_their_call_whatever_they_lack() {
        let one = |name: &str, arguments: &str| (name.to_owned(), arguments.to_owned());
        let (a, b) = (r#"{"x":"#, "1}");
        let whole = r#"{"x":1}"#;
        // As it should be, and with all of it in every fragment.
        let proper = [(Some(0), "i", "add", a), (Some(0), "", "", b)];
        assert_eq!(of(&proper), [one("add", whole)]);
        let all = [(Some(0), "i", "add", a), (Some(0), "i", "add", b)];
        assert_eq!(of(&all), [one("add", whole)]);
        // Without places.
        let no_places = [
            (None, "i", "add", ""),
            (None, "", "", a),
            (None, "", "", b),
            (None, "j", "sub", whole),
        ];
        assert_eq!(of(&no_places), [one("add", whole), one("sub", whole)]);
        // A new id for each fragment.
        let ids = [(Some(0), "i", "add", a), (Some(0), "j", "", b)];
        assert_eq!(of(&ids), [one("add", whole)]);
        // Whole calls without ids, in one place or in none.
        for place in [Some(0), None] {
            let calls = [(place, "", "add", whole), (place, "", "add", "{}")];
            assert_eq!(of(&calls), [one("add", whole), one("add", "{}")]);
        }
        // Whole calls that have one id between them, as some give that have none.
        let same = [(None, "null", "add", whole), (None, "null", "sub", "{}")];
        assert_eq!(of(&same), [one("add", whole), one("sub", "{}")]);
        // The name in every fragment, and nothing in the last.
        let last = [(Some(0), "", "add", whole), (Some(0), "", "add", "")];
        assert_eq!(of(&last), [one("add", whole)]);
        // A name in pieces.
        let pieces = [(Some(0), "i", "get_", ""), (Some(0), "", "time", "{}")];
        assert_eq!(of(&pieces), [one("get_time", "{}")]);
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
