//! borgmatic's `config.yaml`, as it is now and with the sections of older versions. Borg's repositories are not restic's: new
//! ones begin, and the old ones stay readable with Borg.
//!
//! Facts: borgmatic's own schema (`borgmatic/config/schema.yaml`) and its reference. When it runs stands in a timer or a
//! crontab, and not in this file.

use serde_json::{Value, json};

use super::Weight;
use super::draft::{Draft, SourceName};
use super::keys::{Keys, Known, Line};
use super::pattern::{Pattern, Style, pattern};
use super::terms::{HookLines, Terms};
use crate::mistake::Place;
use crate::row::Record;
use crate::yaml::Node;

/// Sections of older versions.
const SECTIONS: [&str; 6] = ["location", "storage", "retention", "consistency", "output", "hooks"];

/// What speaks of Borg's repository, program or archives.
const OF_BORG: &str = "Nothing to do: it is about Borg's program, archives or repository.";

/// What is done here by itself.
const BY_ITSELF: &str = "Nothing to do: it is so here, or Backstay does it by itself.";

/// Services that are told.
const SERVICE: &str =
    "A channel tells people (`backstay channel create`, kinds smtp, webhook, ping): docs/how-to/pings.md.";

/// What saves the state of a file system first.
const FILE_SYSTEM: &str = "A hook does it: docs/how-to/hooks.md has LVM, btrfs and ZFS.";

/// Keys that are known, and what becomes of them.
const KNOWN: &[Known] = &[
    ("archive_name_format", OF_BORG),
    ("borg_base_directory", OF_BORG),
    ("borg_cache_directory", OF_BORG),
    ("borg_config_directory", OF_BORG),
    ("borg_keys_directory", OF_BORG),
    ("borg_security_directory", OF_BORG),
    ("btrfs", FILE_SYSTEM),
    ("check_last", BY_ITSELF),
    ("checkpoint_interval", BY_ITSELF),
    ("chunker_params", OF_BORG),
    ("color", OF_BORG),
    ("compact_threshold", BY_ITSELF),
    ("compression", "Nothing to do: everything is compressed with zstd."),
    ("constants", "Write the values in the places where they are used, and import again."),
    ("cronhub", SERVICE),
    ("cronitor", SERVICE),
    ("apprise", SERVICE),
    ("loki", SERVICE),
    ("ntfy", SERVICE),
    ("pagerduty", SERVICE),
    ("pushover", SERVICE),
    ("sentry", SERVICE),
    ("uptime_kuma", SERVICE),
    ("zabbix", SERVICE),
    ("encryption_passcommand", "It opens Borg's repository: the new one has a password of its own."),
    ("encryption_passphrase", "It opens Borg's repository: the new one has a password of its own."),
    (
        "exclude_from",
        "Write the lines of these files in `exclude_patterns` and import again; until then it is backed up.",
    ),
    (
        "exclude_nodump",
        "There is no such rule: name what is meant in the source's `exclude`; until then it is backed up.",
    ),
    ("extra_borg_options", OF_BORG),
    ("files_cache", OF_BORG),
    ("keep_exclude_tags", BY_ITSELF),
    ("local_path", OF_BORG),
    ("lock_wait", BY_ITSELF),
    ("log_json", OF_BORG),
    ("lvm", FILE_SYSTEM),
    ("match_archives", OF_BORG),
    ("numeric_ids", BY_ITSELF),
    ("atime", OF_BORG),
    ("ctime", OF_BORG),
    ("birthtime", OF_BORG),
    ("flags", OF_BORG),
    ("patterns_from", "Write the lines of these files in `patterns` and import again; until then they name nothing."),
    ("prefix", OF_BORG),
    (
        "read_special",
        "A source of kind `command` saves what a program writes, such as a device: docs/how-to/back-up-databases.md.",
    ),
    ("recompress", OF_BORG),
    ("relocated_repo_access_is_ok", OF_BORG),
    ("unknown_unencrypted_repo_access_is_ok", OF_BORG),
    ("remote_path", OF_BORG),
    ("remote_rate_limit", "A storage's settings can have a limit: `backstay kinds --json`."),
    ("upload_rate_limit", "A storage's settings can have a limit: `backstay kinds --json`."),
    ("retries", BY_ITSELF),
    ("retry_wait", BY_ITSELF),
    ("source_directories_must_exist", BY_ITSELF),
    ("ssh_command", OF_BORG),
    ("temporary_directory", OF_BORG),
    ("umask", OF_BORG),
    ("user_runtime_directory", OF_BORG),
    ("user_state_directory", OF_BORG),
    ("working_directory", "Paths are absolute here."),
    ("zfs", FILE_SYSTEM),
    ("mongodb_databases", "A source of kind `command` with `mongodump --archive`: docs/how-to/back-up-databases.md."),
    ("<<", "What it includes is not read: write it in this file, and import again."),
];

