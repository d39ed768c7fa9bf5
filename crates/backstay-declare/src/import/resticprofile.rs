//! resticprofile's `profiles.yaml`, `.toml`, `.conf` and `.json`, of both its formats. Repositories are restic's, and stay.
//!
//! Facts: resticprofile's own manual and examples. A profile takes what it does not say from the one that it inherits from; its
//! files may have Go templates, which only resticprofile fills in.

use serde_json::json;

use super::Weight;
use super::calendar::{Calendar, calendar, joined};
use super::draft::{Draft, Password, ResticRepository, SourceName};
use super::keys::{Keys, Known, Line, line};
use super::terms::{HookLines, Terms};
use crate::mistake::{Mistake, Place};
use crate::row::Record;
use crate::yaml::{Node, Tree, Word};

/// How deep profiles may inherit: a longer row is a ring.
const DEPTH_MAX: usize = 32;

/// What is so here, or done by itself.
const BY_ITSELF: &str = "Nothing to do: it is so here, or Backstay does it by itself.";

/// What is about how restic runs.
const OF_RESTIC: &str = "Nothing to do: it is about how restic runs, which does not run here.";

/// Keys at the top that are no profiles.
const TOP: &[Known] = &[
    ("global", OF_RESTIC),
    ("groups", "Each plan runs by its own schedule; `backstay plan run A B` runs several."),
    ("includes", "What it includes is not read: import those files too, or write them in this one first."),
    ("mixins", "Mixins are not read: write what they say into the profiles, and import again."),
    ("mqtt", OF_RESTIC),
];

/// Keys of a profile that are known, and what becomes of them.
const PROFILE: &[Known] = &[
    ("base-dir", OF_RESTIC),
    ("cache-dir", OF_RESTIC),
    ("cacert", "A storage's certificates are the system's."),
    ("cache", OF_RESTIC),
    (
        "check",
        "Every pack is read back within 30 days by itself; `verify_within: 14d` of the repository says another time.",
    ),
    ("cleanup-cache", OF_RESTIC),
    ("copy", "`backstay engine copy` copies snapshots; a plan in each of two repositories saves a source twice."),
    ("description", BY_ITSELF),
    ("dump", OF_RESTIC),
    ("env-file", "What it says is not read: see which of it a storage or an agent needs."),
    ("find", OF_RESTIC),
    ("force-inactive-lock", BY_ITSELF),
    ("init", BY_ITSELF),
    ("initialize", BY_ITSELF),
    ("insecure-tls", "There is no such thing here: trust the server's certificate in the system."),
    ("key-hint", OF_RESTIC),
    ("limit-download", "A storage's settings can have a limit: `backstay kinds --json`."),
    ("limit-upload", "A storage's settings can have a limit: `backstay kinds --json`."),
    ("lock", BY_ITSELF),
    ("ls", OF_RESTIC),
    ("mount", "`backstay snapshot restore` brings files back; restic mounts this repository as before."),
    ("no-cache", OF_RESTIC),
    ("no-lock", OF_RESTIC),
    ("option", "Say it in the storage's settings: `backstay kinds --json`."),
    ("pack-size", OF_RESTIC),
    ("priority", "Give the unit of Backstay `Nice=` and `IOSchedulingClass=` (systemctl edit backstay)."),
    ("prometheus-labels", "`/metrics` of the server has figures of all plans."),
    ("prometheus-push", "`/metrics` of the server has figures of all plans."),
    ("prometheus-push-job", "`/metrics` of the server has figures of all plans."),
    ("prometheus-push-format", "`/metrics` of the server has figures of all plans."),
    ("prometheus-save-to-file", "`/metrics` of the server has figures of all plans."),
    ("prune", "Nothing to do: each repository is looked at once a day and pruned when something goes."),
    ("quiet", OF_RESTIC),
    ("repository-file", "Write the location in `repository`, and import again."),
    ("restore", OF_RESTIC),
    ("rewrite", OF_RESTIC),
    ("snapshots", OF_RESTIC),
    ("stats", OF_RESTIC),
    ("status-file", "`backstay job list --json`, `/metrics` and channels tell how it went."),
    ("stream-error", OF_RESTIC),
    ("systemd-drop-in-files", OF_RESTIC),
    ("tag", OF_RESTIC),
    ("theme", OF_RESTIC),
    ("unlock", BY_ITSELF),
    ("use", "Mixins are not read: write what they say into the profiles, and import again."),
    ("verbose", OF_RESTIC),
];

