//! Takes in the snapshots of a repository that have no row: asks for the job that finds them, and turns what it found
//! into rows.
//!
//! ```text
//!  found ──known?──┬─ no ──> a row under our item, or under a foreign source
//!                  └─ yes, under a foreign source ──> given to our item, if it surely is that one's now
//! ```
//!
//! Asking again is safe at any time, and worth it after a plan was declared: what was foreign may be the plan's then.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::context::Context;
use super::request::{PRIORITY_REQUEST, repository_job};
use crate::domain::adoption::{Adoption, FOREIGN_KIND, FoundSnapshot, Home, home_of};
use crate::domain::asking::Asking;
use crate::domain::event::{Event, EventKind};
use crate::domain::id::{ItemId, JobId, RepositoryId, SnapshotId, SourceId};
use crate::domain::item::Item;
use crate::domain::job::{Instruction, Job};
use crate::domain::name::Name;
use crate::domain::snapshot::Snapshot;
use crate::domain::source::Source;
use crate::domain::unread::Unread;
use crate::ports::store::{Enqueued, StoreError};

/// Asks for a look through a repository; snapshots of the machine `hostname` are taken for those of the machine that looks.
///
/// # Errors
/// [`StoreError`], with [`StoreError::NotFound`] when there is no such repository.
pub async fn adopt_request(
    context: &Context,
    asking: &Asking,
    id: RepositoryId,
    hostname: Option<String>,
) -> Result<JobId, StoreError> {
    let repository = context.declarations.repository_get(id).await?;
    let now = asking.at();
    let (id, instruction) = (asking.job_id(&id.to_string()), Instruction::Discover { hostname });
    let job = repository_job(&repository, (id, now), instruction);
    let job = Job { priority: PRIORITY_REQUEST, trace: asking.trace(), ..job };
    let words = format!("the snapshots of repository {} are looked for", repository.name);
    let enqueued = context.event(EventKind::Enqueued, (job.tenant_id, Some(job.id), None), now, words);
    match context.jobs.job_enqueue(&job, &enqueued, None).await? {
        Enqueued::New(id) | Enqueued::Overlaps(id) | Enqueued::Known(id) => Ok(id),
    }
}

/// Returns the rows for what a job found.
pub(super) async fn adoption(context: &Context, job: &Job, found: &[FoundSnapshot]) -> Result<Adoption, StoreError> {
    let rows = context.retention.snapshot_list_whole(job.repository_id).await?;
    let known: HashMap<&str, &Snapshot> = rows.iter().map(|row| (row.foreign_id.as_str(), row)).collect();
    let mut places = Places::of(context, job).await?;
    let mut adoption = Adoption::default();
    let hostname = match &job.instruction {
        Instruction::Discover { hostname } => hostname.as_deref(),
        _ => None,
    };
    for one in found {
        let home = home_of(one, hostname, &places.homes);
        match (known.get(one.foreign_id.as_str()), home) {
            (Some(row), Some(item)) if places.foreign_items.contains(&row.item_id) => {
                adoption.moved.push((row.id, item));
            }
            (Some(_), _) => {}
            (None, home) => {
                let item = home.unwrap_or_else(|| places.foreign(context, job, one, &mut adoption.sources));
                adoption.snapshots.push(snapshot_row(context, job, one, item));
            }
        }
    }
    Ok(adoption)
}

/// What the tenant has that snapshots may belong to.
struct Places {
    homes: Vec<Home>,
    /// Items of foreign sources, by the sources' settings.
    foreign: HashMap<String, ItemId>,
    foreign_items: HashSet<ItemId>,
    names: HashSet<Name>,
}

impl Places {
    async fn of(context: &Context, job: &Job) -> Result<Self, StoreError> {
        let plans = context.declarations.plan_list(Some(job.tenant_id)).await?;
        let here = |source: SourceId| {
            let theirs =
                plans.iter().filter(|plan| plan.repository_id == job.repository_id && plan.retired_at.is_none());
            let theirs = theirs.filter(|plan| plan.source_id == source);
            theirs.map(|plan| (plan.name.to_string(), plan.id)).collect::<BTreeMap<_, _>>()
        };
        let mut all =
            Self { homes: Vec::new(), foreign: HashMap::new(), foreign_items: HashSet::new(), names: HashSet::new() };
        for source in context.declarations.source_list(Some(job.tenant_id)).await? {
            let items = context.declarations.item_list(source.id).await?;
            if source.kind == FOREIGN_KIND {
                all.foreign_items.extend(items.iter().map(|item| item.id));
                all.foreign.extend(items.first().map(|item| (source.settings.to_string(), item.id)));
            } else if source.retired_at.is_none() {
                let (plans, count) = (here(source.id), items.len());
                let home = |item| Home { item, source_kind: source.kind.clone(), items: count, plans: plans.clone() };
                all.homes.extend(items.into_iter().map(home));
            }
            all.names.insert(source.name);
        }
        Ok(all)
    }

    /// Returns the item of a foreign source for a snapshot; a new one is added to `sources`.
    fn foreign(
        &mut self,
        context: &Context,
        job: &Job,
        found: &FoundSnapshot,
        sources: &mut Vec<(Source, Item)>,
    ) -> ItemId {
        let settings = found.foreign_settings();
        if let Some(item) = self.foreign.get(&settings.to_string()) {
            return *item;
        }
        let name = found.foreign_name(|name| self.names.contains(name));
        let (id, item) = (SourceId::new(context.now(), context.ten()), ItemId::new(context.now(), context.ten()));
        self.names.insert(name.clone());
        self.foreign.insert(settings.to_string(), item);
        let kind = FOREIGN_KIND.to_owned();
        let source = Source { id, tenant_id: job.tenant_id, name, kind, settings, retired_at: None };
        sources.push((source, Item { id: item, source_id: id, name: found.item_name(), vanished_at: None }));
        item
    }
}

fn snapshot_row(context: &Context, job: &Job, found: &FoundSnapshot, item_id: ItemId) -> Snapshot {
    Snapshot {
        // Ids are in the order of time, as those of our own; one from the future must not stand before them for ever.
        id: SnapshotId::new(found.taken_at.min(context.now()), context.ten()),
        tenant_id: job.tenant_id,
        item_id,
        repository_id: job.repository_id,
        job_id: job.id,
        foreign_id: found.foreign_id.clone(),
        parent_id: None,
        taken_at: found.taken_at,
        outcome: found.outcome(),
        is_good: found.is_good(),
        confirmed_at: None,
        counts: found.counts,
        protected_until: None,
        pinned_at: None,
        held_at: None,
        unwanted_at: None,
        forgotten_at: None,
    }
}

/// Returns what is told of it.
pub(super) fn told(
    context: &Context,
    (job, now): (&Job, Timestamp),
    found: usize,
    unread: &Unread,
    adoption: &Adoption,
) -> Event {
    let some = |count: usize, words: &str| if count == 0 { String::new() } else { format!(", {count} {words}") };
    let foreign = some(adoption.sources.len(), "foreign sources more for what no plan backs up here");
    let moved = some(adoption.moved.len(), "given to plans that have come since");
    let unread = some(usize::try_from(unread.count).unwrap_or(usize::MAX), "could not be read");
    let new = adoption.snapshots.len();
    let words = format!("snapshots in the repository: {found} found, {new} of them new here{moved}{foreign}{unread}");
    context.event(EventKind::Succeeded, (job.tenant_id, Some(job.id), None), now, words)
}
