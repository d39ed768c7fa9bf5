//! `backstay tenant …`.

use backstay_api::types::tenant::TenantCreate;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::screen::Screen;
use super::show::show;

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
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List => {
            let list = look(common, async |client| Ok(client.tenant_list().await?)).await?;
            let rows = list.rows.iter().map(|row| vec![row.name.clone(), row.id.clone()]).collect();
            screen.rows(&list, &["name", "id"], rows, "there is no tenant yet");
        }
        Verb::Show { id } => show(screen, &look(common, async |client| Ok(client.tenant_show(&id).await?)).await?),
        Verb::Create { name } => {
            let body = TenantCreate { name };
            let made = look(common, async |client| Ok(client.tenant_create(&body).await?)).await?;
            screen.rows(&made, &["name", "id"], vec![vec![made.name.clone(), made.id.clone()]], "");
        }
    }
    Ok(Exit::Done)
}
