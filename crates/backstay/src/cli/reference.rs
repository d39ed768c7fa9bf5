//! The page of all commands, `docs/reference/commands.md`: what `--help` says, in one place that can be searched and linked.

use std::path::PathBuf;

use clap::builder::ValueRange;
use clap::{Arg, ArgAction, Command, CommandFactory as _};

use super::args::Args;

/// How the page begins.
const HEAD: &str = "# Commands\n\n\
    What `backstay --help` and `backstay VERB --help` say, in one page. `backstay man --dir D` writes the same as manual pages;\n\
    `backstay completion SHELL` completes verbs, options and names. What a command ends with is listed in\n\
    [exit codes](exit-codes.md). `backstay engine` has [a page of its own](engine-commands.md).\n\n\
    Made from the program: `BACKSTAY_BLESS=1 cargo test --workspace --bins reference` writes it anew.\n";

/// Returns the page.
fn page() -> String {
    let mut command = Args::command().disable_help_subcommand(true).disable_help_flag(true).disable_version_flag(true);
    command.build();
    let mut text = HEAD.to_owned();
    text.push_str("\n## Options of every verb\n");
    options(&mut text, command.get_arguments());
    for noun in command.get_subcommands().filter(|noun| !noun.is_hide_set()) {
        section(&mut text, noun, &format!("backstay {}", noun.get_name()), 2);
    }
    text
}

/// Adds a command and those under it.
fn section(text: &mut String, command: &Command, name: &str, depth: usize) {
    text.push_str(&format!("\n{} `{name}`\n\n", "#".repeat(depth)));
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        text.push_str(&format!("{}.\n", joined(&about.to_string()).trim_end_matches('.')));
    }
    if command.get_name() == "engine" {
        return;
    }
    if !command.has_subcommands() {
        let usage = command.clone().render_usage().to_string();
        let usage = joined(usage.trim_start_matches("Usage:"));
        text.push_str(&format!("\n```text\n{usage}\n```\n"));
    }
    options(text, command.get_arguments().filter(|arg| !arg.is_global_set()));
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        section(text, verb, &format!("{name} {}", verb.get_name()), 3);
    }
}

/// Adds a table of what a command takes, if it takes anything.
fn options<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<String> = arguments.filter(|arg| !arg.is_hide_set()).map(row).collect();
    if !rows.is_empty() {
        text.push_str(&format!("\n| argument | what it says |\n| --- | --- |\n{}", rows.concat()));
    }
}

/// Returns the row of an argument.
fn row(arg: &Arg) -> String {
    let mut said = joined(&arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default());
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if takes_value && !defaults.is_empty() {
        said.push_str(&format!(" [default: {}]", defaults.join(" ")));
    }
    let words: Vec<String> = match takes_value {
        true => arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
        false => Vec::new(),
    };
    if !words.is_empty() {
        said.push_str(&format!(" [{}]", words.join(", ")));
    }
    format!("| `{}` | {} |\n", typed(arg, takes_value), said.replace('|', "\\|"))
}

/// Returns how an argument is typed.
fn typed(arg: &Arg, takes_value: bool) -> String {
    let values: Vec<String> = arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let mut value = if takes_value { values.join(" ") } else { String::new() };
    if arg.get_num_args().is_some_and(|range: ValueRange| range.max_values() > 1)
        || matches!(arg.get_action(), ArgAction::Append)
    {
        value.push('…');
    }
    let names = [arg.get_short().map(|short| format!("-{short}")), arg.get_long().map(|long| format!("--{long}"))];
    let names = names.into_iter().flatten().collect::<Vec<_>>().join(", ");
    match (names.is_empty(), value.is_empty()) {
        (true, _) => value,
        (false, true) => names,
        (false, false) if arg.is_require_equals_set() => format!("{names}[={value}]"),
        (false, false) => format!("{names} {value}"),
    }
}

/// Returns a text as one line.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Red when a verb or an option was added or said otherwise, and the page not written anew.
#[test]
fn the_page_of_commands_says_what_the_command_line_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/commands.md");
    let page = page();
    if std::env::var_os("BACKSTAY_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{} is not what the command line says; BACKSTAY_BLESS=1 writes it", path.display());
}
