//! How the backups of a plan go about their work.

use std::time::Duration;

use super::follow_up::FollowUpError;
use super::hook::{HookError, Hooks};
use super::id::SnapshotId;
use super::lease::STALL_LIMIT;
use super::name::Name;

/// Most patterns of what may stay unread.
pub const ACCEPT_UNREAD_MAX: usize = 100;

/// Most bytes of such a pattern: what a match costs grows with them.
pub const ACCEPT_UNREAD_BYTES_MAX: usize = 256;

/// The highest priority of a plan, and below zero the lowest one.
pub const PRIORITY_MAX: i32 = 100;

/// The shortest stall limit: what is shorter is a pause of a machine or of a network.
pub const STALL_LIMIT_MIN: Duration = Duration::from_secs(5);

/// The longest stall limit: a day, as a tape that must be fetched.
pub const STALL_LIMIT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// What holds for each backup of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupTerms {
    /// Which of two jobs that breach at the same moment goes first: the higher one. Time to breach goes before it.
    pub priority: i32,
    /// Patterns of paths that may stay unread: a snapshot that misses nothing else counts as good.
    pub accept_unread: Vec<String>,
    /// Whether a backup that finds its item as its newest snapshot has it confirms that one and publishes none.
    pub skip_if_unchanged: bool,
    /// What runs around it.
    pub hooks: Hooks,
    /// How long it may make no progress: then its agent stops it, and it has failed.
    pub stall_limit: Duration,
    /// Plans of the tenant that back up after each of its backups that ended complete or unchanged.
    pub follow_ups: Vec<Name>,
}

impl Default for BackupTerms {
    fn default() -> Self {
        Self {
            priority: 0,
            accept_unread: Vec::new(),
            skip_if_unchanged: false,
            hooks: Hooks::default(),
            stall_limit: STALL_LIMIT,
            follow_ups: Vec::new(),
        }
    }
}

/// Why the terms of a backup cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupTermsError {
    /// It is out of its range.
    #[error("{given} is not from -{PRIORITY_MAX} to {PRIORITY_MAX}")]
    Priority {
        /// What was given.
        given: i32,
    },
    /// There are too many.
    #[error("{count} patterns are more than {ACCEPT_UNREAD_MAX}")]
    Many {
        /// How many were given.
        count: usize,
    },
    /// It can match no path.
    #[error("`{pattern}` can match no path; begin it with `/` or `**`, in at most {ACCEPT_UNREAD_BYTES_MAX} bytes")]
    Pattern {
        /// Its place in the list.
        index: usize,
        /// As it was given; its beginning when it is long.
        pattern: String,
    },
    /// A hook cannot be.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// What follows cannot be.
    #[error(transparent)]
    FollowUp(#[from] FollowUpError),
    /// It is out of its range.
    #[error("{} s is not from {} s to a day", given.as_secs_f64(), STALL_LIMIT_MIN.as_secs())]
    StallLimit {
        /// What was given.
        given: Duration,
    },
}

impl BackupTermsError {
    /// Returns the name of what is wrong, as requests carry it.
    pub fn field(&self) -> String {
        match self {
            Self::Priority { .. } => "backup.priority".to_owned(),
            Self::Many { .. } => "backup.accept_unread".to_owned(),
            Self::Pattern { index, .. } => format!("backup.accept_unread[{index}]"),
            Self::FollowUp(_) => "backup.follow_ups".to_owned(),
            Self::Hook(error) => format!("backup.hooks.{}", error.field),
            Self::StallLimit { .. } => "backup.stall_limit".to_owned(),
        }
    }
}

/// Judges a priority.
///
/// # Errors
/// [`BackupTermsError::Priority`].
pub fn priority_judge(given: i32) -> Result<(), BackupTermsError> {
    if (-PRIORITY_MAX..=PRIORITY_MAX).contains(&given) { Ok(()) } else { Err(BackupTermsError::Priority { given }) }
}

/// Judges a stall limit.
///
/// # Errors
/// [`BackupTermsError::StallLimit`].
pub fn stall_limit_judge(given: Duration) -> Result<(), BackupTermsError> {
    let is_fit = (STALL_LIMIT_MIN..=STALL_LIMIT_MAX).contains(&given);
    if is_fit { Ok(()) } else { Err(BackupTermsError::StallLimit { given }) }
}

/// Judges patterns of what may stay unread: each path is absolute, so a pattern begins with `/` or with what stands for
/// anything.
///
/// # Errors
/// [`BackupTermsError`], with the place of the wrong one.
pub fn accept_unread_judge(patterns: &[String]) -> Result<(), BackupTermsError> {
    if patterns.len() > ACCEPT_UNREAD_MAX {
        return Err(BackupTermsError::Many { count: patterns.len() });
    }
    let can_match = |pattern: &str| {
        (pattern.starts_with('/') || pattern.starts_with("**")) && pattern.len() <= ACCEPT_UNREAD_BYTES_MAX
    };
    match patterns.iter().enumerate().find(|(_, pattern)| !can_match(pattern)) {
        Some((index, wrong)) => Err(BackupTermsError::Pattern { index, pattern: wrong.chars().take(80).collect() }),
        None => Ok(()),
    }
}

/// A backup found its item as a snapshot has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmation {
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// When the reading began that found it so.
    pub at: jiff::Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], expected: &str) {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        let answer = accept_unread_judge(&patterns)
            .map_or_else(|error| format!("{}: {error}", error.field()), |()| "good".to_owned());
        assert_eq!(answer, expected);
    }

    #[test]
    fn terms_are_judged_by_themselves() {
        check(&["/home/*/.cache/**", "**/*.sock"], "good");
        check(
            &["/tmp/**", "*.sock"],
            "backup.accept_unread[1]: `*.sock` can match no path; begin it with `/` or `**`, in at most 256 bytes",
        );
        check(&[""], "backup.accept_unread[0]: `` can match no path; begin it with `/` or `**`, in at most 256 bytes");
        check(&["/a"; ACCEPT_UNREAD_MAX + 1], "backup.accept_unread: 101 patterns are more than 100");
        assert_eq!((priority_judge(100), priority_judge(-100)), (Ok(()), Ok(())));
        assert!(priority_judge(i32::MIN).is_err() && priority_judge(i32::MAX).is_err());
        let seconds = |seconds| stall_limit_judge(Duration::from_secs(seconds));
        assert_eq!((seconds(5), seconds(86_400)), (Ok(()), Ok(())));
        assert_eq!(seconds(4).unwrap_err().to_string(), "4 s is not from 5 s to a day");
        assert_eq!(seconds(86_401).unwrap_err().field(), "backup.stall_limit");
        assert_eq!(priority_judge(-101).unwrap_err().to_string(), "-101 is not from -100 to 100");
    }
}
