//! `backstay change …`.

use backstay_api::ClientError;
use backstay_api::types::change::{ChainQuery, ChainView, ChangeView};
use backstay_api::types::list::PageQuery;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;

/// What can be asked of the record of changes.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List who asked for changes, newest first
    List {
        /// Only rows older than this id
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        /// Most rows
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Check the whole chain, hashes and signatures, and name the first place at which something is wrong
    Verify {
        /// Public key that signed before the present one, as evidence of that time names it; may be given several times, oldest
        /// first
        #[arg(long, value_name = "HEX")]
        former_key: Vec<String>,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let (before, limit) = match verb {
        Verb::List { before, limit } => (before, limit),
        Verb::Verify { former_key } => return verify(common, &former_key, screen).await,
    };
    let query = PageQuery { before, limit: Some(limit) };
    let list = look(common, async |client| Ok(client.change_list(&query).await?)).await?;
    let row = |row: &ChangeView| {
        let token = row.token_id.clone().unwrap_or_else(|| "the installation".to_owned());
        vec![row.sequence.to_string(), human::instant(&row.at), row.role.clone(), token, row.operation.clone()]
    };
    let heading = ["number", "at", "role", "token", "asked for"];
    screen.rows(&list, &heading, list.rows.iter().map(row).collect(), "nobody asked for a change yet");
    Ok(Exit::Done)
}

async fn verify(common: &Common, former: &[String], screen: &Screen) -> Result<Exit, CliError> {
    let former_keys = (!former.is_empty()).then(|| former.join(","));
    let found = look(common, async |client| {
        let query = |from_sequence| ChainQuery { from_sequence, former_keys: former_keys.clone() };
        let ask = async |from_sequence| client.change_verify(&query(from_sequence)).await;
        Ok(whole(ask).await?)
    })
    .await?;
    if let (Some(place), Some(problem)) = (found.broken_sequence, &found.problem) {
        let heading = format!("the record of changes is broken at number {place}: {problem}");
        return Err(CliError::new(Exit::Damaged, heading).hint(
            "Compare with a copy of the database from before; what comes after this number is proved by nothing. Where the \
             signing key was made anew, name the one before with --former-key: evidence that it signed has it \
             (`backstay evidence list --json`).",
        ));
    }
    facts(&found, screen);
    screen.say("\nhashes and signatures are right; keep the last hash elsewhere: it shows when newer records are gone");
    Ok(Exit::Done)
}

/// Asks for all of a chain, part by part: how far, until its end or the first place at which something is wrong.
pub(super) async fn whole(
    ask: impl AsyncFn(Option<i64>) -> Result<ChainView, ClientError>,
) -> Result<ChainView, ClientError> {
    let mut all = ask(None).await?;
    while let Some(from) = all.next_sequence {
        let more = ask(Some(from)).await?;
        let checked_count = all.checked_count + more.checked_count;
        let (sequence, hash) = (more.last_sequence.or(all.last_sequence), more.last_hash.clone().or(all.last_hash));
        all = ChainView { checked_count, last_sequence: sequence, last_hash: hash, ..more };
    }
    Ok(all)
}

/// Prints what was found of a chain that is right.
pub(super) fn facts(found: &ChainView, screen: &Screen) {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let mut rows = vec![
        vec!["records".to_owned(), found.checked_count.to_string()],
        vec!["last number".to_owned(), text(found.last_sequence.map(|place| place.to_string()))],
        vec!["last hash".to_owned(), text(found.last_hash.clone())],
    ];
    if let Some(place) = found.swept_sequence {
        rows.insert(0, vec!["swept up to number".to_owned(), place.to_string()]);
    }
    screen.rows(found, &["fact", "value"], rows, "");
}
