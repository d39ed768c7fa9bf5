//! `backstay quota …`.

use backstay_api::Client;
use backstay_api::types::list::{NamedQuery, PageQuery};
use backstay_api::types::quota::{QuotaPut, QuotaView};

use super::args::Common;
use super::connect::look;
use super::error::{CliError, Exit};
use super::human;
use super::named::find;
use super::screen::Screen;
use crate::roles::quickstart::TENANT;

/// What can be asked of quotas.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show how all tenants stand
    List,
    /// Show what a tenant may store, what it stores, and how near that is
    Show {
        /// The tenant's name or id; the only one that the caller sees, or `default`, when left out
        tenant: Option<String>,
    },
    /// Set what a tenant may store; what is not given stays
    Set {
        /// The tenant's name or id
        tenant: String,
        /// Bytes in all its repositories, such as 500GiB or 2TB; none for no limit
        #[arg(long, value_name = "SIZE", value_parser = size, required_unless_present = "snapshots")]
        bytes: Option<Limit>,
        /// Snapshots that are not forgotten, such as 10000; none for no limit
        #[arg(long, value_name = "N", value_parser = count)]
        snapshots: Option<Limit>,
    },
}

/// A limit as it is typed: none lifts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(Option<u64>);

/// Reads a size such as `500GiB`.
fn size(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    let wrong = || format!("`{text}` is no size; write 500GiB, 2TB, a number of bytes, or none");
    backstay_declare::shape::size(text).map(|bytes| Limit(Some(bytes))).ok_or_else(wrong)
}

/// Reads a count.
fn count(text: &str) -> Result<Limit, String> {
    match text {
        "none" => Ok(Limit(None)),
        text => {
            let count = text.parse().map_err(|_| format!("`{text}` is no count; write 10000 or none"))?;
            Ok(Limit(Some(count)))
        }
    }
}

pub(super) async fn run(common: &Common, verb: Verb, screen: &Screen) -> Result<Exit, CliError> {
    match verb {
        Verb::List => {
            let list = look(common, async |client| {
                let mut list = client.all(PageQuery::default(), Client::quota_list).await?;
                list.rows.sort_by(|one, other| one.tenant.cmp(&other.tenant));
                Ok(list)
            })
            .await?;
            let rows = list.rows.iter().map(row).collect();
            screen.rows(&list, &HEADINGS, rows, "there is no tenant yet");
        }
        Verb::Show { tenant } => {
            let shown =
                look(common, async |client| Ok(client.quota_show(&id_of(client, tenant.as_deref()).await?).await?));
            show(screen, &shown.await?);
        }
        Verb::Set { tenant, bytes, snapshots } => {
            let set = look(common, async |client| {
                let id = id_of(client, Some(&tenant)).await?;
                let was = client.quota_show(&id).await?;
                let quota_bytes = bytes.map_or(was.quota_bytes, |Limit(limit)| limit);
                let quota_snapshot_count = snapshots.map_or(was.quota_snapshot_count, |Limit(limit)| limit);
                Ok(client.quota_put(&id, &QuotaPut { quota_bytes, quota_snapshot_count }).await?)
            });
            show(screen, &set.await?);
        }
    }
    Ok(Exit::Done)
}

const HEADINGS: [&str; 5] = ["tenant", "level", "used", "bytes", "snapshots"];

fn show(screen: &Screen, view: &QuotaView) {
    screen.rows(view, &HEADINGS, vec![row(view)], "");
}

fn row(view: &QuotaView) -> Vec<String> {
    let of = |used: String, limit: Option<String>| match limit {
        Some(limit) => format!("{used} of {limit}"),
        None => format!("{used}, no limit"),
    };
    vec![
        view.tenant.clone(),
        view.level.clone(),
        view.used_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent} %")),
        of(human::bytes(view.used_bytes), view.quota_bytes.map(human::bytes)),
        of(human::count(view.used_snapshot_count), view.quota_snapshot_count.map(human::count)),
    ]
}

/// Returns the id of the tenant that has this name or id; without one, of the only tenant that the caller sees.
async fn id_of(client: &Client, tenant: Option<&str>) -> Result<String, CliError> {
    if tenant.is_none() {
        let first = client.tenant_list(&NamedQuery { limit: Some(2), ..NamedQuery::default() }).await?.rows;
        if let [only] = &first[..] {
            return Ok(only.id.clone());
        }
    }
    let tenant = tenant.unwrap_or(TENANT);
    Ok(find(client, ("tenant", tenant), Client::tenant_list, Client::tenant_show).await?.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let check = |text: &str, bytes: u64| assert_eq!(size(text), Ok(Limit(Some(bytes))), "{text}");
        check("0", 0);
        check("1048576", 1 << 20);
        check("500GiB", 500 << 30);
        check("1.5 TiB", 3 << 39);
        check("2tb", 2_000_000_000_000);
        check("0.000000000001PiB", 0);
        assert_eq!(size("none"), Ok(Limit(None)));
        for wrong in ["", "GiB", "-1", "1,5GiB", "5 apples", "1.2.3", "99999PiB", "∞"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!((count("none"), count("7")), (Ok(Limit(None)), Ok(Limit(Some(7)))));
        assert!(count("many").is_err());
    }
}