/// Rules that are the same here.
const RULES: [&str; 5] = ["keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"];

/// Rules that are not here.
const RULES_NOT_HERE: [&str; 4] = ["keep_secondly", "keep_minutely", "keep_13weekly", "keep_3monthly"];

/// Reads the file.
pub(super) fn read(draft: &mut Draft<'_>, node: &Node) {
    let mut keys = flat(draft, node);
    let repositories = repositories(draft, &mut keys);
    let (mut terms, mut folders) = (Terms::default(), keys.texts(draft, "source_directories"));
    let excludes = excludes(draft, &mut keys, &mut folders);
    let settings = settings(draft, &mut keys);
    retention(draft, &mut keys, &mut terms);
    let hooks = hooks(draft, &mut keys);
    draft.hooks(&mut terms, &hooks);
    let mut sources: Vec<SourceName> = Vec::new();
    for folder in &folders {
        sources.extend(draft.folder(folder, &excludes, &settings));
    }
    for (key, kind) in
        [("postgresql_databases", "postgresql"), ("mariadb_databases", "mariadb"), ("mysql_databases", "mariadb")]
    {
        for keys in keys.each(draft, key) {
            sources.extend(database(draft, keys, kind));
        }
    }
    for keys in keys.each(draft, "sqlite_databases") {
        sources.extend(sqlite(draft, keys));
    }
    checks(draft, &mut keys);
    let ping = ping(draft, &mut keys);
    keys.rest(draft, KNOWN);
    let plans = draft.plans("borgmatic", &sources, &repositories, &terms);
    if let Some(at) = ping {
        draft.ping(&plans, at);
    }
    if !plans.is_empty() {
        draft.no_schedule(
            Place::new(1, 1, 1),
            "when borgmatic runs stands in a timer or a crontab, and not in its file",
        );
    }
}

/// Returns all keys beside each other, whatever sections older versions put them in.
fn flat<'n>(draft: &mut Draft<'_>, node: &'n Node) -> Keys<'n> {
    let mut top = Keys::of(draft, "", node);
    let at = top.at;
    let mut all = Vec::new();
    for (word, node) in top.take_all() {
        // `retention` and the like are sections; today's keys have none of these names.
        if SECTIONS.contains(&word.text.as_str()) {
            all.extend(Keys::of(draft, &word.text, node).take_all());
        } else {
            all.push((word, node));
        }
    }
    Keys::from_all(at, all)
}

/// Names the repositories that take the place of Borg's.
fn repositories(draft: &mut Draft<'_>, keys: &mut Keys<'_>) -> Vec<String> {
    let Some((_, node)) = keys.take("repositories") else { return Vec::new() };
    let mut names = Vec::new();
    for node in list(node) {
        let (path, label) = match super::keys::line(node) {
            Some(line) => (Some(line), None),
            None => {
                let mut one = Keys::of(draft, "repositories", node);
                let (path, label) = (one.text(draft, "path"), one.text(draft, "label"));
                one.rest(
                    draft,
                    &[
                        ("encryption", OF_BORG),
                        (
                            "append_only",
                            "Give agents no *delete* key, or let the storage lock what is there: SECURITY.md.",
                        ),
                        ("storage_quota", "`backstay quota` holds a tenant."),
                    ],
                );
                (path, label)
            }
        };
        let Some(path) = path else { continue };
        let last = path.text.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
        let words = label.map_or_else(|| last.trim_end_matches(".borg").to_owned(), |line| line.text);
        let name = draft.repository_name(&words);
        draft.repository_named(&path.text, &name);
        let told =
            format!("repository {name} is Borg's, which cannot be taken over: its archives stay, and Borg reads them");
        draft.elsewhere(&name, path.at, told);
        names.push(name);
    }
    names
}

