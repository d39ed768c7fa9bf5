//! The one table of endpoints. The server's router, the OpenAPI document, the client and the command line's verbs are
//! made from it or held against it by a test; there is no door beside it.

use backstay_core::domain::access::Action::{
    self, Browse, Declare, Describe, Destroy, Grant, Look, Oversee, Restore, Run, Work,
};

/// An operation of the API. Adding one is a row below, and the compiler names the places that must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// All tenants.
    TenantList,
    /// Declares a tenant.
    TenantCreate,
    /// One tenant.
    TenantShow,
    /// All source kinds.
    SourceKindList,
    /// All storage kinds.
    StorageKindList,
    /// All channel kinds.
    ChannelKindList,
    /// Declares a repository.
    RepositoryCreate,
    /// All repositories.
    RepositoryList,
    /// One repository.
    RepositoryShow,
    /// Asks for a prune of a repository.
    RepositoryPrune,
    /// Asks for a look through a repository.
    RepositoryAdopt,
    /// Changes a repository.
    RepositoryUpdate,
    /// Declares a source.
    SourceCreate,
    /// All sources.
    SourceList,
    /// One source.
    SourceShow,
    /// Changes a source.
    SourceUpdate,
    /// A source's items.
    ItemList,
    /// One item.
    ItemShow,
    /// Declares a plan.
    PlanCreate,
    /// All plans.
    PlanList,
    /// Says whether plans that are to be declared keep their windows.
    PlanFit,
    /// One plan.
    PlanShow,
    /// Changes a plan.
    PlanUpdate,
    /// Asks for a backup of a plan's items.
    PlanRequest,
    /// How far a plan's schedule is, and what comes next.
    PlanSchedule,
    /// Holds a plan back.
    PlanPause,
    /// Lets a plan go on.
    PlanResume,
    /// Lets prunes forget a plan's snapshots again.
    PlanClear,
    /// What a plan's retention keeps.
    PlanRetention,
    /// Maintenance windows that are not over.
    MaintenanceList,
    /// Declares a maintenance window.
    MaintenanceCreate,
    /// Takes a maintenance window away.
    MaintenanceRemove,
    /// Jobs, newest first.
    JobList,
    /// One job.
    JobShow,
    /// What is stored of a job, in the order of time.
    JobLog,
    /// Asks for a job's end.
    JobCancel,
    /// Tries a job again.
    JobRetry,
    /// Leases jobs to an agent.
    JobLease,
    /// An agent's heartbeat.
    JobRenew,
    /// How far a leased job is.
    JobProgress,
    /// Stores a leased job's intent.
    JobCheckpoint,
    /// Gives a leased job back for a while.
    JobWait,
    /// Takes in what came of an attempt.
    JobFinish,
    /// Snapshots, newest first.
    SnapshotList,
    /// One snapshot.
    SnapshotShow,
    /// Entries of a folder in a snapshot.
    SnapshotEntries,
    /// Entries of a snapshot by a pattern.
    SnapshotFind,
    /// Reads a piece of a file in a snapshot.
    SnapshotRead,
    /// What differs between two snapshots.
    SnapshotDiff,
    /// Asks for a restore.
    SnapshotRestore,
    /// Asks for a verify.
    SnapshotVerify,
    /// Keeps a snapshot.
    SnapshotPin,
    /// Leaves a snapshot to the rules.
    SnapshotUnpin,
    /// Puts a snapshot under a legal hold.
    SnapshotHold,
    /// Lifts a legal hold.
    SnapshotRelease,
    /// Has a snapshot forgotten by the next prune.
    SnapshotForget,
    /// Takes that back.
    SnapshotKeep,
    /// Evidence, newest first.
    EvidenceList,
    /// One record of evidence.
    EvidenceShow,
    /// Recomputes a tenant's chain of events.
    EventVerify,
    /// Events, oldest first.
    EventList,
    /// A tenant's events as they happen.
    EventStream,
    /// Keeps a secret.
    SecretPut,
    /// Names of secrets.
    SecretList,
    /// Forgets a secret.
    SecretRemove,
    /// Makes a token.
    TokenCreate,
    /// Tokens, newest first.
    TokenList,
    /// One token.
    TokenShow,
    /// Revokes a token.
    TokenRevoke,
    /// Declares a channel.
    ChannelCreate,
    /// All channels.
    ChannelList,
    /// One channel.
    ChannelShow,
    /// Changes a channel.
    ChannelUpdate,
    /// Takes a channel away.
    ChannelRemove,
    /// Sends a test to a channel.
    ChannelTest,
    /// Alerts, newest first.
    AlertList,
    /// Notes that somebody knows of an alert.
    AlertAcknowledge,
    /// Silences an alert for a time.
    AlertSilence,
    /// What a digest would say.
    DigestShow,
    /// Agents that are alive.
    AgentList,
    /// Who asked for changes.
    ChangeList,
    /// Whether the chain of changes is whole.
    ChangeVerify,
    /// Figures for monitoring.
    Metrics,
    /// Why a plan does what it does.
    PlanExplain,
    /// How an item stands.
    ItemExplain,
    /// Why a job exists, and when it starts.
    JobExplain,
    /// Why a snapshot is kept, or goes.
    SnapshotExplain,
    /// How many jobs may run at a time, and how tenants share.
    CapsShow,
    /// Changes how many may.
    CapsPut,
    /// Retires a plan.
    PlanRetire,
    /// Retires a source.
    SourceRetire,
    /// Retires a repository.
    RepositoryRetire,
    /// How all tenants stand against their quotas.
    QuotaList,
    /// How a tenant stands against its quota.
    QuotaShow,
    /// Sets what a tenant may store.
    QuotaPut,
    /// Job sets, newest first.
    JobSetList,
    /// One job set.
    JobSetShow,
    /// Declares a storage.
    StorageCreate,
    /// All storages.
    StorageList,
    /// One storage.
    StorageShow,
    /// Has other keys open a storage.
    StorageUpdate,
    /// Retires a storage.
    StorageRetire,
    /// Declares a template of plans.
    TemplateCreate,
    /// All templates.
    TemplateList,
    /// One template.
    TemplateShow,
    /// Changes a template, and the plans under it.
    TemplateUpdate,
    /// Removes a template.
    TemplateRemove,
    /// Declares a monitor.
    MonitorCreate,
    /// All monitors.
    MonitorList,
    /// One monitor.
    MonitorShow,
    /// Changes a monitor.
    MonitorUpdate,
    /// Retires a monitor.
    MonitorRetire,
    /// The pings that came for a monitor.
    PingList,
    /// Says whether a secret is to be had.
    SecretTest,
    /// Tries a storage.
    StorageTest,
    /// Tries a source.
    SourceTest,
    /// How far a tenant's purge is.
    PurgeShow,
    /// Announces a tenant's purge.
    PurgeAnnounce,
    /// Takes an announcement back.
    PurgeCancel,
    /// Purges a tenant.
    PurgeConfirm,
}

