//! What plans say of when, how long and how: schedules, rules of retention, hooks.
//!
//! A rule of retention that is not here takes the others with it: fewer rules keep fewer snapshots, and what is gone stays
//! gone. A hook that may hold a secret is told and not written.

use backstay_core::domain::hook::HOOK_BYTES_MAX;
use serde_json::{Value, json};

use super::Weight;
use super::draft::Draft;
use super::keys::Line;
use crate::mistake::{Place, is_secret_key};
use crate::row::Record;
use crate::shape::Shape;

/// Longest time of a hook that came without a limit: the programs it comes from have none.
const HOOK_LIMIT_MS: u64 = 24 * 3_600_000;

/// What is in words of a command that may hold a secret: a URL's path often is one.
const TELLTALES: [&str; 10] =
    ["://", "passw", "pass=", "token", "secret", "api_key", "api-key", "apikey", "authorization", "bearer"];

/// Says whether a text may hold a secret. It says so too often rather than too seldom.
pub(super) fn may_hold_secret(text: &str) -> bool {
    let low = text.to_lowercase();
    let is_option = |word: &str| {
        word == "-u" || word == "-H" || word.starts_with("-p") && word.len() > 2 && !word.starts_with("-p/")
    };
    let is_said = |word: &str| word.split_once('=').is_some_and(|(key, _)| is_secret_key(key) || key.ends_with("KEY"));
    TELLTALES.iter().any(|word| low.contains(word))
        || text.split_whitespace().any(|word| is_option(word) || is_said(word))
}

/// What plans of one origin share.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Terms {
    pub(super) schedule: Record,
    pub(super) retention: Record,
    pub(super) backup: Record,
    /// A rule of retention cannot be said here, so no rule is.
    pub(super) keeps_all: bool,
}

impl Terms {
    /// Returns what is said, by key.
    pub(super) fn record(&self) -> Record {
        let none = Record::new();
        let retention = if self.keeps_all { &none } else { &self.retention };
        let said = [("schedule", &self.schedule), ("retention", retention), ("backup", &self.backup)];
        let said = said.into_iter().filter(|(_, said)| !said.is_empty());
        said.map(|(key, said)| (key.to_owned(), Value::Object(said.clone()))).collect()
    }
}

/// Commands around a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HookLines {
    pub(super) before: Vec<Line>,
    pub(super) after: Vec<Line>,
    pub(super) after_failure: Vec<Line>,
}

impl Draft<'_> {
    /// Says in a schedule when; one that is none is told.
    pub(super) fn cron(&mut self, terms: &mut Terms, at: Place, cron: &str, zone: &str) {
        match Shape::Cron.scalar(cron) {
            Ok(cron) => {
                terms.schedule.insert("cron".to_owned(), cron);
                if zone != "UTC" {
                    terms.schedule.insert("time_zone".to_owned(), zone.into());
                }
            }
            Err(wrong) => self.no_schedule(at, &wrong.message),
        }
    }

    /// Tells that a schedule cannot be said here.
    pub(super) fn no_schedule(&mut self, at: Place, why: &str) {
        let told = format!("the schedule is not carried over: {why}");
        self.note(
            Weight::Lost,
            at,
            told,
            "The plan runs by request alone until it says `schedule: {cron: …}` or `{every: …}`.",
        );
    }

    /// Takes in a rule of retention; none for zero, which keeps nothing. What is no number here keeps all.
    pub(super) fn rule(&mut self, terms: &mut Terms, ours: &str, line: &Line) {
        let is_stretch = ours.starts_with("keep_within");
        let shape = if is_stretch { Shape::Stretch } else { Shape::Count };
        match shape.scalar(&line.text) {
            Ok(count) if count == 0 => {}
            Ok(said) => drop(terms.retention.insert(ours.to_owned(), said)),
            Err(wrong) => self.keep_all(terms, line.at, &format!("{ours}: {}", wrong.message)),
        }
    }

    /// Leaves the whole retention out, and says why.
    pub(super) fn keep_all(&mut self, terms: &mut Terms, at: Place, what: &str) {
        terms.keeps_all = true;
        let told =
            format!("{what}: this rule is not here, so none of the rules beside it is carried over: all is kept");
        self.note(Weight::Lost, at, told, "Say `retention:` by hand when you know what may go.");
    }

    /// Puts commands into the terms of plans. One that may hold a secret stays out.
    pub(super) fn hooks(&mut self, terms: &mut Terms, lines: &HookLines) {
        let moments = [("before", &lines.before), ("after", &lines.after), ("after_failure", &lines.after_failure)];
        let mut hooks = Record::new();
        for (moment, lines) in moments {
            if let Some(command) = self.command(moment, lines) {
                hooks.insert(moment.to_owned(), json!({ "command": command, "time_limit": HOOK_LIMIT_MS }));
            }
        }
        if !hooks.is_empty() {
            terms.backup.insert("hooks".to_owned(), Value::Object(hooks));
        }
    }

    /// Returns the command of a hook; none when there is none, or when one of the lines stays out.
    fn command(&mut self, moment: &str, lines: &[Line]) -> Option<Value> {
        let first = lines.first()?;
        let script = match lines {
            [one] => one.text.clone(),
            _ => lines.iter().fold("set -e".to_owned(), |script, line| format!("{script}\n{}", line.text)),
        };
        let why = if lines.iter().any(|line| may_hold_secret(&line.text)) {
            "may hold a secret (a URL, a password, a token), and everybody who sees a plan sees its hooks"
        } else if script.contains("{{") || script.contains("{repository}") || script.contains("{error}") {
            "uses words of that program, which nobody fills in here"
        } else if script.len() + 16 > HOOK_BYTES_MAX {
            "is too long for a hook"
        } else {
            let told = format!("hook `{moment}`: runs for each plan, where `agent.commands` is on, and may take a day");
            self.note(Weight::Otherwise, first.at, told, "Read it through: everybody who sees the plan sees it.");
            return Some(json!(["sh", "-c", script]));
        };
        let hint = format!(
            "Put it into a script that others may not read, and name that: `hooks: {{{moment}: {{command: [/path]}}}}`."
        );
        self.note(Weight::Lost, first.at, format!("hook `{moment}` is not carried over: it {why}"), hint);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_a_secret_is_seen() {
        for text in [
            "curl https://hc.example/uuid",
            "mysqldump -phunter2 shop",
            "PGPASSWORD=x pg_dump",
            "AWS_SECRET_ACCESS_KEY=x y",
            "curl -u me:hunter2 host",
            "notify --token abc",
            "B2_ACCOUNT_KEY=x y",
        ] {
            assert!(may_hold_secret(text), "{text}");
        }
        for text in ["systemctl stop app", "mkdir -p /srv/x", "/usr/local/bin/freeze /srv", "docker compose pause"] {
            assert!(!may_hold_secret(text), "{text}");
        }
    }
}
