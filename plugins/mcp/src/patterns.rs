//! Which of a server's tools are offered.

/// Whether a name fits one of the patterns, in which `*` stands for any characters, none included.
pub(crate) fn allow(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| fits(pattern, name))
}

fn fits(pattern: &str, name: &str) -> bool {
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

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, allowed) in [
            ("*", "anything", true),
            ("get_*", "get_time", true),
            ("get_*", "set_time", false),
            ("*_time", "get_time", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(
                allow(&[pattern.to_owned()], name),
                allowed,
                "{pattern} {name}"
            );
        }
        assert!(!allow(&[], "any"));
    }
}
