//! The patterns by which an agent's configuration says which tools it may call.

/// Names of which any may match; `*` stands for any characters, none included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patterns(Vec<String>);

impl Patterns {
    pub(crate) fn new(patterns: impl IntoIterator<Item = String>) -> Self {
        Self(patterns.into_iter().collect())
    }

    pub(crate) fn allow(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, name))
    }

    /// Those that stand for exactly one name.
    pub(crate) fn plain_names(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .map(String::as_str)
            .filter(|pattern| !pattern.contains('*'))
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    // Taking each piece at its first place leaves the most for those after it.
    for piece in middle.split('*') {
        match name.find(piece) {
            Some(at) => name = &name[at + piece.len()..],
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "anything"),
            ("web_*", "web_search"),
            ("*_search", "web_search"),
            ("a*b*c", "a__b__b__c"),
            ("a*b*c", "abc"),
            ("**", "x"),
            ("exact", "exact"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("web_*", "web"),
            ("exact", "exactly"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("", "x"),
            ("a*b*b", "ab"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        let patterns = Patterns::new(["one".to_owned(), "two_*".to_owned()]);
        assert!(patterns.allow("one") && patterns.allow("two_3") && !patterns.allow("three"));
        assert!(!Patterns::default().allow("one"));
    }

    /// What matching means, without a thought for speed.
    fn by_definition(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|cut| by_definition(rest, &name[cut..])),
            Some((first, rest)) => name.first() == Some(first) && by_definition(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_is_as_defined(pattern in "[ab*]{0,6}", name in "[ab]{0,8}") {
            prop_assert_eq!(matches(&pattern, &name), by_definition(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
