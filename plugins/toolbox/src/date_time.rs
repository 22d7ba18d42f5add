//! The tool `date_time`, on jiff and a time zone database within the library.

use jiff::civil::DateTime;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Unit, Zoned};
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{ToolError, ToolOutput};

pub(crate) const DESCRIPTION: &str = "Tells the present date and time in a time zone (`now`), converts a time \
    to another zone (`convert`), or adds a span to a time (`add`), by the calendar and with daylight saving \
    taken into account. The answer has the weekday, the time with its offset, and the zone.";

/// The arguments of `date_time`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct DateTimeArgs {
    /// What to do.
    pub operation: Operation,
    /// The time to work with; the present time if left out. Such as `2026-03-28T14:30`, `2026-03-28`,
    /// `2026-03-28T14:30:00Z`, `2026-03-28T14:30+01:00` or `2026-03-28T14:30[Europe/Berlin]`.
    #[serde(default)]
    pub time: Option<String>,
    /// The time zone of `time` where it does not say itself, and the zone of the answer of `now` and `add`:
    /// an IANA name such as `Europe/Berlin`, or an offset such as `+02:00`.
    #[serde(default)]
    pub zone: Option<String>,
    /// For `convert`: the zone to convert to.
    #[serde(default)]
    pub to: Option<String>,
    /// For `add`: how much, such as `2 weeks`, `1 day 3h 20min`, `-1 month`, `36h ago` or `P1Y2M`.
    #[serde(default)]
    pub span: Option<String>,
}

/// What `date_time` can do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(crate = "plugin_api::serde", rename_all = "snake_case")]
#[schemars(crate = "plugin_api::schemars")]
pub enum Operation {
    /// The present time in `zone`.
    Now,
    /// `time` in the zone `to`.
    Convert,
    /// `time` and `span` later.
    Add,
}

/// The tool with its configuration.
#[derive(Debug)]
pub(crate) struct Clock {
    zone: TimeZone,
}

impl Clock {
    /// `zone` is the zone where a call names none.
    pub(crate) fn new(zone: &str) -> Result<Self, String> {
        zone_named(zone).map(|zone| Self { zone })
    }

    pub(crate) fn call(
        &self,
        args: &DateTimeArgs,
        now: Timestamp,
    ) -> Result<ToolOutput, ToolError> {
        self.answer(args, now)
            .map(|time| ToolOutput::text(shown(&time)))
            .map_err(ToolError::invalid_args)
    }

    fn answer(&self, args: &DateTimeArgs, now: Timestamp) -> Result<Zoned, String> {
        let DateTimeArgs {
            operation,
            time,
            zone,
            to,
            span,
        } = args;
        let unused = match operation {
            Operation::Now => [("time", time), ("to", to), ("span", span)].to_vec(),
            Operation::Convert => vec![("span", span)],
            Operation::Add => vec![("to", to)],
        };
        if let Some((name, _)) = unused.iter().find(|(_, value)| value.is_some()) {
            return Err(format!("`{name}` has no meaning for this operation"));
        }
        let zone = match zone {
            Some(zone) => zone_named(zone).map_err(|problem| format!("`zone`: {problem}"))?,
            None => self.zone.clone(),
        };
        let time = match time {
            Some(time) => read_time(time, zone)?,
            None => now.to_zoned(zone),
        };
        match operation {
            Operation::Now => Ok(time),
            Operation::Convert => {
                let to = to
                    .as_deref()
                    .ok_or("`to` is missing: the zone to convert to")?;
                let to = zone_named(to).map_err(|problem| format!("`to`: {problem}"))?;
                Ok(time.with_time_zone(to))
            }
            Operation::Add => {
                let span = span
                    .as_deref()
                    .ok_or("`span` is missing: how much to add")?;
                let span: Span = span
                    .parse()
                    .map_err(|problem| format!("`span` must be like `1 day 3h`: {problem}"))?;
                time.checked_add(span)
                    .map_err(|problem| format!("`span`: {problem}"))
            }
        }
    }
}

fn zone_named(name: &str) -> Result<TimeZone, String> {
    DateTimeParser::new().parse_time_zone(name).map_err(|_| {
        "is no time zone; give an IANA name such as `Europe/Berlin`, or an offset such as `+02:00`"
            .to_owned()
    })
}

