//! The suite of the port `Jobs`: the manager over a database, over the fake, and the HTTP client pass it alike.
//!
//! [`jobs_promises`](crate::jobs_promises) makes one test of each promise. A harness is the port under test and the
//! stores behind it, by which a test asks for jobs and sees what became of them. Rooms: `road` (from lease to finish),
//! `result` (which result leads to which state), `again` (calls whose answers were lost),
//! `refusal` (who may not write), `credential` (what a lease brings to open a storage).

pub mod again;
pub mod credential;
pub mod refusal;
pub mod result;
pub mod road;

use std::sync::Arc;

use backstay_core::domain::id::AgentId;
use backstay_core::domain::job::{Job, JobCounts, JobKind, Leased, Outcome};
use backstay_core::domain::secret::SecretReference;
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::domain::storage::Purpose;
use backstay_core::domain::unread::Unread;
use backstay_core::managers::context::Context;
use backstay_core::managers::job::JobManager;
use backstay_core::ports::job::{JobResult, Jobs, LeaseRequest};
use serde_json::json;

use super::world::{Stores, TTL, World};
use crate::fakes::random::SeededRandom;
use crate::fakes::secret::SecretMap;
use crate::fakes::signer::FixedSigner;

/// The password of the repository of [`World`].
pub const PASSWORD: &str = "correct horse battery staple";

/// The port under test, and the stores behind it, empty.
pub struct JobsHarness {
    /// The port. Its leases hold for [`TTL`] by the clock of the stores, and its secrets are those of [`context`].
    pub jobs: Arc<dyn Jobs>,
    /// The stores.
    pub stores: Stores,
}

/// Returns the ports of a control plane over these stores: fakes for all that is not a store.
pub fn context(stores: &Stores) -> Context {
    let secrets = SecretMap::default();
    secrets.put(&"file:keys/home.key".parse().unwrap(), PASSWORD);
    for purpose in Purpose::ALL {
        let key = json!({ "access_key_id": purpose.word(), "secret_access_key": format!("may {}", purpose.word()) });
        secrets.put(&credential(*purpose), &key.to_string());
    }
    secrets.put(&"file:keys/wrong.json".parse().unwrap(), "hunter2");
    Context {
        declarations: stores.declarations.clone(),
        history: stores.history.clone(),
        schedules: stores.schedules.clone(),
        retention: stores.retention.clone(),
        notices: stores.notices.clone(),
        jobs: stores.jobs.clone(),
        secrets: Arc::new(secrets),
        signer: Arc::new(FixedSigner::default()),
        clock: Arc::new(stores.clock.clone()),
        random: Arc::new(SeededRandom::new(23)),
    }
}

/// Returns where the secrets of [`context`] have a storage's key for a purpose.
fn credential(purpose: Purpose) -> SecretReference {
    format!("file:keys/s3-{}.json", purpose.word()).parse().unwrap()
}

impl JobsHarness {
    /// Returns the core's manager over these stores, as an agent in the server's process has it.
    pub fn of_manager(stores: Stores) -> Self {
        Self { jobs: Arc::new(JobManager::new(context(&stores), TTL)), stores }
    }

    /// Declares an installation, and gives the port with it.
    async fn world(self, items: usize) -> (Arc<dyn Jobs>, World) {
        (self.jobs, World::new(self.stores, items).await)
    }
}

/// Leases up to `count_max` jobs of any kind.
async fn lease(jobs: &dyn Jobs, agent_id: AgentId, count_max: u32) -> Vec<Job<Leased>> {
    let request = LeaseRequest { agent_id, kinds: JobKind::ALL.to_vec(), held: Vec::new(), count_max };
    jobs.job_lease(&request).await.unwrap()
}

/// Puts a backup of an item in the queue and leases it.
async fn leased(jobs: &dyn Jobs, world: &World, item: usize, agent: AgentId) -> Job<Leased> {
    let id = world.queued(item).await;
    let mut leased = lease(jobs, agent, 1).await;
    assert_eq!(leased.iter().map(|job| job.id).collect::<Vec<_>>(), [id]);
    leased.remove(0)
}

/// Returns the result of a backup that published a snapshot.
fn backed_up(world: &World, outcome: Outcome, foreign_id: &str, unread: Unread) -> JobResult {
    let snapshot = PublishedSnapshot { foreign_id: foreign_id.to_owned(), taken_at: world.now() };
    let counts = JobCounts { files: 3, bytes: 30, unread: unread.count, ..JobCounts::default() };
    JobResult::BackedUp { outcome, snapshot, counts, unread, warning: None }
}

/// Makes a test of each promise of the port `Jobs`. Takes the path of a function `async fn() -> JobsHarness`, or
/// `async fn() -> Option<JobsHarness>`.
#[macro_export]
macro_rules! jobs_promises {
    ($make:path) => {
        $crate::jobs_promises! { $make;
            road::a_lease_brings_all_that_the_job_needs,
            road::a_lease_gives_no_more_than_a_batch,
            road::a_backup_goes_from_lease_to_snapshot,
            road::a_checkpoint_survives_to_the_next_attempt,
            road::a_job_that_waits_comes_back,
            road::a_wish_to_cancel_is_heard,
            road::what_was_done_before_the_wish_counts,
            result::a_partial_backup_is_never_the_newest_good_one,
            result::a_partial_backup_that_its_plan_accepts_is_good,
            result::a_mass_change_is_seen_among_partial_runs,
            result::what_did_not_change_is_confirmed,
            result::what_a_discover_finds_becomes_somebodys,
            result::a_backup_takes_over_what_a_look_found_of_it,
            result::a_verify_leaves_signed_and_chained_evidence,
            result::a_restore_succeeds_as_it_went,
            result::a_failure_goes_where_its_disposition_says,
            result::failures_are_counted_by_their_class,
            result::the_last_of_many_failures_parks_the_job,
            again::the_same_result_again_is_answered_alike,
            again::other_numbers_are_another_result,
            again::a_result_after_a_rescue_is_never_taken_for_a_repetition,
            again::what_a_holder_tells_may_be_told_twice,
            refusal::a_lost_lease_is_refused,
            refusal::a_result_is_taken_in_once,
            refusal::a_job_whose_secret_is_missing_fails_and_is_not_handed_over,
            credential::a_lease_brings_the_keys_that_its_job_needs,
            credential::a_job_whose_key_is_none_fails_and_says_so,
            credential::other_keys_of_a_storage_reach_the_next_lease,
        }
    };
    ($make:path; $($room:ident :: $promise:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $promise() {
            // None: the database is not to be had here, which was told.
            if let Some(harness) = Option::<$crate::conformance::job::JobsHarness>::from($make().await) {
                $crate::conformance::job::$room::$promise(harness).await;
            }
        }
    )+};
}
