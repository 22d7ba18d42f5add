//! The tool `calculator`, on fend.
//!
//! Expressions come from models, and so from anyone who talks to one. fend checks often whether it should give
//! up, so time is bounded; what it does between two checks is bounded here: the length of an expression,
//! the stack it runs on, dice (a distribution of a million faces is built in one go), the length of results.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fend_core::{Context, Interrupt, evaluate_with_interrupt};
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::tokio::sync::{Semaphore, oneshot};
use plugin_api::tokio::time::timeout;
use plugin_api::{ToolError, ToolOutput};

pub(crate) const DESCRIPTION: &str = "Calculates an expression exactly. Knows + - * / ^ ! mod, brackets, \
    percentages, functions (sqrt, sin, ln, log10, floor, round, abs, …), constants (pi, e), physical units and \
    conversions (`5 km/h to mph`), and number bases (`0xff to decimal`). Use it for any arithmetic. \
    Examples: `6*7`, `20% of 350`, `sqrt(2) to 10 dp`, `3 feet 2 inches to cm`, `floor(17/5)`.";

/// The longest expression, in bytes. What fend's parser needs of the stack grows with it.
const MAX_EXPRESSION_BYTES: usize = 500;

/// The longest result, in bytes.
const MAX_RESULT_BYTES: usize = 10_000;

/// The stack of a calculation. The worst expression takes 16 MiB of it in a debug build.
const STACK_BYTES: usize = 32 << 20;

/// What of the stack a calculation may use: functions that call themselves could use any amount.
const STACK_LIMIT: usize = STACK_BYTES / 4 * 3;

/// The most calculations at a time; the others wait.
const MAX_AT_A_TIME: usize = 4;

/// How long after its time a calculation is waited for, that does not see that it should give up.
const MARGIN: Duration = Duration::from_secs(1);

/// The arguments of `calculator`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct CalculatorArgs {
    /// The expression.
    #[schemars(length(min = 1, max = MAX_EXPRESSION_BYTES))]
    pub expression: String,
}

#[derive(Debug)]
pub(crate) struct Calculator {
    timeout: Duration,
    permits: Arc<Semaphore>,
}

impl Calculator {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            permits: Arc::new(Semaphore::new(MAX_AT_A_TIME)),
        }
    }

    /// Cancel safe: a calculation whose result nobody awaits gives up.
    pub(crate) async fn call(&self, args: CalculatorArgs) -> Result<ToolOutput, ToolError> {
        check(&args.expression)?;
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(ToolError::failed)?;
        let abandoned = Abandoned::default();
        let limits = Limits {
            timeout: self.timeout,
            abandoned: Arc::clone(&abandoned.0),
        };
        let (answer, answered) = oneshot::channel();
        // A thread of its own, because of its stack. It is not joined but answers as its last act.
        thread::Builder::new()
            .name("calculator".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let result = evaluate(&args.expression, &limits);
                drop(permit);
                // Nobody may be waiting any more.
                let _ = answer.send(result);
            })
            .map_err(|error| ToolError::failed(format!("cannot start a calculation: {error}")))?;
        let limit = self.timeout + MARGIN;
        match timeout(limit, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ToolError::failed(
                "the calculator cannot handle this expression",
            )),
            Err(_) => Err(too_long(self.timeout)),
        }
    }
}

/// Tells a calculation, when it is dropped, that nobody waits for it any more.
#[derive(Default)]
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Limits {
    timeout: Duration,
    abandoned: Arc<AtomicBool>,
}

/// The limits of a calculation that runs on this thread, whose stack began at `stack`.
struct Watch<'a> {
    limits: &'a Limits,
    start: Instant,
    stack: usize,
}

impl Watch<'_> {
    fn is_overdue(&self) -> bool {
        self.start.elapsed() >= self.limits.timeout || self.limits.abandoned.load(Ordering::Relaxed)
    }

    fn is_too_deep(&self) -> bool {
        stack_address().abs_diff(self.stack) > STACK_LIMIT
    }
}

impl Interrupt for Watch<'_> {
    fn should_interrupt(&self) -> bool {
        self.is_overdue() || self.is_too_deep()
    }
}

/// About where on its stack the thread is now.
#[inline(never)]
fn stack_address() -> usize {
    let here = 0_u8;
    (&raw const here).addr()
}

fn evaluate(expression: &str, limits: &Limits) -> Result<ToolOutput, ToolError> {
    let watch = Watch {
        limits,
        start: Instant::now(),
        stack: stack_address(),
    };
    // A fresh context: no variables of earlier calls, no source of random numbers, no exchange rates.
    let result = evaluate_with_interrupt(expression, &mut Context::new(), &watch)
        .map(|result| result.get_main_result().to_owned());
    match result {
        Ok(result) if result.len() > MAX_RESULT_BYTES => Err(ToolError::failed(format!(
            "the result has {} characters, more than {MAX_RESULT_BYTES}; ask for fewer digits",
            result.chars().count()
        ))),
        Ok(result) => Ok(ToolOutput::text(result)),
        Err(_) if watch.is_overdue() => Err(too_long(limits.timeout)),
        Err(problem) if problem == "interrupted" => Err(ToolError::failed(
            "the calculation calls functions too deeply",
        )),
        Err(problem) => Err(ToolError::failed(format!(
            "cannot calculate this: {}",
            shortened(problem)
        ))),
    }
}

fn too_long(limit: Duration) -> ToolError {
    ToolError::failed(format!(
        "the calculation took longer than {} ms",
        limit.as_millis()
    ))
}

