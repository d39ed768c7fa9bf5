//! `backstay tenant purge`: announced, waited for, confirmed, and then for ever.

use backstay_api::Client;
use backstay_api::types::purge::{InventoryView, PurgeAnnounce, PurgeConfirm, PurgeView};

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::named::find;
use super::screen::Screen;

/// A day, in milliseconds.
const DAY_MS: u64 = 86_400 * 1_000;

/// Whose data goes, and which step is taken.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    /// The tenant's name or id
    tenant: String,
    /// Days that it waits before it may be confirmed, 1 at least [default: 7]
    #[arg(long, value_name = "DAYS", conflicts_with_all = ["look", "cancel", "confirm"], value_parser = clap::value_parser!(u64).range(1..=366))]
    wait_days: Option<u64>,
    /// Announce nothing: say what there is to destroy, and how far a purge is
    #[arg(long, conflicts_with_all = ["cancel", "confirm"])]
    look: bool,
    /// Take the announcement back
    #[arg(long, conflicts_with = "confirm")]
    cancel: bool,
    /// Purge now: the id of the purge that was announced, whose wait is over. There is no way back
    #[arg(long, value_name = "ID")]
    confirm: Option<String>,
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    let view = look(common, async |client| {
        let id = id_of(client, &verb.tenant).await?;
        if verb.cancel {
            client.purge_cancel(&id).await?;
            return Ok(client.purge_show(&id).await?);
        }
        Ok(match verb.confirm.clone() {
            Some(purge_id) => client.purge_confirm(&id, &PurgeConfirm { purge_id }).await?,
            None if verb.look => client.purge_show(&id).await?,
            None => {
                let wait_ms = verb.wait_days.map(|days| days * DAY_MS);
                client.purge_announce(&id, &PurgeAnnounce { wait_ms }).await?
            }
        })
    })
    .await?;
    if screen.json() {
        screen.value(&view);
    } else if verb.cancel {
        screen.line(&format!("nothing is announced for {}, and nothing was destroyed", human::shown(&verb.tenant)));
    } else {
        show(screen, &view, &human::shown(&verb.tenant), &human::shown(&common.program()));
    }
    Ok(Exit::Done)
}

/// Returns the id of the tenant that has this name or id.
async fn id_of(client: &Client, tenant: &str) -> Result<String, CliError> {
    Ok(find(client, ("tenant", tenant), Client::tenant_list, Client::tenant_show).await?.id)
}

fn show(screen: &Screen, view: &PurgeView, tenant: &str, program: &str) {
    let due = view.due_at.as_deref().map(human::instant).unwrap_or_default();
    match view.state.as_str() {
        "none" => {
            screen.line(&format!("Purge      none is announced of the tenant {tenant}; it would end all of this:"))
        }
        "announced" => screen.line(&format!(
            "Purge      of the tenant {tenant}, announced; nothing has changed. It would end all of this:"
        )),
        "confirmed" => screen.line("Purge      confirmed, and not at its end yet: confirm it again. What is left:"),
        _ => screen.line(&format!("PURGED     the tenant {tenant}. The record, to be kept:")),
    }
    if let Some(all) = &view.destroys {
        inventory(screen, all);
    }
    if let Some(file) = &view.file {
        screen.line("");
        // As it is: a program checks it.
        screen.line(file.trim_end());
        screen.line("");
        screen.line("Next       keep it in a file; `backstay evidence verify FILE` checks it without any server");
    }
    let id = view.id.as_deref().unwrap_or_default();
    match view.state.as_str() {
        "none" => screen.line(&format!("Next       {program} tenant purge {tenant}     announces it")),
        "announced" => {
            screen.line(&format!("Next       from {due} on, and there is no way back:"));
            screen.line(&format!("           {program} tenant purge {tenant} --confirm {id}"));
            screen.line(&format!("           until then: {program} tenant purge {tenant} --cancel"));
        }
        "confirmed" => screen.line(&format!("Next       {program} tenant purge {tenant} --confirm {id}")),
        _ => {}
    }
}

/// Prints what there is to destroy, and what is not destroyed.
fn inventory(screen: &Screen, all: &InventoryView) {
    let names = |names: &[String]| if names.is_empty() { "none".to_owned() } else { human::shown(&names.join(", ")) };
    screen.line(&format!("destroyed  sealed secrets: {}", names(&all.secrets)));
    screen.line(&format!(
        "ended      plans: {}; {} tokens, {} channels, {} monitors",
        names(&all.plans),
        all.tokens,
        all.channels,
        all.monitors
    ));
    let size = human::bytes(all.stored_bytes);
    screen.line(&format!(
        "LEFT       {} snapshots, {size}: Backstay deletes no data in storages",
        human::count(all.snapshots)
    ));
    for row in &all.repositories {
        screen.line(&format!("           {} at {}:", human::shown(&row.name), human::shown(&row.place)));
        screen.line(&format!("           {}", human::shown(&row.fate)));
    }
    screen.line("LEFT       copies of this database that were made before: they hold the sealed secrets, and the master key opens them");
    screen.line("");
}
