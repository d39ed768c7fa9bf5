//! The operations: a line each.

use super::{Client, ClientError};
use crate::endpoint::Operation;
use crate::types::agent::AgentView;
use crate::types::alert::{AlertQuery, AlertSilence, AlertView, DigestQuery, DigestView};
use crate::types::caps::{CapsPut, CapsView};
use crate::types::change::{ChainQuery, ChainView, ChangeView};
use crate::types::channel::{ChannelCreate, ChannelUpdate, ChannelView};
use crate::types::event::{EventQuery, EventStreamQuery, EventView};
use crate::types::evidence::{EvidenceQuery, EvidenceView};
use crate::types::explain::{ExplainQuery, ExplainView, SnapshotExplainQuery};
use crate::types::job::{JobAccepted, JobDetail, JobLogView, JobQuery, JobView};
use crate::types::job_set::{JobSetDetail, JobSetView};
use crate::types::kind::KindView;
use crate::types::lease::{
    CheckpointTell, LeaseAsk, LeaseGiven, ProgressTell, RenewAsk, Renewed, StandingView, WaitTell,
};
use crate::types::list::{NamedQuery, PageQuery, RetiredQuery, Rows};
use crate::types::maintenance::{MaintenanceCreate, MaintenanceView};
use crate::types::monitor::{MonitorCreate, MonitorUpdate, MonitorView, PingView};
use crate::types::plan::{
    FitView, PlanCreate, PlanFit, PlanRequested, PlanScheduleView, PlanUpdate, PlanView, ScheduleQuery,
};
use crate::types::probe::ProbeView;
use crate::types::purge::{PurgeAnnounce, PurgeConfirm, PurgeView};
use crate::types::quota::{QuotaPut, QuotaView};
use crate::types::repository::{RepositoryAdopt, RepositoryCreate, RepositoryUpdate, RepositoryView};
use crate::types::result::{FinishTell, StateWire};
use crate::types::retention::ItemRetentionView;
use crate::types::secret::{SecretPut, SecretTest, SecretView};
use crate::types::snapshot::{
    DiffQuery, DiffView, EntryQuery, EntryView, FindQuery, FoundView, PieceView, ReadQuery, SnapshotQuery,
    SnapshotRestore, SnapshotVerify, SnapshotView,
};
use crate::types::source::{ItemView, SourceCreate, SourceUpdate, SourceView};
use crate::types::storage::{StorageCreate, StorageDetail, StorageUpdate};
use crate::types::template::{TemplateCreate, TemplateUpdate, TemplateView};
use crate::types::tenant::{TenantCreate, TenantView};
use crate::types::token::{TokenCreate, TokenMade, TokenView};

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $answer:ty = $how:ident($operation:ident $(, $given:expr)*);)+) => {
        #[expect(clippy::missing_errors_doc, reason = "the type's own line says it for all")]
        impl Client {$(
            $(#[$doc])*
            pub async fn $name(&self $(, $argument: $type)*) -> Result<$answer, ClientError> {
                self.$how(Operation::$operation $(, $given)*).await
            }
        )+}
    };
}

