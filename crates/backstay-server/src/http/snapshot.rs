//! Snapshots: lists, looks into them, restores and verifies of them.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backstay_api::types::job::JobAccepted;
use backstay_api::types::list::Rows;
use backstay_api::types::snapshot::{
    DiffQuery, DiffView, EntryQuery, EntryView, FindQuery, FoundView, PieceView, ReadQuery, SnapshotQuery,
    SnapshotRestore, SnapshotVerify, SnapshotView,
};
use backstay_core::domain::job::Target;
use backstay_core::domain::restore::RestoreTerms;
use backstay_core::domain::sample::SampleRule;
use backstay_core::domain::snapshot::{Mark, Snapshot};
use backstay_core::managers::declaration::DeclareError;
use backstay_core::managers::{browse, request};
use backstay_core::ports::snapshot::{self as reader, ENTRY_ROWS_MAX, EntryPage, MetadataToo};
use backstay_core::ports::store::SnapshotFilter;

use super::caller::{Asked, Caller, Own};
use super::error::ApiError;
use super::extract::{Ask, Body, page, rows, rows_of};
use super::state::ServerState;

pub(super) async fn snapshot_list(
    State(state): State<ServerState>,
    caller: Caller,
    Ask(query): Ask<SnapshotQuery>,
) -> Result<Json<Rows<SnapshotView>>, ApiError> {
    let item_id =
        query.item_id.map(|id| id.parse()).transpose().map_err(|error| ApiError::invalid("item_id", error))?;
    let repository_id = query.repository_id.map(|id| id.parse()).transpose();
    let repository_id = repository_id.map_err(|error| ApiError::invalid("repository_id", error))?;
    let page = page(query.before.as_deref(), query.limit)?;
    let filter = SnapshotFilter { tenant_id: caller.tenant(), item_id, repository_id };
    let snapshots = state.context.history.snapshot_list(filter, page).await?;
    let mut rows = Vec::with_capacity(snapshots.len());
    for snapshot in &snapshots {
        rows.push(SnapshotView::new(snapshot, state.item_name(Some(snapshot.item_id)).await));
    }
    Ok(Json(Rows::page(rows, page.rows_max, |row| &row.id)))
}

pub(super) async fn snapshot_show(
    State(state): State<ServerState>,
    Own(snapshot): Own<Snapshot>,
) -> Json<SnapshotView> {
    let item_name = state.item_name(Some(snapshot.item_id)).await;
    Json(SnapshotView::new(&snapshot, item_name))
}

pub(super) async fn snapshot_entries(
    State(state): State<ServerState>,
    Own(snapshot): Own<Snapshot>,
    Ask(query): Ask<EntryQuery>,
) -> Result<Json<Rows<EntryView>>, ApiError> {
    let rows_max = rows_of(query.limit, ENTRY_ROWS_MAX)?;
    let page = EntryPage { after: query.after()?, rows_max };
    let path = query.path.unwrap_or_else(|| "/".to_owned());
    let entries = browse::snapshot_entries(&state.context, &*state.reader, snapshot.id, path.as_bytes(), page).await?;
    let is_full = entries.len() == rows_max as usize;
    let next_before = entries.last().filter(|_| is_full).map(EntryQuery::place);
    Ok(Json(Rows { rows: entries.iter().map(EntryView::from).collect(), next_before }))
}

pub(super) async fn snapshot_find(
    State(state): State<ServerState>,
    Own(snapshot): Own<Snapshot>,
    Ask(query): Ask<FindQuery>,
) -> Result<Json<FoundView>, ApiError> {
    let wanted = wanted(query.from, query.limit)?;
    let found = browse::snapshot_find(&state.context, &*state.reader, &snapshot, &query.pattern, wanted).await?;
    Ok(Json(FoundView::new(&found, wanted.from)))
}

pub(super) async fn snapshot_read(
    State(state): State<ServerState>,
    Own(snapshot): Own<Snapshot>,
    Ask(query): Ask<ReadQuery>,
) -> Result<Json<PieceView>, ApiError> {
    let (path, offset_bytes) = (query.path.as_bytes(), query.offset_bytes.unwrap_or(0));
    let piece = browse::snapshot_read(&state.context, &*state.reader, &snapshot, path, offset_bytes).await?;
    Ok(Json((&piece).into()))
}

pub(super) async fn snapshot_diff(
    State(state): State<ServerState>,
    caller: Caller,
    Own(first): Own<Snapshot>,
    Ask(query): Ask<DiffQuery>,
) -> Result<Json<DiffView>, ApiError> {
    let wanted = wanted(query.from, query.limit)?;
    // As the first one: another tenant's is not there.
    let id = query.with.parse().map_err(|error| ApiError::invalid("with", error))?;
    let second: Snapshot = caller.own(&state, id).await?;
    let metadata = if query.metadata { MetadataToo::Yes } else { MetadataToo::No };
    let told = browse::snapshot_diff(&state.context, &*state.reader, [&first, &second], metadata, wanted).await?;
    Ok(Json(DiffView::new(&told, wanted.from)))
}

/// Judges which rows of an answer about a whole snapshot are asked for.
fn wanted(from: Option<u64>, limit: Option<u32>) -> Result<reader::Rows, ApiError> {
    Ok(reader::Rows { from: from.unwrap_or(0), count_max: rows(limit)? })
}

