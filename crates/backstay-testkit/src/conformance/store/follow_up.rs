//! Promises about plans that follow one another: a job an item, once, and in the transaction that ends the one before it.

use std::time::Duration;

use backstay_core::domain::asking::Asking;
use backstay_core::domain::backup::BackupTerms;
use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::{PlanId, RepositoryId};
use backstay_core::domain::job::{
    Failure, FailureClass, Job, JobCounts, JobKind, JobState, Leased, Outcome, StateName, Trigger,
};
use backstay_core::domain::name::Name;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::domain::template::{Said, Template};
use backstay_core::domain::unread::Unread;
use backstay_core::managers::context::Context;
use backstay_core::managers::explain::{job_explain, plan_explain};
use backstay_core::managers::follow_up::jobs_after;
use backstay_core::managers::job::JobManager;
use backstay_core::managers::plan::{
    PlanChange, PlanDeclaration, plan_change, plan_declare, template_change, template_declare,
};
use backstay_core::managers::request::plan_request;
use backstay_core::managers::retry::job_retry;
use backstay_core::managers::schedule::{PauseWish, plan_pause};
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseError, LeaseRequest};
use backstay_core::ports::store::{JobFilter, Page, Retirable};
use jiff::tz::TimeZone;

use crate::conformance::job::context;
use crate::conformance::world::{Stores, TTL, World, repository};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn followed_by(names: &[&str]) -> Said {
    Said { follow_ups: Some(names.iter().map(|text| name(text)).collect()), ..Said::default() }
}

/// An installation with a second repository, and plans into it.
struct Chain {
    world: World,
    ports: Context,
    jobs: JobManager,
    away: RepositoryId,
}

impl Chain {
    async fn new(stores: Stores, items: usize) -> Self {
        let world = World::new(stores, items).await;
        let ports = context(&world.stores);
        let away = repository(world.tenant.id, RepositoryId::new(world.now(), world.ten()), "away");
        world.stores.declarations.repository_add(&away).await.unwrap();
        Self { jobs: JobManager::new(ports.clone(), TTL), ports, away: away.id, world }
    }

    /// Declares a plan of the source into the second repository.
    async fn plan(&self, own: &str, said: Said) -> Result<Plan, String> {
        let (source_id, repository_id) = (self.world.source.id, self.away);
        let declaration = PlanDeclaration { name: name(own), source_id, repository_id, template: None, said };
        plan_declare(&self.ports, self.world.tenant.id, declaration).await.map_err(|error| error.to_string())
    }

    /// Changes what a plan says.
    async fn says(&self, id: PlanId, said: Said) -> Result<Plan, String> {
        let seen = self.world.stores.declarations.plan_get(id).await.unwrap();
        let change = PlanChange { said: Some(said), ..PlanChange::default() };
        let changed = plan_change(&self.ports, &seen, change).await;
        changed.map(Option::unwrap).map_err(|error| error.to_string())
    }

    /// Asks for a backup of all items of a plan.
    async fn ask(&self, plan: PlanId) {
        let asking = Asking::fresh(self.world.now(), [self.world.ten()[9]; 32]);
        plan_request(&self.ports, &asking, plan).await.unwrap();
    }

    async fn lease(&self, count_max: u32) -> Vec<Job<Leased>> {
        let (agent_id, kinds) = (self.world.agent(), JobKind::ALL.to_vec());
        self.jobs.job_lease(&LeaseRequest { agent_id, kinds, held: Vec::new(), count_max }).await.unwrap()
    }

    async fn end(&self, job: &Job<Leased>, outcome: Outcome) -> Result<JobState, LeaseError> {
        self.jobs.job_finish(job.lease_key(), &saved(job, outcome)).await
    }

    /// Returns the backups of a plan, oldest first.
    async fn of_plan(&self, plan: PlanId) -> Vec<Job> {
        let filter = JobFilter { plan_id: Some(plan), ..JobFilter::default() };
        let mut jobs = self.world.jobs.job_list(filter, Page::first()).await.unwrap();
        jobs.reverse();
        jobs
    }