/// Returns the values of a list; one by itself is a list of one.
fn list(node: &Node) -> Vec<&Node> {
    match &node.tree {
        crate::yaml::Tree::List(list) => list.iter().collect(),
        _ => vec![node],
    }
}

/// Returns what is left out; roots that `patterns` name are added to the folders.
fn excludes(draft: &mut Draft<'_>, keys: &mut Keys<'_>, folders: &mut Vec<Line>) -> Vec<Line> {
    let mut excludes = Vec::new();
    for line in keys.texts(draft, "exclude_patterns") {
        exclude(draft, &line, &line.text, Style::Fnmatch, &mut excludes);
    }
    let mut keeps = false;
    for line in keys.texts(draft, "patterns") {
        let (sign, rest) = line.text.split_once(' ').unwrap_or((&line.text, ""));
        match sign {
            "R" => folders.push(Line { text: rest.trim().to_owned(), at: line.at }),
            // The first that fits holds: what stands behind a `+` may be kept by it, even below a folder that is left out.
            "-" | "!" if !keeps => exclude(draft, &line, rest.trim(), Style::Shell, &mut excludes),
            "+" => keeps = true,
            _ => {
                let told = "a pattern is not carried over: behind a `+` it is not sure what it leaves out";
                draft.note(
                    Weight::Lost,
                    line.at,
                    told,
                    "What it meant is backed up, until the source's `exclude` says otherwise.",
                );
            }
        }
    }
    excludes
}

fn exclude(draft: &mut Draft<'_>, line: &Line, text: &str, style: Style, excludes: &mut Vec<Line>) {
    let backed_up = "What it meant is backed up, until the source's `exclude` says it in restic's words.";
    match pattern(text, style) {
        Pattern::Same(text) => excludes.push(Line { text, at: line.at }),
        Pattern::Less(text) => {
            excludes.push(Line { text, at: line.at });
            let told = "a star of Borg's pattern goes over slashes, and here it stays in its folder: less is left out";
            draft.note(Weight::Otherwise, line.at, told, "");
        }
        Pattern::None => {
            let told = "a pattern of Borg is none here: expressions, classes, tildes and variables mean other things";
            draft.note(Weight::Lost, line.at, told, backed_up);
        }
    }
}

/// Returns the other settings of each folder.
fn settings(draft: &mut Draft<'_>, keys: &mut Keys<'_>) -> Record {
    let mut settings = Record::new();
    for key in ["exclude_caches", "one_file_system"] {
        if keys.flag(draft, key) == Some(true) {
            settings.insert(key.to_owned(), true.into());
        }
    }
    let markers: Vec<Value> =
        keys.texts(draft, "exclude_if_present").into_iter().map(|line| line.text.into()).collect();
    if !markers.is_empty() {
        settings.insert("exclude_if_present".to_owned(), markers.into());
    }
    settings
}

fn retention(draft: &mut Draft<'_>, keys: &mut Keys<'_>, terms: &mut Terms) {
    if let Some(line) = keys.text(draft, "keep_within") {
        match stretch(&line.text) {
            Some(text) => draft.rule(terms, "keep_within", &Line { text, at: line.at }),
            None => draft.keep_all(terms, line.at, "keep_within"),
        }
    }
    let (mut counted, mut at) = (0, keys.at);
    for rule in RULES {
        if let Some(line) = keys.text(draft, rule) {
            (counted, at) = (counted + 1, line.at);
            draft.rule(terms, rule, &line);
        }
    }
    for rule in RULES_NOT_HERE {
        if let Some(line) = keys.text(draft, rule).filter(|line| line.text != "0") {
            draft.keep_all(terms, line.at, rule);
        }
    }
    for line in keys.texts(draft, "skip_actions") {
        match line.text.as_str() {
            "prune" => draft.keep_all(terms, line.at, "skip_actions has `prune`"),
            _ => draft.note(Weight::Lost, line.at, "skip_actions is not carried over", BY_ITSELF),
        }
    }
    if counted > 1 {
        let told = "Borg counts the weeks of `keep_weekly` behind the days of `keep_daily`, and so on; restic's rules count each from today";
        draft.note(
            Weight::Otherwise,
            at,
            told,
            "Raise the longer rules where the far end matters: `backstay plan retention PLAN` shows what stays.",
        );
    }
}

