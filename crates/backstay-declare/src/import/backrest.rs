//! Backrest's `config.json`: repositories and plans. Repositories are restic's, and stay.
//!
//! Facts: Backrest's own description of its file (`proto/v1/config.proto`). Enumerations are written by their names, what is
//! nothing or zero is left out.

use super::Weight;
use super::draft::{Draft, Password, ResticRepository, SourceName};
use super::keys::{Keys, Known, Line};
use super::terms::{HookLines, Terms};
use crate::mistake::{Place, shown};
use crate::row::Record;
use crate::yaml::Node;

/// Keys at the top that mean nothing here.
const TOP: &[Known] = &[
    ("auth", "Backrest's users open its pages; here `backstay token create` makes who may speak to the server."),
    ("ui", "Settings of its pages."),
    ("multihost", "Agents on several machines: docs/explanation/fleet.md."),
    ("sync", "Agents on several machines: docs/explanation/fleet.md."),
];

/// Keys of a repository that mean nothing here.
const REPOSITORY: &[Known] = &[
    (
        "autoUnlock",
        "Nothing to do: locks of dead jobs are taken away by themselves, those of restic after half an hour.",
    ),
    ("autoInitialize", "Nothing to do: a repository is made by its first backup."),
    ("commandPrefix", "Give the unit of Backstay `Nice=` and `IOSchedulingClass=` (systemctl edit backstay)."),
    ("prunePolicy", "Nothing to do: each repository is looked at once a day and pruned when something goes."),
    (
        "checkPolicy",
        "Every pack is read back within 30 days by itself; `verify_within: 14d` of the repository says another time.",
    ),
    ("originalId", "It is the name of a remote repository of its own."),
    ("shared", "Agents on several machines: docs/explanation/fleet.md."),
];

/// Moments of a backup that hooks are for, and the hook here; the other moments of Backrest have none.
const MOMENTS: [(&str, Moment); 5] = [
    ("CONDITION_SNAPSHOT_START", Moment::Before),
    ("CONDITION_SNAPSHOT_END", Moment::Ended),
    ("CONDITION_SNAPSHOT_SUCCESS", Moment::After),
    ("CONDITION_SNAPSHOT_ERROR", Moment::Failed),
    ("CONDITION_ANY_ERROR", Moment::Failed),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    After,
    Failed,
    Ended,
}

/// Variables of an S3 server's key.
const S3_KEY: [&str; 2] = ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"];

/// What is known of a repository for its plans.
struct Repo {
    id: String,
    given: ResticRepository,
    hooks: HookLines,
    pings: Vec<Place>,
}

/// Reads the file.
pub(super) fn read(draft: &mut Draft<'_>, node: &Node) {
    let mut top = Keys::of(draft, "", node);
    let repos: Vec<Repo> = top.each(draft, "repos").into_iter().filter_map(|keys| repository(draft, keys)).collect();
    for keys in top.each(draft, "plans") {
        plan(draft, keys, &repos);
    }
    for key in ["modno", "version", "instance"] {
        top.take(key);
    }
    top.rest(draft, TOP);
}

fn repository(draft: &mut Draft<'_>, mut keys: Keys<'_>) -> Option<Repo> {
    let id = keys.text(draft, "id").map_or_else(|| "repository".to_owned(), |line| line.text);
    let at = keys.at;
    keys.take("guid");
    let location = keys.text(draft, "uri");
    let password = keys.text(draft, "password").filter(|line| !line.text.is_empty()).map(|line| line.at);
    let mut given = ResticRepository {
        name: id.clone(),
        location: location.clone().unwrap_or(Line { text: String::new(), at }),
        password: password.map_or(Password::Unsaid, Password::Here),
        region: None,
        key_at: None,
    };
    for line in keys.texts(draft, "env") {
        variable(draft, &line, &mut given);
    }
    for flag in keys.texts(draft, "flags") {
        self::flag(draft, "flags", &flag, &mut given);
    }
    let (mut hooks, mut pings) = (HookLines::default(), Vec::new());
    for keys in keys.each(draft, "hooks") {
        hook(draft, keys, &mut hooks, &mut pings);
    }
    keys.rest(draft, REPOSITORY);
    if location.is_none() {
        draft.note(Weight::Lost, at, format!("repository {id} has no `uri`"), "Declare it by hand.");
        return None;
    }
    Some(Repo { id, given, hooks, pings })
}

