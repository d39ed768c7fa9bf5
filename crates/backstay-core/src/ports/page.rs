//! Pages of lists: where one begins, which rows it shows, and how whoever needs all rows goes from page to page.
//!
//! Rows are sorted by id, newest first, so that a row that is added meanwhile neither shifts nor repeats another one. A
//! store reads what it returns and no more. Who comes in: stores and managers.

use std::future::Future;

use crate::domain::id::TenantId;
use crate::domain::name::Name;

/// Most rows of one page.
pub const PAGE_ROWS_MAX: u32 = 500;

/// A page of rows: where it begins and how long it is. Rows are sorted by id, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<I> {
    /// Only rows older than this one; none for the first page.
    pub before: Option<I>,
    /// Most rows; at most [`PAGE_ROWS_MAX`].
    pub rows_max: u32,
}

impl<I> Page<I> {
    /// Returns the first page, as long as a page may be.
    pub const fn first() -> Self {
        Self { before: None, rows_max: PAGE_ROWS_MAX }
    }
}

/// Which rows of what has names a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedFilter {
    /// Only this tenant's.
    pub tenant_id: Option<TenantId>,
    /// Only those of exactly this name.
    pub name: Option<Name>,
    /// Only those that were not retired.
    pub is_live: bool,
}

impl NamedFilter {
    /// Returns the filter that shows all rows of one tenant, or of all, retired ones too.
    pub const fn of(tenant_id: Option<TenantId>) -> Self {
        Self { tenant_id, name: None, is_live: false }
    }

    /// Says whether a row is shown.
    pub fn shows(&self, tenant_id: TenantId, name: &Name, is_live: bool) -> bool {
        self.tenant_id.is_none_or(|id| id == tenant_id)
            && self.name.as_ref().is_none_or(|wanted| wanted == name)
            && (is_live || !self.is_live)
    }
}

/// Returns all rows of a list, page by page. `id` says by what the next page begins.
///
/// # Errors
/// What `ask` returns.
pub async fn all<T, I, E, F: Future<Output = Result<Vec<T>, E>>>(
    mut ask: impl FnMut(Page<I>) -> F,
    id: impl Fn(&T) -> I,
) -> Result<Vec<T>, E> {
    let mut rows = Vec::new();
    let mut before = None;
    loop {
        let next = ask(Page { before, rows_max: PAGE_ROWS_MAX }).await?;
        let is_full = next.len() >= PAGE_ROWS_MAX as usize;
        before = next.last().filter(|_| is_full).map(&id);
        rows.extend(next);
        if before.is_none() {
            return Ok(rows);
        }
    }
}
