//! Names of uploaded files: what may be shown, and what may be used on a disk.

/// Longest name that is shown, in characters.
const SHOWN_CHARS: usize = 255;

/// Longest name that is used on the disk, in bytes. File systems take 255; the rest is for a number.
const STORED_BYTES: usize = 200;

/// Longest ending that is kept when a name is cut.
const ENDING_BYTES: usize = 20;

/// Names that mean a device on Windows, with any ending.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

/// The name as the client gave it, fit to be shown on one line.
pub(super) fn shown(name: &str) -> String {
    let name: String = name
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN_CHARS)
        .collect();
    if name.trim().is_empty() {
        "file".to_owned()
    } else {
        name
    }
}

/// A name for the disk that resembles `name`: a single part of a path on every system, not hidden, of moderate
/// length, without letters that a shell or a reader may take for something else.
pub(super) fn stored(name: &str) -> String {
    let last = name
        .rsplit(['/', '\\'])
        .find(|part| !part.trim().is_empty())
        .unwrap_or_default();
    let safe: String = last
        .chars()
        .filter(|c| !c.is_control() && !turns_text(*c))
        .map(replaced)
        .collect();
    let safe = safe.trim_matches(|c: char| c.is_whitespace() || c == '.');
    let safe = cut(safe);
    match safe.is_empty() {
        true => "file".to_owned(),
        false if is_device(&safe) => format!("_{safe}"),
        false => safe,
    }
}

/// The name with a number in it: `report.pdf`, `report-2.pdf`, `report-3.pdf` …
pub(super) fn numbered(name: &str, number: u32) -> String {
    if number < 2 {
        return name.to_owned();
    }
    let (stem, ending) = split(name);
    format!("{stem}-{number}{ending}")
}

/// What the file systems and shells of this world give a meaning of their own.
fn replaced(c: char) -> char {
    if matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*') {
        '_'
    } else {
        c
    }
}

/// Characters that make the text after them run the other way, so that `exe.txt` may be shown for `txt.exe`.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_device(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_lowercase();
    let bare = stem
        .strip_suffix(|c: char| c.is_ascii_digit())
        .unwrap_or(&stem);
    let numbered = bare.len() < stem.len();
    DEVICES.contains(&bare) && (numbered == matches!(bare, "com" | "lpt"))
}

/// The name without its ending, and the ending with its dot; empty if there is none to speak of.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= ENDING_BYTES => name.split_at(dot),
        _ => (name, ""),
    }
}

fn cut(name: &str) -> String {
    if name.len() <= STORED_BYTES {
        return name.to_owned();
    }
    let (stem, ending) = split(name);
    let end = stem.floor_char_boundary(STORED_BYTES - ending.len());
    format!("{}{ending}", stem[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stay_what_they_are_where_they_can() {
        for name in [
            "report.pdf",
            "Bericht Ä.txt",
            "a.tar.gz",
            "日本.png",
            "no ending",
            "console.log",
            "com.txt",
        ] {
            assert_eq!(stored(name), name);
            assert_eq!(shown(name), name);
        }
    }

    #[test]
    fn names_are_made_fit_for_a_disk() {
        for (name, expected) in [
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\me\\a.txt", "a.txt"),
            ("dir/", "dir"),
            ("", "file"),
            (" . ", "file"),
            ("..", "file"),
            ("/", "file"),
            (".bashrc", "bashrc"),
            ("a\0b\nc\u{7f}.txt", "abc.txt"),
            ("what?<is>|*this\":.txt", "what__is___this__.txt"),
            ("trailing. . ", "trailing"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("lpt1.dat", "_lpt1.dat"),
            ("\u{202e}txt.exe", "txt.exe"),
        ] {
            assert_eq!(stored(name), expected, "{name:?}");
        }
        assert_eq!(
            stored(&format!("{}.pdf", "ä".repeat(300))),
            format!("{}.pdf", "ä".repeat(98))
        );
        assert_eq!(shown("a\nb"), "ab");
        assert_eq!(shown("\n"), "file");
    }

    #[test]
    fn numbers_come_before_the_ending() {
        assert_eq!(numbered("a.txt", 1), "a.txt");
        assert_eq!(numbered("a.txt", 2), "a-2.txt");
        assert_eq!(numbered("a", 12), "a-12");
    }

    proptest! {
        #[test]
        fn any_name_becomes_one_part_of_a_path(name in any::<String>(), number in any::<u32>()) {
            let stored = numbered(&stored(&name), number);
            prop_assert!(!stored.is_empty() && stored.len() <= 255);
            prop_assert!(!stored.starts_with('.') && !stored.ends_with(['.', ' ']));
            prop_assert!(!stored.contains(['/', '\\']) && !stored.contains(char::is_control));
            let mut parts = std::path::Path::new(&stored).components();
            prop_assert!(matches!(parts.next(), Some(std::path::Component::Normal(part)) if part == stored.as_str()));
            prop_assert!(parts.next().is_none());
            prop_assert!(shown(&name).chars().count() <= 255 && !shown(&name).contains(char::is_control));
        }
    }
}