/// Takes in a variable of a repository's environment.
pub(super) fn variable(draft: &mut Draft<'_>, line: &Line, given: &mut ResticRepository) {
    let (name, value) = line.text.split_once('=').unwrap_or((&line.text, ""));
    match name {
        "RESTIC_PASSWORD" => given.password = Password::Here(line.at),
        "RESTIC_PASSWORD_FILE" => given.password = Password::File(Line { text: value.to_owned(), at: line.at }),
        "RESTIC_PASSWORD_COMMAND" => given.password = Password::Command(line.at),
        "AWS_DEFAULT_REGION" | "AWS_REGION" => given.region = Some(value.to_owned()),
        name if S3_KEY.contains(&name) => given.key_at = Some(line.at),
        name => {
            let told = format!("the variable {name} of a repository is not carried over");
            draft.note(Weight::Lost, line.at, told, "Where a storage or an agent needs it, say it there.");
        }
    }
}

/// Takes in an option of restic that is for the whole repository.
fn flag(draft: &mut Draft<'_>, key: &str, flag: &Line, given: &mut ResticRepository) {
    let (name, value) = split(&flag.text);
    match (name, value) {
        ("--password-file" | "-p", Some(value)) => {
            given.password = Password::File(Line { text: value.to_owned(), at: flag.at });
        }
        ("--password-command", Some(_)) => given.password = Password::Command(flag.at),
        _ => option(draft, key, name, flag.at),
    }
}

fn option(draft: &mut Draft<'_>, key: &str, name: &str, at: Place) {
    let name = shown(name);
    let told = format!("{key}: the option {name} of restic is not carried over");
    draft.note(
        Weight::Lost,
        at,
        told,
        "`backstay kinds --json` and docs/reference/configuration.md have what can be said here.",
    );
}

/// Returns the name of an option and its value: `--x=y`, `--x y`, `--x`.
fn split(flag: &str) -> (&str, Option<&str>) {
    let flag = flag.trim();
    let cut = flag.find(['=', ' ']);
    match cut {
        Some(at) => (&flag[..at], Some(flag[at + 1..].trim().trim_matches(['"', '\'']))),
        None => (flag, None),
    }
}

/// Takes in an option of restic's `backup`.
fn backup_flag(draft: &mut Draft<'_>, flag: &Line, settings: &mut Record, terms: &mut Terms) {
    let (name, value) = split(&flag.text);
    let is_on = value.is_none_or(|value| value == "true");
    match (name, value) {
        ("--exclude-caches", _) => drop(settings.insert("exclude_caches".to_owned(), is_on.into())),
        ("--one-file-system" | "-x", _) => drop(settings.insert("one_file_system".to_owned(), is_on.into())),
        ("--skip-if-unchanged", _) => drop(terms.backup.insert("skip_if_unchanged".to_owned(), is_on.into())),
        ("--exclude-if-present", Some(value)) => {
            let list = settings.entry("exclude_if_present").or_insert_with(|| serde_json::json!([]));
            list.as_array_mut().into_iter().for_each(|list| list.push(value.into()));
        }
        ("--exclude-larger-than", Some(value)) => {
            let line = Line { text: value.to_owned(), at: flag.at };
            draft.size("exclude_larger_than", &line, settings);
        }
        _ => option(draft, "backup_flags", name, flag.at),
    }
}

