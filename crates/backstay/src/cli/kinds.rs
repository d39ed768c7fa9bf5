//! `backstay kinds`.

use serde_json::json;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::screen::Screen;

pub(super) async fn run(common: &Common, screen: &Screen) -> Result<Exit, CliError> {
    let (sources, storages) = look(common, async |client| {
        Ok((client.source_kind_list().await?.rows, client.storage_kind_list().await?.rows))
    })
    .await?;
    let row = |of: &str, name: &str, words: &str| vec![of.to_owned(), name.to_owned(), words.to_owned()];
    let mut rows: Vec<_> = sources.iter().map(|kind| row("source", &kind.name, &kind.description)).collect();
    rows.extend(storages.iter().map(|kind| row("storage", &kind.name, &kind.description)));
    screen.rows(&json!({ "source": sources, "storage": storages }), &["of", "kind", "what it is"], rows, "");
    Ok(Exit::Done)
}