calls! {
    /// Returns the tenants that a query names.
    tenant_list(query: &NamedQuery) -> Rows<TenantView> = ask(TenantList, "", query);
    /// Declares a tenant.
    tenant_create(body: &TenantCreate) -> TenantView = tell(TenantCreate, "", body);
    /// Returns one tenant.
    tenant_show(id: &str) -> TenantView = get(TenantShow, id);
    /// Returns one repository.
    repository_show(id: &str) -> RepositoryView = get(RepositoryShow, id);
    /// Asks for a prune of a repository.
    repository_prune(id: &str) -> JobAccepted = get(RepositoryPrune, id);
    /// Changes a repository.
    repository_update(id: &str, body: &RepositoryUpdate) -> RepositoryView = tell(RepositoryUpdate, id, body);
    /// Asks for a look through a repository.
    repository_adopt(id: &str, body: &RepositoryAdopt) -> JobAccepted = tell(RepositoryAdopt, id, body);
    /// Returns one source.
    source_show(id: &str) -> SourceView = get(SourceShow, id);
    /// Returns one item.
    item_show(id: &str) -> ItemView = get(ItemShow, id);
    /// Returns one plan.
    plan_show(id: &str) -> PlanView = get(PlanShow, id);
    /// Changes a plan.
    plan_update(id: &str, body: &PlanUpdate) -> PlanView = tell(PlanUpdate, id, body);
    /// Returns one snapshot.
    snapshot_show(id: &str) -> SnapshotView = get(SnapshotShow, id);
    /// Returns one record of evidence.
    evidence_show(id: &str) -> EvidenceView = get(EvidenceShow, id);
    /// Tries a source.
    source_test(id: &str) -> ProbeView = get(SourceTest, id);
    /// Tries a storage.
    storage_test(id: &str) -> ProbeView = get(StorageTest, id);
    /// Returns how far a tenant's purge is.
    purge_show(id: &str) -> PurgeView = get(PurgeShow, id);
    /// Announces a tenant's purge.
    purge_announce(id: &str, body: &PurgeAnnounce) -> PurgeView = tell(PurgeAnnounce, id, body);
    /// Takes an announced purge back.
    purge_cancel(id: &str) -> () = get(PurgeCancel, id);
    /// Purges a tenant.
    purge_confirm(id: &str, body: &PurgeConfirm) -> PurgeView = tell(PurgeConfirm, id, body);
    /// Keeps a secret.
    secret_put(body: &SecretPut) -> SecretView = tell(SecretPut, "", body);
    /// Returns the names of the secrets that a query names.
    secret_list(query: &NamedQuery) -> Rows<SecretView> = ask(SecretList, "", query);
    /// Forgets a secret.
    secret_remove(id: &str) -> () = get(SecretRemove, id);
    /// Makes a token.
    token_create(body: &TokenCreate) -> TokenMade = tell(TokenCreate, "", body);
    /// Returns tokens, newest first.
    token_list(query: &PageQuery) -> Rows<TokenView> = ask(TokenList, "", query);
    /// Returns one token.
    token_show(id: &str) -> TokenView = get(TokenShow, id);
    /// Revokes a token.
    token_revoke(id: &str) -> () = get(TokenRevoke, id);
    /// Declares a channel.
    channel_create(body: &ChannelCreate) -> ChannelView = tell(ChannelCreate, "", body);
    /// Returns the channels that a query names.
    channel_list(query: &NamedQuery) -> Rows<ChannelView> = ask(ChannelList, "", query);
    /// Returns one channel.
    channel_show(id: &str) -> ChannelView = get(ChannelShow, id);
    /// Changes a channel.
    channel_update(id: &str, body: &ChannelUpdate) -> ChannelView = tell(ChannelUpdate, id, body);
    /// Takes a channel away.
    channel_remove(id: &str) -> () = get(ChannelRemove, id);
    /// Sends a test to a channel.
    channel_test(id: &str) -> () = get(ChannelTest, id);
    /// Returns alerts, newest first.
    alert_list(query: &AlertQuery) -> Rows<AlertView> = ask(AlertList, "", query);
    /// Notes that somebody knows of an alert.
    alert_acknowledge(id: &str) -> AlertView = get(AlertAcknowledge, id);
    /// Silences an alert for a time.
    alert_silence(id: &str, body: &AlertSilence) -> AlertView = tell(AlertSilence, id, body);
    /// Returns what a digest would say.
    digest_show(query: &DigestQuery) -> DigestView = ask(DigestShow, "", query);
    /// Returns the agents that are alive.
    agent_list(query: &PageQuery) -> Rows<AgentView> = ask(AgentList, "", query);
    /// Recomputes the chain of changes.
    change_verify(query: &ChainQuery) -> ChainView = ask(ChangeVerify, "", query);
    /// Returns who asked for changes, newest first.
    change_list(query: &PageQuery) -> Rows<ChangeView> = ask(ChangeList, "", query);
    /// Returns how all tenants stand against their quotas.
    quota_list(query: &PageQuery) -> Rows<QuotaView> = ask(QuotaList, "", query);
    /// Returns how a tenant stands against its quota.
    quota_show(tenant_id: &str) -> QuotaView = get(QuotaShow, tenant_id);
    /// Sets what a tenant may store.
    quota_put(tenant_id: &str, body: &QuotaPut) -> QuotaView = tell(QuotaPut, tenant_id, body);
    /// Returns all source kinds.
    source_kind_list() -> Rows<KindView> = get(SourceKindList, "");
    /// Returns all storage kinds.
    storage_kind_list() -> Rows<KindView> = get(StorageKindList, "");
    /// Returns all channel kinds.
    channel_kind_list() -> Rows<KindView> = get(ChannelKindList, "");
    /// Declares a repository.
    repository_create(body: &RepositoryCreate) -> RepositoryView = tell(RepositoryCreate, "", body);
    /// Returns the repositories that a query names.
    repository_list(query: &RetiredQuery) -> Rows<RepositoryView> = ask(RepositoryList, "", query);
    /// Retires a repository.
    repository_retire(id: &str) -> () = get(RepositoryRetire, id);
    /// Declares a source.
    source_create(body: &SourceCreate) -> SourceView = tell(SourceCreate, "", body);
    /// Gives a source other settings.
    source_update(id: &str, body: &SourceUpdate) -> SourceView = tell(SourceUpdate, id, body);
    /// Returns the sources that a query names.
    source_list(query: &RetiredQuery) -> Rows<SourceView> = ask(SourceList, "", query);
    /// Retires a source.
    source_retire(id: &str) -> () = get(SourceRetire, id);
    /// Returns a source's items.
    item_list(source_id: &str, query: &PageQuery) -> Rows<ItemView> = ask(ItemList, source_id, query);
    /// Says whether plans that are to be declared keep their windows.
    plan_fit(body: &PlanFit) -> FitView = tell(PlanFit, "", body);
    /// Declares a plan.
    plan_create(body: &PlanCreate) -> PlanView = tell(PlanCreate, "", body);
    /// Returns the plans that a query names.
    plan_list(query: &RetiredQuery) -> Rows<PlanView> = ask(PlanList, "", query);
    /// Retires a plan.
    plan_retire(id: &str) -> () = get(PlanRetire, id);
    /// Returns job sets, newest first.
    job_set_list(query: &PageQuery) -> Rows<JobSetView> = ask(JobSetList, "", query);
    /// Returns one job set with its members.
    job_set_show(id: &str) -> JobSetDetail = get(JobSetShow, id);
    /// Declares a storage.
    storage_create(body: &StorageCreate) -> StorageDetail = tell(StorageCreate, "", body);
    /// Returns the storages that a query names.
    storage_list(query: &RetiredQuery) -> Rows<StorageDetail> = ask(StorageList, "", query);
    /// Returns one storage.
    storage_show(id: &str) -> StorageDetail = get(StorageShow, id);
    /// Has other keys open a storage.
    storage_update(id: &str, body: &StorageUpdate) -> StorageDetail = tell(StorageUpdate, id, body);
    /// Retires a storage.
    storage_retire(id: &str) -> () = get(StorageRetire, id);
    /// Declares a monitor.
    monitor_create(body: &MonitorCreate) -> MonitorView = tell(MonitorCreate, "", body);
    /// Returns the monitors that a query names and that are not retired.
    monitor_list(query: &NamedQuery) -> Rows<MonitorView> = ask(MonitorList, "", query);
    /// Returns one monitor.
    monitor_show(id: &str) -> MonitorView = get(MonitorShow, id);
    /// Changes a monitor.
    monitor_update(id: &str, body: &MonitorUpdate) -> MonitorView = tell(MonitorUpdate, id, body);
    /// Retires a monitor.
    monitor_retire(id: &str) -> () = get(MonitorRetire, id);
    /// Returns the pings that came for a monitor, newest first.
    ping_list(id: &str, query: &PageQuery) -> Rows<PingView> = ask(PingList, id, query);
    /// Says whether a secret is to be had.
    secret_test(body: &SecretTest) -> () = tell(SecretTest, "", body);
    /// Declares a template.
    template_create(body: &TemplateCreate) -> TemplateView = tell(TemplateCreate, "", body);
    /// Returns the templates that a query names.
    template_list(query: &NamedQuery) -> Rows<TemplateView> = ask(TemplateList, "", query);
    /// Returns one template.
    template_show(id: &str) -> TemplateView = get(TemplateShow, id);
    /// Changes a template, and the plans under it.
    template_update(id: &str, body: &TemplateUpdate) -> TemplateView = tell(TemplateUpdate, id, body);
    /// Removes a template.
    template_remove(id: &str) -> () = get(TemplateRemove, id);
    /// Asks for a backup of each item of a plan.
    plan_request(id: &str) -> PlanRequested = get(PlanRequest, id);
    /// Returns how far a plan's schedule is.
    plan_schedule(id: &str, query: &ScheduleQuery) -> PlanScheduleView = ask(PlanSchedule, id, query);
    /// Holds a plan back.
    plan_pause(id: &str) -> PlanScheduleView = get(PlanPause, id);
    /// Lets a plan go on.
    plan_resume(id: &str) -> PlanScheduleView = get(PlanResume, id);
    /// Lets prunes forget a plan's snapshots again.
    plan_clear(id: &str) -> () = get(PlanClear, id);
    /// Returns what a plan's retention says of each snapshot of its items.
    plan_retention(id: &str, query: &PageQuery) -> Rows<ItemRetentionView> = ask(PlanRetention, id, query);
    /// Returns the maintenance windows that are not over.
    maintenance_list(query: &PageQuery) -> Rows<MaintenanceView> = ask(MaintenanceList, "", query);
    /// Declares a maintenance window.
    maintenance_create(body: &MaintenanceCreate) -> MaintenanceView = tell(MaintenanceCreate, "", body);
    /// Takes a maintenance window away.
    maintenance_remove(id: &str) -> () = get(MaintenanceRemove, id);
    /// Returns jobs, newest first.
    job_list(query: &JobQuery) -> Rows<JobView> = ask(JobList, "", query);
    /// Returns one job.
    job_show(id: &str) -> JobDetail = get(JobShow, id);
    /// Returns what is stored of a job, in the order of time.
    job_log(id: &str) -> JobLogView = get(JobLog, id);
    /// Asks for a job's end.
    job_cancel(id: &str) -> JobView = get(JobCancel, id);
    /// Tries a job again.
    job_retry(id: &str) -> JobView = get(JobRetry, id);
    /// Says why a plan does what it does.
    plan_explain(id: &str, query: &ExplainQuery) -> ExplainView = ask(PlanExplain, id, query);
    /// Says how an item stands.
    item_explain(id: &str, query: &ExplainQuery) -> ExplainView = ask(ItemExplain, id, query);
    /// Says why a job exists, and when it starts.
    job_explain(id: &str, query: &ExplainQuery) -> ExplainView = ask(JobExplain, id, query);
    /// Says why a snapshot is kept, or goes.
    snapshot_explain(id: &str, query: &SnapshotExplainQuery) -> ExplainView = ask(SnapshotExplain, id, query);
    /// Returns how many jobs may run at a time.
    caps_show() -> CapsView = get(CapsShow, "");
    /// Changes how many jobs may run at a time.
    caps_put(body: &CapsPut) -> CapsView = tell(CapsPut, "", body);
    /// Leases jobs to an agent.
    job_lease(agent_id: &str, body: &LeaseAsk) -> LeaseGiven = tell(JobLease, agent_id, body);
    /// Sends an agent's heartbeat.
    job_renew(agent_id: &str, body: &RenewAsk) -> Renewed = tell(JobRenew, agent_id, body);
    /// Tells how far a leased job is.
    job_progress(id: &str, body: &ProgressTell) -> StandingView = tell(JobProgress, id, body);
    /// Stores an intent for the job's next attempt.
    job_checkpoint(id: &str, body: &CheckpointTell) -> () = tell(JobCheckpoint, id, body);
    /// Gives a leased job back.
    job_wait(id: &str, body: &WaitTell) -> () = tell(JobWait, id, body);
    /// Hands a result in.
    job_finish(id: &str, body: &FinishTell) -> StateWire = tell(JobFinish, id, body);
    /// Returns snapshots, newest first.
    snapshot_list(query: &SnapshotQuery) -> Rows<SnapshotView> = ask(SnapshotList, "", query);
    /// Returns the entries of a folder in a snapshot.
    snapshot_entries(id: &str, query: &EntryQuery) -> Rows<EntryView> = ask(SnapshotEntries, id, query);
    /// Returns entries of a snapshot whose path a pattern matches.
    snapshot_find(id: &str, query: &FindQuery) -> FoundView = ask(SnapshotFind, id, query);
    /// Reads a piece of a file in a snapshot.
    snapshot_read(id: &str, query: &ReadQuery) -> PieceView = ask(SnapshotRead, id, query);
    /// Returns what differs between two snapshots.
    snapshot_diff(id: &str, query: &DiffQuery) -> DiffView = ask(SnapshotDiff, id, query);
    /// Asks for a restore.
    snapshot_restore(id: &str, body: &SnapshotRestore) -> JobAccepted = tell(SnapshotRestore, id, body);
    /// Keeps a snapshot, whatever the rules say.
    snapshot_pin(id: &str) -> SnapshotView = get(SnapshotPin, id);
    /// Leaves a snapshot to the rules again.
    snapshot_unpin(id: &str) -> SnapshotView = get(SnapshotUnpin, id);
    /// Puts a snapshot under a legal hold.
    snapshot_hold(id: &str) -> SnapshotView = get(SnapshotHold, id);
    /// Lifts a snapshot's legal hold.
    snapshot_release(id: &str) -> SnapshotView = get(SnapshotRelease, id);
    /// Has a snapshot forgotten by the next prune.
    snapshot_forget(id: &str) -> SnapshotView = get(SnapshotForget, id);
    /// Takes that back.
    snapshot_keep(id: &str) -> SnapshotView = get(SnapshotKeep, id);
    /// Asks for a verify.
    snapshot_verify(id: &str, body: &SnapshotVerify) -> JobAccepted = tell(SnapshotVerify, id, body);
    /// Returns evidence, newest first.
    evidence_list(query: &EvidenceQuery) -> Rows<EvidenceView> = ask(EvidenceList, "", query);
    /// Recomputes a tenant's chain of events.
    event_verify(query: &EventStreamQuery) -> ChainView = ask(EventVerify, "", query);
    /// Returns a tenant's events, newest first.
    event_list(query: &EventQuery) -> Rows<EventView> = ask(EventList, "", query);
}