fn plan(draft: &mut Draft<'_>, mut keys: Keys<'_>, repos: &[Repo]) {
    let at = keys.at;
    let id = keys.text(draft, "id").map_or_else(|| "plan".to_owned(), |line| line.text);
    let repo = keys.text(draft, "repo");
    let paths = keys.texts(draft, "paths");
    let excludes = keys.texts(draft, "excludes");
    for line in keys.texts(draft, "iexcludes") {
        let told = "iexcludes: patterns that let upper and lower case count alike are not here";
        draft.note(
            Weight::Lost,
            line.at,
            told,
            "Write it as `exclude`, with `[aA]` where a letter may be either; until then it is backed up.",
        );
    }
    let (mut terms, mut settings) = (Terms::default(), Record::new());
    schedule(draft, &mut keys, &mut terms);
    retention(draft, &mut keys, &mut terms);
    for flag in keys.texts(draft, "backup_flags") {
        backup_flag(draft, &flag, &mut settings, &mut terms);
    }
    if keys.flag(draft, "skipIfUnchanged") == Some(true) {
        terms.backup.insert("skip_if_unchanged".to_owned(), true.into());
    }
    let repo = repo.and_then(|line| repos.iter().find(|repo| repo.id == line.text));
    let mut hooks = repo.map(|repo| repo.hooks.clone()).unwrap_or_default();
    let mut pings = repo.map(|repo| repo.pings.clone()).unwrap_or_default();
    for keys in keys.each(draft, "hooks") {
        hook(draft, keys, &mut hooks, &mut pings);
    }
    draft.hooks(&mut terms, &hooks);
    keys.rest(draft, &[]);
    let Some(repo) = repo else {
        let hint = "It is NOT backed up: declare its plan by hand.";
        return draft.note(Weight::Lost, at, format!("plan {id} names no repository of this file"), hint);
    };
    let repository = draft.repository(&repo.given);
    let sources: Vec<SourceName> = paths.iter().filter_map(|path| draft.folder(path, &excludes, &settings)).collect();
    if sources.len() > 1 {
        several(draft, at, &id, sources.len());
    }
    let plans = draft.plans(&id, &sources, &[repository], &terms);
    if let Some(at) = pings.first() {
        draft.ping(&plans, *at);
    }
}

/// Tells that a snapshot of several folders becomes several snapshots.
pub(super) fn several(draft: &mut Draft<'_>, at: Place, name: &str, count: usize) {
    let told =
        format!("{name} backs up {count} folders in one snapshot; here each has a plan and a snapshot of its own");
    let hint = "The first backup reads all of each and stores only what is new. Snapshots of several folders stay as they are, \
                below a foreign source, until plain restic forgets them.";
    draft.note(Weight::Otherwise, at, told, hint);
}

fn schedule(draft: &mut Draft<'_>, keys: &mut Keys<'_>, terms: &mut Terms) {
    let local = draft.options.time_zone.to_owned();
    if let Some(line) = keys.text(draft, "cron") {
        draft.cron(terms, line.at, &line.text, &local);
    }
    let is_off = keys.flag(draft, "disabled") == Some(true);
    let Some(mut said) = keys.below(draft, "schedule") else {
        if is_off {
            terms.schedule = Record::new();
        }
        return;
    };
    let clock = said.text(draft, "clock").map(|line| line.text).unwrap_or_default();
    let zone = if clock == "CLOCK_UTC" { "UTC".to_owned() } else { local };
    if let Some(line) = said.text(draft, "cron") {
        draft.cron(terms, line.at, &line.text, &zone);
    }
    for (key, unit) in [("maxFrequencyDays", 86_400_000_u64), ("maxFrequencyHours", 3_600_000)] {
        if let Some(line) = said.text(draft, key) {
            match line.text.parse::<u64>() {
                Ok(count) if count > 0 => drop(terms.schedule.insert("every".to_owned(), (count * unit).into())),
                _ => draft.no_schedule(line.at, &format!("{key} is no number")),
            }
        }
    }
    if said.flag(draft, "disabled") == Some(true) || is_off {
        terms.schedule = Record::new();
    }
    said.rest(draft, &[]);
}

