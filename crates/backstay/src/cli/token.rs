//! `backstay token …`.

use backstay_api::types::list::PageQuery;
use backstay_api::types::token::{TokenCreate, TokenView};
use secrecy::ExposeSecret as _;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::screen::Screen;
use super::show::show;

/// What can be asked of tokens.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List tokens, newest first
    List {
        /// Only rows older than this id
        #[arg(long, value_name = "ID")]
        before: Option<String>,
        /// Most rows
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one token; never its text
    Show {
        /// The token's id
        id: String,
    },
    /// Make a token and print its text, once
    Create {
        /// What its holder calls it
        name: String,
        /// admin, operator, tenant_admin, restorer, reader, agent, or pinger, for URLs of monitors
        #[arg(long)]
        role: String,
        /// The one tenant that it reaches; all when left out
        #[arg(long)]
        tenant: Option<String>,
        /// A job kind that an agent may lease; may be given several times, all when left out
        #[arg(long = "kind")]
        kinds: Vec<String>,
        /// From when on it is refused, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "INSTANT")]
        expires_at: Option<String>,
    },
    /// Revoke a token at once
    Revoke {
        /// The token's id
        id: String,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List { before, limit } => {
            let query = PageQuery { before, limit: Some(limit) };
            let list = look(common, async |client| Ok(client.token_list(&query).await?)).await?;
            let heading = ["name", "role", "last used", "state", "id"];
            screen.rows(&list, &heading, list.rows.iter().map(row).collect(), "there is no token yet");
        }
        Verb::Show { id } => show(screen, &look(common, async |client| Ok(client.token_show(&id).await?)).await?),
        Verb::Create { name, role, tenant, kinds, expires_at } => {
            let body = TokenCreate { name, role, tenant, kinds, expires_at };
            let made = look(common, async |client| Ok(client.token_create(&body).await?)).await?;
            if screen.json() {
                screen.value(&made);
            } else {
                screen.line(made.secret.0.expose_secret());
                screen.say("keep it now: nobody can show it again");
            }
        }
        Verb::Revoke { id } => {
            look(common, async |client| Ok(client.token_revoke(&id).await?)).await?;
            screen.say("the token is revoked");
        }
    }
    Ok(Exit::Done)
}

fn row(row: &TokenView) -> Vec<String> {
    let state = match (&row.revoked_at, &row.expires_at) {
        (Some(at), _) => format!("revoked {}", human::instant(at)),
        (None, Some(at)) => format!("until {}", human::instant(at)),
        (None, None) => "good".to_owned(),
    };
    let used = row.last_used_at.as_deref().map_or_else(|| "never".to_owned(), human::instant);
    vec![row.name.clone(), row.role.clone(), used, state, row.id.clone()]
}