/// A time that may say where it is; where it does not it is in `zone`.
fn read_time(text: &str, zone: TimeZone) -> Result<Zoned, String> {
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Ok(zoned);
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant.to_zoned(zone));
    }
    let time: DateTime = text.parse().map_err(|problem| {
        format!("`time` must be like `2026-03-28T14:30` or `2026-03-28T14:30:00+01:00`: {problem}")
    })?;
    time.to_zoned(zone)
        .map_err(|problem| format!("`time`: {problem}"))
}

fn shown(time: &Zoned) -> String {
    // The second is exact enough for the present time; rounding fails at the very end of time only.
    let time = time.round(Unit::Second).unwrap_or_else(|_| time.clone());
    format!("{}, {time}", time.strftime("%A"))
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::{self, Value, json};

    use super::*;

    /// At a fixed present time, configured for Berlin.
    fn ask(args: Value) -> Result<String, String> {
        let now = "2026-03-28T11:00:00.4Z".parse().unwrap();
        let args = serde_json::from_value(args).unwrap();
        let answer = Clock::new("Europe/Berlin").unwrap().call(&args, now);
        answer
            .map(|output| output.text)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn now() {
        assert_eq!(
            ask(json!({"operation": "now"})).unwrap(),
            "Saturday, 2026-03-28T12:00:00+01:00[Europe/Berlin]"
        );
        assert_eq!(
            ask(json!({"operation": "now", "zone": "Asia/Tokyo"})).unwrap(),
            "Saturday, 2026-03-28T20:00:00+09:00[Asia/Tokyo]"
        );
        assert_eq!(
            ask(json!({"operation": "now", "zone": "-03:30"})).unwrap(),
            "Saturday, 2026-03-28T07:30:00-03:30[-03:30]"
        );
    }

    #[test]
    fn convert() {
        for (time, zone) in [
            ("2026-07-01T09:00", Some("America/New_York")),
            ("2026-07-01T13:00:00Z", None),
            ("2026-07-01T15:00+02:00", None),
            ("2026-07-01T09:00[America/New_York]", None),
            ("2026-07-01 15:00", None),
        ] {
            let args =
                json!({"operation": "convert", "time": time, "zone": zone, "to": "Asia/Kolkata"});
            assert_eq!(
                ask(args).unwrap(),
                "Wednesday, 2026-07-01T18:30:00+05:30[Asia/Kolkata]",
                "{time}"
            );
        }
    }

    #[test]
    fn add_knows_the_calendar_and_daylight_saving() {
        // The night to the 29th is an hour short: a day later is the same time of day, 24 hours are not.
        for (span, answer) in [
            ("1 day", "Sunday, 2026-03-29T12:00:00+02:00[Europe/Berlin]"),
            ("24h", "Sunday, 2026-03-29T13:00:00+02:00[Europe/Berlin]"),
            (
                "-1 month",
                "Saturday, 2026-02-28T12:00:00+01:00[Europe/Berlin]",
            ),
            (
                "2 days ago",
                "Thursday, 2026-03-26T12:00:00+01:00[Europe/Berlin]",
            ),
            ("P1Y", "Sunday, 2027-03-28T12:00:00+02:00[Europe/Berlin]"),
        ] {
            assert_eq!(
                ask(json!({"operation": "add", "span": span})).unwrap(),
                answer,
                "{span}"
            );
        }
        assert_eq!(
            ask(json!({"operation": "add", "time": "2026-01-31", "span": "1 month"})).unwrap(),
            "Saturday, 2026-02-28T00:00:00+01:00[Europe/Berlin]"
        );
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (args, problem) in [
            (
                json!({"operation": "now", "zone": "Berlin"}),
                "`zone`: is no time zone; give an IANA name",
            ),
            (json!({"operation": "convert"}), "`to` is missing"),
            (
                json!({"operation": "convert", "to": "Moon"}),
                "`to`: is no time zone",
            ),
            (json!({"operation": "add"}), "`span` is missing"),
            (
                json!({"operation": "add", "span": "soon"}),
                "`span` must be like `1 day 3h`: ",
            ),
            (
                json!({"operation": "add", "span": "19000 years"}),
                "`span`: ",
            ),
            (
                json!({"operation": "add", "time": "noon", "span": "1h"}),
                "`time` must be like ",
            ),
            (
                json!({"operation": "now", "time": "2026-01-01"}),
                "`time` has no meaning",
            ),
        ] {
            let told = ask(args).unwrap_err();
            assert!(
                told.starts_with(&format!("invalid arguments: {problem}")),
                "{told}"
            );
        }
    }
}
