//! How long rows are kept of what is over.

use std::time::Duration;

use jiff::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);

/// How long history is kept unless somebody says otherwise: a year, and time to compare a month with the same one before.
pub const HISTORY_DEFAULT: Duration = Duration::from_secs(400 * 86_400);

/// The least that history is kept, whatever is asked: an occurrence has one job for ever because its row is there, and no
/// schedule looks further back than a month.
pub const HISTORY_MIN: Duration = Duration::from_secs(62 * 86_400);

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sweepable {
    /// Jobs that ended, with their attempts.
    Jobs,
    /// Events that were told, from the beginning of their tenant's chain.
    Events,
    /// Rows of snapshots that were forgotten.
    Snapshots,
    /// Messages that were sent or given up.
    Messages,
    /// Alerts that ended.
    Alerts,
    /// Answers that are remembered for requests that come twice.
    Answers,
    /// Agents whose heartbeat ended and that hold nothing.
    Agents,
}

super::job::words!(Sweepable: Jobs = "jobs", Events = "events", Snapshots = "snapshots", Messages = "messages",
    Alerts = "alerts", Answers = "answers", Agents = "agents");

/// Returns how long rows of a kind stay after they are over, when history is kept for `history`.
pub fn kept_for(what: Sweepable, history: Duration) -> Duration {
    match what {
        Sweepable::Jobs | Sweepable::Events | Sweepable::Snapshots => history.max(HISTORY_MIN),
        // Long enough to find out that a mail did not arrive.
        Sweepable::Messages => DAY * 30,
        Sweepable::Alerts => DAY * 90,
        Sweepable::Answers => DAY * 2,
        Sweepable::Agents => DAY * 7,
    }
}

/// Returns the moment before which rows of a kind go.
pub fn cut(what: Sweepable, history: Duration, now: Timestamp) -> Timestamp {
    now.saturating_sub(kept_for(what, history)).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_never_cut_short() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(cut(Sweepable::Jobs, DAY, now), now.checked_sub(DAY * 62).unwrap());
        assert_eq!(cut(Sweepable::Events, HISTORY_DEFAULT, now), now.checked_sub(DAY * 400).unwrap());
        assert_eq!(cut(Sweepable::Messages, HISTORY_DEFAULT, now), now.checked_sub(DAY * 30).unwrap());
        assert_eq!(cut(Sweepable::Snapshots, Duration::MAX, now), Timestamp::MIN);
    }
}
