use proptest::prelude::*;
use serde_json::{Value, json};

use super::{any_json, depth, on_a_small_stack};
use crate::protocol::json::{HIGHEST_MAX_DEPTH, deeper_than};
use crate::protocol::{Json, JsonFault};

#[test]
fn keeps_the_text_as_it_is_written() {
    let json = Json::parse(" {\"b\": 1.0, \"a\":[ ]}\n", 9).unwrap();
    assert_eq!(json.as_str(), "{\"b\": 1.0, \"a\":[ ]}");
    assert_eq!(json.members(), Some("\"b\": 1.0, \"a\":[ ]"));
    assert_eq!(json.to_value(), json!({"b": 1.0, "a": []}));
    assert_eq!(serde_json::to_string(&json).unwrap(), json.as_str());
    assert_eq!(Json::from_string(" 1 ".into(), 0).unwrap().as_str(), "1");
}

#[test]
fn knows_objects_and_null() {
    assert!(Json::null().is_null());
    assert_eq!(Json::null().members(), None);
    assert_eq!(Json::empty_object().members(), Some(""));
    assert_eq!(Json::parse("{ \n }", 1).unwrap().members(), Some(""));
    assert!(!Json::parse("[{}]", 2).unwrap().is_object());
    let doubles = Json::parse(r#"{"a":{"c":1},"\u0061":2,"b":3}"#, 2).unwrap();
    assert_eq!(doubles.keys(), ["a", "a", "b"]);
    assert!(Json::null().keys().is_empty());
}

#[test]
fn refuses_what_nobody_could_read_again() {
    for text in [
        "",
        " ",
        "{",
        "1 2",
        "{} x",
        "nul",
        "'a'",
        "[1,]",
        "{\"a\":1,}",
        "NaN",
        "Infinity",
        "\u{feff}1",
    ]
    .into_iter()
    // Grammatical, but half a surrogate pair is no character and 1e999 no number of any reader's.
    .chain([r#""\ud800""#, r#"{"\udc00":1}"#, "1e999", "[-1e999]"])
    {
        let refused = Json::parse(text, 9);
        assert!(
            matches!(refused, Err(JsonFault::Invalid(_))),
            "{text}: {refused:?}"
        );
        assert!(Json::from_string(text.into(), 9).is_err(), "{text}");
    }
}

#[test]
fn limits_the_depth() {
    assert_eq!(Json::parse("[[]]", 1), Err(JsonFault::TooDeep(1)));
    assert!(Json::parse("[[]]", 2).is_ok());
    assert!(Json::parse(r#"["[[[[", {}, "\"[["]"#, 2).is_ok());
    // However high the limit, what passes can be read again.
    let deepest = format!(
        "{}{}",
        "[".repeat(HIGHEST_MAX_DEPTH),
        "]".repeat(HIGHEST_MAX_DEPTH)
    );
    assert!(
        !Json::parse(&deepest, usize::MAX)
            .unwrap()
            .to_value()
            .is_null()
    );
    assert_eq!(
        Json::parse(&format!("[{deepest}]"), usize::MAX),
        Err(JsonFault::TooDeep(HIGHEST_MAX_DEPTH))
    );
}

#[test]
fn no_depth_costs_stack() {
    on_a_small_stack(|| {
        for bracket in ["[", "{\"a\":", "[{\"a\":"] {
            let text = bracket.repeat(1_000_000);
            assert!(matches!(
                Json::parse(&text, 100),
                Err(JsonFault::TooDeep(100))
            ));
            assert!(matches!(
                Json::parse(&text, usize::MAX),
                Err(JsonFault::TooDeep(_))
            ));
        }
    });
}

proptest! {
    #[test]
    fn any_text_is_accepted_exactly_when_it_can_be_read(text in any::<String>(), max in 0_usize..9) {
        let read = serde_json::from_str::<Value>(&text);
        let accepted = Json::parse(&text, max);
        prop_assert_eq!(accepted.is_ok(), read.is_ok_and(|value| depth(&value) <= max));
    }

    #[test]
    fn any_value_survives(value in any_json(6), max in 0_usize..9) {
        let text = value.to_string();
        prop_assert_eq!(deeper_than(text.as_bytes(), max), depth(&value) > max);
        prop_assert_eq!(Json::parse(&text, max).is_ok(), depth(&value) <= max);
        let spread = format!("{value:#}");
        // Numbers are compared as text: reading one back may round it.
        let json = Json::parse(&spread, 9).unwrap();
        prop_assert_eq!(json.as_str(), &spread);
        prop_assert_eq!(json.size(), spread.len());
        let made = Json::from_value(&value);
        prop_assert_eq!(made.as_str(), &text);
    }

    #[test]
    fn brackets_are_counted_in_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64), max in 0_usize..9) {
        // No more opening brackets than the limit: never too deep, whatever else there is.
        let opening = bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
        prop_assert!(!(opening <= max && deeper_than(&bytes, max)));
    }
}
