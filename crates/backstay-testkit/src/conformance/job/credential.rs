//! What opens a storage: a lease brings it for what its job may do there, and for nothing else.

use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::id::RepositoryId;
use backstay_core::domain::job::{Failure, FailureClass, Instruction, Job, JobKind, Leased, Outcome, StateName};
use backstay_core::domain::repository::Repository;
use backstay_core::domain::sample::SampleRule;
use backstay_core::domain::storage::{CredentialReferences, Purpose, Storage, purposes};
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::JobResult;
use backstay_core::ports::store::{Page, SnapshotFilter};
use secrecy::ExposeSecret as _;

use super::super::store::storage::{inside, storage};
use super::super::world::World;
use super::{JobsHarness, backed_up, credential, lease};

/// Declares a repository whose storage needs these.
async fn bucket(world: &World, name: &str, credentials: CredentialReferences) -> Repository {
    let id = RepositoryId::new(world.now(), world.ten());
    let repository = Repository { id, name: name.parse().unwrap(), credentials, ..world.repository.clone() };
    world.stores.declarations.repository_add(&repository).await.unwrap();
    assert_eq!(world.stores.declarations.repository_get(id).await.unwrap(), repository, "a row keeps references");
    repository
}

/// Asserts that a lease brings the keys of its kind's purposes, each with its own text.
fn assert_keys(job: &Job<Leased>) {
    let repository = &job.state.repository;
    let kind = job.kind();
    let brought: Vec<Purpose> = repository.credentials.keys().copied().collect();
    assert_eq!(brought, purposes(kind), "{kind:?}");
    for (purpose, key) in &repository.credentials {
        let secret = format!("may {}", purpose.word());
        assert_eq!((key.id.as_str(), key.secret.expose_secret()), (purpose.word(), secret.as_str()));
    }
    assert!(!format!("{job:?}").contains("may "), "a key does not print");
}

/// A backup may not delete, a verify may not write; a prune has every key.
pub async fn a_lease_brings_the_keys_that_its_job_needs(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let references = Purpose::ALL.iter().map(|purpose| (*purpose, credential(*purpose))).collect();
    let repository = bucket(&world, "bucket", references).await;
    let of = |instruction| Job { instruction, plan_id: None, repository_id: repository.id, ..world.backup(0) };
    world.enqueue(&of(Instruction::Backup)).await;
    let leased = lease(&*jobs, world.agent(), 1).await.remove(0);
    assert_keys(&leased);
    let result = backed_up(&world, Outcome::Complete, "77", Unread::default());
    jobs.job_finish(leased.lease_key(), &result).await.unwrap();
    let snapshots = world.history.snapshot_list(SnapshotFilter::default(), Page::first()).await.unwrap();
    let sample = SampleRule { files_min: 1, bytes_percent: 1, seed: 5 };
    world.enqueue(&of(Instruction::Verify { snapshot_id: snapshots[0].id, sample, slice: None })).await;
    let leased = lease(&*jobs, world.agent(), 1).await.remove(0);
    assert_keys(&leased);
    let failure = Failure {
        class: FailureClass::Storage,
        message: "it is enough".to_owned(),
        disposition: Disposition::Operator,
    };
    jobs.job_finish(leased.lease_key(), &JobResult::Failed(failure)).await.unwrap();
    world.enqueue(&Job { item_id: None, ..of(Instruction::Prune) }).await;
    let leased = lease(&*jobs, world.agent(), 1).await.remove(0);
    assert_eq!(leased.kind(), JobKind::Prune);
    assert_keys(&leased);
}

/// What opens a storage is what opens it now: other keys reach the next lease of each repository in it.
///
/// Red when `leased` takes the repository's own references.
pub async fn other_keys_of_a_storage_reach_the_next_lease(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let store = &world.stores.declarations;
    let keys = CredentialReferences::from([(Purpose::Read, credential(Purpose::Read))]);
    let shelf = Storage { credentials: keys, ..storage(&world, "shelf") };
    store.storage_add(&shelf).await.unwrap();
    let rooms = [inside(&world, &shelf, "one"), inside(&world, &shelf, "two")];
    let all: CredentialReferences = Purpose::ALL.iter().map(|purpose| (*purpose, credential(*purpose))).collect();
    for room in &rooms {
        store.repository_add(room).await.unwrap();
        let job = Job {
            item_id: None,
            instruction: Instruction::Prune,
            plan_id: None,
            repository_id: room.id,
            ..world.backup(0)
        };
        world.enqueue(&job).await;
    }
    let first = lease(&*jobs, world.agent(), 1).await.remove(0);
    let brought: Vec<Purpose> = first.state.repository.credentials.keys().copied().collect();
    assert_eq!(brought, [Purpose::Read]);
    assert!(store.storage_credentials_put(&shelf, &all).await.unwrap());
    let second = lease(&*jobs, world.agent(), 1).await.remove(0);
    assert_ne!(second.repository_id, first.repository_id);
    assert_keys(&second);
}

/// A secret that is no key fails the job with words that say so, and without the secret.
pub async fn a_job_whose_key_is_none_fails_and_says_so(harness: JobsHarness) {
    let (jobs, world) = harness.world(1).await;
    let references = CredentialReferences::from([(Purpose::Read, "file:keys/wrong.json".parse().unwrap())]);
    let repository = bucket(&world, "wrong", references).await;
    let job = Job { plan_id: None, repository_id: repository.id, ..world.backup(0) };
    world.enqueue(&job).await;
    assert_eq!(lease(&*jobs, world.agent(), 1).await.len(), 0);
    let row = world.job(job.id).await;
    assert_eq!(row.state.name(), StateName::Failed);
    let told = format!("{:?}", row.state);
    assert!(told.contains("keys/wrong.json") && told.contains("no access key") && !told.contains("hunter2"), "{told}");
}
