//! Whether a failed job is tried again, and when.
//!
//! The error's disposition says whether trying again can help at all; its class says how patiently. Failures are counted
//! in a row for each class: another class begins a new row, and [`ATTEMPTS_MAX`] ends them all.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::disposition::Disposition;
use super::id::{JobId, MessageId};
use super::job::FailureClass;

/// Failures of one class in a row before a job is parked, where nothing else is said: a night of tries, then a person.
pub const FAILURES_BEFORE_PARKED: u32 = 8;

/// Attempts without a result, of whatever classes, after which a job is parked: classes that take turns end too.
pub const ATTEMPTS_MAX: u32 = 3 * FAILURES_BEFORE_PARKED;

/// Failures of one class in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streak {
    /// The class of the newest failure.
    pub class: FailureClass,
    /// How many of it in a row.
    pub count: u32,
    /// How many attempts in a row had no result, of whatever class.
    pub attempts: u32,
}

impl Streak {
    /// Returns the row after one more failure.
    pub fn after(previous: Option<Self>, class: FailureClass) -> Self {
        let same = previous.filter(|previous| previous.class == class).map_or(0, |previous| previous.count);
        let attempts = previous.map_or(0, |previous| previous.attempts);
        Self { class, count: same.saturating_add(1), attempts: attempts.saturating_add(1) }
    }
}

/// How patiently failures of one class are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The wait after the first failure; it doubles with each.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Failures in a row before the job is parked.
    pub failures_max: u32,
}

/// Returns how patiently failures of a class are met.
pub const fn patience(class: FailureClass) -> Patience {
    let (first, longest, failures_max) = match class {
        // The agent's end says little about the work: at once, then soon, on another agent. What kills agents is parked
        // early.
        FailureClass::AgentLost => (5, 300, 5),
        // A network or a server that restarts: a night of tries.
        FailureClass::Storage | FailureClass::Source | FailureClass::Target => (15, 3_600, FAILURES_BEFORE_PARKED),
        // Somebody must make room; a prune may.
        FailureClass::StorageFull => (900, 4 * 3_600, FAILURES_BEFORE_PARKED),
        // These seldom pass: an answer that was cut, a file that is being replaced.
        FailureClass::Repository | FailureClass::RepositoryMissing | FailureClass::Password => (300, 3_600, 3),
        FailureClass::Internal => (60, 3_600, 3),
        // Each try takes its stall limit: what hangs three times will hang again.
        FailureClass::Stalled => (60, 3_600, 3),
        // Nobody asks for another try: a hook that failed is mended by a person.
        FailureClass::Hook => (300, 3_600, 3),
        // A person raises it, or a prune makes room: the next occurrence asks again.
        FailureClass::Quota => (3_600, 3_600, 1),
    };
    Patience { first: Duration::from_secs(first), longest: Duration::from_secs(longest), failures_max }
}

/// Returns how patiently a message is brought that its channel did not take.
///
/// Where time helps: two days of tries, so that a weekend's mail still arrives. Where a person must help: half a day.
pub const fn delivery_patience(disposition: Disposition) -> Patience {
    let (first, longest, failures_max) = match disposition {
        Disposition::Retry { .. } => (15, 3_600, 55),
        Disposition::Partial | Disposition::Operator => (300, 3_600, 15),
    };
    Patience { first: Duration::from_secs(first), longest: Duration::from_secs(longest), failures_max }
}

/// Returns when a message is tried again after so many failed tries; none when it is given up.
pub fn after_delivery(message: MessageId, disposition: Disposition, tries: u32) -> Option<Duration> {
    let patience = delivery_patience(disposition);
    let after = match disposition {
        Disposition::Retry { after } => after,
        Disposition::Partial | Disposition::Operator => Duration::ZERO,
    };
    (tries < patience.failures_max).then(|| {
        let wait = wait(patience, tries).max(after);
        wait.saturating_add(wait.mul_f64(share(message.uuid(), tries) / 4.0))
    })
}

/// Returns the wait after so many failures in a row: it doubles with each.
fn wait(patience: Patience, failures: u32) -> Duration {
    patience.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(patience.longest)
}

/// Where a failed attempt leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Try again after this time.
    Wait(Duration),
    /// Trying again cannot help.
    Fail,
    /// It was tried often enough.
    Park,
}

/// Returns where a failed attempt leads. The wait is never shorter than what the error asks for, and up to a quarter
/// longer by a share that follows from the job and the attempt, so that a thousand jobs do not come back at once.
pub fn after_attempt(job: JobId, disposition: Disposition, streak: Streak) -> AfterFailure {
    let Disposition::Retry { after } = disposition else { return AfterFailure::Fail };
    let patience = patience(streak.class);
    if streak.count >= patience.failures_max || streak.attempts >= ATTEMPTS_MAX {
        return AfterFailure::Park;
    }
    // The first lost agent says nothing at all: its machine was switched off, or a newer version took its place.
    let wait = match streak {
        Streak { class: FailureClass::AgentLost, count: 1, .. } => after,
        Streak { count, .. } => wait(patience, count).max(after),
    };
    let spread = wait.mul_f64(share(job.uuid(), streak.attempts) / 4.0);
    // Rows have microseconds: what is answered is what is kept.
    AfterFailure::Wait(wait.saturating_add(Duration::from_millis(spread.as_millis() as u64)))
}

