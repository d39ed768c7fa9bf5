//! `backstay evidence …`.

use std::path::PathBuf;

use backstay_api::types::evidence::EvidenceQuery;
use backstay_core::domain::evidence::verify_file;
use serde_json::{Map, Value};

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;

/// What can be asked of evidence.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List evidence, newest first
    List {
        /// Most rows
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Print a record as a file that can be kept and checked anywhere
    Show {
        /// The record's id
        id: String,
    },
    /// Check a record's hash and signature; needs neither server nor data directory
    Verify {
        /// The record, as `evidence show` prints it
        file: PathBuf,
        /// The installation's public key that it must be signed with
        #[arg(long, value_name = "HEX")]
        key: Option<String>,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List { limit } => {
            let query = EvidenceQuery { limit: Some(limit), ..EvidenceQuery::default() };
            let list = look(common, async |client| Ok(client.evidence_list(&query).await?)).await?;
            let row = |row: &backstay_api::types::evidence::EvidenceView| {
                let number = row.sequence.to_string();
                vec![
                    human::instant(&row.created_at),
                    row.item_name.clone(),
                    number,
                    row.verdict.clone(),
                    row.id.clone(),
                ]
            };
            let rows = list.rows.iter().map(row).collect();
            screen.rows(&list, &["made", "item", "number", "verdict", "id"], rows, "there is no evidence yet");
        }
        Verb::Show { id } => {
            let record = look(common, async |client| Ok(client.evidence_show(&id).await?)).await?;
            if screen.json() { screen.value(&record) } else { screen.line(record.file.trim_end()) }
        }
        Verb::Verify { file, key } => verify(&file, key.as_deref(), screen)?,
    }
    Ok(Exit::Done)
}

fn verify(file: &std::path::Path, key: Option<&str>, screen: &Screen) -> Result<(), CliError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        CliError::new(Exit::Input, format!("{}: {error}", file.display())).hint("Name a file that can be read.")
    })?;
    let broken = |error: &dyn std::error::Error| {
        let heading = format!("{} is not valid evidence: {error}", file.display());
        CliError::new(Exit::Damaged, heading)
            .hint("Take the record from the installation that made it, or from another copy.")
    };
    let checked = verify_file(&text).map_err(|error| broken(&error))?;
    if let Some(wanted) = key.filter(|wanted| !wanted.eq_ignore_ascii_case(&checked.public_key)) {
        let heading = format!("the evidence is signed by {}, not by {wanted}", checked.public_key);
        return Err(
            CliError::new(Exit::Damaged, heading).hint("Compare the keys: it was made by another installation.")
        );
    }
    let facts: Map<String, Value> =
        checked.facts.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let rows = checked.facts.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
    screen.rows(&facts, &["fact", "value"], rows, "");
    screen.say(&format!("\nhash and signature are right; the key is {}", checked.public_key));
    Ok(())
}