    /// Returns what was told as skipped.
    async fn skipped(&self) -> Vec<String> {
        let events = self.world.events().await.into_iter().map(|row| row.event);
        events.filter(|event| event.kind == EventKind::Skipped).map(|event| event.message).collect()
    }
}

fn saved(job: &Job<Leased>, outcome: Outcome) -> JobResult {
    let mut unread = Unread::default();
    if outcome == Outcome::Partial {
        unread.push("/home/ada/secret".to_owned(), "permission denied".to_owned());
    }
    let snapshot = PublishedSnapshot { foreign_id: job.id.to_string(), taken_at: job.created_at };
    let counts = JobCounts { files: 1, unread: unread.count, ..JobCounts::default() };
    JobResult::BackedUp { outcome, snapshot, counts, unread, warning: None }
}

/// A backup that ended complete is followed by one job of each plan that it names, once, however often its end is told; one
/// that is partial, failed or of a dead attempt by none.
///
/// Red without `follow_ups_put` in `settle`, and when it stands before `lease_alive` there.
pub async fn what_follows_is_queued_once_with_the_end(stores: Stores) {
    let chain = Chain::new(stores, 1).await;
    let world = &chain.world;
    let last = chain.plan("last", Said::default()).await.unwrap();
    let next = chain.plan("next", followed_by(&["last"])).await.unwrap();
    chain.says(world.plan.id, followed_by(&["next"])).await.unwrap();

    chain.ask(world.plan.id).await;
    let dead = chain.lease(1).await.remove(0);
    world.clock.advance(TTL + Duration::from_secs(1));
    let late = chain.end(&dead, Outcome::Complete).await;
    assert!(matches!(late, Err(LeaseError::Lost { .. })), "{late:?}");
    assert_eq!(chain.of_plan(next.id).await, [], "a dead attempt starts nothing");
    let key = dead.lease_key();
    let event = world.event(EventKind::Rescued, &world.job(key.job_id).await);
    let rows = world.rescue_rows(key, JobState::Queued { not_before: world.now() }, event).await;
    assert!(world.jobs.job_rescue(key, Duration::from_secs(600), &rows).await.unwrap());

    for outcome in [Outcome::Partial, Outcome::Complete] {
        let first = chain.lease(1).await.remove(0);
        let state = chain.end(&first, outcome).await.unwrap();
        assert_eq!(chain.end(&first, outcome).await.unwrap(), state, "told again");
        if outcome == Outcome::Partial {
            assert_eq!(chain.of_plan(next.id).await, [], "a partial one is followed by none");
            world.clock.advance(Duration::from_secs(1));
            chain.ask(world.plan.id).await;
        }
    }
    let first = chain.of_plan(world.plan.id).await.remove(1);
    let [second] = &chain.of_plan(next.id).await[..] else { panic!("one job follows") };
    assert_eq!(second.trigger, Trigger::FollowUp(first.id));
    assert_eq!((second.repository_id, second.item_id), (chain.away, first.item_id));
    assert_eq!(second.state, JobState::Queued { not_before: world.now() });
    assert_eq!(jobs_after(&chain.ports, &first).await.unwrap(), [second.id]);
    let said = job_explain(&chain.ports, second, &TimeZone::UTC).await.unwrap().lines.remove(0);
    assert_eq!(said, format!("it follows job {} of plan daily", first.id));
    let lines = plan_explain(&chain.ports, &next, &TimeZone::UTC).await.unwrap().lines;
    assert!(lines.contains(&"it follows good backups of plan daily".to_owned()), "{lines:?}");
    let follows = "plan last follows each backup of it that ends complete or unchanged".to_owned();
    assert!(lines.contains(&follows), "{lines:?}");

    // One that failed is followed by none, a try later that went well is.
    let held = chain.lease(1).await.remove(0);
    let failure =
        Failure { class: FailureClass::Source, message: "gone".to_owned(), disposition: Disposition::Operator };
    chain.jobs.job_finish(held.lease_key(), &JobResult::Failed(failure)).await.unwrap();
    assert_eq!(chain.of_plan(last.id).await, []);
    world.clock.advance(Duration::from_secs(1));
    job_retry(&chain.ports, &Asking::fresh(world.now(), [5; 32]), held.id).await.unwrap();
    chain.end(&chain.lease(1).await[0], Outcome::Complete).await.unwrap();
    chain.end(&chain.lease(1).await[0], Outcome::Complete).await.unwrap();
    let names: Vec<usize> = [
        chain.of_plan(world.plan.id).await.len(),
        chain.of_plan(next.id).await.len(),
        chain.of_plan(last.id).await.len(),
    ]
    .to_vec();
    assert_eq!(names, [2, 2, 1]);
    assert_eq!(chain.lease(9).await.len(), 0, "the chain has an end");
}

