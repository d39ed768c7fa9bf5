//! Promises about job sets: what was asked for together stays together.

use backstay_core::domain::asking::Asking;
use backstay_core::domain::id::{JobSetId, TenantId};
use backstay_core::domain::job::{Job, JobState, Outcome, StateName};
use backstay_core::domain::job_set::{JobSet, is_complete, members};
use backstay_core::managers::request::{plan_request, set_of};
use backstay_core::managers::retry::job_retry;
use backstay_core::ports::store::{Enqueued, JobFilter, Page, StoreError};

use crate::conformance::job::context;
use crate::conformance::world::{Stores, World, key_of, settlement};

async fn of_set(world: &World, id: JobSetId) -> Vec<Job> {
    let filter = JobFilter { set_id: Some(id), ..JobFilter::default() };
    members(world.jobs.job_list(filter, Page::first()).await.unwrap())
}

/// The jobs of one request for several items are one set, however often it is carried out; a second job for a member takes
/// its place, and the set is complete when each member is.
///
/// Red without `set_add` in `plan_request`, without `set` in `again`, and without `SetId` in `list_question`.
pub async fn what_is_asked_for_together_is_one_set(stores: Stores) {
    let world = World::new(stores, 3).await;
    let ports = context(&world.stores);
    let asking = Asking::keyed(world.now(), "ada", "one");
    let answers = plan_request(&ports, &asking, world.plan.id).await.unwrap();
    let id = set_of(&asking, answers.len()).unwrap();
    let again = plan_request(&ports, &asking, world.plan.id).await.unwrap();
    assert!(again.iter().all(|(_, answer)| matches!(answer, Enqueued::New(_))), "{again:?}");
    let set = world.jobs.set_get(id).await.unwrap();
    let name = world.plan.name.clone();
    assert_eq!(set, JobSet { id, tenant_id: world.tenant.id, name, wanted: 3, created_at: world.now() });
    let jobs = of_set(&world, id).await;
    let items: Vec<_> = jobs.iter().map(|job| job.item_id.unwrap()).collect();
    assert_eq!(items, world.items.iter().map(|item| item.id).collect::<Vec<_>>(), "in the order of the items");
    assert_eq!(jobs.iter().map(|job| job.set.unwrap()).collect::<Vec<_>>(), [(id, 0), (id, 1), (id, 2)]);

    let other = Asking::keyed(world.now(), "ada", "two");
    let overlaps = plan_request(&ports, &other, world.plan.id).await.unwrap();
    let late = set_of(&other, overlaps.len()).unwrap();
    assert_eq!((of_set(&world, late).await, world.jobs.set_get(late).await.unwrap().wanted), (Vec::new(), 3));
    let pages = [Page { before: None, rows_max: 1 }, Page { before: Some(id.max(late)), rows_max: 9 }];
    for (page, expected) in pages.into_iter().zip([id.max(late), id.min(late)]) {
        let rows = world.jobs.set_list(Some(world.tenant.id), page).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [expected]);
    }
    let nobody = TenantId::new(world.now(), world.ten());
    assert_eq!(world.jobs.set_list(Some(nobody), Page::first()).await.unwrap(), []);
    assert_eq!(world.jobs.set_list(None, Page::first()).await.unwrap().len(), 2);
    let missing = world.jobs.set_get(JobSetId::new(world.now(), world.ten())).await;
    assert!(matches!(missing, Err(StoreError::NotFound { noun: "job set", .. })), "{missing:?}");

    let states = async || {
        let jobs = of_set(&world, id).await;
        let states: Vec<_> = jobs.iter().map(|job| (job.state.name(), job.state.outcome())).collect();
        (is_complete(set.wanted, &states), states.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
    };
    let claimed = world.claim(world.agent(), 3).await;
    for row in &claimed {
        let failed = row.job.item_id == Some(world.items[1].id);
        let (message, finished_at) = ("no route".to_owned(), world.now());
        let class = backstay_core::domain::job::FailureClass::Storage;
        let state = if failed {
            JobState::Failed { class, message, finished_at }
        } else {
            JobState::Succeeded { outcome: Outcome::Complete, finished_at }
        };
        world.jobs.job_settle(key_of(row), &settlement(state)).await.unwrap();
    }
    use StateName::{Failed, Queued, Succeeded};
    assert_eq!(states().await, (false, vec![Succeeded, Failed, Succeeded]));
    world.clock.advance(std::time::Duration::from_secs(60));
    let failed = of_set(&world, id).await[1].id;
    let next = job_retry(&ports, &Asking::fresh(world.now(), [9; 32]), failed).await.unwrap();
    assert_eq!((states().await, of_set(&world, id).await[1].id), ((false, vec![Succeeded, Queued, Succeeded]), next));
    let claimed = world.claim(world.agent(), 1).await;
    world.jobs.job_settle(key_of(&claimed[0]), &world.success()).await.unwrap();
    assert_eq!(states().await, (true, vec![Succeeded; 3]));
}

/// Red when a request for one item makes a set.
pub async fn a_single_job_is_no_set(stores: Stores) {
    let world = World::new(stores, 1).await;
    let asking = Asking::keyed(world.now(), "ada", "one");
    let answers = plan_request(&context(&world.stores), &asking, world.plan.id).await.unwrap();
    assert_eq!((set_of(&asking, answers.len()), answers.len()), (None, 1));
    assert_eq!(world.jobs.set_list(None, Page::first()).await.unwrap(), []);
}
