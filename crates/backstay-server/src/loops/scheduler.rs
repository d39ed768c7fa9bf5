//! Starts what is due by schedule, prunes and verifies by budget among it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backstay_core::managers::context::Context;
use backstay_core::managers::proof::proof_tick;
use backstay_core::managers::retention::upkeep_tick;
use backstay_core::managers::schedule::{clock_watch, tick};
use backstay_core::ports::schedule::ClockLook;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Loop, Turns};

/// How often it looks: a start is late by this at most. A look when nothing is due is three questions by index.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks until told to end; wakes the agent in the same process when there is work.
pub async fn run(context: Context, wake: Arc<Notify>, turns: Arc<Turns>, end: CancellationToken) {
    let mut before: Option<(ClockLook, Instant)> = None;
    while !end.is_cancelled() {
        turns.turned(Loop::Scheduler);
        if let Err(error) = look(&context, &wake, &mut before).await {
            tracing::warn!(error = %error, "what is due could not be looked for");
        }
        tokio::select! {
            () = end.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn look(
    context: &Context,
    wake: &Notify,
    before: &mut Option<(ClockLook, Instant)>,
) -> Result<(), backstay_core::ports::store::StoreError> {
    // Before the question: an answer that was held up must not look like a clock that went back.
    let asked = Instant::now();
    let last = before.map(|(then, steady)| (then, asked.saturating_duration_since(steady)));
    let (seen, moved) = clock_watch(context, last).await?;
    if let Some(rows) = moved {
        let now = seen.now;
        tracing::warn!(rows, %now, "the store's clock went back: what it had dated in the future is due earlier");
    }
    // Not before all is written: what failed is done at the next look.
    *before = Some((seen, Instant::now()));
    let done = tick(context).await?;
    for (plan, error) in &done.failed {
        tracing::warn!(%plan, %error, "a plan that is due could not be worked on; it is tried again soon");
    }
    if done.started + done.skipped > 0 {
        tracing::info!(started = done.started, skipped = done.skipped, "occurrences became jobs");
        wake.notify_one();
    }
    // After the plans: what is wrong with upkeep must not keep a backup from its start.
    let kept = upkeep_tick(context).await?;
    for (repository, error) in &kept.failed {
        tracing::warn!(%repository, %error, "a repository could not be looked at for its prune; it is tried again soon");
    }
    if kept.started > 0 {
        tracing::info!(started = kept.started, "repositories are pruned");
        wake.notify_one();
    }
    let proven = proof_tick(context).await?;
    for (repository, error) in &proven.failed {
        tracing::warn!(%repository, %error, "a repository could not be looked at for its proof; it is tried again soon");
    }
    if proven.started > 0 {
        tracing::info!(started = proven.started, "slices of repositories are proved");
        wake.notify_one();
    }
    Ok(())
}