/// The HTTP methods that the API uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Changes nothing.
    Get,
    /// Makes or asks for something.
    Post,
    /// Puts something in the place of what is there.
    Put,
    /// Changes a part of something.
    Patch,
    /// Ends something.
    Delete,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// What it does.
    pub operation: Operation,
    /// Its name in the document and in the client.
    pub name: &'static str,
    /// HTTP method.
    pub method: Method,
    /// What its caller must be allowed to do.
    pub action: Action,
    /// Path below the server, parameters in braces.
    pub path: &'static str,
    /// Status of a success.
    pub status: u16,
    /// One sentence for the document.
    pub description: &'static str,
    /// The command line's verb for it; empty for what agents say, which no person types.
    pub verb: &'static str,
}

const fn row(
    operation: Operation,
    name: &'static str,
    door: (Action, Method, &'static str, u16),
    verb: &'static str,
    description: &'static str,
) -> Endpoint {
    let (action, method, path, status) = door;
    Endpoint { operation, name, action, method, path, status, description, verb }
}

const GET: Method = Method::Get;
const POST: Method = Method::Post;
const PUT: Method = Method::Put;
const PATCH: Method = Method::Patch;
const DELETE: Method = Method::Delete;

/// Every endpoint that there is.
#[rustfmt::skip]
pub const ENDPOINTS: &[Endpoint] = &[
    row(Operation::TenantList, "tenant_list", (Look, GET, "/api/v1/tenants", 200), "tenant list", "Returns tenants, newest first."),
    row(Operation::TenantCreate, "tenant_create", (Oversee, POST, "/api/v1/tenants", 201), "tenant create", "Declares a tenant."),
    row(Operation::TenantShow, "tenant_show", (Look, GET, "/api/v1/tenants/{id}", 200), "tenant show", "Returns one tenant."),
    row(Operation::SourceKindList, "source_kind_list", (Describe, GET, "/api/v1/kinds/source", 200), "kinds", "Returns all source kinds."),
    row(Operation::StorageKindList, "storage_kind_list", (Describe, GET, "/api/v1/kinds/storage", 200), "kinds", "Returns all storage kinds."),
    row(Operation::ChannelKindList, "channel_kind_list", (Describe, GET, "/api/v1/kinds/channel", 200), "kinds", "Returns all channel kinds."),
    row(Operation::RepositoryCreate, "repository_create", (Declare, POST, "/api/v1/repositories", 201), "repository create", "Declares a repository; its first backup makes it."),
    row(Operation::RepositoryList, "repository_list", (Look, GET, "/api/v1/repositories", 200), "repository list", "Returns repositories, newest first."),
    row(Operation::RepositoryShow, "repository_show", (Look, GET, "/api/v1/repositories/{id}", 200), "repository show", "Returns one repository; its ETag goes with a change of it."),
    row(Operation::RepositoryUpdate, "repository_update", (Declare, PATCH, "/api/v1/repositories/{id}", 200), "repository update", "Changes within which time every pack of a repository is read back, and begins that time anew. It may be asked again. If-Match with its ETag refuses it when somebody else changed the repository."),
    row(Operation::RepositoryAdopt, "repository_adopt", (Declare, POST, "/api/v1/repositories/{id}/adopt", 202), "repository adopt", "Takes in the snapshots of a repository that have no row, such as those of plain restic. One of a plan's own folder becomes the plan's; the others belong to foreign sources, and no rule lets them go."),
    row(Operation::RepositoryPrune, "repository_prune", (Run, POST, "/api/v1/repositories/{id}/prune", 202), "repository prune", "Asks for a prune: what retention does not keep is forgotten, data that nothing refers to is removed. While one is not finished, that one is the answer."),
    row(Operation::SourceCreate, "source_create", (Declare, POST, "/api/v1/sources", 201), "source create", "Declares a source."),
    row(Operation::SourceList, "source_list", (Look, GET, "/api/v1/sources", 200), "source list", "Returns sources, newest first."),
    row(Operation::SourceShow, "source_show", (Look, GET, "/api/v1/sources/{id}", 200), "source show", "Returns one source; its ETag goes with a change of it."),
    row(Operation::SourceUpdate, "source_update", (Declare, PATCH, "/api/v1/sources/{id}", 200), "source update", "Gives a source other settings, from the next job on. They may name more items than before, never fewer. If-Match with its ETag refuses it when somebody else changed the source."),
    row(Operation::ItemList, "item_list", (Look, GET, "/api/v1/sources/{id}/items", 200), "source items", "Returns a source's items, newest first."),
    row(Operation::ItemShow, "item_show", (Look, GET, "/api/v1/items/{id}", 200), "item show", "Returns one item."),
    row(Operation::PlanCreate, "plan_create", (Declare, POST, "/api/v1/plans", 201), "plan create", "Declares a plan."),
    row(Operation::PlanList, "plan_list", (Look, GET, "/api/v1/plans", 200), "plan list", "Returns plans, newest first."),
    row(Operation::PlanFit, "plan_fit", (Look, POST, "/api/v1/plans/fit", 200), "apply", "Says whether plans that are to be declared can keep their windows beside those that they may not overlap; nothing is declared."),
    row(Operation::PlanShow, "plan_show", (Look, GET, "/api/v1/plans/{id}", 200), "plan show", "Returns one plan; its ETag goes with a change of it."),
    row(Operation::PlanUpdate, "plan_update", (Declare, PATCH, "/api/v1/plans/{id}", 200), "plan update", "Changes what is given of a plan. If-Match with the plan's ETag refuses it when somebody else changed the plan."),
    row(Operation::PlanRequest, "plan_request", (Run, POST, "/api/v1/plans/{id}/run", 202), "plan run", "Asks for a backup of each item of a plan."),
    row(Operation::PlanSchedule, "plan_schedule", (Look, GET, "/api/v1/plans/{id}/schedule", 200), "plan schedule", "Returns how far a plan's schedule is, what holds it back and what comes next."),
    row(Operation::PlanPause, "plan_pause", (Run, POST, "/api/v1/plans/{id}/pause", 200), "plan pause", "Holds a plan back: its occurrences are skipped and told. It may be asked again."),
    row(Operation::PlanResume, "plan_resume", (Run, POST, "/api/v1/plans/{id}/resume", 200), "plan resume", "Lets a plan go on; what was skipped is not made up for. It may be asked again."),
    row(Operation::PlanClear, "plan_clear", (Run, POST, "/api/v1/plans/{id}/clear", 204), "plan clear", "Lets prunes forget a plan's snapshots again after much changed at once: a person has looked. It may be asked again."),
    row(Operation::PlanRetention, "plan_retention", (Look, GET, "/api/v1/plans/{id}/retention", 200), "plan retention", "Returns for each item of a plan which snapshots stay, by which rules, and which go with the next prune; the newest item first."),
    row(Operation::MaintenanceList, "maintenance_list", (Look, GET, "/api/v1/maintenance", 200), "maintenance list", "Returns the maintenance windows that are not over, newest first."),
    row(Operation::MaintenanceCreate, "maintenance_create", (Oversee, POST, "/api/v1/maintenance", 201), "maintenance create", "Declares a time in which nothing starts by schedule; without an end and a tenant it pauses the installation."),
    row(Operation::MaintenanceRemove, "maintenance_remove", (Oversee, DELETE, "/api/v1/maintenance/{id}", 204), "maintenance remove", "Takes a maintenance window away; what it held back starts."),
    row(Operation::JobList, "job_list", (Look, GET, "/api/v1/jobs", 200), "job list", "Returns jobs, newest first."),
    row(Operation::JobShow, "job_show", (Look, GET, "/api/v1/jobs/{id}", 200), "job show", "Returns one job with its progress, attempts and what it could not read."),
    row(Operation::JobLog, "job_log", (Look, GET, "/api/v1/jobs/{id}/log", 200), "job log", "Returns what is stored of a job in the order of time: its events, attempts, and what it could not read."),
    row(Operation::JobCancel, "job_cancel", (Run, POST, "/api/v1/jobs/{id}/cancel", 202), "job cancel", "Asks for a job's end."),
    row(Operation::JobRetry, "job_retry", (Run, POST, "/api/v1/jobs/{id}/retry", 202), "job retry", "Tries a job again: a parked one goes back in the queue, for a failed or cancelled one the same work is asked for as a new job, which is the answer."),
    row(Operation::JobLease, "job_lease", (Work, POST, "/api/v1/agents/{id}/lease", 200), "", "Leases jobs to an agent, each with all that it needs, secrets included. Counts as a heartbeat."),
    row(Operation::JobRenew, "job_renew", (Work, POST, "/api/v1/agents/{id}/renew", 200), "", "Sends an agent's heartbeat and returns the standing of each lease."),
    row(Operation::JobProgress, "job_progress", (Work, POST, "/api/v1/jobs/{id}/progress", 200), "", "Tells how far a leased job is."),
    row(Operation::JobCheckpoint, "job_checkpoint", (Work, POST, "/api/v1/jobs/{id}/checkpoint", 204), "", "Stores an intent for the job's next attempt."),
    row(Operation::JobWait, "job_wait", (Work, POST, "/api/v1/jobs/{id}/wait", 204), "", "Gives a leased job back while another system works."),
    row(Operation::JobFinish, "job_finish", (Work, POST, "/api/v1/jobs/{id}/finish", 200), "", "Takes in what came of an attempt, and returns the job's new state."),
    row(Operation::SnapshotList, "snapshot_list", (Look, GET, "/api/v1/snapshots", 200), "snapshot list", "Returns snapshots, newest first."),
    row(Operation::SnapshotShow, "snapshot_show", (Look, GET, "/api/v1/snapshots/{id}", 200), "snapshot show", "Returns one snapshot."),
    row(Operation::SnapshotEntries, "snapshot_entries", (Browse, GET, "/api/v1/snapshots/{id}/entries", 200), "snapshot ls", "Returns the entries of a folder in a snapshot, in the order of the bytes of their names."),
    row(Operation::SnapshotFind, "snapshot_find", (Browse, GET, "/api/v1/snapshots/{id}/find", 200), "snapshot find", "Returns entries of a snapshot whose path a pattern matches, by page."),
    row(Operation::SnapshotDiff, "snapshot_diff", (Browse, GET, "/api/v1/snapshots/{id}/diff", 200), "snapshot diff", "Returns what differs between two snapshots of one repository, by page, with the sums of all."),
    row(Operation::SnapshotRestore, "snapshot_restore", (Restore, POST, "/api/v1/snapshots/{id}/restore", 202), "snapshot restore", "Asks for a restore of a snapshot to a folder."),
    row(Operation::SnapshotRead, "snapshot_read", (Restore, GET, "/api/v1/snapshots/{id}/read", 200), "snapshot cat", "Returns a piece of a file in a snapshot, from a byte on: at most 4 MiB, and whether the file ends with it."),
    row(Operation::SnapshotVerify, "snapshot_verify", (Run, POST, "/api/v1/snapshots/{id}/verify", 202), "snapshot verify", "Asks for a sample of a snapshot to be read back and compared."),
    row(Operation::SnapshotPin, "snapshot_pin", (Run, POST, "/api/v1/snapshots/{id}/pin", 200), "snapshot pin", "Keeps a snapshot, whatever the rules say. It may be asked again."),
    row(Operation::SnapshotUnpin, "snapshot_unpin", (Run, POST, "/api/v1/snapshots/{id}/unpin", 200), "snapshot unpin", "Leaves a snapshot to the rules again. It may be asked again."),
    row(Operation::SnapshotHold, "snapshot_hold", (Oversee, POST, "/api/v1/snapshots/{id}/hold", 200), "snapshot hold", "Puts a snapshot under a legal hold: nothing deletes it until the hold is lifted. It may be asked again."),
    row(Operation::SnapshotRelease, "snapshot_release", (Oversee, POST, "/api/v1/snapshots/{id}/release", 200), "snapshot release", "Lifts a snapshot's legal hold. It may be asked again."),
    row(Operation::SnapshotForget, "snapshot_forget", (Declare, POST, "/api/v1/snapshots/{id}/forget", 200), "snapshot forget", "Has a snapshot forgotten by the next prune of its repository, whatever rule keeps it. What is pinned or under a legal hold is refused, and the newest good snapshot of an item that is still backed up stays. It may be asked again."),
    row(Operation::SnapshotKeep, "snapshot_keep", (Declare, POST, "/api/v1/snapshots/{id}/keep", 200), "snapshot keep", "Leaves a snapshot that was to be forgotten to the rules again. It may be asked again."),
    row(Operation::EvidenceList, "evidence_list", (Look, GET, "/api/v1/evidence", 200), "evidence list", "Returns evidence, newest first."),
    row(Operation::EvidenceShow, "evidence_show", (Look, GET, "/api/v1/evidence/{id}", 200), "evidence show", "Returns one record of evidence."),
    row(Operation::EventVerify, "event_verify", (Look, GET, "/api/v1/events/verify", 200), "event verify", "Recomputes a tenant's chain of events, from what was swept on, and says where it is broken, if it is."),
    row(Operation::EventList, "event_list", (Look, GET, "/api/v1/events", 200), "event list", "Returns a tenant's events, newest first."),
    row(Operation::EventStream, "event_stream", (Look, GET, "/api/v1/events/stream", 200), "event follow", "Sends a tenant's events as they happen (server-sent events); Last-Event-ID goes on after one."),
    row(Operation::SecretPut, "secret_put", (Declare, POST, "/api/v1/secrets", 201), "secret put", "Keeps a secret, sealed in the database; no answer has it, and a lease alone brings it to its agent."),
    row(Operation::SecretList, "secret_list", (Look, GET, "/api/v1/secrets", 200), "secret list", "Returns the names of secrets, never a value: by tenant and name, the last ones first."),
    row(Operation::SecretRemove, "secret_remove", (Declare, DELETE, "/api/v1/secrets/{id}", 204), "secret remove", "Forgets a secret that no repository refers to. It may be asked again."),
    row(Operation::TokenCreate, "token_create", (Grant, POST, "/api/v1/tokens", 201), "token create", "Makes a token; its text is in this answer and never again."),
    row(Operation::TokenList, "token_list", (Grant, GET, "/api/v1/tokens", 200), "token list", "Returns tokens, newest first."),
    row(Operation::TokenShow, "token_show", (Grant, GET, "/api/v1/tokens/{id}", 200), "token show", "Returns one token; never its text."),
    row(Operation::TokenRevoke, "token_revoke", (Grant, DELETE, "/api/v1/tokens/{id}", 204), "token revoke", "Revokes a token at once. It may be revoked again."),
    row(Operation::ChannelCreate, "channel_create", (Grant, POST, "/api/v1/channels", 201), "channel create", "Declares a channel: where people want to be told, and of what."),
    row(Operation::ChannelList, "channel_list", (Grant, GET, "/api/v1/channels", 200), "channel list", "Returns channels, newest first."),
    row(Operation::ChannelShow, "channel_show", (Grant, GET, "/api/v1/channels/{id}", 200), "channel show", "Returns one channel, never its secrets; its ETag goes with a change of it."),
    row(Operation::ChannelUpdate, "channel_update", (Grant, PATCH, "/api/v1/channels/{id}", 200), "channel update", "Changes what is given of a channel. If-Match with the channel's ETag refuses it when somebody else changed the channel."),
    row(Operation::ChannelRemove, "channel_remove", (Grant, DELETE, "/api/v1/channels/{id}", 204), "channel remove", "Takes a channel away; messages that wait for it are given up. If-Match with its ETag refuses it when somebody else changed the channel."),
    row(Operation::ChannelTest, "channel_test", (Grant, POST, "/api/v1/channels/{id}/test", 204), "channel test", "Sends a test to a channel, and answers once the channel took it."),
    row(Operation::AlertList, "alert_list", (Look, GET, "/api/v1/alerts", 200), "alert list", "Returns alerts that go on, newest first."),
    row(Operation::AlertAcknowledge, "alert_acknowledge", (Run, POST, "/api/v1/alerts/{id}/acknowledge", 200), "alert acknowledge", "Notes that somebody knows of an alert: it is not told again until it gets worse or begins anew. It may be asked again."),
    row(Operation::AlertSilence, "alert_silence", (Run, POST, "/api/v1/alerts/{id}/silence", 200), "alert silence", "Silences an alert until a moment; what comes meanwhile is counted."),
    row(Operation::DigestShow, "digest_show", (Look, GET, "/api/v1/digest", 200), "digest show", "Returns what a digest of a tenant would say now; nothing is sent."),
    row(Operation::AgentList, "agent_list", (Oversee, GET, "/api/v1/agents", 200), "agent list", "Returns the agents whose heartbeat is alive, newest first."),
    row(Operation::ChangeVerify, "change_verify", (Oversee, GET, "/api/v1/changes/verify", 200), "change verify", "Recomputes the chain of changes, its hashes and signatures, and names the first place at which something is wrong. A long chain is answered in parts."),
    row(Operation::ChangeList, "change_list", (Oversee, GET, "/api/v1/changes", 200), "change list", "Returns who asked for changes, newest first: a signed chain."),
    row(Operation::PlanRetire, "plan_retire", (Declare, DELETE, "/api/v1/plans/{id}", 204), "plan retire", "Retires a plan: nothing is backed up by it any more, what waits is cancelled, its snapshots and history stay, and its name is free. It may be asked again. If-Match with its ETag refuses it when somebody else changed the plan."),
    row(Operation::SourceRetire, "source_retire", (Declare, DELETE, "/api/v1/sources/{id}", 204), "source retire", "Retires a source that no plan uses; its snapshots and history stay, and its name is free. It may be asked again. If-Match with its ETag refuses it when somebody else changed the source."),
    row(Operation::RepositoryRetire, "repository_retire", (Declare, DELETE, "/api/v1/repositories/{id}", 204), "repository retire", "Retires a repository that no plan uses; its data is not touched, its snapshots can be restored, and its name is free. It may be asked again. If-Match with its ETag refuses it when somebody else changed the repository."),
    row(Operation::QuotaList, "quota_list", (Oversee, GET, "/api/v1/quotas", 200), "quota list", "Returns how tenants stand against their quotas, newest first."),
    row(Operation::QuotaShow, "quota_show", (Look, GET, "/api/v1/tenants/{id}/quota", 200), "quota show", "Returns what a tenant may store, what it stores, and how near that is."),
    row(Operation::QuotaPut, "quota_put", (Oversee, PUT, "/api/v1/tenants/{id}/quota", 200), "quota set", "Sets what a tenant may store; what is left out has no limit. At a limit no backup starts; restores, verifies and prunes always do."),
    row(Operation::Metrics, "metrics", (Oversee, GET, "/metrics", 200), "", "Returns figures in the text format of Prometheus."),
    row(Operation::PlanExplain, "plan_explain", (Look, GET, "/api/v1/plans/{id}/explain", 200), "plan explain", "Says in words what a plan's schedule does now, what holds it back, and what the next month looks like."),
    row(Operation::ItemExplain, "item_explain", (Look, GET, "/api/v1/items/{id}/explain", 200), "item explain", "Says in words how old an item's newest good snapshot is in each of its plans, and what is to be expected."),
    row(Operation::JobExplain, "job_explain", (Look, GET, "/api/v1/jobs/{id}/explain", 200), "job explain", "Says in words why a job exists, what it does, and when it is expected to start."),
    row(Operation::SnapshotExplain, "snapshot_explain", (Look, GET, "/api/v1/snapshots/{id}/explain", 200), "snapshot explain", "Says in words which rules keep a snapshot, or when it goes."),
    row(Operation::CapsShow, "caps_show", (Oversee, GET, "/api/v1/caps", 200), "caps show", "Returns how many jobs may run at a time, and by which weights tenants share."),
    row(Operation::CapsPut, "caps_put", (Oversee, PUT, "/api/v1/caps", 200), "caps set", "Puts caps and weights in the place of all that there are. Jobs that run go on."),
    row(Operation::JobSetList, "job_set_list", (Look, GET, "/api/v1/job-sets", 200), "job set list", "Returns job sets, newest first."),
    row(Operation::JobSetShow, "job_set_show", (Look, GET, "/api/v1/job-sets/{id}", 200), "job set show", "Returns one job set with its members, whether it is complete, and what is missing."),
    row(Operation::StorageCreate, "storage_create", (Declare, POST, "/api/v1/storages", 201), "storage create", "Declares a storage, for many repositories."),
    row(Operation::StorageList, "storage_list", (Look, GET, "/api/v1/storages", 200), "storage list", "Returns storages, newest first."),
    row(Operation::StorageShow, "storage_show", (Look, GET, "/api/v1/storages/{id}", 200), "storage show", "Returns one storage; its ETag goes with a change of it."),
    row(Operation::StorageUpdate, "storage_update", (Declare, PATCH, "/api/v1/storages/{id}", 200), "storage update", "Has other keys open a storage, from the next lease of each of its repositories on. If-Match with its ETag refuses it when somebody else changed the storage."),
    row(Operation::StorageRetire, "storage_retire", (Declare, DELETE, "/api/v1/storages/{id}", 204), "storage retire", "Retires a storage in which no repository lives; its data is not touched, and its name is free. It may be asked again. If-Match with its ETag refuses it when somebody else changed the storage."),
    row(Operation::TemplateCreate, "template_create", (Declare, POST, "/api/v1/templates", 201), "template create", "Declares a template: plans under it take what they do not say themselves."),
    row(Operation::TemplateList, "template_list", (Look, GET, "/api/v1/templates", 200), "template list", "Returns templates, newest first."),
    row(Operation::TemplateShow, "template_show", (Look, GET, "/api/v1/templates/{id}", 200), "template show", "Returns one template; its ETag goes with a change of it."),
    row(Operation::TemplateUpdate, "template_update", (Declare, PATCH, "/api/v1/templates/{id}", 200), "template update", "Changes what is given of a template, and with it all plans under it at once. If-Match with the template's ETag refuses it when somebody else changed the template."),
    row(Operation::MonitorCreate, "monitor_create", (Declare, POST, "/api/v1/monitors", 201), "monitor create", "Declares a monitor: work of others that says by pings (`/ping/KEY/NAME`, KEY a token with the role pinger) how it went, and is missed when it says nothing."),
    row(Operation::MonitorList, "monitor_list", (Look, GET, "/api/v1/monitors", 200), "monitor list", "Returns monitors that are not retired, newest first, with how they stand."),
    row(Operation::MonitorShow, "monitor_show", (Look, GET, "/api/v1/monitors/{id}", 200), "monitor show", "Returns one monitor; its ETag goes with a change of it."),
    row(Operation::MonitorUpdate, "monitor_update", (Declare, PATCH, "/api/v1/monitors/{id}", 200), "monitor update", "Changes when a monitor's work is expected, and how late it may be. If-Match with its ETag refuses it when somebody else changed the monitor."),
    row(Operation::MonitorRetire, "monitor_retire", (Declare, DELETE, "/api/v1/monitors/{id}", 204), "monitor retire", "Retires a monitor: nothing is expected of it any more, and its name is free. It may be asked again. If-Match with its ETag refuses it when somebody else changed the monitor."),
    row(Operation::PingList, "ping_list", (Look, GET, "/api/v1/monitors/{id}/pings", 200), "monitor pings", "Returns the newest pings that came for a monitor, newest first, each with the end of the text that it brought."),
    row(Operation::SecretTest, "secret_test", (Declare, POST, "/api/v1/secrets/test", 204), "secret test", "Says whether a secret is to be had now: no answer, or why not; never its value."),
    row(Operation::SourceTest, "source_test", (Oversee, POST, "/api/v1/sources/{id}/test", 200), "source test", "Tries whether the agent in the server's process could back a source up now, without reading what it holds. Refused where no agent works in that process."),
    row(Operation::StorageTest, "storage_test", (Oversee, POST, "/api/v1/storages/{id}/test", 200), "storage test", "Tries a storage from the server's machine: lists, writes a tiny object, reads it and removes it again, each with the key of its purpose. What does not work is told by its step."),
    row(Operation::PurgeShow, "purge_show", (Look, GET, "/api/v1/tenants/{id}/purge", 200), "tenant purge", "Returns how far a tenant's purge is, and what there is to destroy."),
    row(Operation::PurgeAnnounce, "purge_announce", (Destroy, POST, "/api/v1/tenants/{id}/purge", 200), "tenant purge", "Announces a tenant's purge: nothing changes, and backups go on, until it is confirmed after its wait. Refused while snapshots are held, and where other tenants need what this one has. It may be asked again."),
    row(Operation::PurgeCancel, "purge_cancel", (Destroy, DELETE, "/api/v1/tenants/{id}/purge", 204), "tenant purge", "Takes an announced purge back; one that was confirmed goes to its end."),
    row(Operation::PurgeConfirm, "purge_confirm", (Destroy, POST, "/api/v1/tenants/{id}/purge/confirm", 200), "tenant purge", "Purges a tenant whose wait is over: its sealed secrets are destroyed, its tokens revoked, all that it declared retired, and a signed record says so. There is no way back. It may be asked again, and goes on where it stopped."),
    row(Operation::TemplateRemove, "template_remove", (Declare, DELETE, "/api/v1/templates/{id}", 204), "template remove", "Removes a template under which no plan and no other template stands. If-Match with its ETag refuses it when somebody else changed the template."),
];

impl Endpoint {
    /// Returns the media type of a success.
    pub const fn media(&self) -> &'static str {
        match self.operation {
            Operation::EventStream => "text/event-stream",
            Operation::Metrics => "text/plain",
            _ => "application/json",
        }
    }

    /// Says whether it changes nothing, whatever its method: a question that is too long for a path comes with a body.
    pub const fn only_looks(&self) -> bool {
        matches!(self.method, Method::Get) || matches!(self.action, Look | Browse | Describe)
    }

    /// Says whether its answer has a secret, which is shown once and kept nowhere.
    pub const fn shows_a_secret(&self) -> bool {
        matches!(self.operation, Operation::TokenCreate | Operation::JobLease)
    }

    /// Says whether its request has a secret, in the field `value`, of which nothing is remembered or shown.
    pub const fn takes_a_secret(&self) -> bool {
        matches!(self.operation, Operation::SecretPut)
    }
}

/// Returns the row of an operation.
pub fn endpoint(operation: Operation) -> &'static Endpoint {
    ENDPOINTS.iter().find(|row| row.operation == operation).expect("each operation has a row: a test says so")
}