/// Some of fend's messages repeat a number, however long it is.
fn shortened(mut problem: String) -> String {
    if problem.len() > MAX_RESULT_BYTES {
        let whole = problem.chars().count();
        problem.truncate(problem.floor_char_boundary(MAX_RESULT_BYTES));
        // Writing to a string cannot fail.
        let _ = write!(problem, "… ({whole} characters)");
    }
    problem
}

/// Refuses what fend would not bound, or would understand in another way than models mean it.
fn check(expression: &str) -> Result<(), ToolError> {
    if expression.trim().is_empty() {
        return Err(ToolError::invalid_args("`expression` is empty"));
    }
    if expression.len() > MAX_EXPRESSION_BYTES {
        return Err(ToolError::invalid_args(format!(
            "`expression` has {} bytes, more than {MAX_EXPRESSION_BYTES}",
            expression.len()
        )));
    }
    if expression.contains("//") {
        return Err(ToolError::invalid_args(
            "`//` is no operator; for whole division write floor(a / b)",
        ));
    }
    if has_dice(expression) {
        return Err(ToolError::invalid_args(
            "dice such as 2d6 are not supported",
        ));
    }
    Ok(())
}

/// Whether there may be dice in it: a `d` and a digit, unless in a number of a base that has `d` as a digit.
fn has_dice(expression: &str) -> bool {
    let is_dice = |word: &str| {
        let bytes = word.as_bytes();
        let d_and_digit = bytes
            .windows(2)
            .any(|pair| pair[0] == b'd' && pair[1].is_ascii_digit());
        let above_ten = word.starts_with("0x")
            || word
                .split_once('#')
                .and_then(|(base, _)| base.parse::<u8>().ok())
                .is_some_and(|base| base > 13);
        d_and_digit && !above_ten
    };
    let ends_word = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '#' | '_'));
    expression.split(ends_word).any(is_dice)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn calculate(expression: &str) -> Result<String, String> {
        calculate_within(Duration::from_secs(30), expression).await
    }

    async fn calculate_within(time: Duration, expression: &str) -> Result<String, String> {
        let args = CalculatorArgs {
            expression: expression.to_owned(),
        };
        match Calculator::new(time).call(args).await {
            Ok(output) => Ok(output.text),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn it_calculates() {
        for (expression, result) in [
            ("6*7", "42"),
            ("0.1 + 0.2", "0.3"),
            ("1,234 + 1", "1235"),
            ("2^100", "1267650600228229401496703205376"),
            ("20% of 350", "70"),
            ("sqrt(2) to 3 dp", "approx. 1.414"),
            ("3 feet 2 inches to cm", "96.52 cm"),
            ("floor(17/5)", "3"),
            ("0xff to decimal", "255"),
            ("0x1d6 + 0", "0x1d6"),
            ("5 days to hours", "120 hours"),
        ] {
            assert_eq!(
                calculate(expression).await.as_deref(),
                Ok(result),
                "{expression}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_wrong_is_told() {
        for (expression, problem) in [
            (" ", "invalid arguments: `expression` is empty"),
            ("6*", "cannot calculate this: unexpected input found"),
            (
                "7 // 2",
                "invalid arguments: `//` is no operator; for whole division write floor(a / b)",
            ),
            ("1 / 0", "cannot calculate this: division by zero"),
            (
                "5 kg to m",
                "cannot calculate this: cannot convert from kg to m: units 'kilogram' and 'meter' are incompatible",
            ),
        ] {
            let told = calculate(expression).await.unwrap_err();
            assert_eq!(told, problem, "{expression}");
        }
        let long = calculate(&"1+".repeat(300)).await.unwrap_err();
        assert!(long.contains("600 bytes, more than 500"), "{long}");
    }

    #[tokio::test]
    async fn there_is_no_chance_and_no_network() {
        for dice in [
            "d6", "2d6", "roll d20", "1_000d6", "(3)d6", "0b1d1", "πd6", "1e5d6", "%d6", "9#1d6",
        ] {
            let told = calculate(dice).await.unwrap_err();
            assert!(told.contains("dice"), "{dice}: {told}");
        }
        assert!(!has_dice("0x1d6 + 16#ad1 + 2 d + 3 dp + cd"));
        assert!(
            calculate("1 USD to EUR")
                .await
                .unwrap_err()
                .contains("exchange rates")
        );
        assert!(calculate("random").await.is_err());
    }

    #[tokio::test]
    async fn it_gives_up_in_time() {
        let time = Duration::from_millis(100);
        for expression in [
            "10^10^10",
            "1000000!",
            "pi to 1000000000 dp",
            "1e999999999",
            "1 << 10^12",
        ] {
            let told = calculate_within(time, expression).await.unwrap_err();
            assert_eq!(
                told, "the calculation took longer than 100 ms",
                "{expression}"
            );
        }
    }

    #[tokio::test]
    async fn the_deepest_expressions_do_not_end_the_process() {
        for part in [
            "(", "-", "2^", "1/", "1;", "a=", "1+(", "(-", ")", "1 x", "x of ", "(1 2/3 ", "not ",
        ] {
            let deep = part.repeat((MAX_EXPRESSION_BYTES - 1) / part.len()) + "1";
            // Whatever comes of it.
            let _ = calculate_within(Duration::from_secs(2), &deep).await;
        }
        let told = calculate(r"(\x. x x)(\x. x x)").await.unwrap_err();
        assert_eq!(told, "the calculation calls functions too deeply");
    }

    #[tokio::test]
    async fn a_long_result_is_refused() {
        let told = calculate("10^20000").await.unwrap_err();
        assert_eq!(
            told,
            "the result has 20001 characters, more than 10000; ask for fewer digits"
        );
        let told = calculate("10^20000 to roman").await.unwrap_err();
        assert!(told.len() < MAX_RESULT_BYTES + 100);
    }
}
