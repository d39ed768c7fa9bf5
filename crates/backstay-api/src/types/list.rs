//! Lists: rows, and where the next page begins.

use backstay_core::ports::snapshot::ENTRY_ROWS_MAX;
use backstay_core::ports::store::PAGE_ROWS_MAX;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::alert::AlertQuery;
use super::event::EventQuery;
use super::evidence::EvidenceQuery;
use super::job::JobQuery;
use super::snapshot::{EntryQuery, SnapshotQuery};

/// A page of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rows<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Give it as `before` to get the next page; none when there is no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_before: Option<String>,
}

impl<T> Rows<T> {
    /// Makes a list that has no further page.
    pub fn whole(rows: Vec<T>) -> Self {
        Self { rows, next_before: None }
    }

    /// Makes a page of a list. A full page says where the next one begins, by the id of its last row.
    pub fn page(rows: Vec<T>, rows_max: u32, id: impl Fn(&T) -> &String) -> Self {
        Self::page_by(rows, rows_max, |row| id(row).clone())
    }

    /// As [`Rows::page`], of rows whose place in the list is no text of theirs.
    pub fn page_by(rows: Vec<T>, rows_max: u32, place: impl Fn(&T) -> String) -> Self {
        let full = rows.len() == rows_max as usize;
        let next_before = rows.last().filter(|_| full).map(place);
        Self { rows, next_before }
    }
}

/// Which page is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct PageQuery {
    /// Only rows older than this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Most rows, at most 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which rows of what has names are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct NamedQuery {
    /// Only rows older than this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Most rows, at most 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only rows of exactly this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Which rows of what can be retired are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct RetiredQuery {
    /// Only rows older than this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Most rows, at most 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only rows of exactly this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// With those that were retired; without them when left out.
    #[serde(default)]
    pub retired: bool,
}

impl RetiredQuery {
    /// Returns the query for all rows, those that were retired too.
    pub fn all() -> Self {
        Self { retired: true, ..Self::default() }
    }
}

/// A query of a list whose rows have names.
pub trait ByName: Paged + Default {
    /// Returns the query for the rows of a name: for those that live.
    fn by_name(name: &str) -> Self;
}

impl ByName for NamedQuery {
    fn by_name(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }
}

impl ByName for RetiredQuery {
    fn by_name(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }
}

/// A query of a list that can be gone through page by page.
pub trait Paged {
    /// Most rows that one page of the list may have.
    const ROWS_MAX: u32 = PAGE_ROWS_MAX;

    /// Returns how many rows are asked for; none when that is left to the server.
    fn limit(&mut self) -> &mut Option<u32>;

    /// Returns before which row.
    fn before(&mut self) -> &mut Option<String>;
}

macro_rules! paged {
    ($($query:ty $(: $rows_max:expr)?),+ $(,)?) => {$(
        impl Paged for $query {
            $(const ROWS_MAX: u32 = $rows_max;)?

            fn limit(&mut self) -> &mut Option<u32> {
                &mut self.limit
            }

            fn before(&mut self) -> &mut Option<String> {
                &mut self.before
            }
        }
    )+};
}

paged!(
    PageQuery,
    NamedQuery,
    RetiredQuery,
    AlertQuery,
    EvidenceQuery,
    EventQuery,
    JobQuery,
    SnapshotQuery,
    EntryQuery: ENTRY_ROWS_MAX,
);