/// What was asked for together is followed when all of it has gone well, by what belongs together again.
///
/// Red without `completes_its_set`.
pub async fn a_set_is_followed_when_it_is_complete(stores: Stores) {
    let chain = Chain::new(stores, 3).await;
    let world = &chain.world;
    let next = chain.plan("next", Said::default()).await.unwrap();
    chain.says(world.plan.id, followed_by(&["next"])).await.unwrap();
    chain.ask(world.plan.id).await;
    let leased = chain.lease(3).await;
    let failure =
        Failure { class: FailureClass::Source, message: "gone".to_owned(), disposition: Disposition::Operator };
    chain.end(&leased[0], Outcome::Complete).await.unwrap();
    chain.jobs.job_finish(leased[1].lease_key(), &JobResult::Failed(failure)).await.unwrap();
    chain.end(&leased[2], Outcome::Complete).await.unwrap();
    assert_eq!(chain.of_plan(next.id).await, [], "one is missing");
    world.clock.advance(Duration::from_secs(1));
    job_retry(&chain.ports, &Asking::fresh(world.now(), [5; 32]), leased[1].id).await.unwrap();
    let again = chain.lease(1).await.remove(0);
    chain.end(&again, Outcome::Complete).await.unwrap();
    let followed = chain.of_plan(next.id).await;
    let places: Vec<_> = followed.iter().map(|job| (job.trigger.clone(), job.set.map(|(_, place)| place))).collect();
    let trigger = Trigger::FollowUp(again.id);
    assert_eq!(followed.len(), 3, "{places:?}");
    assert!(followed.iter().all(|job| job.trigger == trigger), "{places:?}");
    let set = followed[0].set.unwrap().0;
    assert!(followed.iter().all(|job| job.set.unwrap().0 == set), "{places:?}");
    assert_eq!(world.jobs.set_get(set).await.unwrap().wanted, 3);
    for ended in [leased[0].id, again.id] {
        let after = jobs_after(&chain.ports, &world.job(ended).await).await.unwrap();
        assert_eq!(after.len(), 3, "each member says what follows them all");
    }
}

