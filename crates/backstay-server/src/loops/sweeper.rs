//! Deletes rows of what is over long enough.

use std::sync::Arc;
use std::time::Duration;

use backstay_core::managers::context::Context;
use backstay_core::managers::sweep::sweep_tick;
use backstay_core::ports::sweep::SweepStore;
use tokio_util::sync::CancellationToken;

/// How often it looks. What is over a day longer than asked for is nobody's harm.
pub const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

/// How long after its start it looks first: a server that starts has better things to do.
pub const SWEEP_FIRST: Duration = Duration::from_secs(300);

/// Sweeps until told to end; history is kept for `history`.
pub async fn run(context: Context, store: Arc<dyn SweepStore>, history: Duration, end: CancellationToken) {
    let mut wait = SWEEP_FIRST;
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = SWEEP_EVERY;
        let swept = tokio::select! {
            () = end.cancelled() => return,
            swept = sweep_tick(&context, &*store, history) => swept,
        };
        match swept {
            Ok(done) => {
                for (what, count) in &done.swept {
                    tracing::info!(what = what.word(), count, "rows of what is over are deleted");
                }
                for (what, error) in &done.failed {
                    tracing::warn!(what = what.word(), %error, "rows of what is over stay; it is tried again");
                }
            }
            Err(error) => tracing::warn!(error = %error, "what is over could not be looked for"),
        }
    }
}
