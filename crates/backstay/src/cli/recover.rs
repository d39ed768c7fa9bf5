//! `backstay recover`.

use std::path::PathBuf;

use backstay_agent::Commands;
use backstay_api::types::repository::StorageView;
use backstay_server::channels::Reach;

use super::args::Common;
use super::error::{CliError, Exit};
use super::human;
use super::job::exit_of;
use super::repository::credentials_of;
use super::screen::Screen;
use super::source::settings_of;
use super::watch::Watch;
use crate::roles::installation::{Ways, commands_of};
use crate::roles::recover::{self, Outcome, Password, Wish};

/// Which repository the rows are rebuilt from.
#[derive(Debug, clap::Args)]
pub(crate) struct Verb {
    /// What the repository is called from now on
    #[arg(default_value = "local")]
    name: String,
    /// Storage kind of the repository, such as local or s3
    #[arg(long = "storage", value_name = "KIND", default_value = "local")]
    kind: String,
    /// A setting of the kind, such as path=/srv/backup; may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE", required = true)]
    settings: Vec<String>,
    /// File with the repository's password, such as your copy of its recovery key; it is copied to the data directory
    #[arg(long, value_name = "FILE", required_unless_present = "password_reference")]
    password_file: Option<PathBuf>,
    /// Where the password is found instead, such as sealed:NAME
    #[arg(long, value_name = "REFERENCE", conflicts_with = "password_file")]
    password_reference: Option<String>,
    /// Where the storage's key is found, such as file:keys/NAME.json below the data directory; or read=…, write=…, delete=…
    /// for a key of each purpose, given several times
    #[arg(long = "credential", value_name = "[PURPOSE=]REFERENCE")]
    credentials: Vec<String>,
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    if common.server().is_some() {
        return Err(CliError::new(
            Exit::Input,
            "recover makes an installation on this machine; --server names another one",
        )
        .hint("Leave --server and BACKSTAY_SERVER out; a server that runs takes in a repository with `repository add --existing`."));
    }
    let home = common.home()?;
    let password = match (verb.password_file, verb.password_reference) {
        (Some(path), _) => Password::File(path),
        (None, reference) => Password::Reference(reference.unwrap_or_default()),
    };
    let wish = Wish {
        name: verb.name,
        storage: StorageView { kind: verb.kind, settings: settings_of(&verb.settings)? },
        credentials: credentials_of(&verb.credentials),
        password,
    };
    let mut watch = Watch::new(screen);
    let commands = commands_of(common.told(), Commands::Allowed);
    let told = (commands, Ways::of(common.told(), Reach::Anywhere));
    let outcome = recover::run(wish, &home, told, &mut watch).await?;
    if screen.json() {
        screen.value(&outcome);
    } else {
        summary(&outcome, &human::shown(&common.program()), screen);
    }
    Ok(exit_of(&outcome.job.job))
}

/// Prints what there is again, and what a person has to say now.
fn summary(outcome: &Outcome, program: &str, screen: &Screen) {
    let Outcome { repository, snapshots, plans, foreign, job } = outcome;
    let count = match snapshots {
        1 => "1 snapshot".to_owned(),
        count => format!("{} snapshots", human::count(*count as u64)),
    };
    screen.line(&format!("Recovered  {count} of repository {}", human::shown(&repository.name)));
    if job.job.counts.unread > 0 {
        let unread = human::count(job.job.counts.unread);
        screen.line(&format!("           {unread} could not be read: {program} job show {}", job.job.id));
    }
    for plan in plans {
        screen.line(&format!(
            "           plan {} is there again, without schedule and retention",
            human::shown(&plan.name)
        ));
    }
    for source in foreign {
        let name = human::shown(&source.name);
        screen.line(&format!(
            "           source {name} stands for snapshots that belong to no plan; nothing lets them go"
        ));
    }
    screen.line("");
    screen.line(&format!("Next       {program} snapshot list"));
    screen.line(&format!("           {program} snapshot restore SNAPSHOT --target /tmp/restored"));
    for plan in plans {
        let name = human::shown(&plan.name);
        screen.line(&format!(
            "           {program} plan update {name} --cron '0 3 * * *' --keep-daily 7 --keep-weekly 5"
        ));
    }
}
