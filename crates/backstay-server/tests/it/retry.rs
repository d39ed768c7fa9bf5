//! Trying again what was given up, through the door.

use backstay_api::ClientError;
use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::job::{Failure, FailureClass, JobKind, StateName};
use backstay_core::managers::job::JobManager;
use backstay_core::managers::rescue::rescue;
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseRequest};
use backstay_testkit::conformance::job::context;
use backstay_testkit::conformance::world::{STALL_LIMIT, TTL, World};

use crate::served::{Served, fakes};

fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, String) {
    match answer {
        Err(ClientError::Problem { problem }) => (problem.status, problem.code),
        other => panic!("{other:?}"),
    }
}

/// Leases the one due job and ends it with a failure.
async fn fail(jobs: &JobManager, world: &World, class: FailureClass, disposition: Disposition) -> StateName {
    let kinds = JobKind::ALL.to_vec();
    let ask = LeaseRequest { agent_id: world.agent(), kinds, held: Vec::new(), count_max: 1 };
    let lease = jobs.job_lease(&ask).await.unwrap().remove(0).lease_key();
    let result = JobResult::Failed(Failure { class, message: "no".to_owned(), disposition });
    jobs.job_finish(lease, &result).await.unwrap().name()
}

/// Red when `managers::retry::job_retry` tries a live or succeeded job again, or makes a successor of a parked one.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_tried_again_and_nothing_else() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let jobs = JobManager::new(context(&stores), TTL);
    let world = World::new(stores, 1).await;
    let retry = async |id: &str| served.client.job_retry(id).await;

    let queued = world.queued(0).await.to_string();
    assert_eq!(code(retry(&queued).await), (409, "wrong_state".to_owned()));
    assert_eq!(fail(&jobs, &world, FailureClass::Source, Disposition::Operator).await, StateName::Failed);
    let again = retry(&queued).await.unwrap();
    assert!(again.id != queued && again.state == "queued" && again.trigger == "request", "{again:?}");
    assert_eq!(
        (&again.item_id, &again.plan_id),
        (&Some(world.items[0].id.to_string()), &Some(world.plan.id.to_string()))
    );
    // While that one is live, the failed one is not asked for once more.
    assert_eq!(code(retry(&queued).await), (409, "overlaps".to_owned()));

    let soon = Disposition::Retry { after: std::time::Duration::ZERO };
    for _ in 0..2 {
        assert_eq!(fail(&jobs, &world, FailureClass::Internal, soon).await, StateName::Waiting);
        world.clock.advance(std::time::Duration::from_secs(86_400));
        world.jobs.job_wake().await.unwrap();
    }
    assert_eq!(fail(&jobs, &world, FailureClass::Internal, soon).await, StateName::Parked);
    let lifted = retry(&again.id).await.unwrap();
    assert_eq!((&lifted.id, lifted.state.as_str()), (&again.id, "queued"));
    assert_eq!(world.told().await.last(), Some(&EventKind::Enqueued));
    assert_eq!(world.job(again.id.parse().unwrap()).await.streak, None, "it begins a new row of failures");

    let key = backstay_testkit::conformance::world::key_of(&world.claim(world.agent(), 1).await[0]);
    assert_eq!(code(retry(&again.id).await), (409, "wrong_state".to_owned()));
    world.jobs.job_settle(key, &world.success()).await.unwrap();
    assert_eq!(code(retry(&again.id).await), (409, "wrong_state".to_owned()));
}

/// Red without `plan_lift` in `plan_change`.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_plan_lifts_its_parked_jobs() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let (context, jobs) = (context(&stores), JobManager::new(context(&stores), TTL));
    let world = World::new(stores, 1).await;
    let id = world.queued(0).await;
    for number in 1.. {
        let ask =
            LeaseRequest { agent_id: world.agent(), kinds: JobKind::ALL.to_vec(), held: Vec::new(), count_max: 1 };
        assert_eq!(jobs.job_lease(&ask).await.unwrap().len(), 1);
        // Its agent is not heard of again.
        world.clock.advance(TTL);
        assert_eq!(rescue(&context, STALL_LIMIT).await.unwrap().lost, 1);
        let job = world.job(id).await;
        let streak = job.streak.unwrap();
        assert_eq!((streak.class, streak.count), (FailureClass::AgentLost, number));
        if job.state.name() == StateName::Parked {
            assert_eq!(number, 5);
            break;
        }
        // The first lost agent says nothing about the job; from the second on it waits.
        if number > 1 {
            assert!(jobs.job_lease(&ask).await.unwrap().is_empty(), "it is not leased again at once");
        }
        world.clock.advance(std::time::Duration::from_secs(600));
    }
    let body = serde_json::from_str(r#"{ "rpo_ms": 7200000 }"#).unwrap();
    served.client.plan_update(&world.plan.id.to_string(), &body).await.unwrap();
    assert_eq!(world.job(id).await.state.name(), StateName::Queued);
}
