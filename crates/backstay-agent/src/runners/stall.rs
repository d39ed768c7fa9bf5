//! Stops work that makes no progress: what hangs for good would hold its lease for good.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use backstay_engine::EngineProgress;

use super::{RunError, Runner};

/// How often the progress of work is looked at, at the most: a tenth of the shortest stall limit.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long work that was told to stop is waited for: longer than the second in which it stops unless the system itself holds
/// it, in a read of a server that is gone. Then it is left alone: it holds no lease any more, and publishes nothing.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// What moves when work moves.
type Counters = (u64, u64, u64, u64, u64, bool, bool);

fn counters(progress: &EngineProgress) -> Counters {
    (
        progress.files_done.load(Relaxed),
        progress.bytes_done.load(Relaxed),
        progress.looked.load(Relaxed),
        progress.packs_sent.load(Relaxed),
        progress.unread.load(Relaxed),
        progress.totals().is_some(),
        progress.publishing.load(Relaxed),
    )
}

/// Does work, as long as it makes progress within `limit` again and again.
///
/// # Errors
/// The work's own, and [`RunError::Stalled`].
pub(super) async fn within<T>(
    runner: &Runner,
    limit: Duration,
    work: impl Future<Output = Result<T, RunError>>,
) -> Result<T, RunError> {
    tokio::pin!(work);
    tokio::select! {
        ended = &mut work => return ended,
        () = stalled(&runner.progress, limit) => {}
    }
    runner.interrupt.raise();
    match tokio::time::timeout(STOP_WAIT, work).await {
        // It came to its end in the very last moment.
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) | Err(_) => Err(RunError::Stalled { limit }),
    }
}

/// Ends when nothing moved for `limit`.
async fn stalled(progress: &EngineProgress, limit: Duration) {
    let (mut seen, mut moved_at) = (counters(progress), Instant::now());
    while moved_at.elapsed() < limit {
        tokio::time::sleep(LOOK_EVERY.min(limit)).await;
        let now = counters(progress);
        if now != seen {
            (seen, moved_at) = (now, Instant::now());
        }
    }
}
