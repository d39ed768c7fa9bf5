//! `backstay maintenance …`.

use backstay_api::types::list::{PageQuery, Rows};
use backstay_api::types::maintenance::{MaintenanceCreate, MaintenanceView};
use backstay_api::{Client, ClientError};

use jiff::Timestamp;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;

/// What can be asked of maintenance windows.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List the windows that are not over
    List,
    /// Hold starts back for a time; without --until and --tenant it pauses the installation
    Create {
        /// What people call it; they read it as the reason why nothing starts
        name: String,
        /// The tenant whose plans it holds back; everybody's when left out
        #[arg(long)]
        tenant: Option<String>,
        /// Its first moment, such as 2026-12-24T18:00:00Z; now when left out
        #[arg(long, value_name = "INSTANT")]
        from: Option<String>,
        /// The first moment after it; it lasts until it is removed when left out
        #[arg(long, value_name = "INSTANT")]
        until: Option<String>,
    },
    /// Take a window away; what it held back starts
    Remove {
        /// The window's id
        id: String,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List => {
            let list = look(common, async |client| Ok(windows(client).await?)).await?;
            let rows = list.rows.iter().map(row).collect();
            screen.rows(&list, &["name", "from", "until", "of", "id"], rows, "nothing is held back");
        }
        Verb::Create { name, tenant, from, until } => {
            let body = MaintenanceCreate { name, tenant, from, until };
            let made = look(common, async |client| Ok(client.maintenance_create(&body).await?)).await?;
            screen.rows(&made, &["name", "from", "until", "of", "id"], vec![row(&made)], "");
        }
        Verb::Remove { id } => {
            look(common, async |client| Ok(client.maintenance_remove(&id).await?)).await?;
            screen.say("the window is gone; what it held back starts");
        }
    }
    Ok(Exit::Done)
}

/// Returns all windows, by their beginning.
pub(super) async fn windows(client: &Client) -> Result<Rows<MaintenanceView>, ClientError> {
    let mut found = client.all(PageQuery::default(), Client::maintenance_list).await?;
    let from = |row: &MaintenanceView| row.from.parse::<Timestamp>().unwrap_or_default();
    found.rows.sort_by_key(|row| (from(row), row.id.clone()));
    Ok(found)
}

fn row(row: &MaintenanceView) -> Vec<String> {
    let until = row.until.as_deref().map_or_else(|| "it is removed".to_owned(), human::instant);
    let whose = row.tenant_id.clone().unwrap_or_else(|| "everybody".to_owned());
    vec![row.name.clone(), human::instant(&row.from), until, whose, row.id.clone()]
}
