//! What there shall be, as it is collected from a file of another program: declarations, notes, and what a person does.
//!
//! Absent on purpose: secrets. A repository's password, a storage's key and a ping's URL are named by a reference of ours, and
//! a task says where the value stands and how it gets there.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use backstay_core::domain::name::Name;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::keys::Line;
use super::location::{Located, located};
use super::terms::Terms;
use super::{Imported, Note, Options, Program, Task, Weight};
use crate::file::{Kinds, read};
use crate::mistake::{Place, shown};
use crate::nouns::{Noun, TENANT_DEFAULT};
use crate::row::{Found, Key, Record};
use crate::write;

/// Says whether a time zone is in the tz database.
pub(super) fn zone_is_known(name: &str) -> bool {
    TimeZone::get(name).is_ok()
}

/// Where a repository's password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Password {
    /// In a file of that machine.
    File(Line),
    /// What a command prints; the command may hold a secret itself.
    Command(Place),
    /// In the configuration.
    Here(Place),
    /// Nowhere in it.
    Unsaid,
}

/// A repository of restic, as a configuration says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResticRepository {
    /// What it is called there.
    pub(super) name: String,
    /// Where it lies.
    pub(super) location: Line,
    /// Where its password is.
    pub(super) password: Password,
    /// Region of an S3 server.
    pub(super) region: Option<String>,
    /// Where the key of an S3 server stands, if it does.
    pub(super) key_at: Option<Place>,
}

/// A source that was declared, for plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceName(pub(super) String);

