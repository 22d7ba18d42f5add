//! Values that people write in a form of their own: durations and sizes.
//!
//! Both are parsed here rather than by a crate: the grammar is two lines, and it has to
//! agree to the letter with the patterns that the published schema shows to editors.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// A length of time: a number of seconds, or text such as `"20s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HumanDuration(pub(crate) Duration);

const DURATION_TITLE: &str = "a number of seconds, or a text with a unit (ms, s, m, h, d) such as \"500ms\", \"20s\", \"5m\"";
/// The digits are bounded so that no text that fits can overflow.
const DURATION_PATTERN: &str = r"^[0-9]{1,9}(\.[0-9]{1,3})? ?(ms|s|m|h|d)$";
const DURATION_MAX_SECONDS: f64 = 1e9;

impl HumanDuration {
    /// Reads a text that `DURATION_PATTERN` describes.
    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let millis_per_unit: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let nanos = number.scaled(u128::from(millis_per_unit) * 1_000_000);
        let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
        let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
        Some(Self(Duration::new(seconds, rest)))
    }
}

impl fmt::Display for HumanDuration {
    /// The shortest form that reads back as the same duration, to the millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (unit, size) in [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1_000),
        ] {
            if millis >= size && millis.is_multiple_of(size) {
                return write!(f, "{}{unit}", millis / size);
            }
        }
        write!(f, "{millis}ms")
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DurationVisitor;
        impl Visitor<'_> for DurationVisitor {
            type Value = HumanDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(DURATION_TITLE)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<HumanDuration, E> {
                HumanDuration::parse(text).ok_or_else(|| E::custom("not a duration"))
            }
            fn visit_u64<E: Error>(self, seconds: u64) -> Result<HumanDuration, E> {
                Ok(HumanDuration(Duration::from_secs(seconds)))
            }
            fn visit_i64<E: Error>(self, seconds: i64) -> Result<HumanDuration, E> {
                let seconds = u64::try_from(seconds).map_err(|_| E::custom("negative"))?;
                Ok(HumanDuration(Duration::from_secs(seconds)))
            }
            fn visit_f64<E: Error>(self, seconds: f64) -> Result<HumanDuration, E> {
                Duration::try_from_secs_f64(seconds)
                    .map(HumanDuration)
                    .map_err(|_| E::custom("not a duration"))
            }
        }
        deserializer.deserialize_any(DurationVisitor)
    }
}

impl JsonSchema for HumanDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": DURATION_TITLE,
            "type": ["string", "number"],
            "pattern": DURATION_PATTERN,
            "minimum": 0,
            "maximum": DURATION_MAX_SECONDS,
            "examples": ["500ms", "20s", "5m", "1h", 30],
        })
    }
}

/// A size in bytes: a number, or text such as `"5 MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

const SIZE_TITLE: &str =
    "a number of bytes, or a text with a unit (B, KiB, MiB, GiB) such as \"512 KiB\", \"5 MiB\"";
const SIZE_PATTERN: &str = r"^[0-9]{1,9}(\.[0-9]{1,3})? ?(B|KiB|MiB|GiB)$";
/// Enough for any machine, and exact in every JSON reader.
const SIZE_MAX: u64 = 1 << 53;

impl ByteSize {
    pub(crate) const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// Reads a text that `SIZE_PATTERN` describes; a fraction of a byte is cut off.
    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let bytes_per_unit = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        u64::try_from(number.scaled(bytes_per_unit)).ok().map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            let size = 1 << shift;
            if self.0 >= size && self.0.is_multiple_of(size) {
                return write!(f, "{} {unit}", self.0 / size);
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SIZE_TITLE)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<ByteSize, E> {
                ByteSize::parse(text).ok_or_else(|| E::custom("not a size"))
            }
            fn visit_u64<E: Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }
            fn visit_i64<E: Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes)
                    .map(ByteSize)
                    .map_err(|_| E::custom("negative"))
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": SIZE_TITLE,
            "type": ["string", "integer"],
            "pattern": SIZE_PATTERN,
            "minimum": 0,
            "maximum": SIZE_MAX,
            "examples": ["512 KiB", "5 MiB", "1 GiB", 1048576],
        })
    }
}

/// A decimal number as it was written: up to nine digits, and up to three after the point.
struct Decimal {
    thousandths: u128,
}

impl Decimal {
    /// The number times `unit`, rounded down.
    fn scaled(&self, unit: u128) -> u128 {
        self.thousandths * unit / 1_000
    }
}

/// Splits `"1.5 MiB"` into the number and the unit.
fn split(text: &str) -> Option<(Decimal, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let in_bounds = (1..=9).contains(&whole.len()) && (1..=3).contains(&fraction.len());
    if !in_bounds || fraction.contains('.') {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let fraction: u128 = format!("{fraction:0<3}").parse().ok()?;
    Some((
        Decimal {
            thousandths: whole * 1_000 + fraction,
        },
        unit,
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use jsonschema::Validator;
    use proptest::prelude::*;

    fn duration(text: &str) -> Option<Duration> {
        HumanDuration::parse(text).map(|d| d.0)
    }

    fn size(text: &str) -> Option<u64> {
        ByteSize::parse(text).map(|s| s.0)
    }

    #[test]
    fn durations_in_every_unit() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("20s"), Some(Duration::from_secs(20)));
        assert_eq!(duration("1.5 m"), Some(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Some(Duration::from_secs(7_200)));
        assert_eq!(duration("1d"), Some(Duration::from_secs(86_400)));
        assert_eq!(duration("0.001ms"), Some(Duration::from_micros(1)));
        for wrong in [
            "",
            "s",
            "20",
            "20 sec",
            "-1s",
            "1..5s",
            ".5s",
            "1.s",
            "1m 30s",
            "9999999999s",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_in_every_unit() {
        assert_eq!(size("7 B"), Some(7));
        assert_eq!(size("512KiB"), Some(512 << 10));
        assert_eq!(size("1.5 MiB"), Some(3 << 19));
        assert_eq!(size("2 GiB"), Some(2 << 30));
        for wrong in ["", "5", "5 MB", "5 mib", "-5 B", "5  MiB", "5 MiB "] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    static DURATIONS: LazyLock<Validator> = LazyLock::new(validator::<HumanDuration>);
    static SIZES: LazyLock<Validator> = LazyLock::new(validator::<ByteSize>);

    fn validator<T: JsonSchema>() -> Validator {
        let schema = T::json_schema(&mut SchemaGenerator::default());
        Validator::new(schema.as_value()).expect("a valid schema")
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(millis in 0u64..10_000_000_000_000, bytes in 0u64..1 << 40) {
            let printed = HumanDuration(Duration::from_millis(millis)).to_string();
            // More than nine digits of milliseconds have no text form.
            if let Some(read) = duration(&printed) {
                prop_assert_eq!(read, Duration::from_millis(millis));
            }
            let printed = ByteSize(bytes).to_string();
            if let Some(read) = size(&printed) {
                prop_assert_eq!(read, bytes);
            }
        }

        /// The pattern in the schema and the parser agree, so a value that the schema lets
        /// through cannot fail later.
        #[test]
        fn pattern_and_parser_agree(text in "[0-9]{0,11}(\\.[0-9]{0,4})? {0,2}(ms|s|m|h|d|B|KiB|MiB|GiB|MB|x)?") {
            let value = serde_json::json!(text);
            prop_assert_eq!(DURATIONS.is_valid(&value), duration(&text).is_some());
            prop_assert_eq!(SIZES.is_valid(&value), size(&text).is_some());
        }
    }
}