/// Returns a stretch of time in restic's words: `3H`, `30d`, `4w`, `6m`, `1y`; none for shorter ones.
fn stretch(text: &str) -> Option<String> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u32 = number.parse().ok()?;
    match unit {
        "H" => Some(format!("{number}h")),
        "w" => Some(format!("{}d", number.checked_mul(7)?)),
        "d" | "m" | "y" => Some(text.to_owned()),
        _ => None,
    }
}

/// Returns the commands around a backup.
fn hooks(draft: &mut Draft<'_>, keys: &mut Keys<'_>) -> HookLines {
    let mut hooks = HookLines::default();
    for key in ["before_everything", "before_actions", "before_backup"] {
        hooks.before.extend(keys.texts(draft, key));
    }
    for key in ["after_backup", "after_actions", "after_everything"] {
        hooks.after.extend(keys.texts(draft, key));
    }
    hooks.after_failure.extend(keys.texts(draft, "on_error"));
    for key in [
        "before_prune",
        "after_prune",
        "before_check",
        "after_check",
        "before_compact",
        "after_compact",
        "before_extract",
        "after_extract",
    ] {
        for line in keys.texts(draft, key) {
            no_moment(draft, line.at);
        }
    }
    for keys in keys.each(draft, "commands") {
        command(draft, keys, &mut hooks);
    }
    hooks
}

fn no_moment(draft: &mut Draft<'_>, at: Place) {
    let told = "a command is not carried over: hooks run here before a backup, after it and after one that failed";
    draft.note(Weight::Lost, at, told, "Prunes and verifies run by themselves, and events and channels tell of them.");
}

/// Takes in one of `commands`.
fn command(draft: &mut Draft<'_>, mut keys: Keys<'_>, hooks: &mut HookLines) {
    let (before, after) = (keys.text(draft, "before"), keys.text(draft, "after"));
    let (when, states) = (keys.texts(draft, "when"), keys.texts(draft, "states"));
    let run = keys.texts(draft, "run");
    let at = keys.at;
    keys.rest(draft, &[]);
    let is_of_backup = when.is_empty() || when.iter().any(|line| line.text == "create");
    let has = |state: &str| states.is_empty() || states.iter().any(|line| line.text == state);
    match (before, after.as_ref().map(|line| line.text.as_str())) {
        _ if !is_of_backup => no_moment(draft, at),
        (Some(_), _) => hooks.before.extend(run),
        (None, Some("error")) => hooks.after_failure.extend(run),
        (None, Some(_)) => {
            if has("finish") {
                hooks.after.extend(run.iter().cloned());
            }
            if has("fail") {
                hooks.after_failure.extend(run);
            }
        }
        (None, None) => no_moment(draft, at),
    }
}

/// What a database may have that a source here has not: without it another one would be saved.
const DATABASE_ELSEWHERE: [&str; 7] = [
    "container",
    "name_pattern",
    "pg_dump_command",
    "psql_command",
    "mysql_dump_command",
    "mariadb_dump_command",
    "mysql_command",
];

/// How a database is dumped: here it is done in one way.
const DUMP: &str = "PostgreSQL is dumped in its custom format, MariaDB as SQL, each with all that it has.";

