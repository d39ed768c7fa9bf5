//! `backstay channel …`.

use backstay_api::Client;
use backstay_api::types::channel::{ChannelCreate, ChannelRuleView, ChannelUpdate, ChannelView};
use backstay_api::types::list::NamedQuery;

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::named::{self, find};
use super::screen::Screen;
use super::show::show;
use super::source::settings_of;

/// What can be asked of channels.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List channels
    List,
    /// Show one channel; never its secrets
    Show {
        /// The channel's name or id
        channel: String,
    },
    /// Say where people want to be told; try it with `backstay channel test` afterwards
    Create {
        /// Its name
        name: String,
        /// smtp, webhook or ping
        #[arg(long)]
        kind: String,
        /// A setting; may be given several times. smtp: host, port, tls (start_tls, implicit, none), ca_file, username,
        /// password, from, to. webhook: url (or the secret that it is), secret, ca_file. ping: url (a secret), plan, start
        /// (true: it hears of beginnings too), ca_file. Secrets are files, such as file:keys/channels/mail, or sealed, such as sealed:channel-mail
        #[arg(long = "set", value_name = "NAME=VALUE")]
        settings: Vec<String>,
        /// The one tenant that it tells of; all when left out
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        what: What,
    },
    /// Change a channel; what is left out stays
    Update {
        /// The channel's name or id
        channel: String,
        /// A setting; all of them are given anew when one is
        #[arg(long = "set", value_name = "NAME=VALUE")]
        settings: Vec<String>,
        #[command(flatten)]
        what: What,
    },
    /// Take a channel away; messages that wait for it are given up
    Remove {
        /// The channel's name or id
        channel: String,
    },
    /// Send a test, and say whether the channel took it
    Test {
        /// The channel's name or id
        channel: String,
    },
}

/// What goes to a channel.
#[derive(Debug, clap::Args)]
pub(crate) struct What {
    /// What is told at once: from this severity on (info, warning, error, critical)
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<String>,
    /// Only of this topic, such as overdue or failed; may be given several times, all when left out
    #[arg(long = "topic")]
    topics: Vec<String>,
    /// Leave it to the digest
    #[arg(long)]
    only_digest: bool,
    /// When a digest is sent, such as 'daily 07:00 Europe/Berlin' or 'monday 07:00 UTC'; `never` for none
    #[arg(long, value_name = "WHEN")]
    digest: Option<String>,
}

impl What {
    /// Returns the rule that was given; none when nothing of it was.
    fn rules(&self) -> Option<Vec<ChannelRuleView>> {
        (self.severity.is_some() || !self.topics.is_empty() || self.only_digest).then(|| {
            vec![ChannelRuleView {
                severity_min: self.severity.clone().unwrap_or_else(|| "error".to_owned()),
                topics: self.topics.clone(),
                tenant_id: None,
                delivery: if self.only_digest { "digest" } else { "at_once" }.to_owned(),
            }]
        })
    }
}

const HEADING: [&str; 5] = ["name", "kind", "tells", "digest", "id"];

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List => {
            let list =
                look(common, async |client| Ok(named::all(client, NamedQuery::default(), Client::channel_list).await?))
                    .await?;
            let rows = list.rows.iter().map(row).collect();
            screen.rows(&list, &HEADING, rows, "there is no channel yet: nobody is told anything");
        }
        Verb::Show { channel } => {
            let shown = look(common, async |client| Ok(client.channel_show(&id_of(client, &channel).await?).await?));
            show(screen, &shown.await?);
        }
        Verb::Create { name, kind, settings, tenant, what } => {
            let (rules, settings) = (what.rules().unwrap_or_default(), settings_of(&settings)?);
            let body = ChannelCreate { tenant, name, kind, settings, rules, digest: what.digest };
            let made = look(common, async |client| Ok(client.channel_create(&body).await?)).await?;
            screen.rows(&made, &HEADING, vec![row(&made)], "");
            screen.say(&format!("try it: {} channel test {}", common.program(), made.id));
        }
        Verb::Update { channel, settings, what } => {
            let rules = what.rules();
            let settings = if settings.is_empty() { None } else { Some(settings_of(&settings)?) };
            let body = ChannelUpdate { settings, rules, digest: what.digest };
            let made =
                look(common, async |client| Ok(client.channel_update(&id_of(client, &channel).await?, &body).await?))
                    .await?;
            screen.rows(&made, &HEADING, vec![row(&made)], "");
        }
        Verb::Remove { channel } => {
            look(common, async |client| Ok(client.channel_remove(&id_of(client, &channel).await?).await?)).await?;
            screen.say("the channel is gone");
        }
        Verb::Test { channel } => {
            look(common, async |client| Ok(client.channel_test(&id_of(client, &channel).await?).await?)).await?;
            screen.say("the channel took the test");
        }
    }
    Ok(Exit::Done)
}

/// Returns the id of the channel that has this name or id.
async fn id_of(client: &Client, channel: &str) -> Result<String, CliError> {
    Ok(find(client, ("channel", channel), Client::channel_list, Client::channel_show).await?.id)
}

fn row(row: &ChannelView) -> Vec<String> {
    let rule = |rule: &ChannelRuleView| {
        let topics = if rule.topics.is_empty() { String::new() } else { format!(" {}", rule.topics.join("+")) };
        let how = if rule.delivery == "at_once" { "at once" } else { "in the digest" };
        format!("{}{topics} {how}", rule.severity_min)
    };
    let rules: Vec<String> = row.rules.iter().map(rule).collect();
    let digest = row.digest.clone().unwrap_or_else(|| "never".to_owned());
    let tells = match row.settings["plan"].as_str() {
        Some(plan) => format!("each backup of {plan}"),
        None => rules.join(", "),
    };
    vec![row.name.clone(), row.kind.clone(), tells, digest, row.id.clone()]
}