/// What was collected.
pub(super) struct Draft<'a> {
    pub(super) program: Program,
    pub(super) options: Options<'a>,
    kinds: Kinds<'a>,
    found: Vec<Found>,
    notes: BTreeSet<Note>,
    before: Vec<Task>,
    after: Vec<Task>,
    /// Locations of repositories that are declared, with their names.
    places: Vec<(String, String)>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(program: Program, options: Options<'a>, kinds: Kinds<'a>) -> Self {
        let notes = BTreeSet::new();
        let (found, before, after, places) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { program, options, kinds, found, notes, before, after, places }
    }

    /// Notes what is not carried over, or otherwise here.
    pub(super) fn note(&mut self, weight: Weight, at: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.notes.insert(Note { at, weight, message: message.into(), hint: hint.into() });
    }

    /// Notes a key that this importer does not know.
    pub(super) fn unknown(&mut self, at: Place, key: &str) {
        let told = format!("{key} is a key that this importer does not know");
        self.note(Weight::Lost, at, told, "See what it means there, and say it by hand where it matters.");
    }

    /// Adds what is done before `apply`, once.
    pub(super) fn task_before(&mut self, command: String, why: impl Into<String>) {
        let task = Task { command, why: why.into() };
        if !self.before.contains(&task) {
            self.before.push(task);
        }
    }

    fn put(&mut self, noun: Noun, name: &str, record: Record) {
        let key = Key::new(noun, Some(TENANT_DEFAULT), name);
        self.found.push(Found { key, id: String::new(), record });
    }

    /// Returns a name for one of a noun that no other has.
    fn free(&self, noun: Noun, words: &str) -> String {
        let fallback: Name = noun.word().parse().expect("the word of a noun is a name");
        let short: String = words.chars().take(48).collect();
        let plain = Name::coerce(&short, &fallback);
        let is_named = |name: &String| noun == Noun::Repository && self.places.iter().any(|(_, taken)| taken == name);
        let is_declared = |name: &String| self.found.iter().any(|row| row.key.noun == noun && row.key.name == *name);
        let is_free = |name: &String| !is_declared(name) && !is_named(name);
        let numbered = (2..).map(|number: u32| format!("{plain}-{number}"));
        std::iter::once(plain.to_string()).chain(numbered).find(is_free).unwrap_or_default()
    }

    /// Declares a repository that restic made, and returns its name; the same for the same location.
    pub(super) fn repository(&mut self, given: &ResticRepository) -> String {
        if let Some((_, name)) = self.places.iter().find(|(place, _)| *place == given.location.text) {
            return name.clone();
        }
        let name = self.free(Noun::Repository, &given.name);
        let at = given.location.at;
        let located = match located(&given.location.text, given.region.as_deref()) {
            Located::Here(kind, settings) => match self.storage_judged(kind, &settings) {
                Ok(()) => Ok((kind, settings)),
                Err(problem) => Err(format!("the location of repository {name} is no storage here: {problem}")),
            },
            Located::Elsewhere(kind) if kind == "s3" => {
                Err(format!("the location of repository {name} says more than a server, a bucket and a path"))
            }
            Located::Elsewhere(kind) => {
                Err(format!("repository {name} lies in a storage of restic's kind `{kind}`, which is not here"))
            }
            Located::Relative => Err(format!("the location of repository {name} is no absolute path")),
        };
        self.places.push((given.location.text.clone(), name.clone()));
        match located {
            Ok((kind, settings)) => self.taken_over(&name, kind, settings, given),
            Err(told) => self.elsewhere(&name, at, told),
        }
        name
    }

    /// Declares a repository of restic that stays what it is.
    fn taken_over(&mut self, name: &str, kind: &str, settings: Value, given: &ResticRepository) {
        let secret = format!("repository-{name}");
        let mut record = record([
            ("storage", json!({ "kind": kind, "settings": settings })),
            ("password", format!("sealed:{secret}").into()),
        ]);
        self.password_task(&secret, name, &given.password);
        if kind == "s3" {
            let key = format!("s3-{name}");
            record.insert("credentials".to_owned(), self.storage_key(&key, given.key_at));
        }
        self.put(Noun::Repository, name, record);
        let command = format!("backstay repository adopt {name}");
        let why =
            "takes in the snapshots that restic made there; each backup then goes on from the newest of its folder. \
                   Those of another host name want `--hostname NAME`"
                .to_owned();
        self.after.push(Task { command, why });
    }

    fn password_task(&mut self, secret: &str, name: &str, password: &Password) {
        let put = format!("backstay secret put {secret}");
        let (command, why) = match password {
            Password::File(file) if is_plain_path(&file.text) => {
                (format!("{put} --from-file {}", quoted(&file.text)), "the file that restic read it from".to_owned())
            }
            Password::File(file) => (put, format!("the password is in the file that line {} names", file.at.line)),
            Password::Command(at) => {
                (format!("COMMAND | {put}"), format!("COMMAND is what line {} has: it prints the password", at.line))
            }
            Password::Here(at) => (put, format!("reads the password, which stands in line {}", at.line)),
            Password::Unsaid => (put, format!("reads the password of repository {name}, which the file does not have")),
        };
        self.task_before(command, why);
    }

    /// Returns where an S3 server's key is found, and adds the task that puts it there.
    fn storage_key(&mut self, key: &str, at: Option<Place>) -> Value {
        let command = format!(
            "printf '{{\"access_key_id\": \"ID\", \"secret_access_key\": \"KEY\"}}' | backstay secret put {key}"
        );
        let why = match at {
            Some(at) => format!("the key of the S3 server stands in line {}", at.line),
            None => "the key of the S3 server, which the file does not have".to_owned(),
        };
        self.task_before(command, why);
        let purposes = ["watch", "read", "write", "delete"];
        let all = purposes.iter().map(|purpose| ((*purpose).to_owned(), Value::from(format!("sealed:{key}"))));
        Value::Object(all.collect())
    }

    /// Tells of a repository that cannot be taken over, and declares a new one where a person said so.
    pub(super) fn elsewhere(&mut self, name: &str, at: Place, told: String) {
        let Some(into) = self.options.into else {
            let hint = format!(
                "Its plans name a repository {name}, which the document does not declare: declare it, or import again with \
                 --into DIR for a new one in DIR/{name}."
            );
            return self.note(Weight::Lost, at, told, hint);
        };
        let path = format!("{}/{name}", into.trim_end_matches('/'));
        let hint = format!("A new, empty repository is declared in its place in {path}; the old one stays as it is.");
        self.note(Weight::Lost, at, told, hint);
        let secret = format!("repository-{name}");
        let why =
            format!("reads a new password for the new repository {name}: keep it on paper too, nothing else opens it");
        self.task_before(format!("backstay secret put {secret}"), why);
        let storage = json!({ "kind": "local", "settings": { "path": path } });
        self.put(
            Noun::Repository,
            name,
            record([("storage", storage), ("password", format!("sealed:{secret}").into())]),
        );
    }

    /// Returns a name for a repository of somebody else's that cannot be taken over.
    pub(super) fn repository_name(&self, words: &str) -> String {
        self.free(Noun::Repository, words)
    }

    /// Remembers the name of such a repository.
    pub(super) fn repository_named(&mut self, place: &str, name: &str) {
        self.places.push((place.to_owned(), name.to_owned()));
    }

    fn storage_judged(&self, kind: &str, settings: &Value) -> Result<(), String> {
        let judge = self.kinds.storages.iter().find(|judge| judge.name() == kind);
        let judge = judge.ok_or_else(|| format!("there is no storage kind `{kind}`"))?;
        judge.judge(settings).map(drop).map_err(|error| format!("{}: {}", error.field, error.problem))
    }

    /// Declares a source; none, and a note, when its kind refuses it. What is the same is the same source.
    pub(super) fn source(&mut self, words: &str, at: Place, kind: &str, settings: Value) -> Option<SourceName> {
        let judge = self.kinds.sources.iter().find(|judge| judge.name() == kind)?;
        let settings = match judge.parse(&settings) {
            Ok(parsed) => parsed.settings,
            Err(error) => {
                let told = format!("{words} cannot be a source of kind {kind}: {}: {}", error.field, error.problem);
                self.note(Weight::Lost, at, told, "It is not backed up until you declare it by hand.");
                return None;
            }
        };
        let mut record = record([("settings", settings)]);
        if kind != "filesystem" {
            record.insert("kind".to_owned(), kind.into());
        }
        let same = self.found.iter().find(|row| row.key.noun == Noun::Source && row.record == record);
        if let Some(same) = same {
            return Some(SourceName(same.key.name.clone()));
        }
        let name = self.free(Noun::Source, words);
        self.put(Noun::Source, &name, record);
        Some(SourceName(name))
    }

    /// Declares a folder as a source. Patterns that are none here are told and left out, which backs up more.
    pub(super) fn folder(&mut self, path: &Line, excludes: &[Line], settings: &Record) -> Option<SourceName> {
        if !path.text.starts_with('/') || path.text.contains(['*', '$', '[', '{']) {
            let told = format!("{} is no absolute path of one folder", shown(&path.text));
            self.note(
                Weight::Lost,
                path.at,
                told,
                "It is NOT backed up: declare a source and a plan for each folder that is meant.",
            );
            return None;
        }
        let mut settings = settings.clone();
        let patterns: Vec<Value> =
            excludes.iter().filter(|line| self.is_pattern(line)).map(|line| line.text.as_str().into()).collect();
        if !patterns.is_empty() {
            settings.insert("exclude".to_owned(), patterns.into());
        }
        settings.insert("path".to_owned(), path.text.as_str().into());
        let last = path.text.trim_end_matches('/').rsplit('/').next().filter(|last| !last.is_empty());
        self.source(last.unwrap_or("root"), path.at, "filesystem", Value::Object(settings))
    }

    /// Says whether the kind `filesystem` takes a pattern; tells it when not.
    fn is_pattern(&mut self, line: &Line) -> bool {
        let judge = self.kinds.sources.iter().find(|judge| judge.name() == "filesystem");
        let settings = json!({ "path": "/", "exclude": [line.text] });
        let Some(Err(error)) = judge.map(|judge| judge.parse(&settings)) else { return true };
        self.note(
            Weight::Lost,
            line.at,
            format!("an exclude pattern is none here: {}", error.problem),
            "What it meant is backed up.",
        );
        false
    }

    /// Says which file system settings hold, each judged: a wrong one is told.
    pub(super) fn size(&mut self, key: &str, line: &Line, settings: &mut Record) {
        let given = json!({ "path": "/", key: line.text });
        let judge = self.kinds.sources.iter().find(|judge| judge.name() == "filesystem");
        match judge.map(|judge| judge.parse(&given)) {
            Some(Err(error)) => self.note(Weight::Lost, line.at, format!("{}: {}", error.field, error.problem), ""),
            _ => drop(settings.insert(key.to_owned(), line.text.as_str().into())),
        }
    }

    /// Declares a plan for each source in each repository; returns the names.
    pub(super) fn plans(
        &mut self,
        words: &str,
        sources: &[SourceName],
        repositories: &[String],
        terms: &Terms,
    ) -> Vec<String> {
        let is_one = sources.len() * repositories.len() == 1;
        let said = terms.record();
        let mut shared = said.clone();
        if !is_one && !said.is_empty() && !sources.is_empty() && !repositories.is_empty() {
            let template = self.free(Noun::Template, words);
            self.put(Noun::Template, &template, said);
            shared = record([("template", template.into())]);
        }
        let mut names = Vec::new();
        for repository in repositories {
            for SourceName(source) in sources {
                let mut name = words.to_owned();
                if sources.len() > 1 && *source != name {
                    let _ = write!(name, "-{source}");
                }
                if repositories.len() > 1 {
                    let _ = write!(name, "-{repository}");
                }
                let name = self.free(Noun::Plan, &name);
                let mut plan = shared.clone();
                plan.insert("source".to_owned(), source.as_str().into());
                plan.insert("repository".to_owned(), repository.as_str().into());
                self.put(Noun::Plan, &name, plan);
                names.push(name);
            }
        }
        names
    }

    /// Has a service that waits for signs of life hear of a plan; of one alone, because one URL is one state.
    pub(super) fn ping(&mut self, plans: &[String], at: Place) {
        let [plan] = plans else {
            if !plans.is_empty() {
                let told = format!(
                    "the pings are not carried over: there are {} plans now, and one URL is one state",
                    plans.len()
                );
                self.note(Weight::Lost, at, told, "Make a URL for each plan, and a channel of kind `ping` for each.");
            }
            return;
        };
        let name = self.free(Noun::Channel, &format!("ping-{plan}"));
        let secret = format!("channel-{name}");
        let settings = json!({ "url": format!("sealed:{secret}"), "plan": plan });
        self.put(Noun::Channel, &name, record([("kind", "ping".into()), ("settings", settings)]));
        let why = format!("reads the URL of the pings, without /start or /fail, which stands in line {}", at.line);
        self.task_before(format!("backstay secret put {secret}"), why);
        let told = "the pings go out when a backup has ended, not at its start".to_owned();
        self.note(
            Weight::Otherwise,
            at,
            told,
            "With `start: true` in the channel's settings they go out at its start too.",
        );
    }

    /// Ends the collection.
    pub(super) fn finish(mut self) -> Imported {
        if !self.found.iter().any(|row| row.key.noun == Noun::Plan) {
            let told = "nothing in this file is a backup that can be declared here".to_owned();
            self.note(
                Weight::Lost,
                Place::new(1, 1, 1),
                told,
                "Is it the file that you meant? `backstay import --help` names the kinds.",
            );
        }
        if self.found.iter().any(|row| row.key.noun == Noun::Channel) {
            let key = Key::new(Noun::Tenant, None, TENANT_DEFAULT);
            self.found.push(Found { key, id: String::new(), record: Record::new() });
        }
        let body = write::sections(&self.found);
        let (_, mistakes) = read(&body, self.kinds, &[]);
        for mistake in mistakes {
            let told = format!("the document needs a hand: {}", mistake.message);
            self.note(Weight::Lost, Place::new(1, 1, 1), told, mistake.hint);
        }
        let notes: Vec<Note> = self.notes.into_iter().collect();
        let text = format!("{}{body}", head(self.program, self.options.name, &notes, &self.before, &self.after));
        Imported { text, notes, before: self.before, after: self.after }
    }
}

