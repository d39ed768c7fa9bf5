//! `backstay import`: the configuration of another program as a file for `apply`, and a list of what is not in it.
//!
//! It reads one file and asks nobody. What it cannot say in our words is told with its line, on standard error and in the
//! first lines of the document.

use std::path::{Path, PathBuf};

use backstay_agent::SOURCE_KINDS;
use backstay_declare::file::Kinds;
use backstay_declare::import::{Imported, Options, Program, Task, Weight, import, moot};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::error::{CliError, Exit};
use super::human::shown;
use super::paper::{Paper, write_new};
use super::screen::Screen;
use crate::roles::system::storage_judges;

/// What is to be imported.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Whose configuration it is
    program: Whose,
    /// The file; - for standard input. borgmatic's config.yaml, Backrest's config.json, resticprofile's profiles.yaml, .toml or
    /// .json, crestic's INI
    file: PathBuf,
    /// The file to write, for apply; standard output when left out. One that is there is kept
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Declare new repositories in this folder, for those that cannot be taken over: Borg's, and those in storages that are
    /// not here
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// The time zone of schedules that mean local time [default: this machine's]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
}

/// A program whose configuration can be read.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Whose {
    Borgmatic,
    Backrest,
    Resticprofile,
    Crestic,
}

impl Whose {
    const fn program(self) -> Program {
        match self {
            Self::Borgmatic => Program::Borgmatic,
            Self::Backrest => Program::Backrest,
            Self::Resticprofile => Program::Resticprofile,
            Self::Crestic => Program::Crestic,
        }
    }
}

pub(super) fn run(verb: &Import, screen: &Screen) -> Result<Exit, CliError> {
    let paper = Paper::read(&verb.file)?;
    let time_zone = zone(verb.time_zone.as_deref())?;
    let into = verb.into.as_deref().map(absolute).transpose()?;
    let storages = storage_judges();
    let kinds = Kinds { sources: SOURCE_KINDS, storages: &storages };
    let options = Options { name: &paper.name, time_zone: &time_zone, into: into.as_deref() };
    let imported = import(verb.program.program(), &paper.text, options, kinds)
        .map_err(|mistakes| paper.refuse(&mistakes, screen))?;
    let output = verb.output.as_deref().filter(|path| *path != Path::new("-"));
    if let Some(path) = output {
        write_new(path, &imported.text)?;
    }
    if screen.json() {
        screen.value(&document(&paper.name, output, &imported));
        return Ok(Exit::Done);
    }
    if output.is_none() {
        screen.line(imported.text.trim_end());
    }
    tell(&paper.name, output, &imported, screen);
    Ok(Exit::Done)
}

/// Returns the name of the zone that is meant.
fn zone(given: Option<&str>) -> Result<String, CliError> {
    let Some(name) = given else {
        // Containers and servers say so, and everybody writes the short one.
        let name = TimeZone::system().iana_name().filter(|name| *name != "Etc/UTC").map(str::to_owned);
        return Ok(name.unwrap_or_else(|| "UTC".to_owned()));
    };
    match TimeZone::get(name) {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => Err(CliError::new(Exit::Input, format!("--time-zone {name} is not in the tz database"))
            .hint("Write a name such as Europe/Zurich or UTC.")),
    }
}

/// Returns a folder as a document can say it.
fn absolute(path: &Path) -> Result<String, CliError> {
    let absolute = std::path::absolute(path).ok();
    let text = absolute.as_deref().and_then(Path::to_str).filter(|text| !text.contains(char::is_control));
    text.map(str::to_owned).ok_or_else(|| {
        CliError::new(Exit::Input, format!("--into {}: a document cannot say this path", path.display()))
            .hint("Use a path without line breaks, in UTF-8.")
    })
}

/// Tells what is not in the document, what is otherwise here, and what comes next.
fn tell(name: &str, output: Option<&Path>, imported: &Imported, screen: &Screen) {
    for (weight, words) in [(Weight::Lost, "not carried over"), (Weight::Otherwise, "otherwise here")] {
        for (at, note) in imported.notes.iter().filter(|note| note.weight == weight).enumerate() {
            if at == 0 {
                screen.say(&format!("\n{words}:"));
            }
            screen.say(&format!("  {}:{}: {}", shown(name), note.at.line, shown(&note.message)));
            if !note.hint.is_empty() {
                screen.say(&format!("      {}", shown(&note.hint)));
            }
        }
    }
    let moot = moot(&imported.notes);
    if !moot.is_empty() {
        screen.say(&format!("\nnothing to do about: {}", shown(&moot)));
    }
    let file = output.map_or("FILE".to_owned(), |path| shown(&path.display().to_string()));
    let apply =
        Task { command: format!("backstay apply -f {file}"), why: "what it would do: with --dry-run".to_owned() };
    screen.say("\nwhat to do, where a Backstay is (`backstay up` makes one):");
    for (at, task) in imported.before.iter().chain([&apply]).chain(&imported.after).enumerate() {
        screen.say(&format!("  {}. {}\n     ({})", at + 1, shown(&task.command), shown(&task.why)));
    }
    if let Some(path) = output {
        screen.say(&format!("\nthe document is in {}", shown(&path.display().to_string())));
    }
}

