//! `backstay man`: the manual's pages, made from the command line itself.

use std::path::PathBuf;

use clap::CommandFactory as _;

use super::args::Args;
use super::error::{CliError, Exit};
use super::screen::Screen;

/// Where pages go.
#[derive(Debug, clap::Args)]
pub(crate) struct Verb {
    /// Write a page for each verb into this folder, such as /usr/local/share/man/man1; without it the first page is printed
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(verb: &Verb, screen: &Screen) -> Result<Exit, CliError> {
    // A page of `help` for each verb would say what the verb's own page says.
    let command = Args::command().disable_help_subcommand(true);
    let Some(dir) = &verb.dir else {
        let mut page = Vec::new();
        let written = clap_mangen::Man::new(command).render(&mut page);
        written.map_err(|error| CliError::from_error(Exit::Failed, &error))?;
        screen.line(String::from_utf8_lossy(&page).trim_end());
        return Ok(Exit::Done);
    };
    let told = |error: std::io::Error| {
        CliError::from_error(Exit::Failed, &error)
            .under(format!("the pages cannot be written to {}", dir.display()))
            .hint("Name a folder that you may write to with --dir.")
    };
    std::fs::create_dir_all(dir).map_err(told)?;
    clap_mangen::generate_to(command, dir).map_err(told)?;
    let mut pages: Vec<String> = Vec::new();
    for page in std::fs::read_dir(dir).map_err(told)? {
        let name = page.map_err(told)?.file_name().to_string_lossy().into_owned();
        if name.starts_with("backstay") && name.ends_with(".1") {
            pages.push(dir.join(name).display().to_string());
        }
    }
    pages.sort();
    let rows = pages.iter().map(|page| vec![page.clone()]).collect();
    screen.rows(&pages, &["page"], rows, "");
    Ok(Exit::Done)
}
