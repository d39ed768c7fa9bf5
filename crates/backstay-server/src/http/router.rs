//! The endpoint table made into a router. The compiler asks for a handler of each operation.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use axum::{Extension, Router};
use backstay_api::{ENDPOINTS, Operation};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::accept::{self, Limits};
use super::door::{Door, Shared, guard};
use super::error::{ApiError, not_found};
use super::state::ServerState;
use super::stream::Streams;
use super::tls::Tls;
use super::{
    agent, alert, caps, channel, event, evidence, explain, job, job_set, kind, maintenance, meter, monitor, ping, plan,
    purge, quota, repository, secret, snapshot, source, storage, stream, template, tenant, token,
};

/// Largest request: a declaration has a few kilobytes.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;

/// Largest result of a job: a thousand unread paths of four kilobytes, each byte written out in six. A result that could
/// not be handed in would be a backup that nobody knows of.
const RESULT_BYTES_MAX: usize = 32 << 20;

/// Longest that a request may take: a look into a snapshot on slow storage. Long work is a job.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);

/// Answers on a listener until told to end; requests under way are answered first.
pub async fn serve(listener: TcpListener, state: ServerState, end: CancellationToken) {
    answer(listener, None, state, end).await;
}

/// As [`serve`], to whoever speaks TLS.
pub async fn serve_tls(listener: TcpListener, tls: &Tls, state: ServerState, end: CancellationToken) {
    answer(listener, Some(tls), state, end).await;
}

async fn answer(listener: TcpListener, tls: Option<&Tls>, state: ServerState, end: CancellationToken) {
    let shared = Arc::<Shared>::default();
    let router = routes(state, &shared);
    accept::answer(listener, tls.map(Tls::acceptor), router, Limits::of_process(), end).await;
    // Runs whose connection ended before them.
    shared.tasks.close();
    shared.tasks.wait().await;
}

/// Returns the router of the whole API.
pub fn router(state: ServerState) -> Router {
    routes(state, &Arc::default())
}

fn routes(state: ServerState, shared: &Arc<Shared>) -> Router {
    let mut router = Router::new();
    for row in ENDPOINTS {
        let door = Door { state: state.clone(), shared: shared.clone(), row };
        router = router.route(row.path, handler(row.operation).route_layer(from_fn_with_state(door, guard)));
    }
    router
        // Those that are asked without a token: what the API is, and of the others nothing but yes and no.
        .route("/api/v1/openapi.json", get(meter::openapi))
        .route("/healthz", get(meter::healthz))
        .route("/readyz", get(meter::readyz))
        // Those whose token is in their path.
        .route("/ping/{key}/{name}", get(ping::ping).post(ping::ping))
        .route("/ping/{key}/{name}/{word}", get(ping::ping_word).post(ping::ping_word))
        .layer(Extension(shared.clone()))
        .method_not_allowed_fallback(|| async { ApiError::wrong_method() })
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(never_kept))
        .layer(Extension(Streams::default()))
        .layer(from_fn(in_time))
        .with_state(state)
}

/// Says of each answer that nobody on the way may keep it: one of them carries secrets, and all of them age at once.
async fn never_kept(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Answers in time, or says that it could not.
async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => ApiError::timed_out().into_response(),
    }
}

