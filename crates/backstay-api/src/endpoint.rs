//! The one table of endpoints. The server's router, the OpenAPI document, the client and the command line's verbs are
//! made from it or held against it by a test; there is no door beside it.

/// An operation of the API. Adding one is a row below, and the compiler names the places that must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// All tenants.
    TenantList,
    /// All source kinds.
    SourceKindList,
    /// All storage kinds.
    StorageKindList,
    /// Declares a repository.
    RepositoryCreate,
    /// All repositories.
    RepositoryList,
    /// Declares a source.
    SourceCreate,
    /// All sources.
    SourceList,
    /// A source's items.
    ItemList,
    /// Declares a plan.
    PlanCreate,
    /// All plans.
    PlanList,
    /// Asks for a backup of a plan's items.
    PlanRequest,
    /// Jobs, newest first.
    JobList,
    /// One job.
    JobShow,
    /// Asks for a job's end.
    JobCancel,
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
    /// Entries of a folder in a snapshot.
    SnapshotEntries,
    /// Asks for a restore.
    SnapshotRestore,
    /// Asks for a verify.
    SnapshotVerify,
    /// Evidence, newest first.
    EvidenceList,
    /// Events, oldest first.
    EventList,
}

/// The HTTP methods that the API uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Changes nothing.
    Get,
    /// Makes or asks for something.
    Post,
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
    door: (Method, &'static str, u16),
    verb: &'static str,
    description: &'static str,
) -> Endpoint {
    let (method, path, status) = door;
    Endpoint { operation, name, method, path, status, description, verb }
}

const GET: Method = Method::Get;
const POST: Method = Method::Post;

/// Every endpoint that there is.
#[rustfmt::skip]
pub const ENDPOINTS: &[Endpoint] = &[
    row(Operation::TenantList, "tenant_list", (GET, "/api/v1/tenants", 200), "tenant list", "Returns all tenants."),
    row(Operation::SourceKindList, "source_kind_list", (GET, "/api/v1/kinds/source", 200), "kinds", "Returns all source kinds."),
    row(Operation::StorageKindList, "storage_kind_list", (GET, "/api/v1/kinds/storage", 200), "kinds", "Returns all storage kinds."),
    row(Operation::RepositoryCreate, "repository_create", (POST, "/api/v1/repositories", 201), "repository create", "Declares a repository; its first backup makes it."),
    row(Operation::RepositoryList, "repository_list", (GET, "/api/v1/repositories", 200), "repository list", "Returns all repositories."),
    row(Operation::SourceCreate, "source_create", (POST, "/api/v1/sources", 201), "source create", "Declares a source."),
    row(Operation::SourceList, "source_list", (GET, "/api/v1/sources", 200), "source list", "Returns all sources."),
    row(Operation::ItemList, "item_list", (GET, "/api/v1/sources/{id}/items", 200), "source items", "Returns a source's items."),
    row(Operation::PlanCreate, "plan_create", (POST, "/api/v1/plans", 201), "plan create", "Declares a plan."),
    row(Operation::PlanList, "plan_list", (GET, "/api/v1/plans", 200), "plan list", "Returns all plans."),
    row(Operation::PlanRequest, "plan_request", (POST, "/api/v1/plans/{id}/run", 202), "plan run", "Asks for a backup of each item of a plan."),
    row(Operation::JobList, "job_list", (GET, "/api/v1/jobs", 200), "job list", "Returns jobs, newest first."),
    row(Operation::JobShow, "job_show", (GET, "/api/v1/jobs/{id}", 200), "job show", "Returns one job with its progress, attempts and what it could not read."),
    row(Operation::JobCancel, "job_cancel", (POST, "/api/v1/jobs/{id}/cancel", 202), "job cancel", "Asks for a job's end."),
    row(Operation::JobLease, "job_lease", (POST, "/api/v1/agents/{id}/lease", 200), "", "Leases jobs to an agent, each with all that it needs, secrets included. Counts as a heartbeat."),
    row(Operation::JobRenew, "job_renew", (POST, "/api/v1/agents/{id}/renew", 200), "", "Sends an agent's heartbeat and returns the standing of each lease."),
    row(Operation::JobProgress, "job_progress", (POST, "/api/v1/jobs/{id}/progress", 200), "", "Tells how far a leased job is."),
    row(Operation::JobCheckpoint, "job_checkpoint", (POST, "/api/v1/jobs/{id}/checkpoint", 204), "", "Stores an intent for the job's next attempt."),
    row(Operation::JobWait, "job_wait", (POST, "/api/v1/jobs/{id}/wait", 204), "", "Gives a leased job back while another system works."),
    row(Operation::JobFinish, "job_finish", (POST, "/api/v1/jobs/{id}/finish", 200), "", "Takes in what came of an attempt, and returns the job's new state."),
    row(Operation::SnapshotList, "snapshot_list", (GET, "/api/v1/snapshots", 200), "snapshot list", "Returns snapshots, newest first."),
    row(Operation::SnapshotEntries, "snapshot_entries", (GET, "/api/v1/snapshots/{id}/entries", 200), "snapshot ls", "Returns the entries of a folder in a snapshot."),
    row(Operation::SnapshotRestore, "snapshot_restore", (POST, "/api/v1/snapshots/{id}/restore", 202), "snapshot restore", "Asks for a restore of a snapshot to a folder."),
    row(Operation::SnapshotVerify, "snapshot_verify", (POST, "/api/v1/snapshots/{id}/verify", 202), "snapshot verify", "Asks for a sample of a snapshot to be read back and compared."),
    row(Operation::EvidenceList, "evidence_list", (GET, "/api/v1/evidence", 200), "evidence list", "Returns evidence, newest first."),
    row(Operation::EventList, "event_list", (GET, "/api/v1/events", 200), "event list", "Returns a tenant's events, oldest first."),
];

/// Returns the row of an operation.
pub fn endpoint(operation: Operation) -> &'static Endpoint {
    ENDPOINTS.iter().find(|row| row.operation == operation).expect("each operation has a row: a test says so")
}
