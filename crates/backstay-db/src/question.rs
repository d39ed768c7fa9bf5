//! The questions whose cost must not grow with history, for the test that asks each database how it would answer them.

use std::collections::BTreeSet;

use backstay_core::domain::id::{ItemId, PlanId, RepositoryId, SnapshotId, SourceId, TenantId};
use backstay_core::domain::job::{JobKind, StateName};
use backstay_core::ports::store::{BackupPlace, JobFilter, NamedFilter, Page, SnapshotFilter};
use jiff::Timestamp;
use sea_orm::{DbBackend, EntityTrait as _, QueryTrait as _, Statement};

use crate::database::server;
use crate::entity::{job_due, lease, outbox};
use crate::event::tails_question;
use crate::facts::facts_question;
use crate::history::{event_page_question, event_question, newest_good_question, snapshot_question};
use crate::job::claim::{behind, named_question, question, queue};
use crate::job::exclusion::{Exclusions, waiting_question};
use crate::job::follow_up::{live_member_question, members_question};
use crate::job::hint::Low;
use crate::job::lane::lanes_question;
use crate::job::look::durations_question;
use crate::job::rescue::wake_question;
use crate::job::turns::{leases_question, window_question};
use crate::job::{list_question, overlap_question};
use crate::meter::{monitors_question as monitor_figures_question, plans_question};
use crate::monitor::monitor_question;
use crate::notice::{behind_question, digest_question, subject_question, watch_question};
use crate::outbox::outbox_question;
use crate::page::{
    channels_question, items_page_question, monitors_question, pings_question, plans_page_question,
    repositories_question, sources_question, storages_question, templates_question, tenants_question,
};
use crate::proof::proof_question;
use crate::retention::{alert_question, ended_question, forgotten_question, over_question};
use crate::schedule::due_question;
use crate::secret::secrets_question;
use crate::start::items_question;
use crate::upkeep::{live_question, upkeep_question};

/// What a connection to PostgreSQL is told before it plans these.
pub const POSTGRES_SESSION: &str = server::POSTGRES_SESSION;

/// What a connection to MariaDB is told before it plans these.
pub const MARIADB_SESSION: &str = server::MARIADB_SESSION;

/// Whose rows are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// A tenant with many events.
    pub tenant: TenantId,
    /// An item with many jobs and snapshots.
    pub item: ItemId,
    /// Its plan.
    pub plan: PlanId,
    /// Its repository.
    pub repository: RepositoryId,
    /// A source with many items, as others have.
    pub source: SourceId,
    /// The present moment.
    pub now: Timestamp,
}