/// Returns the keys that nobody needs to do anything about, with their lines.
pub fn moot(notes: &[Note]) -> String {
    let moot = notes.iter().filter(|note| note.weight == Weight::Moot);
    moot.map(|note| format!("{} (line {})", note.message, note.at.line)).collect::<Vec<_>>().join(", ")
}

/// Makes a record.
fn record<const N: usize>(values: [(&str, Value); N]) -> Record {
    values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>()
}

/// Says whether a path can be typed as it is.
fn is_plain_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['$', '*']) && !path.contains("{{") && !path.contains(char::is_control)
}

/// Returns a text as a shell reads it as one word.
fn quoted(text: &str) -> String {
    let is_plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-./+:@".contains(letter));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Returns the first lines of the document: what is done with it, and what is not in it.
fn head(program: Program, name: &str, notes: &[Note], before: &[Task], after: &[Task]) -> String {
    let mut out = format!(
        "# Made by `backstay import {} {}`: read it, then, where a Backstay is (`backstay up` makes one),\n",
        program.word(),
        shown(name)
    );
    let apply =
        Task { command: "backstay apply -f FILE".to_owned(), why: "FILE is this file; `--dry-run` first".to_owned() };
    for (at, task) in before.iter().chain([&apply]).chain(after).enumerate() {
        let _ = writeln!(out, "#  {}. {}\n#     ({})", at + 1, shown(&task.command), shown(&task.why));
    }
    for (weight, words) in [(Weight::Lost, "Not carried over"), (Weight::Otherwise, "Otherwise here")] {
        let of = notes.iter().filter(|note| note.weight == weight);
        for (at, note) in of.enumerate() {
            if at == 0 {
                let _ = writeln!(out, "#\n# {words}, by the lines of that file:");
            }
            let hint = if note.hint.is_empty() { String::new() } else { format!(" {}", shown(&note.hint)) };
            let _ = writeln!(out, "#  {}: {}.{hint}", note.at.line, shown(&note.message));
        }
    }
    let moot = moot(notes);
    if !moot.is_empty() {
        let _ = writeln!(out, "#\n# Nothing to do about: {}.", shown(&moot));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(quoted("/etc/restic/pw"), "/etc/restic/pw");
        assert_eq!(quoted("/etc/it's here"), "'/etc/it'\\''s here'");
    }
}