/// What cannot follow now is told and not started: a paused or retired plan, an item whose backup has not ended. Nothing
/// piles up.
///
/// Red when the manager does not ask whether a plan is paused, and when a taken key is an error of the settlement.
pub async fn what_cannot_follow_is_told(stores: Stores) {
    let chain = Chain::new(stores, 1).await;
    let world = &chain.world;
    let next = chain.plan("next", Said::default()).await.unwrap();
    chain.says(world.plan.id, followed_by(&["next"])).await.unwrap();
    let run = async || {
        world.clock.advance(Duration::from_secs(60));
        chain.ask(world.plan.id).await;
        chain.end(&chain.lease(1).await[0], Outcome::Complete).await.unwrap();
    };
    plan_pause(&chain.ports, next.id, PauseWish::Pause).await.unwrap();
    run().await;
    let paused = "plan next was not started after plan daily: the plan is paused";
    assert_eq!(chain.skipped().await, [paused]);
    let lines =
        plan_explain(&chain.ports, &world.stores.declarations.plan_get(world.plan.id).await.unwrap(), &TimeZone::UTC)
            .await
            .unwrap()
            .lines;
    assert!(lines.iter().any(|line| line.ends_with("it is paused, and is passed over")), "{lines:?}");
    plan_pause(&chain.ports, next.id, PauseWish::Resume).await.unwrap();
    run().await;
    let [waiting] = &chain.of_plan(next.id).await[..] else { panic!("one follows") };
    assert_eq!(waiting.state.name(), StateName::Queued);

    // The follower of the item is not done: asking for the item itself overlaps, so nothing piles up behind it.
    world.clock.advance(Duration::from_secs(60));
    chain.ask(world.plan.id).await;
    assert_eq!((chain.of_plan(next.id).await.len(), chain.of_plan(world.plan.id).await.len()), (1, 2));
    chain.end(&chain.lease(1).await[0], Outcome::Complete).await.unwrap();

    world.stores.declarations.retire(Retirable::Plan(next.id), world.now()).await.unwrap();
    run().await;
    assert_eq!(chain.of_plan(next.id).await.len(), 1);
    let gone = "plan next was not started after plan daily: there is no such plan any more; take it from the list";
    assert!(chain.skipped().await.iter().any(|words| words == gone), "{:?}", chain.skipped().await);
    let daily = world.stores.declarations.plan_get(world.plan.id).await.unwrap();
    let lines = plan_explain(&chain.ports, &daily, &TimeZone::UTC).await.unwrap().lines;
    assert!(lines.iter().any(|line| line.ends_with("no such plan any more, so nothing does")), "{lines:?}");
}

/// A plan is followed by plans of its tenant that are there, and by none that it follows itself; its name stays while
/// others follow it by it.
pub async fn plans_follow_in_no_circle(stores: Stores) {
    let chain = Chain::new(stores, 1).await;
    let world = &chain.world;
    let said = async |plan: &str, names: &[&str]| chain.plan(plan, followed_by(names)).await.unwrap_err();
    assert_eq!(said("a", &["gone"]).await, "its tenant has no plan gone");
    assert_eq!(said("a", &["a"]).await, "plan a would follow itself: a, then a");
    assert_eq!(said("a", &["daily", "daily"]).await, "plan daily is named twice");
    let next = chain.plan("a", followed_by(&["daily"])).await.unwrap();
    assert_eq!(next.backup, BackupTerms { follow_ups: vec![name("daily")], ..BackupTerms::default() });
    assert_eq!(world.stores.declarations.plan_get(next.id).await.unwrap(), next);
    let circle = chain.says(world.plan.id, followed_by(&["a"])).await.unwrap_err();
    assert_eq!(circle, "plan daily would follow itself: daily, then a, then daily");
    let seen = world.stores.declarations.plan_get(world.plan.id).await.unwrap();
    let renamed = PlanChange { name: Some(name("nightly")), ..PlanChange::default() };
    let refused = plan_change(&chain.ports, &seen, renamed).await.unwrap_err().to_string();
    assert_eq!(refused, "it follows plan a, by the name that it has");

    // A template says it for all under it, of which none may follow itself.
    let team = template_declare(&chain.ports, world.tenant.id, name("team"), None, Said::default()).await.unwrap();
    let change =
        PlanChange { template: Some(Some(name("team"))), said: Some(Said::default()), ..PlanChange::default() };
    plan_change(&chain.ports, &next, change).await.unwrap().unwrap();
    let changed = Template { said: followed_by(&["a"]), ..team.clone() };
    let refused = template_change(&chain.ports, &team, &changed).await.unwrap_err().to_string();
    assert_eq!(refused, "plan a would follow itself: a, then a");
    let changed = Template { said: followed_by(&["daily"]), ..team.clone() };
    let moved = template_change(&chain.ports, &team, &changed).await.unwrap().unwrap();
    assert_eq!(moved[0].backup.follow_ups, [name("daily")]);
}
