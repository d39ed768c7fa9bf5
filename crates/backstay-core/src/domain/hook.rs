//! Commands that an agent runs around a backup: before anything is read, after its snapshot, after its failure.
//!
//! ```text
//!  before ──> read, publish ──> after ──────────> succeeded (a failing `after` is a warning)
//!     └─────────────┴──> after_failure ──> failed, cancelled or given back
//! ```
//!
//! They belong to the plan, run as the agent's user, and only where the agent's owner lets commands run.

use std::time::Duration;

use super::digest::time_words;

/// How long a hook may take when nobody says it: freezing, dumping and mounting take seconds to minutes.
pub const HOOK_TIME_LIMIT: Duration = Duration::from_secs(10 * 60);

/// The longest limit that a hook may have: a day, as the longest of dumps.
pub const HOOK_TIME_LIMIT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Most bytes of a hook's command: what is longer is a script, and belongs into a file.
pub const HOOK_BYTES_MAX: usize = 4_096;

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HookMoment {
    /// Before the source is opened. When it fails, nothing is read.
    Before,
    /// After a snapshot was published or confirmed, while the lease still holds.
    After,
    /// After an attempt that ended without a snapshot.
    AfterFailure,
}

super::job::words!(HookMoment: Before = "before", After = "after", AfterFailure = "after_failure");

/// A command and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The program and its arguments; no shell reads them unless it is named. Never a secret.
    pub command: Vec<String>,
    /// It is ended when it takes longer, and has failed then; none for [`HOOK_TIME_LIMIT`].
    pub time_limit: Option<Duration>,
}

/// The hooks of a plan; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Runs before the source is opened.
    pub before: Option<Hook>,
    /// Runs after a snapshot.
    pub after: Option<Hook>,
    /// Runs after an attempt without one.
    pub after_failure: Option<Hook>,
}

/// Why a hook cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct HookError {
    /// Its moment and what of it is wrong, as in `before.command`.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl Hooks {
    /// Returns the hook of a moment.
    pub const fn at(&self, moment: HookMoment) -> Option<&Hook> {
        match moment {
            HookMoment::Before => self.before.as_ref(),
            HookMoment::After => self.after.as_ref(),
            HookMoment::AfterFailure => self.after_failure.as_ref(),
        }
    }

    /// Says whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Judges them.
    ///
    /// # Errors
    /// Names the first that is wrong.
    pub fn judge(&self) -> Result<(), HookError> {
        let mut all = HookMoment::ALL.iter().filter_map(|moment| Some((moment, self.at(*moment)?)));
        all.try_for_each(|(moment, hook)| hook.judge(moment.word()))
    }

    /// Returns them in words, for a person.
    pub fn words(&self) -> String {
        let said = HookMoment::ALL.iter().filter_map(|moment| {
            let hook = self.at(*moment)?;
            Some(format!("{}: {} (at most {})", moment.word(), hook.command.join(" "), time_words(hook.limit())))
        });
        let said: Vec<String> = said.collect();
        if said.is_empty() { "none".to_owned() } else { said.join("; ") }
    }
}

impl Hook {
    /// Returns how long it may take.
    pub fn limit(&self) -> Duration {
        self.time_limit.unwrap_or(HOOK_TIME_LIMIT)
    }

    fn judge(&self, moment: &str) -> Result<(), HookError> {
        let wrong = |field: &str, problem: String| Err(HookError { field: format!("{moment}.{field}"), problem });
        if self.command.first().is_none_or(String::is_empty) {
            return wrong(
                "command",
                "is a program and its arguments, such as [/usr/local/bin/freeze, /srv]".to_owned(),
            );
        }
        if self.command.iter().any(|word| word.contains('\0')) {
            return wrong("command", "holds a zero byte, which no program can be given".to_owned());
        }
        if self.command.iter().map(|word| word.len() + 1).sum::<usize>() > HOOK_BYTES_MAX {
            return wrong("command", format!("is longer than {HOOK_BYTES_MAX} bytes; put it into a script"));
        }
        if !(Duration::from_secs(1)..=HOOK_TIME_LIMIT_MAX).contains(&self.limit()) {
            return wrong("time_limit", "is from 1s to 1d".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &[&str], seconds: u64, expected: &str) {
        let command = command.iter().map(ToString::to_string).collect();
        let hook = Hook { command, time_limit: Some(Duration::from_secs(seconds)) };
        let hooks = Hooks { after: Some(hook), ..Hooks::default() };
        let answer = hooks.judge().map_or_else(|error| format!("{} {error}", error.field), |()| hooks.words());
        assert_eq!(answer, expected);
    }

    #[test]
    fn hooks_are_judged_by_themselves() {
        let needs = "after.command is a program and its arguments, such as [/usr/local/bin/freeze, /srv]";
        check(&["umount", "/mnt"], 600, "after: umount /mnt (at most 10m)");
        check(&[], 600, needs);
        check(&["", "x"], 600, needs);
        check(&["a\0b"], 600, "after.command holds a zero byte, which no program can be given");
        check(&["a", &"x".repeat(4_096)], 1, "after.command is longer than 4096 bytes; put it into a script");
        check(&["a"], 0, "after.time_limit is from 1s to 1d");
        check(&["a"], 86_401, "after.time_limit is from 1s to 1d");
        assert_eq!((Hooks::default().judge(), Hooks::default().words().as_str()), (Ok(()), "none"));
    }
}
