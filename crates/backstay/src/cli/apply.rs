//! `backstay apply` and `backstay export`: everything declared in a file, compared with what there is, and done.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use backstay_agent::SOURCE_KINDS;
use backstay_api::types::plan::PlanFit;
use backstay_api::{Client, ClientError};
use backstay_declare::change::{Change, Changes, Step, changes, sources_judge};
use backstay_declare::file::{Declared, Kinds, Missing, read};
use backstay_declare::mistake::{Mistake, shown};
use backstay_declare::nouns::{Noun, TENANT_DEFAULT};
use backstay_declare::settings::sections;
use backstay_declare::{refer, write};
use jiff::Timestamp;
use serde_json::json;

use super::args::Common;
use super::connect::look;
use super::declared::Server;
use super::error::{CliError, Exit};
use super::paper::{Paper, colors, write_new};
use super::plan;
use super::screen::Screen;
use super::step;
use crate::roles::system::storage_judges;

/// Most names of what is left alone that are told: whoever has hundreds by hand knows it. `--json` has all.
const KEPT_SHOWN: usize = 12;

/// Plans of one apply whose windows are asked for: each is a question.
const PLANS_ASKED: usize = 50;

/// What `apply` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// The file; - for standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Say what would change, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it without asking
    #[arg(short, long)]
    yes: bool,
    /// Retire what the file does not have, of the tenants and sections that it speaks of, as `missing: retire` in the file
    /// does; data is never touched
    #[arg(long)]
    retire_missing: bool,
}

/// What `export` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The file to write; standard output when left out. One that is there is kept
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Reads a file of declarations and judges all that can be judged without a server.
fn declared(paper: &Paper) -> (Declared, Vec<Mistake>) {
    let storages = storage_judges();
    read(&paper.text, Kinds { sources: SOURCE_KINDS, storages: &storages }, &sections())
}

pub(super) async fn apply(common: &Common, verb: Apply, screen: &Screen) -> Result<Exit, CliError> {
    if common.shows() {
        return Err(CliError::new(Exit::Input, "--show-call shows one call, and apply makes many")
            .hint("`backstay apply -f FILE --dry-run` shows what would be done."));
    }
    let paper = Paper::read(&verb.file)?;
    let (declared, mistakes) = declared(&paper);
    let done = look(common, async |client| run(client, &verb, &paper, (&declared, &mistakes), screen).await).await;
    match done {
        // Nobody answered: what is wrong with the file itself is known all the same.
        Err(_) if !mistakes.is_empty() => Err(paper.refuse(&mistakes, screen)),
        Err(error) => Err(error),
        Ok(told) => told,
    }
}

/// Does what the file says. The outer error is that of a server that could not be asked; all else is said already.
async fn run(
    client: &Client,
    verb: &Apply,
    paper: &Paper,
    (declared, mistakes): (&Declared, &[Mistake]),
    screen: &Screen,
) -> Result<Result<Exit, CliError>, CliError> {
    let missing = if verb.retire_missing { Missing::Retire } else { declared.missing };
    let mut server = Server::read(client).await?;
    let mut mistakes = mistakes.to_vec();
    mistakes.extend(refer::check(declared, &server.found, missing));
    let mut all = changes(declared, &server.found, missing, Timestamp::now());
    sources_judge(&mut all, declared, SOURCE_KINDS);
    if mistakes.is_empty() {
        mistakes.extend(all.refused.iter().cloned());
    }
    if !mistakes.is_empty() {
        return Ok(Err(paper.refuse(&mistakes, screen)));
    }
    if !screen.json() {
        print(&all, screen);
    }
    let total = all.steps.len();
    if !verb.dry_run && total > 0 {
        if let Err(refused) = agree(verb, &all, screen) {
            return Ok(Err(refused));
        }
        for (done, step) in all.steps.iter().enumerate() {
            if let Err(error) = step::take(client, &mut server, step).await {
                if screen.json() {
                    let mut document = all.document();
                    document["done"] = json!(done);
                    document["error"] = json!(error.line());
                    screen.value(&document);
                }
                return Ok(Err(stopped(paper, declared, step, (done, total), error, screen)));
            }
        }
    }
    let warnings = match verb.dry_run {
        true => wished(client, &server, &all).await,
        false => warnings(client, &server, &all).await,
    };
    finish(verb, &all, &warnings, screen);
    Ok(Ok(Exit::Done))
}

/// Returns what is to be said of the windows of plans that were declared or changed.
async fn warnings(client: &Client, server: &Server, all: &Changes) -> Vec<String> {
    let plans = all.steps.iter().filter(|step| step.key.noun == Noun::Plan && !step.ends()).take(PLANS_ASKED);
    let mut said = BTreeSet::new();
    for step in plans {
        if let Some(row) = server.found.iter().find(|row| row.key == step.key) {
            said.extend(plan::warnings(client, &row.id).await);
        }
    }
    said.into_iter().collect()
}

/// Returns what will be to be said of the windows of plans, before any of them is declared or changed.
async fn wished(client: &Client, server: &Server, all: &Changes) -> Vec<String> {
    let mut tenants: BTreeMap<&str, PlanFit> = BTreeMap::new();
    for step in &all.steps {
        let tenant = step.key.tenant.as_deref().unwrap_or(TENANT_DEFAULT);
        let fit = tenants.entry(tenant).or_insert_with(|| PlanFit { tenant: tenant.to_owned(), ..PlanFit::default() });
        step::wish(server, step, fit);
    }
    let mut said = BTreeSet::new();
    for fit in tenants.values_mut().filter(|fit| !fit.plans.is_empty()) {
        fit.plans.truncate(PLANS_ASKED);
        match client.plan_fit(fit).await {
            Ok(view) => said.extend(view.warnings),
            // A tenant that is not there has no history that could say anything.
            Err(ClientError::Problem { problem }) if problem.status == 404 => {}
            Err(error) => {
                said.insert(format!(
                    "whether the windows of plans fit could not be asked: {}",
                    CliError::from(error).line()
                ));
            }
        }
    }
    said.into_iter().map(|words| plan::warning(&words)).collect()
}

