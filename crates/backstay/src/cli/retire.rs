//! `backstay plan|source|repository|storage retire`: one course for all.

use backstay_api::Client;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::named::find;
use super::screen::Screen;

/// What is retired.
#[derive(Debug, Clone, Copy)]
pub(super) enum Noun {
    Plan,
    Source,
    Repository,
    Storage,
}

impl Noun {
    const fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Source => "source",
            Self::Repository => "repository",
            Self::Storage => "storage",
        }
    }

    /// Says what stays.
    const fn stays(self) -> &'static str {
        match self {
            Self::Plan => {
                "Its snapshots, their evidence and its history stay and can be restored; retention drops none of them; \
                 `backstay snapshot forget --plan` lets them go. What waits in the queue is cancelled, what runs goes on. Its name is free again."
            }
            Self::Source => {
                "Its snapshots, their evidence and its history stay and can be restored. Its name is free again."
            }
            Self::Storage => "Its data is not touched; what was saved in it can be restored. Its name is free again.",
            Self::Repository => {
                "Its data is not touched and not pruned any more; its snapshots can be restored and verified. Its name is \
                 free again."
            }
        }
    }
}

/// Returns a name for a list: one that is retired says so.
pub(super) fn marked(name: &str, retired_at: Option<&str>) -> String {
    match retired_at {
        Some(at) => format!("{name} (retired {})", human::instant(at)),
        None => name.to_owned(),
    }
}

/// Retires what has this name or id; without `yes` it says what would stay, and does nothing.
pub(super) async fn run(
    common: &Common,
    noun: Noun,
    wanted: &str,
    yes: bool,
    screen: &Screen,
) -> Result<Exit, CliError> {
    let word = noun.word();
    if !yes {
        let message = format!("nothing was done: retiring the {word} {wanted} asks for --yes. {}", noun.stays());
        return Err(CliError::new(Exit::Input, message).hint(&format!("backstay {word} retire {wanted} --yes")));
    }
    let done = look(common, async |client| {
        let (name, id) = meant(client, noun, wanted).await?;
        match noun {
            Noun::Plan => client.plan_retire(&id).await?,
            Noun::Source => client.source_retire(&id).await?,
            Noun::Repository => client.repository_retire(&id).await?,
            Noun::Storage => client.storage_retire(&id).await?,
        }
        Ok((name, id))
    });
    let (name, id) = done.await?;
    let said = serde_json::json!({ "retired": word, "name": name, "id": id });
    screen.rows(&said, &["retired", "name", "id"], vec![vec![word.to_owned(), name, id]], "");
    screen.say(noun.stays());
    Ok(Exit::Done)
}

/// Returns name and id of what is meant: by name the one that lives, by id a retired one too.
async fn meant(client: &Client, noun: Noun, wanted: &str) -> Result<(String, String), CliError> {
    let said = (noun.word(), wanted);
    Ok(match noun {
        Noun::Plan => {
            let row = find(client, said, Client::plan_list, Client::plan_show).await?;
            (row.name, row.id)
        }
        Noun::Source => {
            let row = find(client, said, Client::source_list, Client::source_show).await?;
            (row.name, row.id)
        }
        Noun::Storage => {
            let row = find(client, said, Client::storage_list, Client::storage_show).await?;
            (row.name, row.id)
        }
        Noun::Repository => {
            let row = find(client, said, Client::repository_list, Client::repository_show).await?;
            (row.name, row.id)
        }
    })
}