pub(super) async fn snapshot_restore(
    State(state): State<ServerState>,
    Asked(asking): Asked,
    Own(snapshot): Own<Snapshot>,
    Body(body): Body<SnapshotRestore>,
) -> Result<(StatusCode, Json<JobAccepted>), ApiError> {
    let terms = body.terms()?;
    let (target, terms) = match (&body.target_path, body.to_source) {
        (Some(path), false) => (directory(path, body.name.as_deref())?, terms),
        (None, true) => home(&state, &snapshot, body.name, terms).await?,
        _ => {
            return Err(ApiError::invalid(
                "target_path",
                "name a folder, or have it go back with to_source".to_owned(),
            ));
        }
    };
    let job = request::restore_request(&state.context, &asking, snapshot.id, target, terms).await?;
    state.wake.notify_one();
    Ok((StatusCode::ACCEPTED, Json(JobAccepted { job_id: job.to_string() })))
}

/// Returns the folder that a restore goes to.
fn directory(path: &str, name: Option<&str>) -> Result<Target, ApiError> {
    if name.is_some() {
        return Err(ApiError::invalid("name", "goes with to_source".to_owned()));
    }
    let target = PathBuf::from(path);
    if !target.is_absolute() {
        return Err(ApiError::invalid("target_path", format!("`{path}` is not an absolute path")));
    }
    Ok(Target::Directory(target))
}

/// Returns where the kind of a snapshot's source takes it back, and on which terms.
async fn home(
    state: &ServerState,
    snapshot: &Snapshot,
    name: Option<String>,
    mut terms: RestoreTerms,
) -> Result<(Target, RestoreTerms), ApiError> {
    let item = state.context.declarations.item_get(snapshot.item_id).await?;
    let source = state.context.declarations.source_get(item.source_id).await?;
    let Some(kind) = state.source_kinds.iter().find(|kind| kind.name() == source.kind) else {
        return Err(ApiError::invalid("to_source", format!("this server knows no source kind {}", source.kind)));
    };
    let target = kind.target(&source.settings, &item.name).map_err(DeclareError::from)?;
    match target {
        Target::Directory(_) if name.is_some() => {
            Err(ApiError::invalid("name", format!("a source of kind {} goes back to its own path", source.kind)))
        }
        Target::Directory(path) => {
            // Its content comes to lie where it was read.
            if terms.path.is_empty() {
                terms.path = item.name;
            }
            Ok((Target::Directory(path), terms))
        }
        Target::Source { .. } => {
            terms.judge_stream().map_err(|(field, words)| ApiError::invalid(field, words))?;
            Ok((Target::Source { name }, terms))
        }
    }
}

pub(super) async fn snapshot_verify(
    State(state): State<ServerState>,
    Asked(asking): Asked,
    Own(snapshot): Own<Snapshot>,
    Body(body): Body<SnapshotVerify>,
) -> Result<(StatusCode, Json<JobAccepted>), ApiError> {
    let rule = SampleRule::first_sample(asking.number("sample"));
    let files_min = body.files_min.unwrap_or(rule.files_min);
    let bytes_percent = body.bytes_percent.unwrap_or(rule.bytes_percent);
    if bytes_percent > 100 {
        return Err(ApiError::invalid("bytes_percent", format!("{bytes_percent} is more than 100")));
    }
    let sample = SampleRule { files_min, bytes_percent, ..rule };
    let job = request::verify_request(&state.context, &asking, snapshot.id, sample).await?;
    state.wake.notify_one();
    Ok((StatusCode::ACCEPTED, Json(JobAccepted { job_id: job.to_string() })))
}

pub(super) async fn snapshot_pin(
    State(state): State<ServerState>,
    Own(snapshot): Own<Snapshot>,
) -> Result<Json<SnapshotView>, ApiError> {
    marked(&state, &snapshot, Mark::Pin, true).await
}

pub(super) async fn snapshot_unpin(
    State(state): State<ServerState>,
    Own(snapshot): Own<Snapshot>,
) -> Result<Json<SnapshotView>, ApiError> {
    marked(&state, &snapshot, Mark::Pin, false).await
}

pub(super) async fn snapshot_hold(
    State(state): State<ServerState>,
    Own(snapshot): Own<Snapshot>,
) -> Result<Json<SnapshotView>, ApiError> {
    marked(&state, &snapshot, Mark::Hold, true).await
}

pub(super) async fn snapshot_release(
    State(state): State<ServerState>,
    Own(snapshot): Own<Snapshot>,
) -> Result<Json<SnapshotView>, ApiError> {
    marked(&state, &snapshot, Mark::Hold, false).await
}

pub(super) async fn snapshot_forget(
    State(state): State<ServerState>,
    Own(snapshot): Own<Snapshot>,
) -> Result<Json<SnapshotView>, ApiError> {
    if let Some((what, verb)) = kept_by(&snapshot) {
        return Err(ApiError::is_kept(snapshot.id, what, verb));
    }
    marked(&state, &snapshot, Mark::Unwanted, true).await
}

/// Returns what a person set to keep a snapshot, and the verb that lifts it.
fn kept_by(snapshot: &Snapshot) -> Option<(&'static str, &'static str)> {
    let held = snapshot.held_at.map(|_| ("under a legal hold", "release"));
    held.or(snapshot.pinned_at.map(|_| ("pinned", "unpin")))
}

pub(super) async fn snapshot_keep(
    State(state): State<ServerState>,
    Own(snapshot): Own<Snapshot>,
) -> Result<Json<SnapshotView>, ApiError> {
    marked(&state, &snapshot, Mark::Unwanted, false).await
}

/// Sets or lifts what a person says of a snapshot.
async fn marked(
    state: &ServerState,
    snapshot: &Snapshot,
    mark: Mark,
    is_set: bool,
) -> Result<Json<SnapshotView>, ApiError> {
    let snapshot = state.context.retention.snapshot_mark(snapshot.id, mark, is_set).await?;
    let item_name = state.item_name(Some(snapshot.item_id)).await;
    Ok(Json(SnapshotView::new(&snapshot, item_name)))
}
