//! Lists: rows, and where the next page begins.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

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
        let full = rows.len() == rows_max as usize;
        let next_before = rows.last().filter(|_| full).map(|row| id(row).clone());
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

/// Which of the things that can be retired are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
pub struct RetiredQuery {
    /// With those that were retired; without them when left out.
    #[serde(default)]
    pub retired: bool,
}
