//! Puts jobs back whose leases ended without a word, and wakes those whose waiting is over.

use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::lease::STALL_LIMIT;
use backstay_core::managers::context::Context;
use backstay_core::managers::rescue::rescue;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Loop, Turns};
use crate::tally::Tally;

/// How often it looks: a lost job runs again within a lease's time and this.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks until told to end; wakes the agent in the same process when there is work again.
pub async fn run(context: Context, tally: Arc<Tally>, wake: Arc<Notify>, turns: Arc<Turns>, end: CancellationToken) {
    while !end.is_cancelled() {
        turns.turned(Loop::Rescuer);
        match rescue(&context, STALL_LIMIT).await {
            Ok(done) if done.lost + done.woken > 0 => {
                tracing::info!(lost = done.lost, woken = done.woken, "jobs are back in the queue");
                tally.lost(done.lost);
                wake.notify_one();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %error, "lost leases could not be looked for"),
        }
        tokio::select! {
            () = end.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
