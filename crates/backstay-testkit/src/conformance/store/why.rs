//! Promises about what is said of jobs that wait: an explanation names the rule by which a lease passes them over.

use std::time::Duration;

use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::event::{Event, EventKind};
use backstay_core::domain::explain::Place;
use backstay_core::domain::fairness::{Caps, Rules, Slot, Wait};
use backstay_core::domain::id::{AgentId, JobId, MaintenanceId};
use backstay_core::domain::job::{Job, JobKind};
use backstay_core::domain::schedule::{Maintenance, OverlapKey, ScheduleState};
use backstay_core::managers::explain::{Explanation, job_explain, plan_explain};
use backstay_core::ports::schedule::MaintenanceRow;
use backstay_core::ports::store::Enqueued;
use jiff::tz::TimeZone;

use super::turns::{House, rules};
use crate::conformance::job::context;
use crate::conformance::world::{Stores, TTL, World, key_of};

async fn said(world: &World, job: JobId) -> Explanation {
    job_explain(&context(&world.stores), &world.job(job).await, &TimeZone::UTC).await.unwrap()
}

/// Returns where a job stands.
async fn place(world: &World, job: JobId) -> Place {
    said(world, job).await.place.unwrap()
}

/// Returns which jobs a lease gives now.
async fn leased(world: &World, agent: AgentId) -> Vec<JobId> {
    world.claim(agent, 9).await.iter().map(|row| row.job.id).collect()
}

/// Who waits for a repository, alone or behind one that wants it alone, is told just that, as long as a lease passes it over,
/// and no longer.
///
/// Red when `domain::explain` asks `admit` alone, or `exclusion::keep` and the conditions in `db/job/claim.rs` differ.
pub async fn an_explanation_says_what_a_lease_does(stores: Stores) {
    let world = World::new(stores, 4).await;
    let agent = world.agent();
    let first = world.leased(0, agent).await;
    let prune = world.queued(1).await;
    (world.stores.hold_alone)(prune).await;
    let overtakes = world.queued(2).await;
    assert_eq!(place(&world, prune).await.wait, Some(Wait::Repository { job_id: first.job_id }));
    assert_eq!(place(&world, overtakes).await.wait, None, "it overtakes what waits to be alone");
    assert_eq!(leased(&world, agent).await, [overtakes]);
    let beside = LeaseKey { job_id: overtakes, token: first.token };
    for _ in 0..30 {
        world.clock.advance(Duration::from_secs(20));
        world.jobs.job_renew(agent, &[first, beside], TTL).await.unwrap();
    }
    let late = world.queued(3).await;
    let waits = place(&world, late).await;
    assert_eq!(waits.wait, Some(Wait::Behind { job_id: prune }), "after ten minutes nothing overtakes it");
    assert_eq!((waits.position, waits.of), (2, 2));
    assert!(leased(&world, agent).await.is_empty());
    for key in [first, beside] {
        world.jobs.job_settle(key, &world.success()).await.unwrap();
    }
    assert_eq!((place(&world, prune).await.wait, place(&world, prune).await.starts_at), (None, Some(world.now())));
    let claimed = world.claim(agent, 9).await;
    assert_eq!(claimed.iter().map(|row| row.job.id).collect::<Vec<_>>(), [prune], "it has its turn, alone");
    assert_eq!(place(&world, late).await.wait, Some(Wait::Repository { job_id: prune }));
    assert!(leased(&world, agent).await.is_empty());
    world.jobs.job_settle(key_of(&claimed[0]), &world.success()).await.unwrap();
    assert_eq!(place(&world, late).await.wait, None);
    assert_eq!(leased(&world, agent).await, [late]);
}

/// An agent counts for what it takes, as it said when it asked last.
///
/// Red when agents are counted whatever they take, or `heartbeat::begin` does not write the kinds anew.
pub async fn a_job_that_no_agent_takes_waits_for_one(stores: Stores) {
    let world = World::new(stores, 1).await;
    let ask = async |agent, kinds: &[JobKind]| world.jobs.job_lease(agent, kinds, &[], 0, TTL).await.unwrap();
    let job = world.queued(0).await;
    assert!(said(&world, job).await.lines.contains(&"no agent is alive".to_owned()));
    let agent = world.agent();
    ask(agent, &[JobKind::Verify, JobKind::Prune]).await;
    let waits = place(&world, job).await;
    assert_eq!((waits.wait, waits.starts_at), (Some(Wait::Agent { kind: JobKind::Backup }), None));
    let lines = said(&world, job).await.lines;
    assert!(lines.contains(&"no agent that is alive takes jobs of kind backup".to_owned()), "{lines:?}");
    ask(agent, &[JobKind::Backup]).await;
    let waits = place(&world, job).await;
    assert_eq!((waits.wait, waits.starts_at), (None, Some(world.now())));
    let alive = world.jobs.agent_list_alive().await.unwrap();
    assert_eq!(
        alive.iter().map(|row| (row.id, row.kinds.clone())).collect::<Vec<_>>(),
        [(agent, vec![JobKind::Backup])]
    );
}