fn document(name: &str, output: Option<&Path>, imported: &Imported) -> Value {
    let notes = imported.notes.iter().map(|note| {
        json!({
            "line": note.at.line, "column": note.at.column, "weight": note.weight.word(),
            "message": note.message, "hint": note.hint,
        })
    });
    let tasks = |tasks: &[Task]| -> Vec<Value> {
        tasks.iter().map(|task| json!({ "command": task.command, "why": task.why })).collect()
    };
    let mut document = json!({
        "file": name,
        "notes": notes.collect::<Vec<_>>(),
        "before": tasks(&imported.before),
        "after": tasks(&imported.after),
    });
    match output {
        Some(path) => document["output"] = path.display().to_string().into(),
        None => document["yaml"] = imported.text.as_str().into(),
    }
    document
}

#[cfg(test)]
mod tests {
    use backstay_declare::file::{Declared, read};
    use backstay_declare::refer;
    use backstay_declare::row::Wanted;

    use super::*;

    /// What a fixture is of: the program, the file, and the folder of new repositories.
    const FIXTURES: [(Program, &str, Option<&str>); 6] = [
        (Program::Borgmatic, "borgmatic.yaml", Some("/mnt/new")),
        (Program::Borgmatic, "borgmatic_sections.yaml", None),
        (Program::Backrest, "backrest.json", None),
        (Program::Resticprofile, "resticprofile.yaml", None),
        (Program::Resticprofile, "resticprofile.toml", None),
        (Program::Crestic, "crestic.ini", None),
    ];

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(name)
    }

    fn imported(program: Program, name: &str, into: Option<&str>, text: &str) -> Result<Imported, String> {
        let storages = storage_judges();
        let kinds = Kinds { sources: SOURCE_KINDS, storages: &storages };
        import(program, text, Options { name, time_zone: "Europe/Zurich", into }, kinds)
            .map_err(|mistakes| format!("{mistakes:?}"))
    }

    fn all() -> Vec<(Program, &'static str, String, Imported)> {
        let one = |(program, name, into): (Program, &'static str, Option<&str>)| {
            let text = std::fs::read_to_string(fixture(name)).unwrap();
            let read = imported(program, name, into, &text).unwrap();
            (program, name, text, read)
        };
        FIXTURES.map(one).into()
    }

    fn declared(text: &str) -> Declared {
        let storages = storage_judges();
        let (declared, mistakes) = read(text, Kinds { sources: SOURCE_KINDS, storages: &storages }, &[]);
        assert_eq!(mistakes, [], "{text}");
        declared
    }

    fn record<'a>(declared: &'a Declared, key: &str) -> &'a Wanted {
        let found = declared.rows.iter().find(|row| row.key.to_string() == key);
        let all = || declared.rows.iter().map(|row| row.key.to_string()).collect::<Vec<_>>().join(", ");
        found.unwrap_or_else(|| panic!("no {key} in {}", all()))
    }

    /// Red when what is imported becomes anything else: whoever changes it looks at the difference, and `BACKSTAY_BLESS=1`
    /// writes it.
    #[test]
    fn each_document_is_what_it_was_and_apply_takes_it() {
        for (_, name, _, read) in all() {
            let path = fixture(name).with_extension(format!("{}.expected", name.rsplit('.').next().unwrap()));
            if std::env::var_os("BACKSTAY_BLESS").is_some() {
                std::fs::write(&path, &read.text).unwrap();
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), read.text, "{name}");
            let declared = declared(&read.text);
            let nowhere = refer::check(&declared, &[], declared.missing);
            // A repository that cannot be taken over is the one thing that a person must add.
            assert!(
                nowhere.iter().all(|one| one.message.starts_with("there is no repository ")),
                "{name}: {nowhere:?}"
            );
        }
    }

    #[test]
    fn no_secret_is_written_or_told() {
        for (_, name, text, read) in all() {
            assert!(name.ends_with(".toml") || text.contains("hunter2"), "{name} has something to hide");
            assert!(!format!("{read:?}").contains("hunter2"), "{name}: {read:#?}");
        }
        let told = imported(Program::Borgmatic, "x", None, "encryption_passphrase: hunter2\n  bad: {").unwrap_err();
        assert!(!told.contains("hunter2"), "{told}");
    }

    /// Says whether a line has a key, and gives one that nobody knows, which can stand before it.
    fn stranger(name: &str, line: &str) -> Option<String> {
        let content = line.trim_start();
        let indent = &line[..line.len() - content.len()];
        if name.ends_with(".json") {
            return (content.starts_with('"') && content.contains("\":"))
                .then(|| format!("{indent}\"zz-unknown\": 1,"));
        }
        let key = content.strip_prefix("- ").unwrap_or(content);
        let letters = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
        let end = key.find(|letter| !letters(letter))?;
        let (value, sign) = if name.ends_with(".toml") { ("zz-unknown = 1", " = ") } else { ("zz-unknown: 1", ": ") };
        let is_key = end > 0 && (key[end..].starts_with(sign) || &key[end..] == ":");
        is_key.then(|| {
            if key.len() < content.len() {
                format!("{indent}- {value}\n{indent}  {key}")
            } else {
                format!("{indent}{value}")
            }
        })
    }

    /// A key that no importer knows is told wherever it stands, or stands below one that is told as a whole.
    #[test]
    fn nothing_is_dropped_silently() {
        let mut tried = 0;
        for (program, name, text, before) in all() {
            let lines: Vec<&str> = text.lines().collect();
            for (at, line) in lines.iter().enumerate() {
                let Some(inserted) = stranger(name, line) else { continue };
                let replaces = inserted.contains('\n');
                let mut changed = lines.clone();
                changed.splice(at..at + usize::from(replaces), [inserted.as_str()]);
                let Ok(read) = imported(program, name, None, &changed.join("\n")) else { continue };
                tried += 1;
                let is_told = read.notes.iter().any(|note| note.message.to_lowercase().contains("zz-unknown"));
                let indent = |line: &str| line.len() - line.trim_start().len();
                let above = |note: &backstay_declare::import::Note| {
                    let other = note.at.line - 1;
                    other < at
                        && lines[other + 1..=at]
                            .iter()
                            .all(|below| below.trim().is_empty() || indent(below) > indent(lines[other]))
                };
                let is_below = before.notes.iter().any(above);
                let is_of_check = lines[..at]
                    .iter()
                    .rev()
                    .find(|line| line.starts_with('['))
                    .is_some_and(|line| line.contains(".check"));
                assert!(is_told || is_below || is_of_check, "{name}:{}: {:#?}", at + 1, read.notes);
            }
        }
        assert!(tried > 150, "only {tried} places were tried");
    }

    #[test]
    fn rules_of_retention_are_exactly_those_that_stood_there() {
        let check = |fixture: &str, key: &str, expected: Value| {
            let (.., read) = all().into_iter().find(|(_, name, ..)| *name == fixture).unwrap();
            let declared = declared(&read.text);
            let mut said = record(&declared, key).record.get("retention").cloned().unwrap_or_default();
            said.as_object_mut().into_iter().for_each(|said| said.retain(|_, value| !value.is_null()));
            assert_eq!(said, expected, "{key}");
        };
        let borg =
            json!({ "keep_within": "14d", "keep_daily": 7, "keep_weekly": 4, "keep_monthly": 6, "keep_yearly": 1 });
        check("borgmatic.yaml", "template borgmatic", borg);
        // Borg's `keep_minutely` is not here: without it more would go.
        check("borgmatic_sections.yaml", "plan borgmatic", Value::Null);
        let documents = json!({ "keep_last": 10, "keep_hourly": 24, "keep_daily": 30, "keep_weekly": 8, "keep_monthly": 12, "keep_yearly": 3 });
        check("backrest.json", "plan documents", documents);
        check("backrest.json", "template system", json!({ "keep_last": 30 }));
        check("backrest.json", "plan photos", Value::Null);
        let inherited = json!({ "keep_last": 3, "keep_daily": 14, "keep_weekly": 8, "keep_within": "30d" });
        check("resticprofile.yaml", "plan documents", inherited);
        // `keep-tag` is not here, and the rules of `manual` are run by nobody.
        check("resticprofile.yaml", "plan logs", Value::Null);
        check("resticprofile.yaml", "plan manual", Value::Null);
        check("resticprofile.toml", "plan home", json!({ "keep_hourly": 12, "keep_monthly": -1 }));
        check("crestic.ini", "plan home-nas", json!({ "keep_daily": 7, "keep_within": "31d" }));
        check("crestic.ini", "plan etc", Value::Null);
    }

    #[test]
    fn what_is_no_file_of_the_program_is_told() {
        let told = |program, text| {
            imported(program, "x.yaml", None, text).map_or_else(|error| error, |read| format!("{:?}", read.notes))
        };
        assert!(told(Program::Resticprofile, "a:\n  backup:\n    source: {{ .CurrentDir }}\n").contains("templates"));
        assert!(told(Program::Backrest, "{\"a\": [").contains("not YAML"));
        assert!(told(Program::Borgmatic, "").contains("says nothing"));
        assert!(told(Program::Crestic, "repo: /x\n").contains("below no section"));
        assert!(told(Program::Backrest, "{}").contains("nothing in this file is a backup"));
        assert!(told(Program::Backrest, "[1]").contains("keys with values are expected"));
        let ring = "a: {inherit: b, backup: {source: /x}}\nb: {inherit: a}\n";
        assert!(told(Program::Resticprofile, ring).contains("inherits from"), "{}", told(Program::Resticprofile, ring));
    }
}
