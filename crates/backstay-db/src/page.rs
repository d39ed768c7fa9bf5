//! Pages of what people declare: one question each, answered by an index, whatever else lies in the table.

use backstay_core::domain::name::Name;
use backstay_core::ports::store::{NamedFilter, Page};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use crate::entity::{channel, item, monitor, ping, plan, repository, source, storage, template, tenant};
use crate::history::rows_limit;

/// Returns the part of a question that a page brings, newest first.
pub(crate) fn paged<E: EntityTrait, I: ToString>(query: Select<E>, id: E::Column, page: &Page<I>) -> Select<E> {
    let query = match &page.before {
        Some(before) => query.filter(id.lt(before.to_string())),
        None => query,
    };
    query.order_by_desc(id).limit(rows_limit(page.rows_max))
}

/// Returns the part of a question that names a tenant and a name.
fn named<E: EntityTrait>(filter: &NamedFilter, tenant: E::Column, name: E::Column) -> Select<E> {
    let mut query = E::find();
    if let Some(id) = filter.tenant_id {
        query = query.filter(tenant.eq(id.to_string()));
    }
    if let Some(wanted) = filter.name.as_ref().map(Name::as_str) {
        query = query.filter(name.eq(wanted));
    }
    query
}

macro_rules! questions {
    ($($question:ident: $table:ident, $what:literal, $live:expr;)+) => {$(
        #[doc = concat!("Returns the question for a page of ", $what, ".")]
        pub(crate) fn $question<I: ToString>(filter: &NamedFilter, page: &Page<I>) -> Select<$table::Entity> {
            let query = named::<$table::Entity>(filter, $table::Column::TenantId, $table::Column::Name);
            let query = match filter.is_live {
                true => $live(query),
                false => query,
            };
            paged(query, $table::Column::Id, page)
        }
    )+};
}

questions! {
    sources_question: source, "sources", |query: Select<source::Entity>| query.filter(source::Column::RetiredMark.eq(""));
    storages_question: storage, "storages", |query: Select<storage::Entity>| query.filter(storage::Column::RetiredMark.eq(""));
    repositories_question: repository, "repositories",
        |query: Select<repository::Entity>| query.filter(repository::Column::RetiredMark.eq(""));
    plans_page_question: plan, "plans", |query: Select<plan::Entity>| query.filter(plan::Column::RetiredMark.eq(""));
    templates_question: template, "templates", |query| query;
    channels_question: channel, "channels", |query| query;
}

/// Returns the question for a page of living monitors.
pub(crate) fn monitors_question<I: ToString>(filter: &NamedFilter, page: &Page<I>) -> Select<monitor::Entity> {
    let query = named::<monitor::Entity>(filter, monitor::Column::TenantId, monitor::Column::Name);
    paged(query.filter(monitor::Column::LiveKey.is_not_null()), monitor::Column::Id, page)
}

/// Returns the question for a page of tenants.
pub(crate) fn tenants_question<I: ToString>(filter: &NamedFilter, page: &Page<I>) -> Select<tenant::Entity> {
    let query = named::<tenant::Entity>(filter, tenant::Column::Id, tenant::Column::Name);
    match (&filter.name, &page.before) {
        (None, _) => paged(query, tenant::Column::Id, page),
        // A name is one tenant's: there is nothing to sort.
        (Some(_), None) => query,
        (Some(_), Some(before)) => query.filter(tenant::Column::Id.lt(before.to_string())),
    }
}

/// Returns the question for a page of a source's items.
pub(crate) fn items_page_question<I: ToString>(source: &str, page: &Page<I>) -> Select<item::Entity> {
    paged(item::Entity::find().filter(item::Column::SourceId.eq(source)), item::Column::Id, page)
}

/// Returns the question for a page of a monitor's pings.
pub(crate) fn pings_question<I: ToString>(monitor: &str, page: &Page<I>) -> Select<ping::Entity> {
    paged(ping::Entity::find().filter(ping::Column::MonitorId.eq(monitor)), ping::Column::Id, page)
}
