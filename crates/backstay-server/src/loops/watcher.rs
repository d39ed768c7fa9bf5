//! Looks for what is too old or will be, and takes in what happened.

use std::sync::Arc;
use std::time::Duration;

use backstay_core::managers::context::Context;
use backstay_core::managers::follow::follow_tick;
use backstay_core::managers::monitor::monitor_tick;
use backstay_core::managers::ping::begun_tick;
use backstay_core::managers::watch::watch_tick;
use backstay_core::ports::monitor::MonitorStore;
use tokio_util::sync::CancellationToken;

/// How often it looks: a breach or a failure is told late by this at most. A look when nothing is new is four questions,
/// by index or of few rows.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks until told to end. What goes wrong with one part does not stop the others.
pub async fn run(context: Context, monitors: Arc<dyn MonitorStore>, end: CancellationToken) {
    while !end.is_cancelled() {
        watch(&context).await;
        miss(&context, &*monitors).await;
        // Before results are: what ended by now has its result told last.
        begin(&context).await;
        follow(&context).await;
        tokio::select! {
            () = end.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn watch(context: &Context) {
    match watch_tick(context).await {
        Ok(done) => {
            for (item, error) in &done.failed {
                tracing::warn!(%item, %error, "an item's age could not be looked at; it is tried again soon");
            }
            if done.told > 0 {
                tracing::info!(looked = done.looked, told = done.told, "ages of items are told");
            }
        }
        Err(error) => tracing::warn!(error = %error, "items that are too old could not be looked for"),
    }
}

/// Looks at monitors before events are followed: what is missed now is told now.
async fn miss(context: &Context, monitors: &dyn MonitorStore) {
    match monitor_tick(context, monitors).await {
        Ok(done) => {
            for (monitor, error) in &done.failed {
                tracing::warn!(%monitor, %error, "a monitor could not be looked at; it is tried again soon");
            }
            if done.told > 0 {
                tracing::info!(told = done.told, "monitors are told");
            }
        }
        Err(error) => tracing::warn!(error = %error, "monitors could not be looked at"),
    }
}

async fn begin(context: &Context) {
    if let Err(error) = begun_tick(context).await {
        tracing::warn!(error = %error, "backups that began could not be looked for");
    }
}

async fn follow(context: &Context) {
    match follow_tick(context).await {
        Ok(done) => {
            for (tenant, error) in &done.failed {
                tracing::warn!(%tenant, %error, "a tenant's events could not be taken in; it is tried again soon");
            }
            if done.told > 0 {
                tracing::info!(events = done.events, told = done.told, "events are told");
            }
        }
        Err(error) => tracing::warn!(error = %error, "new events could not be looked for"),
    }
}
