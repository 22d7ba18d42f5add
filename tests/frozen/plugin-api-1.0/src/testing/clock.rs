//! The clock of a test.

use tokio::runtime::Builder;

/// Runs a test on a clock of its own, which jumps to the next timer whenever everything waits. Work on
/// [`spawn_blocking`](tokio::task::spawn_blocking) is waited for.
///
/// # Panics
///
/// The test panics, or is in an asynchronous one already: there, `#[tokio::test(start_paused = true)]` does the same.
pub fn block_on<F: Future>(test: F) -> F::Output {
    run(Builder::new_current_thread().start_paused(true), test)
}

/// Runs a test by the clock on the wall, for one that waits for sockets, files or processes.
///
/// # Panics
///
/// As [`block_on`].
pub fn block_on_real_time<F: Future>(test: F) -> F::Output {
    run(&mut Builder::new_current_thread(), test)
}

fn run<F: Future>(builder: &mut Builder, test: F) -> F::Output {
    match builder.enable_all().build() {
        Ok(runtime) => runtime.block_on(test),
        Err(error) => panic!("the test's runtime does not start: {error}"),
    }
}
