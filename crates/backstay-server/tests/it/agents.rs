//! Agents with tokens: each works with the one that it first came with, and leases the kinds that its token names.

use backstay_api::JobsClient;
use backstay_core::domain::access::{Role, Scope};
use backstay_core::domain::job::{JobKind, StateName};
use backstay_core::managers::access::{TokenDeclaration, token_issue};
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseError, LeaseRequest, Standing};
use backstay_core::ports::store::StoreError;
use backstay_testkit::conformance::world::World;

use crate::served::{Served, fakes};

fn refused(error: &LeaseError, code: &str) -> bool {
    matches!(error, LeaseError::Store(StoreError::Refused { code: said, .. }) if said == code)
}

/// Red without `bound` (the second token leases and renews) and without `own` (it finishes the job) in `http/agent.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_bound_to_the_token_that_it_came_with() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 2).await;
    let first = JobsClient::new(&served.client_of(Role::Agent, None).await);
    let second = JobsClient::new(&served.client_of(Role::Agent, None).await);
    let (agent, house_s_own) = (world.agent(), world.agent());
    let ask = |agent_id, held| LeaseRequest { agent_id, kinds: JobKind::ALL.to_vec(), held, count_max: 1 };
    let job = world.queued(0).await;
    let lease = first.job_lease(&ask(agent, vec![])).await.unwrap()[0].lease_key();

    let error = second.job_lease(&ask(agent, vec![lease])).await.unwrap_err();
    assert!(refused(&error, "agent_taken"), "{error:?}");
    let error = second.job_renew(agent, &[lease]).await.unwrap_err();
    assert!(refused(&error, "agent_taken"), "{error:?}");
    let told = second.job_finish(lease, &JobResult::Cancelled).await;
    assert!(matches!(told, Err(LeaseError::Lost { .. })), "{told:?}");
    let told = second.job_wait(lease, std::time::Duration::ZERO, "x").await;
    assert!(matches!(told, Err(LeaseError::Lost { .. })), "{told:?}");
    assert_eq!(world.job(job).await.state.name(), StateName::Leased);
    assert_eq!(second.job_renew(world.agent(), &[lease]).await.unwrap(), [Standing::Lost], "nor as another agent");
    assert_eq!(first.job_renew(agent, &[lease]).await.unwrap(), [Standing::Held]);

    // An agent of the server's own process has no token, and nobody else works under its id.
    world.queued(1).await;
    let own = backstay_testkit::conformance::world::key_of(&world.claim(house_s_own, 1).await[0]);
    let error = second.job_renew(house_s_own, &[own]).await.unwrap_err();
    assert!(refused(&error, "agent_taken"), "{error:?}");
    let told = second.job_finish(own, &JobResult::Cancelled).await;
    assert!(matches!(told, Err(LeaseError::Lost { .. })), "{told:?}");
}

/// Red without `kinds_of` in `http/agent.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_leases_only_what_its_token_names() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 1).await;
    let scope = Scope::new(Role::Agent, None, vec![JobKind::Verify]).unwrap();
    let wish = TokenDeclaration { name: "verifier".parse().unwrap(), scope, expires_at: None };
    let (_, secret) = token_issue(&served.context, &*served.access, wish).await.unwrap();
    let jobs = JobsClient::new(&backstay_api::Client::new(&served.url, secret).unwrap());
    world.queued(0).await;
    for kinds in [vec![JobKind::Backup], JobKind::ALL.to_vec()] {
        let ask = LeaseRequest { agent_id: world.agent(), kinds, held: vec![], count_max: 1 };
        assert_eq!(jobs.job_lease(&ask).await.unwrap().len(), 0, "a backup is not for it");
    }
    let all = JobsClient::new(&served.client_of(Role::Agent, None).await);
    let ask = LeaseRequest { agent_id: world.agent(), kinds: JobKind::ALL.to_vec(), held: vec![], count_max: 1 };
    assert_eq!(all.job_lease(&ask).await.unwrap().len(), 1);
}
