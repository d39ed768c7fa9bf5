//! How the backups of a plan go about their work.

use super::id::SnapshotId;

/// Most patterns of what may stay unread.
pub const ACCEPT_UNREAD_MAX: usize = 100;

/// Most bytes of such a pattern: what a match costs grows with them.
pub const ACCEPT_UNREAD_BYTES_MAX: usize = 256;

/// The highest priority of a plan, and below zero the lowest one.
pub const PRIORITY_MAX: i32 = 100;

/// What holds for each backup of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupTerms {
    /// Which of two jobs that breach at the same moment goes first: the higher one. Time to breach goes before it.
    pub priority: i32,
    /// Patterns of paths that may stay unread: a snapshot that misses nothing else counts as good.
    pub accept_unread: Vec<String>,
    /// Whether a backup that finds its item as its newest snapshot has it confirms that one and publishes none.
    pub skip_if_unchanged: bool,
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
}

impl BackupTermsError {
    /// Returns the name of what is wrong, as requests carry it.
    pub fn field(&self) -> String {
        match self {
            Self::Priority { .. } => "backup.priority".to_owned(),
            Self::Many { .. } => "backup.accept_unread".to_owned(),
            Self::Pattern { index, .. } => format!("backup.accept_unread[{index}]"),
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
        assert_eq!(priority_judge(-101).unwrap_err().to_string(), "-101 is not from -100 to 100");
    }
}