/// Says at its place in the file what the server did not take, and what is done already.
fn stopped(
    paper: &Paper,
    declared: &Declared,
    step: &Step,
    (done, total): (usize, usize),
    error: CliError,
    screen: &Screen,
) -> CliError {
    let wanted = declared.rows.iter().find(|row| row.key == step.key);
    if let Some(wanted) = wanted.filter(|_| !screen.json()) {
        let told = format!("the server did not take the {}: {}", step.key, error.line());
        paper.show(&[Mistake::new(wanted.at, told)], backstay_declare::mistake::Weight::Error);
    }
    let heading = format!("{} {} did not work; {done} of {total} steps are done", step.word(), step.key);
    error.under(heading).also("`apply` again goes on where it stopped.")
}

/// Asks a person; where there is none, what ends something wants `--yes`.
fn agree(verb: &Apply, all: &Changes, screen: &Screen) -> Result<(), CliError> {
    if verb.yes {
        return Ok(());
    }
    let refused = |told: &str| {
        CliError::new(Exit::Input, told).hint("`--yes` does it without asking, `--dry-run` only shows it.")
    };
    let asks = std::io::stdin().is_terminal()
        && std::io::stderr().is_terminal()
        && !screen.json()
        && verb.file != Path::new("-");
    if !asks {
        let ends = all.steps.iter().any(Step::ends);
        return if ends {
            Err(refused("nothing was done: something would be retired or removed, and nobody can be asked"))
        } else {
            Ok(())
        };
    }
    let mut out = std::io::stderr();
    let _ = write!(out, "Do this? [y/N] ").and_then(|()| out.flush());
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(refused("nothing was done"))
    }
}

/// Says what came of it.
fn finish(verb: &Apply, all: &Changes, warnings: &[String], screen: &Screen) {
    if screen.json() {
        let mut document = all.document();
        document["dry_run"] = json!(verb.dry_run);
        document["done"] = json!(if verb.dry_run { 0 } else { all.steps.len() });
        document["warnings"] = json!(warnings);
        return screen.value(&document);
    }
    if all.steps.is_empty() {
        return screen.line("nothing to change");
    }
    if !verb.dry_run {
        screen.line(&format!("done: {}", counted(all, ["declared", "changed", "ended"])));
    }
    warnings.iter().for_each(|words| screen.say(words));
}

fn counted(all: &Changes, words: [&str; 3]) -> String {
    let (created, updated, ended) = all.counts();
    let counts = [created, updated, ended];
    let said: Vec<String> = counts
        .iter()
        .zip(words)
        .filter(|(count, _)| **count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    said.join(", ")
}

/// Prints what would change, for a person.
fn print(all: &Changes, screen: &Screen) {
    let color = colors(std::io::stdout().is_terminal());
    let paint = |code: &str, text: &str| if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    for step in &all.steps {
        let code = match step.sign() {
            '+' => "32",
            '~' => "33",
            _ => "31",
        };
        let stays = step.stays();
        let stays = if stays.is_empty() { String::new() } else { format!(": {stays}") };
        let line = format!("{} {} {}{stays}", step.sign(), step.word(), shown(&step.key.to_string()));
        screen.line(&paint(code, &line));
        for Change { field, was, now } in &step.changes {
            let words =
                |said: &Option<String>| said.as_ref().map_or_else(|| "(not said)".to_owned(), |said| shown(said));
            let line = match (was, now) {
                (None, Some(now)) if step.sign() == '+' => format!("    {field}: {}", shown(now)),
                (was, now) => format!("    {field}: {} -> {}", words(was), words(now)),
            };
            screen.line(&line);
        }
    }
    for key in &all.over {
        screen.say(&format!("the {key} is over; it can leave the file"));
    }
    if !all.kept.is_empty() {
        let names: Vec<String> = all.kept.iter().take(KEPT_SHOWN).map(|key| shown(&key.to_string())).collect();
        let more = all.kept.len().saturating_sub(KEPT_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        screen.say(&format!("not in this file, and left alone: {}{more}", names.join(", ")));
        screen.say("`--retire-missing`, or `missing: retire` in the file, retires what is not in it");
    }
    if !all.steps.is_empty() {
        screen.say(&format!("to do: {}", counted(all, ["to declare", "to change", "to end"])));
    }
}

pub(super) async fn export(common: &Common, verb: Export, screen: &Screen) -> Result<Exit, CliError> {
    let server = look(common, async |client| Server::read(client).await).await?;
    let text = write::write(&server.found);
    let Some(path) = verb.output.filter(|path| path != Path::new("-")) else {
        if screen.json() {
            screen.value(&json!({ "yaml": text }));
        } else {
            screen.line(text.trim_end());
        }
        return Ok(Exit::Done);
    };
    write_new(&path, &text)?;
    let count = server.found.len();
    if screen.json() {
        screen.value(&json!({ "file": path.display().to_string(), "declarations": count }));
    }
    screen.say(&format!("{count} declarations are in {}", shown(&path.display().to_string())));
    Ok(Exit::Done)
}