/// What may not run beside a job of its overlap key, and what finds its source's host full, is told so.
///
/// Red without the key in `Candidate`, or without caps in what an explanation asks.
pub async fn a_job_beside_its_overlap_key_or_a_full_host_waits(stores: Stores) {
    let world = World::new(stores, 2).await;
    let agent = world.agent();
    for item in 0..2 {
        world.clock.advance(Duration::from_millis(1));
        let job = Job { overlap: OverlapKey::Tenant, ..world.backup(item) };
        assert_eq!(world.enqueue(&job).await, Enqueued::New(job.id));
    }
    let first = leased(&world, agent).await;
    assert_eq!(first.len(), 1);
    let queue = world.jobs.queue_look(9).await.unwrap().queued;
    let waits = place(&world, queue[0].job_id).await;
    assert_eq!(waits.wait, Some(Wait::Overlap { job_id: first[0] }));
    let lines = said(&world, queue[0].job_id).await.lines;
    assert!(lines.contains(&format!("job {} runs, and the plans of the two may not overlap", first[0])), "{lines:?}");
    assert!(leased(&world, agent).await.is_empty());

    let far = House::build(&world, "far", 2, "nas.example").await;
    rules(&world, Rules { caps: Caps { host: Some(1), ..Caps::default() }, ..Rules::default() }).await;
    let (one, two) = (far.queued(&world, 0, 10).await, far.queued(&world, 1, 20).await);
    assert_eq!(leased(&world, agent).await, [one]);
    let host = Slot::Host("nas.example".to_owned());
    assert_eq!(place(&world, two).await.wait, Some(Wait::Cap { slot: host, cap: 1 }));
    assert!(leased(&world, agent).await.is_empty());
}

/// A maintenance window holds schedules back. What is in the queue already goes on, and both are said.
pub async fn a_window_holds_schedules_and_not_what_is_queued(stores: Stores) {
    let world = World::new(stores, 1).await;
    let (from, until) = (world.now(), world.now() + Duration::from_secs(3_600));
    let window = Maintenance { name: "move".to_owned(), tenant_id: None, from, until };
    let row = MaintenanceRow { id: MaintenanceId::new(from, world.ten()), window };
    world.stores.schedules.maintenance_add(&row).await.unwrap();
    let job = world.queued(0).await;
    let lines = said(&world, job).await.lines;
    let expected = format!(
        "no schedule starts anything now (maintenance `move` until {until:.0}); what is in the queue already goes on"
    );
    assert!(lines.contains(&expected), "{lines:?}");
    assert_eq!(leased(&world, world.agent()).await, [job]);
}

/// Where more was told since an occurrence than is looked at, an explanation does not pass for the whole truth.
///
/// Red when the search in what was told ends without a word.
pub async fn a_search_that_ends_early_is_said(stores: Stores) {
    let world = World::new(stores, 1).await;
    let ports = context(&world.stores);
    let schedules = world.stores.schedules.clone();
    let cut = async || {
        let said = plan_explain(&ports, &world.plan, &TimeZone::UTC).await.unwrap();
        said.lines.iter().any(|line| line.contains("the first 2000 events were looked at"))
    };
    let told = |count: usize| -> Vec<Event> {
        let event = |_| ports.event(EventKind::Warned, (world.tenant.id, None, None), world.now(), "again".to_owned());
        (0..count).map(event).collect()
    };
    let state = schedules.schedule_get(world.plan.id).await.unwrap();
    let state = ScheduleState { last_planned_at: Some(world.now()), ..state };
    assert!(schedules.schedule_put(&state, &told(1)).await.unwrap());
    assert!(!cut().await);
    let state = schedules.schedule_get(world.plan.id).await.unwrap();
    assert!(schedules.schedule_put(&state, &told(2_000)).await.unwrap());
    assert!(cut().await);
}
