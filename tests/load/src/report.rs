//! What is printed.

use std::time::Duration;

/// What a figure has to reach.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// So many times the floor's at least.
    RatioAtLeast(f64),
    /// So many times the floor's at most.
    RatioAtMost(f64),
    /// So much at least, in the figure's unit.
    AtLeast(f64),
    /// So much at most, in the figure's unit.
    AtMost(f64),
    /// Nothing: for orientation.
    None,
}

/// One figure.
pub(crate) struct Figure {
    /// The row of the table that it belongs to.
    pub(crate) work: &'static str,
    /// What it is, with its unit.
    pub(crate) what: &'static str,
    pub(crate) host: f64,
    pub(crate) floor: Option<f64>,
    /// The median of the rounds' ratios, which is not quite the ratio of the medians.
    pub(crate) ratio: Option<f64>,
    pub(crate) target: Target,
    /// Why it does not count, if it does not.
    pub(crate) void: Option<String>,
}

impl Figure {
    /// Of rounds of (host, floor): medians, and the median of the ratios.
    pub(crate) fn of_rounds(
        work: &'static str,
        what: &'static str,
        rounds: &[(f64, f64)],
        target: Target,
    ) -> Self {
        Self {
            work,
            what,
            host: median(rounds.iter().map(|round| round.0)),
            floor: Some(median(rounds.iter().map(|round| round.1))),
            ratio: Some(median(rounds.iter().map(|round| round.0 / round.1))),
            target,
            void: None,
        }
    }

    /// One that has no floor.
    pub(crate) fn alone(work: &'static str, what: &'static str, host: f64, target: Target) -> Self {
        Self {
            work,
            what,
            host,
            floor: None,
            ratio: None,
            target,
            void: None,
        }
    }

    fn is_met(&self) -> bool {
        match self.target {
            Target::RatioAtLeast(least) => self.ratio.is_some_and(|ratio| ratio >= least),
            Target::RatioAtMost(most) => self.ratio.is_some_and(|ratio| ratio <= most),
            Target::AtLeast(least) => self.host >= least,
            Target::AtMost(most) => self.host <= most,
            Target::None => true,
        }
    }

    fn line(&self) -> String {
        let target = match self.target {
            Target::RatioAtLeast(least) => format!("≥ {least} × floor"),
            Target::RatioAtMost(most) => format!("≤ {most} × floor"),
            Target::AtLeast(least) => format!("≥ {}", number(least)),
            Target::AtMost(most) => format!("≤ {}", number(most)),
            Target::None => String::new(),
        };
        let verdict = match &self.void {
            Some(why) => format!("does not count: {why}"),
            None if matches!(self.target, Target::None) => String::new(),
            None if self.is_met() => "met".to_owned(),
            None => "**missed**".to_owned(),
        };
        let floor = self.floor.map_or_else(|| "–".to_owned(), number);
        let ratio = self
            .ratio
            .map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        format!(
            "| {} | {} | {} | {floor} | {ratio} | {target} | {verdict} |",
            self.work,
            self.what,
            number(self.host),
        )
    }
}

/// What the processes of a row have used, all rounds together.
#[derive(Default)]
pub(crate) struct Usage {
    pub(crate) work: &'static str,
    pub(crate) events: u64,
    pub(crate) frames: u64,
    pub(crate) host_cpu: Duration,
    pub(crate) floor_cpu: Option<Duration>,
    pub(crate) driver_cpu: Duration,
    pub(crate) host_peak: u64,
    pub(crate) floor_peak: Option<u64>,
}

impl Usage {
    fn line(&self) -> String {
        let mib = |bytes: u64| format!("{:.1}", bytes as f64 / (1024.0 * 1024.0));
        let seconds = |time: Duration| format!("{:.2}", time.as_secs_f64());
        let none = || "–".to_owned();
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            self.work,
            self.events,
            self.frames,
            seconds(self.host_cpu),
            self.floor_cpu.map_or_else(none, seconds),
            seconds(self.driver_cpu),
            mib(self.host_peak),
            self.floor_peak.map_or_else(none, mib),
        )
    }
}

/// What a row has come to.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) figures: Vec<Figure>,
    pub(crate) usage: Vec<Usage>,
    /// What was lost or wrong, which fails the whole benchmark.
    pub(crate) faults: Vec<String>,
}

/// Prints the tables.
pub(crate) fn print(rows: &[Row]) {
    println!("\n| work | figure | host | floor | ratio | target | |");
    println!("| --- | --- | ---: | ---: | ---: | --- | --- |");
    for figure in rows.iter().flat_map(|row| &row.figures) {
        println!("{}", figure.line());
    }
    println!(
        "\n| work | deliveries | frames | host CPU s | floor CPU s | driver CPU s | host peak MiB | floor peak MiB |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for usage in rows.iter().flat_map(|row| &row.usage) {
        println!("{}", usage.line());
    }
}

/// The middle one, 0 of none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(&mut values.collect::<Vec<_>>(), 0.5)
}

/// The value below which this part of them lies, 0 of none. Sorts them.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (last as f64 * part).round() as usize;
    values.get(at).copied().unwrap_or_default()
}

/// With about three digits.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e4 => format!("{:.0} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
