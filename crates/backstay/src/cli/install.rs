//! `backstay install`: the unit of a service, and the file of its settings. A second time there is nothing to do.
//!
//! It writes files and starts nothing: what comes next is said. A unit that is not ours, and a file of settings that is
//! there, are kept as they are.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use backstay_declare::settings::template;
use serde::Serialize;

use super::error::{CliError, Exit};
use super::human::shown;
use super::screen::Screen;
use crate::roles::unit::{MARK, Unit, WRITE_KEY, Whose, write_line};

/// Where the machine's installation keeps everything: the unit's StateDirectory.
const STATE_OF_MACHINE: &str = "/var/lib/backstay";

/// What is to be installed.
#[derive(Debug, clap::Args)]
pub(crate) struct Install {
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// A service of your own, which reads what you may read, instead of the machine's, which runs as root
    #[arg(long)]
    user: bool,
    /// Write below this folder, as for a package; what the files say of each other stays without it
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Let the service write below this folder, for a local storage or a restore; may be given several times, and what an
    /// earlier install let it write stays
    #[arg(long, value_name = "DIR", conflicts_with = "user")]
    writes: Vec<PathBuf>,
    /// The program that is started [default: this one, where it lies]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    /// There is none.
    Make,
    /// An earlier version of ours lies there.
    Replace,
    /// It is there.
    Keep,
}

/// A file, and what happens to it.
#[derive(Debug, Serialize)]
struct Step {
    file: PathBuf,
    change: Change,
    #[serde(skip)]
    text: String,
}

pub(super) fn run(verb: &Install, screen: &Screen) -> Result<Exit, CliError> {
    let steps = steps(verb)?;
    let is_done = steps.iter().all(|step| step.change == Change::Keep);
    if !verb.dry_run {
        for step in steps.iter().filter(|step| step.change != Change::Keep) {
            write(step).map_err(|error| {
                let hint = if verb.user { "" } else { "Run it as root, or with --user for a service of your own." };
                CliError::from_error(Exit::Failed, &error)
                    .under(format!("{} cannot be written", step.file.display()))
                    .hint(hint)
            })?;
        }
    }
    let rows =
        steps.iter().map(|step| vec![words(step.change, verb.dry_run).to_owned(), step.file.display().to_string()]);
    screen.rows(&serde_json::json!({ "dry_run": verb.dry_run, "files": steps }), &["", "file"], rows.collect(), "");
    if verb.dry_run {
        screen.say("nothing was written");
        if !screen.json() {
            for step in steps.iter().filter(|step| step.change != Change::Keep) {
                screen.line(&format!("\n=== {}\n{}", shown(&step.file.display().to_string()), step.text.trim_end()));
            }
        }
    } else if is_done {
        screen.say("nothing was to be done");
    } else if verb.prefix.is_none() {
        let of = if verb.user { " --user" } else { "" };
        screen.say(&format!(
            "look at the file of settings, then: systemctl{of} daemon-reload && systemctl{of} enable backstay && systemctl{of} restart backstay"
        ));
        screen.say("once a repository is there, have its own database backed up too: backstay server protect --repository NAME");
        if verb.user {
            screen.say("it ends with your last session, unless you run: loginctl enable-linger");
        }
    }
    Ok(Exit::Done)
}

const fn words(change: Change, dry_run: bool) -> &'static str {
    match (change, dry_run) {
        (Change::Make, false) => "made",
        (Change::Replace, false) => "replaced",
        (Change::Keep, _) => "kept",
        (Change::Make, true) => "would be made",
        (Change::Replace, true) => "would be replaced",
    }
}

/// Returns what is to be done.
fn steps(verb: &Install) -> Result<Vec<Step>, CliError> {
    let whose = if verb.user { Whose::User } else { Whose::Machine };
    let (unit, config) = match whose {
        Whose::Machine => {
            (PathBuf::from("/etc/systemd/system/backstay.service"), PathBuf::from("/etc/backstay/backstay.yaml"))
        }
        Whose::User => {
            let base = directories::BaseDirs::new().ok_or_else(|| {
                CliError::new(Exit::Input, "there is no folder of configuration here").hint("Set HOME.")
            })?;
            (base.config_dir().join("systemd/user/backstay.service"), base.config_dir().join("backstay/backstay.yaml"))
        }
    };
    let program = match &verb.program {
        Some(program) => absolute(program, "--program")?,
        None => std::env::current_exe().map_err(|error| {
            CliError::from_error(Exit::Failed, &error).hint("Name the program with --program FILE.")
        })?,
    };
    let unit_file = below(verb.prefix.as_deref(), &unit);
    let found = there(&unit_file)?;
    if found.as_ref().is_some_and(|text| !text.starts_with(MARK)) {
        return Err(CliError::new(
            Exit::Input,
            format!("{} is there, and not written by this command", unit_file.display()),
        )
        .hint("It is kept as it is. Move it away, or put what it says into a drop-in (systemctl edit backstay)."));
    }
    // What a service was let write once, a restore or a storage may need still.
    let mut writes: Vec<String> = found.iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
    writes.retain(|line| line.starts_with(WRITE_KEY));
    for folder in &verb.writes {
        let line = write_line(&absolute(folder, "--writes")?.display().to_string());
        if !writes.contains(&line) {
            writes.push(line);
        }
    }
    let text = Unit { whose, program: &program, config: &config, writes: &writes }.text();
    let change = match &found {
        None => Change::Make,
        Some(found) if *found == text => Change::Keep,
        Some(_) => Change::Replace,
    };
    let unit = Step { file: unit_file, change, text };
    let config_file = below(verb.prefix.as_deref(), &config);
    let change = if there(&config_file)?.is_some() { Change::Keep } else { Change::Make };
    let config = Step { file: config_file, change, text: settings(whose) };
    Ok(vec![config, unit])
}

/// Returns the file of settings to begin with.
fn settings(whose: Whose) -> String {
    let lines = template();
    let lines = lines.lines().map(|line| match whose {
        Whose::Machine if line.starts_with("# data_dir:") => format!("data_dir: {STATE_OF_MACHINE}"),
        _ => line.to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}

/// Returns where a file is written.
fn below(prefix: Option<&Path>, file: &Path) -> PathBuf {
    prefix.map_or_else(|| file.to_owned(), |prefix| prefix.join(file.strip_prefix("/").unwrap_or(file)))
}

/// Judges a path for a unit, which knows no current folder and has one line for it.
fn absolute(path: &Path, option: &str) -> Result<PathBuf, CliError> {
    let wrong = |why: &str| CliError::new(Exit::Input, format!("{option} {}: {why}", path.display()));
    let absolute = std::path::absolute(path).map_err(|error| wrong(&error.to_string()))?;
    match absolute.to_str() {
        Some(text) if !text.contains(char::is_control) => Ok(absolute),
        _ => Err(wrong("a unit cannot say this path").hint("Use a path without line breaks, in UTF-8.")),
    }
}

/// Returns what a file holds; none when there is none.
fn there(file: &Path) -> Result<Option<String>, CliError> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(CliError::from_error(Exit::Failed, &error).under(format!("{} cannot be read", file.display())))
        }
    }
}

/// Writes a file whole or not at all.
fn write(step: &Step) -> std::io::Result<()> {
    let folder = step.file.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let beside = step.file.with_extension("backstay-new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(step.text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, &step.file)
}
