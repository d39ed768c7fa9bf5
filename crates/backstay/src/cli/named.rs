//! Rows that have names: all of them by name, and the one that somebody means who gave a name or an id. Tenants may have
//! rows of the same name: then nothing is guessed.

use backstay_api::types::channel::ChannelView;
use backstay_api::types::list::{ByName, PageQuery, Paged, Rows};
use backstay_api::types::monitor::MonitorView;
use backstay_api::types::plan::PlanView;
use backstay_api::types::repository::RepositoryView;
use backstay_api::types::secret::SecretView;
use backstay_api::types::source::{ItemView, SourceView};
use backstay_api::types::storage::StorageDetail;
use backstay_api::types::template::TemplateView;
use backstay_api::types::tenant::TenantView;
use backstay_api::{Client, ClientError};
use backstay_core::domain::id::TenantId;
use backstay_core::domain::name::Name;

use super::error::{CliError, Exit};

/// A row that has a name.
pub(crate) trait Named {
    /// Returns its id.
    fn id(&self) -> &str;

    /// Returns its name.
    fn name(&self) -> &str;
}

macro_rules! named {
    ($($view:ty),+ $(,)?) => {$(
        impl Named for $view {
            fn id(&self) -> &str {
                &self.id
            }

            fn name(&self) -> &str {
                &self.name
            }
        }
    )+};
}

named!(
    TenantView,
    StorageDetail,
    RepositoryView,
    SourceView,
    ItemView,
    TemplateView,
    PlanView,
    ChannelView,
    MonitorView,
    SecretView,
);

/// Returns all rows of a list that a query names, by name.
pub(crate) async fn all<T: Named, Q: Paged>(
    client: &Client,
    query: Q,
    list: impl AsyncFn(&Client, &Q) -> Result<Rows<T>, ClientError>,
) -> Result<Rows<T>, ClientError> {
    let mut found = client.all(query, list).await?;
    found.rows.sort_by(|one, other| (one.name(), one.id()).cmp(&(other.name(), other.id())));
    Ok(found)
}

/// Returns all items of a source, by name.
pub(crate) async fn items_of(client: &Client, source_id: &str) -> Result<Rows<ItemView>, ClientError> {
    let list = async |client: &Client, query: &PageQuery| client.item_list(source_id, query).await;
    all(client, PageQuery::default(), list).await
}

/// Returns what has this id, whether it lives or not; none when nothing has.
pub(super) async fn by_id<T>(
    client: &Client,
    said: &str,
    show: impl AsyncFn(&Client, &str) -> Result<T, ClientError>,
) -> Result<Option<T>, ClientError> {
    if said.parse::<TenantId>().is_err() {
        return Ok(None);
    }
    match show(client, said).await {
        Ok(row) => Ok(Some(row)),
        Err(ClientError::Problem { problem }) if problem.status == NOT_FOUND => Ok(None),
        Err(error) => Err(error),
    }
}

/// There is no such thing for whoever asks.
const NOT_FOUND: u16 = 404;

/// Returns the one row that is meant: what has this id, else what lives and has this name. Nothing else is asked for.
///
/// # Errors
/// No row is meant, or several are: their ids are told.
pub(crate) async fn find<T: Named, Q: ByName>(
    client: &Client,
    (noun, said): (&str, &str),
    list: impl AsyncFn(&Client, &Q) -> Result<Rows<T>, ClientError>,
    show: impl AsyncFn(&Client, &str) -> Result<T, ClientError>,
) -> Result<T, CliError> {
    if let Some(found) = by_id(client, said, show).await? {
        return Ok(found);
    }
    let rows = called(client, said, Q::by_name(said), list).await?;
    one(noun, said, rows, |row| (row.id(), Some(row.name())))
}

/// Returns the rows that a query for a name names; none for what is no name.
pub(super) async fn called<T: Named, Q: Paged>(
    client: &Client,
    said: &str,
    query: Q,
    list: impl AsyncFn(&Client, &Q) -> Result<Rows<T>, ClientError>,
) -> Result<Vec<T>, ClientError> {
    match said.parse::<Name>() {
        Ok(_) => Ok(all(client, query, list).await?.rows),
        Err(_) => Ok(Vec::new()),
    }
}

/// Returns the one row that is meant. `facts` says a row's id and the name that it answers to, which is none for one that
/// was retired.
///
/// # Errors
/// No row is meant, or several are: their ids are told.
pub(super) fn one<T>(
    noun: &str,
    said: &str,
    rows: Vec<T>,
    facts: impl Fn(&T) -> (&str, Option<&str>),
) -> Result<T, CliError> {
    let by_id = rows.iter().any(|row| facts(row).0 == said);
    let is_meant = |row: &T| if by_id { facts(row).0 == said } else { facts(row).1 == Some(said) };
    let mut meant: Vec<T> = rows.into_iter().filter(is_meant).collect();
    if meant.len() > 1 {
        let ids: Vec<&str> = meant.iter().map(|row| facts(row).0).collect();
        let text = format!("{} are called {said}: {}", meant.len(), ids.join(", "));
        return Err(CliError::new(Exit::Input, text)
            .hint(&format!("Say the id of the one that you mean; `backstay {noun} list` shows them.")));
    }
    meant.pop().ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("there is no {noun} {said}"))
            .hint(&format!("`backstay {noun} list` shows what there is."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: &str, expected: Result<&str, (Exit, &str)>) {
        let rows = vec![("1", Some("home")), ("2", Some("home")), ("3", Some("etc")), ("4", None), ("etc", Some("x"))];
        let found = one("plan", said, rows, |row| *row).map(|row| row.0);
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(error), Err((exit, words))) => {
                assert!(error.exit() == exit && error.heading().contains(words), "{said}: {error:?}");
            }
            (found, expected) => panic!("{said}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_name_that_two_have_is_nobody_s() {
        check("2", Ok("2"));
        check("4", Ok("4"));
        check("x", Ok("etc"));
        check("etc", Ok("etc")); // An id goes before a name.
        check("home", Err((Exit::Input, "2 are called home: 1, 2")));
        check("gone", Err((Exit::NotFound, "there is no plan gone")));
    }
}