/// Returns the questions by name, as the stores ask them (without locks, which change no plan).
pub fn all(backend: DbBackend, asked: Asked) -> Vec<(&'static str, Statement)> {
    let page = Page { before: None, rows_max: 50 };
    let rest = Page { before: Some(asked.plan), rows_max: 50 };
    let long_ago = Timestamp::from_second(2).unwrap_or_default();
    let jobs = |filter| list_question(filter, page).build(backend);
    let any = JobFilter::default();
    let durations = |filter| durations_question(filter, 20).build(backend);
    let low = Low { ids: Vec::new(), from: 1, leased_from: 1 };
    let names = Low { ids: (0..64).map(|number| format!("{number:036}")).collect(), ..low.clone() };
    let snapshots =
        |filter| snapshot_question(filter, Page::<SnapshotId> { before: None, rows_max: 50 }).build(backend);
    let (item, repository) = (Some(asked.item), Some(asked.repository));
    let place = BackupPlace { item_id: asked.item, repository_id: asked.repository, plan_id: Some(asked.plan) };
    let kept = Page { before: Some(format!("{}/x", asked.tenant)), rows_max: 50 };
    let mut pages = Vec::new();
    let tenant_id = Some(asked.tenant);
    for filter in [
        NamedFilter::default(),
        NamedFilter { tenant_id, is_live: true, ..NamedFilter::default() },
        NamedFilter { name: "x".parse().ok(), is_live: true, ..NamedFilter::default() },
        NamedFilter { tenant_id, name: "x".parse().ok(), is_live: true },
    ] {
        pages.extend([
            ("a page of tenants", tenants_question(&filter, &rest).build(backend)),
            ("a page of sources", sources_question(&filter, &rest).build(backend)),
            ("a page of storages", storages_question(&filter, &rest).build(backend)),
            ("a page of repositories", repositories_question(&filter, &rest).build(backend)),
            ("a page of plans", plans_page_question(&filter, &rest).build(backend)),
            ("a page of templates", templates_question(&filter, &rest).build(backend)),
            ("a page of channels", channels_question(&filter, &rest).build(backend)),
            ("a page of monitors", monitors_question(&filter, &rest).build(backend)),
            ("a page of secrets", secrets_question(filter.tenant_id, filter.name.as_ref(), &kept).build(backend)),
        ]);
    }
    let mut all = vec![
        ("claim", question(asked.now, JobKind::ALL, 32).build(backend)),
        ("claim behind those known by name", behind(question(asked.now, JobKind::ALL, 32), &low).build(backend)),
        ("the queue's beginning", queue(asked.now, JobKind::ALL, 32).build(backend)),
        ("leases of tenants", backend.build(&leases_question(&BTreeSet::from([asked.tenant.to_string()]), Some(&low)))),
        ("a place in the queue", job_due::Entity::find_by_id("").build(backend)),
        ("a lease", lease::Entity::find_by_id("").build(backend)),
        ("claim by name", named_question(&names).build(backend)),
        ("waiting for a repository", waiting_question(&BTreeSet::from([asked.repository.to_string()])).build(backend)),
        (
            "window",
            backend.build(&window_question(
                asked.now,
                JobKind::ALL,
                &[asked.tenant.to_string()],
                32,
                &Exclusions::default(),
            )),
        ),
        ("tenants with queued jobs", lanes_question(backend, "", asked.now, JobKind::ALL, None)),
        (
            "tenants with queued jobs, from one on",
            lanes_question(backend, &asked.tenant.to_string(), asked.now, JobKind::ALL, Some(&low)),
        ),
        ("what a backup needs", backend.build(&facts_question(&place))),
        ("wake", wake_question(asked.now).build(backend)),
        ("members of a set", members_question(&asked.plan.to_string()).build(backend)),
        ("a member of a set that lives", live_member_question(&asked.plan.to_string()).build(backend)),
        ("jobs", jobs(any)),
        ("jobs of a plan", jobs(JobFilter { plan_id: Some(asked.plan), ..any })),
        ("jobs of an item", jobs(JobFilter { item_id: item, ..any })),
        ("jobs of a kind", jobs(JobFilter { kind: Some(JobKind::Prune), ..any })),
        ("how long jobs of a kind took", durations(JobFilter { kind: Some(JobKind::Prune), ..any })),
        (
            "how long backups of an item in a plan took",
            durations(JobFilter { plan_id: Some(asked.plan), item_id: item, kind: Some(JobKind::Backup), ..any }),
        ),
        ("plans with figures", plans_question(1_001).build(backend)),
        ("monitors with figures", monitor_figures_question(1_001).build(backend)),
        ("jobs in a state", jobs(JobFilter { state: Some(StateName::Queued), ..any })),
        ("snapshots", snapshots(SnapshotFilter::default())),
        ("snapshots of an item", snapshots(SnapshotFilter { item_id: item, ..SnapshotFilter::default() })),
        (
            "snapshots of a repository",
            snapshots(SnapshotFilter { repository_id: repository, ..SnapshotFilter::default() }),
        ),
        ("newest good snapshot", newest_good_question(asked.item, asked.repository, asked.now).build(backend)),
        ("events", event_question(asked.tenant, 19_900, 50).build(backend)),
        ("ends of chains", backend.build(&tails_question(backend, &BTreeSet::from([asked.tenant])))),
        ("items of plans", backend.build(&items_question(backend, &[asked.plan], asked.now))),
        ("plans due", due_question(asked.now, 50).build(backend)),
        ("live jobs of a repository", live_question(asked.repository, JobKind::ALL).build(backend)),
        ("repositories due", upkeep_question(asked.now, 50).build(backend)),
        ("proofs due", proof_question(asked.now, 50).build(backend)),
        ("monitors due", monitor_question(asked.now, 50).build(backend)),
        ("pings of a monitor", pings_question(&asked.plan.to_string(), &rest).build(backend)),
        ("items of a source", items_page_question(&asked.source.to_string(), &rest).build(backend)),
        (
            "events, the newest first",
            event_page_question(asked.tenant, Page { before: Some(19_900), rows_max: 50 }).build(backend),
        ),
        ("live backups of an overlap key", overlap_question(asked.tenant).build(backend)),
        ("items to look at", watch_question(asked.now, 50).build(backend)),
        ("tenants with new events", behind_question(50).build(backend)),
        ("windows that are over", digest_question(asked.now, 50).build(backend)),
        ("messages due", outbox_question(asked.now, &[], 50).build(backend)),
        ("alerts of a subject", subject_question(asked.tenant, "x").build(backend)),
        ("jobs to sweep", ended_question(long_ago, 50).build(backend)),
        ("snapshots to sweep", forgotten_question(long_ago, 50).build(backend)),
        ("messages to sweep", over_question(outbox::Column::SentAt, long_ago, 50).build(backend)),
        ("alerts to sweep", alert_question(long_ago, 50).build(backend)),
    ];
    all.extend(pages);
    all
}