/// Rules of Backrest and ours; the second half is of its older versions.
const RULES: [(&str, &str); 12] = [
    ("keepLastN", "keep_last"),
    ("hourly", "keep_hourly"),
    ("daily", "keep_daily"),
    ("weekly", "keep_weekly"),
    ("monthly", "keep_monthly"),
    ("yearly", "keep_yearly"),
    ("keepHourly", "keep_hourly"),
    ("keepDaily", "keep_daily"),
    ("keepWeekly", "keep_weekly"),
    ("keepMonthly", "keep_monthly"),
    ("keepYearly", "keep_yearly"),
    ("keepWithinDuration", "keep_within"),
];

fn retention(draft: &mut Draft<'_>, keys: &mut Keys<'_>, terms: &mut Terms) {
    let Some(mut said) = keys.below(draft, "retention") else { return };
    let is_all = said.flag(draft, "policyKeepAll") == Some(true);
    if let Some(line) = said.text(draft, "policyKeepLastN") {
        draft.rule(terms, "keep_last", &line);
    }
    if let Some(buckets) = said.below(draft, "policyTimeBucketed") {
        rules(draft, buckets, terms);
    }
    said.take("maxUnusedLimit");
    rules(draft, said, terms);
    terms.keeps_all |= is_all;
}

/// Takes in rules; one that is unknown takes the others with it.
fn rules(draft: &mut Draft<'_>, mut said: Keys<'_>, terms: &mut Terms) {
    for (theirs, ours) in RULES {
        if let Some(line) = said.text(draft, theirs) {
            draft.rule(terms, ours, &line);
        }
    }
    for (word, _) in said.take_all() {
        draft.keep_all(terms, word.at, &said.full(&word.text));
    }
}

/// Takes in a hook: commands become hooks, pings a channel, all else is told.
fn hook(draft: &mut Draft<'_>, mut keys: Keys<'_>, hooks: &mut HookLines, pings: &mut Vec<Place>) {
    let conditions = keys.texts(draft, "conditions");
    let on_error = keys.text(draft, "onError").map(|line| line.text).unwrap_or_default();
    if let Some(mut action) = keys.below(draft, "actionCommand") {
        if let Some(line) = action.text(draft, "command") {
            command(draft, &line, &conditions, &on_error, hooks);
        }
        action.rest(draft, &[]);
    }
    if let Some(mut action) = keys.below(draft, "actionHealthchecks") {
        if let Some(line) = action.text(draft, "webhookUrl") {
            pings.push(line.at);
        }
        action.rest(draft, &[("template", "A ping says how it went in words of its own.")]);
    }
    for (word, _) in keys.take_all() {
        let told = format!("{} is not carried over", keys.full(&word.text));
        let hint = "A channel (`backstay channel create`, kinds smtp and webhook) tells people; a service that takes neither wants \
                    a webhook of its own.";
        draft.note(Weight::Lost, word.at, told, hint);
    }
}

fn command(draft: &mut Draft<'_>, line: &Line, conditions: &[Line], on_error: &str, hooks: &mut HookLines) {
    for condition in conditions {
        let moment = MOMENTS.iter().find(|(name, _)| *name == condition.text).map(|(_, moment)| *moment);
        match moment {
            Some(Moment::Before) => hooks.before.push(ignored(line, on_error)),
            Some(Moment::After) => hooks.after.push(line.clone()),
            Some(Moment::Failed) => hooks.after_failure.push(line.clone()),
            Some(Moment::Ended) => {
                hooks.after.push(line.clone());
                hooks.after_failure.push(line.clone());
            }
            None => {
                let told = "a hook's condition is not carried over: commands run here before a backup, after it and after one that failed";
                draft.note(Weight::Lost, condition.at, told, "Channels tell of everything else.");
            }
        }
    }
}

/// Returns a command whose failure does not keep the backup from running, where Backrest does so: it is its default.
fn ignored(line: &Line, on_error: &str) -> Line {
    if matches!(on_error, "" | "ON_ERROR_IGNORE") {
        return Line { text: format!("( {} ) || true", line.text.trim_end()), at: line.at };
    }
    line.clone()
}
