//! What monitoring reads: what jobs came to is counted as agents hand it in, once.

use backstay_api::JobsClient;
use backstay_core::domain::access::Role;
use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::job::{Failure, FailureClass, JobCounts, JobKind, Outcome};
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseRequest};
use backstay_testkit::conformance::world::World;

use crate::served::{Served, TOKEN, fakes};

/// Red when `Tallied::job_finish` counts before it knows that the result was taken, or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_jobs_came_to_is_counted_when_it_was_taken_in() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 2).await;
    let jobs = JobsClient::new(&served.client_of(Role::Agent, None).await);
    let agent_id = world.agent();
    let lease = async |item| {
        world.queued(item).await;
        let ask = LeaseRequest { agent_id, kinds: JobKind::ALL.to_vec(), held: Vec::new(), count_max: 1 };
        jobs.job_lease(&ask).await.unwrap()[0].lease_key()
    };
    let done = JobResult::BackedUp {
        outcome: Outcome::Partial,
        snapshot: PublishedSnapshot { foreign_id: "ab".repeat(32), taken_at: world.now() },
        counts: JobCounts { files: 2, bytes: 70, bytes_added: 50, bytes_stored: 20, unread: 1, ..JobCounts::default() },
        unread: Unread { count: 1, ..Unread::default() },
        warning: None,
    };
    let key = lease(0).await;
    jobs.job_finish(key, &done).await.unwrap();
    assert!(jobs.job_finish(key, &JobResult::Cancelled).await.is_err(), "the lease is over");
    let (class, message) = (FailureClass::Source, "it is not there".to_owned());
    let failed = Failure { class, message, disposition: Disposition::Operator };
    jobs.job_finish(lease(1).await, &JobResult::Failed(failed)).await.unwrap();
    let bearer = format!("authorization: Bearer {TOKEN}");
    let text = served.http("GET /metrics", &[&bearer], "", "").await.body;
    let of = |name: &str| text.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
    assert_eq!(
        of("backstay_attempts_ended_total"),
        [
            "backstay_attempts_ended_total{kind=\"backup\",ending=\"failed\"} 1",
            "backstay_attempts_ended_total{kind=\"backup\",ending=\"partial\"} 1",
        ]
    );
    assert_eq!(
        of("backstay_bytes_total"),
        [
            "backstay_bytes_total{kind=\"backup\",sort=\"added\"} 50",
            "backstay_bytes_total{kind=\"backup\",sort=\"content\"} 70",
            "backstay_bytes_total{kind=\"backup\",sort=\"stored\"} 20",
        ]
    );
    assert_eq!(of("backstay_leases_lost_total"), ["backstay_leases_lost_total 0"]);
}
