//! What monitoring reads: what jobs came to is counted as agents hand it in, once; and all that is printed is in base units,
//! with labels that are words and names.

use std::collections::{BTreeSet, HashMap};

use backstay_api::JobsClient;
use backstay_core::domain::access::Role;
use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::job::{Failure, FailureClass, JobCounts, JobKind, Outcome, StateName};
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseRequest};
use backstay_testkit::conformance::world::World;

use crate::authorization::House;
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
    let labels = judge(&text);
    assert!(["ending", "kind", "sort"].iter().all(|label| labels.contains(*label)), "{labels:?}");
}

/// Figures that count things that are there: these have no unit.
const COUNTS: [&str; 6] = [
    "backstay_jobs",
    "backstay_agents",
    "backstay_alerts",
    "backstay_messages",
    "backstay_plans_not_shown",
    "backstay_monitors_not_shown",
];

/// Figures that are 0 or 1.
const SIGNS: [&str; 1] = ["backstay_monitor_down"];

/// What people gave names to, in the worlds of these tests.
const NAMES: [&str; 4] = ["ada", "eve", "daily", "nightly"];

/// Says whether a label may have a value. A new label has to say here what its values are.
fn may_be(label: &str, value: &str) -> bool {
    match label {
        "kind" => JobKind::from_word(value).is_some(),
        "state" => StateName::from_word(value).is_some() || ["waiting", "given_up"].contains(&value),
        "ending" => StateName::from_word(value).is_some() || Outcome::from_word(value).is_some(),
        "sort" => ["content", "added", "stored", "freed"].contains(&value),
        "tenant" | "plan" | "monitor" => NAMES.contains(&value),
        _ => false,
    }
}

/// Judges all that is printed: each figure has its kind, a name in base units and labels that are words or names. Returns the
/// labels that were seen.
fn judge(text: &str) -> BTreeSet<String> {
    let (mut kinds, mut seen) = (HashMap::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            kinds.extend(head.split_once(' '));
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (figure, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = figure.split_once('{').unwrap_or((figure, "}"));
        let kind = *kinds.get(name).unwrap_or_else(|| panic!("{name} has no kind"));
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let is_named = match kind {
            "counter" => name.ends_with("_total"),
            "gauge" => {
                let is_measured = name.ends_with("_seconds") || name.ends_with("_bytes") || name.ends_with("_ratio");
                is_measured || COUNTS.contains(&name) || SIGNS.contains(&name)
            }
            _ => false,
        };
        assert!(is_named && name.starts_with("backstay_"), "{name} is a {kind} without a base unit");
        for pair in labels.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty()) {
            let (label, value) = pair.split_once('=').unwrap();
            assert!(may_be(label, value.trim_matches('"')), "{line}");
            seen.insert(label.to_owned());
        }
    }
    seen
}

/// Red when a label shows an id or a path, or a figure is in milliseconds.
#[tokio::test(flavor = "multi_thread")]
async fn figures_are_in_base_units_and_their_labels_are_words_and_names() {
    let house = House::build().await;
    let bearer = format!("authorization: Bearer {TOKEN}");
    let text = house.served.http("GET /metrics", &[&bearer], "", "").await.body;
    let labels = judge(&text);
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), ["kind", "monitor", "plan", "state", "tenant"]);
    assert!(std::panic::catch_unwind(|| judge("# TYPE backstay_x_ms gauge\nbackstay_x_ms 1")).is_err());
    let id = format!("# TYPE backstay_x_seconds gauge\nbackstay_x_seconds{{plan=\"{}\"}} 1", house.world.plan.id);
    assert!(std::panic::catch_unwind(|| judge(&id)).is_err());
}