/// Keys of `backup` that are known, and what becomes of them.
const BACKUP: &[Known] = &[
    ("check-after", BY_ITSELF),
    ("check-before", BY_ITSELF),
    ("description", BY_ITSELF),
    ("dry-run", OF_RESTIC),
    ("exclude-file", "Write the lines of these files in `exclude`, and import again; until then it is backed up."),
    ("extended-status", OF_RESTIC),
    ("files-from", "Each folder wants a source and a plan of its own. It is NOT backed up."),
    ("force", OF_RESTIC),
    (
        "host",
        "Snapshots carry the name of the agent's machine; `backstay repository adopt NAME --hostname OLD` takes in those of another name.",
    ),
    ("iexclude", "Patterns that let upper and lower case count alike are not here: what they mean is backed up."),
    ("iexclude-file", "Patterns that let upper and lower case count alike are not here: what they mean is backed up."),
    ("ignore-ctime", OF_RESTIC),
    ("ignore-inode", OF_RESTIC),
    (
        "no-error-on-warning",
        "`backup: {accept_unread: [PATTERN]}` says what may stay unread; all else makes a backup partial.",
    ),
    ("no-scan", OF_RESTIC),
    ("parent", BY_ITSELF),
    ("quiet", OF_RESTIC),
    ("read-concurrency", BY_ITSELF),
    ("schedule-after-network-online", BY_ITSELF),
    ("schedule-capture-environment", OF_RESTIC),
    ("schedule-ignore-on-battery", "There is no such rule here."),
    ("schedule-ignore-on-battery-less-than", "There is no such rule here."),
    ("schedule-lock-mode", BY_ITSELF),
    ("schedule-lock-wait", BY_ITSELF),
    ("schedule-log", "`backstay job log ID` has what is stored of a job."),
    ("schedule-permission", OF_RESTIC),
    ("schedule-priority", "Give the unit of Backstay `Nice=` and `IOSchedulingClass=` (systemctl edit backstay)."),
    ("source-base", "Paths are absolute here."),
    ("source-relative", "Paths are absolute here."),
    ("tag", "Snapshots carry their plan's tag, and none of your own."),
    ("time", OF_RESTIC),
    ("use-fs-snapshot", OF_RESTIC),
    ("verbose", OF_RESTIC),
    ("with-atime", OF_RESTIC),
];

/// Keys of a message that is sent: a ping has its own.
const SEND: &[Known] = &[
    ("body", "A ping channel says how it went in words of its own."),
    ("body-template", "A ping channel says how it went in words of its own."),
    ("headers", "A ping channel sends no headers of yours."),
    ("method", BY_ITSELF),
    ("skip-tls-verification", "`ca_file` of the channel's settings names certificates to trust."),
];

/// Keys of `retention` and `forget` that say whose snapshots are meant: here they are those of the plan.
const SCOPE: &[Known] = &[
    ("compact", OF_RESTIC),
    ("group-by", "Rules count for each source by itself."),
    ("host", "Rules count for each source by itself."),
    ("path", "Rules count for each source by itself."),
    ("prune", "Nothing to do: what was forgotten is removed, once a day."),
    ("tag", "Rules count for each source by itself, whatever its snapshots' tags."),
    ("verbose", OF_RESTIC),
];

/// Says whether a line has a template that is not in a text.
pub(super) fn is_template(line: &str) -> bool {
    let line = line.split(" #").next().unwrap_or_default().trim();
    line.starts_with("{{") || [": {{", "- {{"].iter().any(|head| line.contains(head))
}

/// Says of a file with templates that only resticprofile can fill them in.
pub(super) fn template_mistake(text: &str) -> Mistake {
    let at = text.lines().position(is_template).unwrap_or_default();
    let place = Place::new(at + 1, 1, text.lines().nth(at).map_or(1, |line| line.chars().count().max(1)));
    Mistake::new(place, "this file has templates, which only resticprofile fills in")
        .hint("Write what they stand for in their places, or `resticprofile -n PROFILE show`, and import that.")
        .secret()
}