/// Keys of a database that are known.
const DATABASE: &[Known] = &[
    ("add_drop_database", DUMP),
    ("analyze_options", DUMP),
    ("compression", DUMP),
    ("format", DUMP),
    ("label", BY_ITSELF),
    ("list_options", DUMP),
    ("no_owner", DUMP),
    ("options", DUMP),
    ("restore_hostname", "`backstay snapshot restore ID --to-source` brings it back to its server."),
    ("restore_options", DUMP),
    ("restore_password", "`backstay snapshot restore ID --to-source` brings it back to its server."),
    ("restore_port", "`backstay snapshot restore ID --to-source` brings it back to its server."),
    ("restore_username", "`backstay snapshot restore ID --to-source` brings it back to its server."),
    ("skip_names", "A source names its databases itself."),
    ("ssl_mode", "Say it in the client's own configuration on the agent's machine."),
    ("tls", "Say it in the client's own configuration on the agent's machine."),
];

/// Declares a database of a server as a source.
fn database(draft: &mut Draft<'_>, mut keys: Keys<'_>, kind: &str) -> Option<SourceName> {
    let at = keys.at;
    let name = keys.text(draft, "name");
    let mut settings = json!({});
    for (theirs, ours) in [("hostname", "host"), ("username", "user")] {
        if let Some(line) = keys.text(draft, theirs) {
            settings[ours] = line.text.into();
        }
    }
    if let Some(line) = keys.text(draft, "port") {
        settings["port"] = line.text.parse::<u16>().map_or_else(|_| line.text.into(), Value::from);
    }
    let password = keys.text(draft, "password");
    let odd = DATABASE_ELSEWHERE.iter().find(|key| keys.take(key).is_some());
    keys.rest(draft, DATABASE);
    let name = name?;
    let cannot = match odd {
        Some(key) => Some(format!("`{key}` is not here")),
        None if name.text == "all" => Some("`all` is no list of databases".to_owned()),
        None if name.text.contains('{') => Some("its name has a variable".to_owned()),
        None => None,
    };
    if let Some(why) = cannot {
        let hint = format!(
            "It is NOT backed up: declare a source of kind {kind} with the names of the databases, or of kind `command`."
        );
        draft.note(Weight::Lost, at, format!("a database is not carried over: {why}"), hint);
        return None;
    }
    if let Some(password) = password {
        let file = format!("/etc/backstay/{kind}-{}.password", plain(&name.text));
        settings["password_file"] = file.as_str().into();
        let line = password.at.line;
        let why = format!("reads the database's password, which stands in line {line}; on the agent's machine");
        draft.task_before(format!("install -D -m 600 /dev/stdin {file}"), why);
    }
    settings["databases"] = json!([name.text]);
    draft.source(&format!("{kind}-{}", name.text), name.at, kind, settings)
}

/// Returns a name that can be that of a file.
fn plain(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect()
}

fn sqlite(draft: &mut Draft<'_>, mut keys: Keys<'_>) -> Option<SourceName> {
    let at = keys.at;
    let (name, path) = (keys.text(draft, "name")?, keys.text(draft, "path"));
    keys.rest(draft, &[("label", BY_ITSELF)]);
    match path {
        Some(path) => draft.source(&format!("sqlite-{}", name.text), path.at, "sqlite", json!({ "path": path.text })),
        None => {
            let told = "a database of SQLite is not carried over: its path is missing";
            draft.note(Weight::Lost, at, told, "It is NOT backed up: declare a source of kind sqlite.");
            None
        }
    }
}

fn checks(draft: &mut Draft<'_>, keys: &mut Keys<'_>) {
    if let Some((word, _)) = keys.take("checks") {
        let told =
            "checks: every pack is read back within 30 days by itself, a slice at a time, with a restore of some files";
        draft.note(Weight::Otherwise, word.at, told, "`verify_within: 14d` of the repository says another time.");
    }
}

/// Returns where the URL of pings stands.
fn ping(draft: &mut Draft<'_>, keys: &mut Keys<'_>) -> Option<Place> {
    let (_, node) = keys.take("healthchecks")?;
    if let Some(line) = super::keys::line(node) {
        return Some(line.at);
    }
    let mut said = Keys::of(draft, "healthchecks", node);
    let url = said.text(draft, "ping_url");
    let known = "A ping channel says how each backup of its plan went.";
    said.rest(
        draft,
        &[
            ("states", known),
            ("send_logs", known),
            ("ping_body_limit", known),
            ("verify_tls", known),
            ("create_slug", known),
        ],
    );
    url.map(|line| line.at)
}
