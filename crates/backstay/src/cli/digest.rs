//! `backstay digest …`.

use backstay_api::types::alert::DigestQuery;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;

/// What can be asked of digests.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Print what a digest of a tenant would say now; nothing is sent
    Show {
        /// Whose
        #[arg(long)]
        tenant: Option<String>,
        /// From when on, such as 2026-12-24T00:00:00Z; a day back when left out
        #[arg(long, value_name = "INSTANT")]
        from: Option<String>,
        /// As the page that a mail has
        #[arg(long)]
        html: bool,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let Verb::Show { tenant, from, html } = verb;
    let query = DigestQuery { tenant, from };
    let shown = look(common, async |client| Ok(client.digest_show(&query).await?)).await?;
    if screen.json() {
        screen.value(&shown);
    } else if html {
        screen.line(shown.html.trim_end());
    } else {
        for line in shown.text.lines() {
            screen.line(&human::shown(line));
        }
    }
    Ok(Exit::Done)
}