/// A profile and its name.
struct Profile<'n> {
    word: &'n Word,
    node: &'n Node,
}

/// Reads the file.
pub(super) fn read(draft: &mut Draft<'_>, node: &Node) {
    let mut top = Keys::of(draft, "", node);
    let is_second = top.text(draft, "version").is_some_and(|line| line.text.starts_with('2'));
    top.take("$schema");
    let mut sections = Vec::new();
    let profiles: Vec<Profile<'_>> = if is_second {
        let found = top.below(draft, "profiles").map(|mut keys| keys.take_all()).unwrap_or_default();
        sections.extend(top.take_all());
        found.into_iter().map(|(word, node)| Profile { word, node }).collect()
    } else {
        let known = |word: &Word| TOP.iter().any(|(key, _)| *key == word.text);
        let (others, found): (Vec<_>, Vec<_>) = top.take_all().into_iter().partition(|(word, _)| known(word));
        sections.extend(others);
        found.into_iter().map(|(word, node)| Profile { word, node }).collect()
    };
    Keys::from_all(node.at, sections).rest(draft, TOP);
    for profile in &profiles {
        let whole = inherited(draft, profile, &profiles, 0);
        one(draft, profile, &whole, &profiles, is_second);
    }
}

/// Returns a profile with what it inherits.
fn inherited(draft: &mut Draft<'_>, profile: &Profile<'_>, all: &[Profile<'_>], depth: usize) -> Node {
    let Some(above) = above(profile.node) else { return profile.node.clone() };
    let found = all.iter().find(|other| other.word.text == above.text).filter(|_| depth < DEPTH_MAX);
    let Some(found) = found else {
        let told = format!("profile {} inherits from one that is not in this file, or from itself", profile.word.text);
        draft.note(Weight::Lost, above.at, told, "Write what it takes from there into this file, and import again.");
        return profile.node.clone();
    };
    merged(&inherited(draft, found, all, depth + 1), profile.node)
}

fn above(node: &Node) -> Option<Line> {
    let Tree::Map(map) = &node.tree else { return None };
    map.iter().find(|(word, _)| word.text == "inherit").and_then(|(_, node)| line(node))
}

/// Lays a value over another one: keys beside each other, everything else in its place.
fn merged(below: &Node, over: &Node) -> Node {
    let (Tree::Map(below), Tree::Map(upper)) = (&below.tree, &over.tree) else { return over.clone() };
    let mut map: Vec<(Word, Node)> = below.iter().filter(|(word, _)| word.text != "inherit").cloned().collect();
    for (word, node) in upper {
        match map.iter_mut().find(|(other, _)| other.text == word.text) {
            Some((at, known)) => {
                *at = word.clone();
                *known = merged(known, node);
            }
            None => map.push((word.clone(), node.clone())),
        }
    }
    Node { at: over.at, tree: Tree::Map(map) }
}

/// Takes in a profile that backs something up.
fn one(draft: &mut Draft<'_>, profile: &Profile<'_>, whole: &Node, all: &[Profile<'_>], is_second: bool) {
    let (name, at) = (profile.word.text.as_str(), profile.word.at);
    if !matches!(whole.tree, Tree::Map(_)) {
        return draft.unknown(at, name);
    }
    // Without the profile's name: what several inherit is told once.
    let mut keys = Keys::of(draft, "", whole);
    keys.take("inherit");
    let backup = keys.below(draft, "backup");
    let is_plan = |backup: &Keys<'_>| ["source", "stdin", "stdin-command"].iter().any(|key| backup.has(key));
    let Some(mut backup) = backup.filter(is_plan) else {
        let is_above = all.iter().any(|other| above(other.node).is_some_and(|line| line.text == name));
        if !is_above {
            let told = format!("profile {name} backs nothing up");
            draft.note(Weight::Lost, at, told, "Nothing of it is needed here, unless its commands are run by hand.");
        }
        return;
    };
    let repository = repository(draft, name, at, &mut keys);
    let (mut terms, mut settings) = (Terms::default(), Record::new());
    schedule(draft, &mut backup, &mut terms);
    retention(draft, &mut keys, &mut terms, is_second);
    let hooks = hooks(draft, &mut keys, &mut backup);
    draft.hooks(&mut terms, &hooks);
    let ping = ping(draft, &mut backup);
    let excludes = left_out(draft, &mut backup, &mut settings, &mut terms);
    let sources = sources(draft, name, at, &mut backup, &excludes, &settings);
    backup.rest(draft, BACKUP);
    keys.rest(draft, PROFILE);
    let Some(repository) = repository else { return };
    let plans = draft.plans(name, &sources, &[repository], &terms);
    if let Some(at) = ping {
        draft.ping(&plans, at);
    }
}

fn repository(draft: &mut Draft<'_>, name: &str, at: Place, keys: &mut Keys<'_>) -> Option<String> {
    let location = keys.text(draft, "repository");
    let file = keys.text(draft, "password-file");
    let command = keys.text(draft, "password-command");
    let env = keys.below(draft, "env").map(|mut keys| keys.take_all()).unwrap_or_default();
    let mut given = ResticRepository {
        name: name.to_owned(),
        location: location.clone().unwrap_or(Line { text: String::new(), at }),
        password: Password::Unsaid,
        region: None,
        key_at: None,
    };
    for (word, node) in env {
        let value = line(node).map(|line| line.text).unwrap_or_default();
        super::backrest::variable(
            draft,
            &Line { text: format!("{}={value}", word.text.to_uppercase()), at: word.at },
            &mut given,
        );
    }
    if let Some(at) = command.map(|line| line.at) {
        given.password = Password::Command(at);
    }
    if let Some(file) = file {
        given.password = Password::File(file);
    }
    if given.location.text.is_empty() {
        draft.note(
            Weight::Lost,
            at,
            format!("profile {name} has no `repository`"),
            "It is NOT backed up: declare its plan by hand.",
        );
        return None;
    }
    Some(draft.repository(&given))
}

/// Reads when: one moment of systemd, or several; format 2 may say `schedule: {at: …}`.
fn schedule(draft: &mut Draft<'_>, backup: &mut Keys<'_>, terms: &mut Terms) {
    let lines = match backup.take("schedule") {
        None => return,
        Some((word, Node { tree: Tree::Map(map), .. })) => {
            let mut said = Keys::from_all(word.at, map.iter().map(|(word, node)| (word, node)).collect());
            let lines = said.texts(draft, "at");
            said.rest(draft, &[]);
            lines
        }
        Some((_, node)) => match &node.tree {
            Tree::List(list) => list.iter().filter_map(line).collect(),
            _ => line(node).into_iter().collect(),
        },
    };
    let Some(first) = lines.first() else { return };
    let read: Vec<Option<Calendar>> = lines.iter().map(|line| calendar(&line.text)).collect();
    let known: Vec<Calendar> = read.iter().flatten().cloned().collect();
    let whole = joined(&known).filter(|_| known.len() == lines.len());
    let zone = |one: &Calendar| one.zone.clone();
    match (whole, known.first()) {
        (Some(one), _) => {
            let zone = zone(&one).unwrap_or_else(|| draft.options.time_zone.to_owned());
            draft.cron(terms, first.at, &one.cron(), &zone);
        }
        (None, Some(one)) => {
            let zone = zone(one).unwrap_or_else(|| draft.options.time_zone.to_owned());
            draft.cron(terms, first.at, &one.cron(), &zone);
            let told = format!(
                "only one of {} moments is carried over (`{}`): together they are no cron expression",
                lines.len(),
                one.cron()
            );
            draft.note(Weight::Lost, first.at, told, "`every: 6h` may say it, or a second plan.");
        }
        (None, None) => draft.no_schedule(first.at, "cron cannot say this moment of systemd"),
    }
}

/// Rules of restic that are the same here.
const RULES: [(&str, &str); 12] = [
    ("keep-last", "keep_last"),
    ("keep-hourly", "keep_hourly"),
    ("keep-daily", "keep_daily"),
    ("keep-weekly", "keep_weekly"),
    ("keep-monthly", "keep_monthly"),
    ("keep-yearly", "keep_yearly"),
    ("keep-within", "keep_within"),
    ("keep-within-hourly", "keep_within_hourly"),
    ("keep-within-daily", "keep_within_daily"),
    ("keep-within-weekly", "keep_within_weekly"),
    ("keep-within-monthly", "keep_within_monthly"),
    ("keep-within-yearly", "keep_within_yearly"),
];

/// Takes in restic's rules. One that is not here takes the others with it. Returns how many there are.
pub(super) fn rules(draft: &mut Draft<'_>, said: &mut Keys<'_>, terms: &mut Terms) -> usize {
    let mut count = 0;
    for (theirs, ours) in RULES {
        if let Some(line) = said.text(draft, theirs) {
            count += 1;
            draft.rule(terms, ours, &line);
        }
    }
    if let Some((word, _)) = said.take("keep-tag") {
        count += 1;
        draft.keep_all(terms, word.at, "keep-tag");
    }
    count
}

/// Takes in the rules that hold without anybody's doing: those of `retention` that a backup runs, else those of a `forget`
/// with a schedule. Rules that somebody runs by hand would begin to run by themselves, and are told.
fn retention(draft: &mut Draft<'_>, keys: &mut Keys<'_>, terms: &mut Terms, is_second: bool) {
    let mut holds = false;
    if let Some(mut said) = keys.below(draft, "retention") {
        let at = said.at;
        let (before, after) = (said.flag(draft, "before-backup"), said.flag(draft, "after-backup"));
        let mut own = Terms::default();
        let count = rules(draft, &mut said, &mut own);
        let by_default = is_second && before.is_none() && after.is_none();
        said.rest(draft, SCOPE);
        holds = count > 0 && (before == Some(true) || after == Some(true) || by_default);
        settle(draft, terms, own, (at, count, holds));
    }
    if let Some(mut said) = keys.below(draft, "forget") {
        let at = said.at;
        let is_run = said.take("schedule").is_some();
        let mut own = Terms::default();
        let count = rules(draft, &mut said, &mut own);
        for (word, _) in said.take_all().into_iter().filter(|(word, _)| !word.text.starts_with("schedule")) {
            Keys::from_all(at, vec![(word, &Node { at: word.at, tree: Tree::Nothing })]).rest(draft, SCOPE);
        }
        settle(draft, terms, own, (at, count, is_run && !holds));
    }
}

/// Takes rules over where they hold by themselves, and tells of them where not.
fn settle(draft: &mut Draft<'_>, terms: &mut Terms, own: Terms, (at, count, holds): (Place, usize, bool)) {
    if holds {
        (terms.retention, terms.keeps_all) = (own.retention, own.keeps_all);
    } else if count > 0 {
        let told = "rules that no backup and no schedule runs are not carried over: here they would run by themselves";
        draft.note(Weight::Lost, at, told, "All is kept, until the plan says `retention:`.");
    }
}

/// Returns the commands of a profile and its backup, in the order in which they run.
fn hooks<'n>(draft: &mut Draft<'_>, keys: &mut Keys<'n>, backup: &mut Keys<'n>) -> HookLines {
    let mut hooks = HookLines::default();
    hooks.before.extend(keys.texts(draft, "run-before"));
    hooks.before.extend(backup.texts(draft, "run-before"));
    for keys in [backup, keys] {
        hooks.after.extend(keys.texts(draft, "run-after"));
        hooks.after_failure.extend(keys.texts(draft, "run-after-fail"));
        let finally = keys.texts(draft, "run-finally");
        hooks.after.extend(finally.iter().cloned());
        hooks.after_failure.extend(finally);
    }
    hooks
}

/// Returns where the URL of a service stands that hears of success and failure; all other messages are told.
fn ping(draft: &mut Draft<'_>, backup: &mut Keys<'_>) -> Option<Place> {
    let mut urls: Vec<(&str, Line)> = Vec::new();
    for key in ["send-before", "send-after", "send-after-fail", "send-finally"] {
        for mut keys in backup.each(draft, key) {
            urls.extend(keys.text(draft, "url").map(|line| (key, line)));
            keys.rest(draft, SEND);
        }
    }
    let base = |key: &str, ending: &str| {
        let found = urls.iter().find(|(of, line)| *of == key && line.text.ends_with(ending));
        found.map(|(_, line)| line.text.trim_end_matches(ending).to_owned())
    };
    let base = base("send-after-fail", "/fail").or_else(|| base("send-before", "/start"));
    let good = urls.iter().find(|(key, line)| *key == "send-after" && Some(&line.text) == base.as_ref());
    let at = good.map(|(_, line)| line.at);
    for (key, line) in &urls {
        let is_of_it = at.is_some() && base.as_ref().is_some_and(|base| line.text.starts_with(base.as_str()));
        if !is_of_it {
            let told = format!("{key} is not carried over: it is no ping of a service that knows /start and /fail");
            draft.note(
                Weight::Lost,
                line.at,
                told,
                "A channel of kind webhook posts a signed document: `backstay channel create`.",
            );
        }
    }
    at
}

/// Returns the patterns of what is left out, and takes in the other settings of the folders: restic's own options, so that
/// crestic has the same.
pub(super) fn left_out(
    draft: &mut Draft<'_>,
    backup: &mut Keys<'_>,
    settings: &mut Record,
    terms: &mut Terms,
) -> Vec<Line> {
    for (theirs, ours) in [("exclude-caches", "exclude_caches"), ("one-file-system", "one_file_system")] {
        if backup.flag(draft, theirs) == Some(true) {
            settings.insert(ours.to_owned(), true.into());
        }
    }
    let markers: Vec<String> = backup.texts(draft, "exclude-if-present").into_iter().map(|line| line.text).collect();
    if !markers.is_empty() {
        settings.insert("exclude_if_present".to_owned(), json!(markers));
    }
    if let Some(line) = backup.text(draft, "exclude-larger-than") {
        draft.size("exclude_larger_than", &line, settings);
    }
    if backup.flag(draft, "skip-if-unchanged") == Some(true) {
        terms.backup.insert("skip_if_unchanged".to_owned(), true.into());
    }
    let lines = backup.texts(draft, "exclude");
    lines.into_iter().filter(|line| is_said(draft, line)).collect()
}

/// Says whether a pattern is what it looks like; what a shell or a template would fill in is told.
fn is_said(draft: &mut Draft<'_>, line: &Line) -> bool {
    let is_filled = line.text.starts_with('~') || line.text.contains('$') || line.text.contains("{{");
    if is_filled {
        let told = "an exclude pattern with a tilde, a variable or a template is not carried over";
        draft.note(
            Weight::Lost,
            line.at,
            told,
            "Write in the source's `exclude` what it stands for; until then it is backed up.",
        );
    }
    !is_filled
}

/// Declares what is backed up: folders, or what a command writes.
fn sources(
    draft: &mut Draft<'_>,
    name: &str,
    at: Place,
    backup: &mut Keys<'_>,
    excludes: &[Line],
    settings: &Record,
) -> Vec<SourceName> {
    let is_stdin = backup.flag(draft, "stdin") == Some(true);
    let commands = backup.texts(draft, "stdin-command");
    let filename = backup.text(draft, "stdin-filename").map_or_else(|| "stdin".to_owned(), |line| line.text);
    let folders = backup.texts(draft, "source");
    if let [command] = &commands[..] {
        if super::terms::may_hold_secret(&command.text) || command.text.contains("{{") {
            let told =
                "stdin-command is not carried over: it may hold a secret, or uses words that nobody fills in here";
            let hint = "It is NOT backed up: put it into a script, and declare a source of kind `command`.";
            draft.note(Weight::Lost, command.at, told, hint);
            return Vec::new();
        }
        let settings = json!({ "argv": ["sh", "-c", command.text], "filename": filename });
        return draft.source(name, command.at, "command", settings).into_iter().collect();
    }
    if is_stdin || commands.len() > 1 {
        let told = format!("profile {name} saves what comes from standard input");
        let hint = "It is NOT backed up: declare a source of kind `command` with the program that writes it.";
        draft.note(Weight::Lost, at, told, hint);
        return Vec::new();
    }
    let mut sources = Vec::new();
    for folder in &folders {
        sources.extend(draft.folder(folder, excludes, settings));
    }
    if sources.len() > 1 {
        super::backrest::several(draft, at, name, sources.len());
    }
    sources
}
