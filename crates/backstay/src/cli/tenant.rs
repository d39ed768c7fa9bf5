//! `backstay tenant …`.

use backstay_api::Client;
use backstay_api::types::list::NamedQuery;
use backstay_api::types::tenant::TenantCreate;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::screen::Screen;
use super::show::show;
use super::{named, tenant_purge};

/// What can be asked of tenants.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List all tenants
    List,
    /// Show one tenant
    Show {
        /// The tenant's id
        id: String,
    },
    /// Declare a tenant
    Create {
        /// Its name
        name: String,
    },
    /// Destroy for ever what a tenant has, in two steps with a wait between: its sealed secrets, its tokens, all that it
    /// declared. Without an option it is announced, which changes nothing yet
    Purge(tenant_purge::Verb),
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List => {
            let list =
                look(common, async |client| Ok(named::all(client, NamedQuery::default(), Client::tenant_list).await?))
                    .await?;
            let rows = list.rows.iter().map(|row| vec![row.name.clone(), row.id.clone()]).collect();
            screen.rows(&list, &["name", "id"], rows, "there is no tenant yet");
        }
        Verb::Show { id } => show(screen, &look(common, async |client| Ok(client.tenant_show(&id).await?)).await?),
        Verb::Create { name } => {
            let body = TenantCreate { name };
            let made = look(common, async |client| Ok(client.tenant_create(&body).await?)).await?;
            screen.rows(&made, &["name", "id"], vec![vec![made.name.clone(), made.id.clone()]], "");
        }
        Verb::Purge(verb) => return tenant_purge::run(common, verb, screen).await,
    }
    Ok(Exit::Done)
}