/// Returns a number from 0 to below 1 that follows from an id and the attempt.
fn share(id: uuid::Uuid, attempt: u32) -> f64 {
    let hash = Sha256::new().chain_update(id.as_bytes()).chain_update(attempt.to_be_bytes()).finalize();
    f64::from(u16::from_be_bytes([hash[0], hash[1]])) / 65_536.0
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn job(number: u8) -> JobId {
        JobId::new(Timestamp::UNIX_EPOCH, [number; 10])
    }

    /// Failures in a row, `storage*3 agent_lost`, and where the last one leads.
    fn check(failures: &str, disposition: Disposition, expected: &str) {
        let mut streak = None;
        for word in failures.split_whitespace() {
            let (class, count) = word.split_once('*').unwrap_or((word, "1"));
            for _ in 0..count.parse().unwrap() {
                streak = Some(Streak::after(streak, FailureClass::from_word(class).unwrap()));
            }
        }
        let answer = after_attempt(job(1), disposition, streak.unwrap());
        if let (AfterFailure::Wait(wait), Some(seconds)) = (answer, expected.strip_prefix("wait ")) {
            let least = Duration::from_secs(seconds.parse().unwrap());
            assert!(wait >= least && wait <= least.mul_f64(1.25), "{failures}: {wait:?}");
            return;
        }
        assert_eq!(format!("{answer:?}"), expected, "{failures}");
    }

    #[test]
    fn where_failures_lead() {
        let soon = Disposition::Retry { after: Duration::ZERO };
        check("storage", soon, "wait 15");
        check("storage*3", soon, "wait 60");
        check("storage*7", soon, "wait 960");
        check("storage*8", soon, "Park");
        check("storage*7 agent_lost", soon, "wait 0");
        check("agent_lost*2", soon, "wait 10");
        check("agent_lost*5", soon, "Park");
        check("internal*3", soon, "Park");
        check("storage_full", soon, "wait 900");
        check("storage", Disposition::Retry { after: Duration::from_secs(7_200) }, "wait 7200");
        check("storage", Disposition::Operator, "Fail");
        check("storage", Disposition::Partial, "Fail");
        let turns = "storage agent_lost ".repeat(12);
        check(&turns, soon, "Park");
    }

    #[test]
    fn a_message_is_brought_for_days_and_then_given_up() {
        let id = MessageId::from_uuid(job(1).uuid());
        let total = |disposition| {
            let waits: Vec<Duration> = (1..).map_while(|tries| after_delivery(id, disposition, tries)).collect();
            (waits[0].as_secs(), waits.iter().sum::<Duration>().as_secs() / 3_600)
        };
        let (first, hours) = total(Disposition::Retry { after: Duration::ZERO });
        assert!((15..20).contains(&first) && (46..60).contains(&hours), "{first} s, {hours} h");
        let (first, hours) = total(Disposition::Operator);
        assert!((300..376).contains(&first) && (10..15).contains(&hours), "{first} s, {hours} h");
    }

    #[test]
    fn jobs_come_back_one_by_one() {
        let soon = Disposition::Retry { after: Duration::ZERO };
        let streak = Streak::after(None, FailureClass::StorageFull);
        let waits: std::collections::HashSet<_> =
            (0..100).map(|number| format!("{:?}", after_attempt(job(number), soon, streak))).collect();
        assert!(waits.len() > 90, "{}", waits.len());
    }

    proptest! {
        #[test]
        fn every_row_of_failures_ends(classes in prop::collection::vec(prop::sample::select(FailureClass::ALL), 24..40), after in 0u64..10_000) {
            let mut streak = None;
            let mut parked = false;
            for class in classes {
                let next = Streak::after(streak, class);
                match after_attempt(job(1), Disposition::Retry { after: Duration::from_secs(after) }, next) {
                    AfterFailure::Park => parked = true,
                    AfterFailure::Wait(wait) => {
                        let is_first_lost = class == FailureClass::AgentLost && next.count == 1;
                        let least = if is_first_lost { Duration::ZERO } else { patience(class).first };
                        prop_assert!(wait >= least.max(Duration::from_secs(after)));
                    }
                    AfterFailure::Fail => prop_assert!(false, "what may pass is not given up"),
                }
                streak = Some(next);
            }
            prop_assert!(parked);
        }
    }
}