/// Returns the handler of an operation.
fn handler(operation: Operation) -> MethodRouter<ServerState> {
    match operation {
        Operation::TenantList => get(tenant::tenant_list),
        Operation::TenantCreate => post(tenant::tenant_create),
        Operation::TenantShow => get(tenant::tenant_show),
        Operation::RepositoryShow => get(repository::repository_show),
        Operation::RepositoryPrune => post(repository::repository_prune),
        Operation::RepositoryUpdate => patch(repository::repository_update),
        Operation::RepositoryAdopt => post(repository::repository_adopt),
        Operation::SourceShow => get(source::source_show),
        Operation::SourceUpdate => patch(source::source_update),
        Operation::ItemShow => get(source::item_show),
        Operation::PlanFit => post(plan::plan_fit),
        Operation::PlanShow => get(plan::plan_show),
        Operation::PlanUpdate => patch(plan::plan_update),
        Operation::SnapshotShow => get(snapshot::snapshot_show),
        Operation::EvidenceShow => get(evidence::evidence_show),
        Operation::EventStream => get(stream::event_stream),
        Operation::SecretPut => post(secret::secret_put),
        Operation::SecretList => get(secret::secret_list),
        Operation::SecretRemove => delete(secret::secret_remove),
        Operation::TokenCreate => post(token::token_create),
        Operation::TokenList => get(token::token_list),
        Operation::TokenShow => get(token::token_show),
        Operation::TokenRevoke => delete(token::token_revoke),
        Operation::ChannelCreate => post(channel::channel_create),
        Operation::ChannelList => get(channel::channel_list),
        Operation::ChannelShow => get(channel::channel_show),
        Operation::ChannelUpdate => patch(channel::channel_update),
        Operation::ChannelRemove => delete(channel::channel_remove),
        Operation::ChannelTest => post(channel::channel_test),
        Operation::AlertList => get(alert::alert_list),
        Operation::AlertAcknowledge => post(alert::alert_acknowledge),
        Operation::AlertSilence => post(alert::alert_silence),
        Operation::DigestShow => get(alert::digest_show),
        Operation::AgentList => get(agent::agent_list),
        Operation::ChangeVerify => get(token::change_verify),
        Operation::ChangeList => get(token::change_list),
        Operation::Metrics => get(meter::metrics),
        Operation::JobSetList => get(job_set::job_set_list),
        Operation::JobSetShow => get(job_set::job_set_show),
        Operation::StorageCreate => post(storage::storage_create),
        Operation::StorageList => get(storage::storage_list),
        Operation::StorageShow => get(storage::storage_show),
        Operation::StorageUpdate => patch(storage::storage_update),
        Operation::StorageRetire => delete(storage::storage_retire),
        Operation::TemplateCreate => post(template::template_create),
        Operation::TemplateList => get(template::template_list),
        Operation::TemplateShow => get(template::template_show),
        Operation::TemplateUpdate => patch(template::template_update),
        Operation::TemplateRemove => delete(template::template_remove),
        Operation::MonitorCreate => post(monitor::monitor_create),
        Operation::MonitorList => get(monitor::monitor_list),
        Operation::MonitorShow => get(monitor::monitor_show),
        Operation::MonitorUpdate => patch(monitor::monitor_update),
        Operation::MonitorRetire => delete(monitor::monitor_retire),
        Operation::PingList => get(monitor::ping_list),
        Operation::SourceTest => post(source::source_test),
        Operation::StorageTest => post(storage::storage_test),
        Operation::PurgeShow => get(purge::purge_show),
        Operation::PurgeAnnounce => post(purge::purge_announce),
        Operation::PurgeCancel => delete(purge::purge_cancel),
        Operation::PurgeConfirm => post(purge::purge_confirm),
        Operation::SecretTest => post(secret::secret_test),
        Operation::QuotaList => get(quota::quota_list),
        Operation::QuotaShow => get(quota::quota_show),
        Operation::QuotaPut => put(quota::quota_put),
        Operation::SourceKindList => get(kind::source_kind_list),
        Operation::StorageKindList => get(kind::storage_kind_list),
        Operation::ChannelKindList => get(kind::channel_kind_list),
        Operation::RepositoryCreate => post(repository::repository_create),
        Operation::RepositoryRetire => delete(repository::repository_retire),
        Operation::RepositoryList => get(repository::repository_list),
        Operation::SourceCreate => post(source::source_create),
        Operation::SourceRetire => delete(source::source_retire),
        Operation::SourceList => get(source::source_list),
        Operation::ItemList => get(source::item_list),
        Operation::PlanCreate => post(plan::plan_create),
        Operation::PlanRetire => delete(plan::plan_retire),
        Operation::PlanList => get(plan::plan_list),
        Operation::PlanRequest => post(plan::plan_request),
        Operation::PlanSchedule => get(plan::plan_schedule),
        Operation::PlanPause => post(plan::plan_pause),
        Operation::PlanResume => post(plan::plan_resume),
        Operation::PlanClear => post(plan::plan_clear),
        Operation::PlanRetention => get(plan::plan_retention),
        Operation::MaintenanceList => get(maintenance::maintenance_list),
        Operation::MaintenanceCreate => post(maintenance::maintenance_create),
        Operation::MaintenanceRemove => delete(maintenance::maintenance_remove),
        Operation::JobList => get(job::job_list),
        Operation::JobShow => get(job::job_show),
        Operation::JobLog => get(job::job_log),
        Operation::JobCancel => post(job::job_cancel),
        Operation::JobRetry => post(job::job_retry),
        Operation::PlanExplain => get(explain::plan_explain),
        Operation::ItemExplain => get(explain::item_explain),
        Operation::JobExplain => get(explain::job_explain),
        Operation::SnapshotExplain => get(explain::snapshot_explain),
        Operation::CapsShow => get(caps::caps_show),
        Operation::CapsPut => put(caps::caps_put),
        Operation::JobLease => post(agent::job_lease),
        Operation::JobRenew => post(agent::job_renew),
        Operation::JobProgress => post(agent::job_progress),
        Operation::JobCheckpoint => post(agent::job_checkpoint),
        Operation::JobWait => post(agent::job_wait),
        Operation::JobFinish => post(agent::job_finish).layer(DefaultBodyLimit::max(RESULT_BYTES_MAX)),
        Operation::SnapshotList => get(snapshot::snapshot_list),
        Operation::SnapshotEntries => get(snapshot::snapshot_entries),
        Operation::SnapshotFind => get(snapshot::snapshot_find),
        Operation::SnapshotRead => get(snapshot::snapshot_read),
        Operation::SnapshotDiff => get(snapshot::snapshot_diff),
        Operation::SnapshotRestore => post(snapshot::snapshot_restore),
        Operation::SnapshotVerify => post(snapshot::snapshot_verify),
        Operation::SnapshotPin => post(snapshot::snapshot_pin),
        Operation::SnapshotUnpin => post(snapshot::snapshot_unpin),
        Operation::SnapshotHold => post(snapshot::snapshot_hold),
        Operation::SnapshotRelease => post(snapshot::snapshot_release),
        Operation::SnapshotForget => post(snapshot::snapshot_forget),
        Operation::SnapshotKeep => post(snapshot::snapshot_keep),
        Operation::EvidenceList => get(evidence::evidence_list),
        Operation::EventVerify => get(event::event_verify),
        Operation::EventList => get(event::event_list),
    }
}
