//! `backstay template …`.

use backstay_api::Client;
use backstay_api::types::list::NamedQuery;
use backstay_api::types::template::{SaidView, TemplateCreate, TemplateUpdate, TemplateView};

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::named::{self, find};
use super::said::{Said, Unsaid, Words};
use super::screen::Screen;
use super::show::show;
use crate::roles::quickstart::TENANT;

/// What can be asked of templates of plans.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List all templates
    List,
    /// Show what a template says
    Show {
        /// The template's name or id
        template: String,
    },
    /// Declare a template: plans under it take what they do not say themselves
    Create {
        /// Its name
        name: String,
        /// Name of the template above, whose values it takes where it says nothing
        #[arg(long, value_name = "NAME")]
        above: Option<String>,
        #[command(flatten)]
        words: Words,
        /// Whose it is
        #[arg(long, default_value = TENANT)]
        tenant: String,
    },
    /// Change what is given of a template, and with it all plans under it
    Update {
        /// The template's name or id
        template: String,
        /// Name of the template above
        #[arg(long, value_name = "NAME")]
        above: Option<String>,
        /// Take it from under the one above
        #[arg(long, conflicts_with = "above")]
        no_above: bool,
        #[command(flatten)]
        words: Words,
        #[command(flatten)]
        unsaid: Unsaid,
    },
    /// Remove a template under which nothing stands
    Remove {
        /// The template's name or id
        template: String,
    },
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List => {
            let list =
                look(
                    common,
                    async |client| Ok(named::all(client, NamedQuery::default(), Client::template_list).await?),
                )
                .await?;
            let row = |row: &TemplateView| {
                let above = row.above.clone().unwrap_or_else(|| "none".to_owned());
                vec![row.name.clone(), above, said_words(row), row.id.clone()]
            };
            let rows = list.rows.iter().map(row).collect();
            screen.rows(&list, &["name", "above", "says", "id"], rows, "there is no template yet");
        }
        Verb::Show { template } => {
            let shown = look(common, async |client| Ok(client.template_show(&id_of(client, &template).await?).await?));
            show(screen, &shown.await?);
        }
        Verb::Create { name, above, words, tenant } => {
            let SaidView { schedule, rpo_ms, retention, backup } = words.read()?;
            let body = TemplateCreate { tenant, name, above, schedule, rpo_ms, retention, backup };
            let made = look(common, async |client| Ok(client.template_create(&body).await?)).await?;
            screen.rows(&made, &["name", "id"], vec![vec![made.name.clone(), made.id.clone()]], "");
        }
        Verb::Update { template, above, no_above, words, unsaid } => {
            let above = if no_above { Some(None) } else { above.map(Some) };
            let changed = look(common, async |client| {
                let id = id_of(client, &template).await?;
                let TemplateView { schedule, rpo_ms, retention, backup, .. } = client.template_show(&id).await?;
                let was = SaidView { schedule, rpo_ms, retention, backup };
                let Said { schedule, rpo_ms, retention, backup } = words.over(was, unsaid)?;
                let body = TemplateUpdate { above, schedule, rpo_ms, retention, backup };
                Ok(client.template_update(&id, &body).await?)
            });
            show(screen, &changed.await?);
        }
        Verb::Remove { template } => {
            look(common, async |client| Ok(client.template_remove(&id_of(client, &template).await?).await?)).await?;
            screen.say(&format!("the template {template} is removed"));
        }
    }
    Ok(Exit::Done)
}

/// Returns which values a template says.
fn said_words(row: &TemplateView) -> String {
    let all = [
        ("schedule", row.schedule.is_some()),
        ("rpo", row.rpo_ms.is_some()),
        ("retention", row.retention.is_some()),
        ("backup", row.backup.is_some()),
    ];
    let said: Vec<&str> = all.into_iter().filter(|(_, said)| *said).map(|(value, _)| value).collect();
    if said.is_empty() { "nothing".to_owned() } else { said.join(", ") }
}

/// Returns the id of the template that has this name or id.
async fn id_of(client: &Client, template: &str) -> Result<String, CliError> {
    Ok(find(client, ("template", template), Client::template_list, Client::template_show).await?.id)
}
