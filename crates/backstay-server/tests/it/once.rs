//! A request with a key is carried out once, whatever happens to its connection, its server or its database.

use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backstay_core::domain::job::JobKind;
use backstay_core::ports::store::{JobFilter, Page, StoreError};
use serde_json::Value;

use crate::authorization::House;
use crate::served::{Answer, Served, TOKEN, fakes};
use crate::troubled::unavailable;

const MAKE: &str = r#"{"name":"ada"}"#;

async fn ask(served: &Served, call: &str, key: &str, body: &str) -> Answer {
    let bearer = format!("authorization: Bearer {TOKEN}");
    served.http(call, &[&bearer, &format!("idempotency-key: {key}")], body, "").await
}

fn code(answer: &Answer) -> String {
    answer.json()["code"].as_str().unwrap_or_default().to_owned()
}

/// Red when the run is not a task of its own: it ends with the connection, and the key is taken for two minutes.
#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_off_hears_later_what_came_of_it() {
    let (served, trouble) = Served::troubled(&fakes()).await;
    trouble.changes.forget_permits(1_000);
    let mut stream = std::net::TcpStream::connect(served.url.trim_start_matches("http://")).unwrap();
    let head = format!("authorization: Bearer {TOKEN}\r\nidempotency-key: k\r\ncontent-type: application/json");
    let length = MAKE.len();
    let request =
        format!("POST /api/v1/tenants HTTP/1.1\r\nhost: x\r\n{head}\r\ncontent-length: {length}\r\n\r\n{MAKE}");
    stream.write_all(request.as_bytes()).unwrap();
    trouble.asked.acquire().await.unwrap().forget();
    let meanwhile = ask(&served, "POST /api/v1/tenants", "k", MAKE).await;
    assert_eq!((meanwhile.status, code(&meanwhile).as_str()), (409, "idempotency_in_flight"));
    assert_eq!(meanwhile.header("retry-after"), Some("1"));
    drop(stream);
    // Time for a server that would take the broken connection for the end of the request.
    tokio::time::sleep(Duration::from_millis(50)).await;
    trouble.changes.add_permits(1_000);
    let mut answer = meanwhile;
    for _ in 0..200 {
        answer = ask(&served, "POST /api/v1/tenants", "k", MAKE).await;
        if answer.status != 409 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (201, Some("true")), "{answer:?}");
}

/// Red when a 5xx is remembered, when it leaves the key taken, and when what the driver said is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_failed_on_our_side_is_tried_again() {
    let (served, trouble) = Served::troubled(&fakes()).await;
    trouble.refusals.lock().unwrap().push(unavailable());
    let failed = ask(&served, "POST /api/v1/tenants", "k", MAKE).await;
    assert_eq!((failed.status, code(&failed).as_str()), (503, "database_unavailable"));
    assert!(failed.header("retry-after").is_some());
    for word in ["db7", "SELECT", "vault"] {
        assert!(!failed.body.contains(word), "{}", failed.body);
    }
    let again = ask(&served, "POST /api/v1/tenants", "k", MAKE).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, None), "{again:?}");
    let replayed = ask(&served, "POST /api/v1/tenants", "k", MAKE).await;
    assert_eq!((replayed.status, replayed.header("idempotency-replayed")), (201, Some("true")));
}

/// Red when the crowd is told as a conflict, which would be remembered.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_the_chain_passes() {
    let (served, trouble) = Served::troubled(&fakes()).await;
    let taken = || StoreError::Taken { noun: "change record", key: "1".to_owned() };
    trouble.refusals.lock().unwrap().extend((0..100).map(|_| taken()));
    let crowded = ask(&served, "POST /api/v1/tenants", "k", MAKE).await;
    assert_eq!((crowded.status, code(&crowded).as_str()), (503, "crowded"));
    assert_eq!(crowded.header("retry-after"), Some("1"));
    trouble.refusals.lock().unwrap().clear();
    assert_eq!(ask(&served, "POST /api/v1/tenants", "k", MAKE).await.status, 201);
}

/// Red when a job's id does not follow from the key: each abandoned run would leave a job of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_nobody_heard_of_makes_the_same_jobs_again() {
    let stores = fakes();
    let (served, trouble) = Served::troubled(&stores).await;
    let house = House::of(stores, served).await;
    let (served, world) = (&house.served, &house.world);
    let count = async |kind| {
        let filter = JobFilter { kind: Some(kind), ..JobFilter::default() };
        world.jobs.job_list(filter, Page::first()).await.unwrap().len()
    };
    let before = [count(JobKind::Backup).await, count(JobKind::Restore).await, count(JobKind::Verify).await];
    let calls = [
        (format!("POST /api/v1/plans/{}/run", world.plan.id), ""),
        (format!("POST /api/v1/snapshots/{}/restore", house.snapshot), r#"{"target_path":"/srv/out"}"#),
        (format!("POST /api/v1/snapshots/{}/verify", house.snapshot), "{}"),
    ];
    trouble.is_deaf.store(true, Ordering::SeqCst);
    let mut told: Vec<Value> = Vec::new();
    for (key, (call, body)) in calls.iter().enumerate() {
        let first = ask(served, call, &key.to_string(), body).await;
        assert_eq!(first.status, 202, "it has happened, remembered or not: {first:?}");
        assert_eq!(code(&ask(served, call, &key.to_string(), body).await), "idempotency_in_flight");
        told.push(first.json());
    }
    let made = [count(JobKind::Backup).await, count(JobKind::Restore).await, count(JobKind::Verify).await];
    // Two of three items: the third one's backup is in the queue already.
    assert_eq!(made, [before[0] + 2, before[1] + 1, before[2] + 1]);
    trouble.is_deaf.store(false, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(121));
    for (key, (call, body)) in calls.iter().enumerate() {
        let again = ask(served, call, &key.to_string(), body).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (202, None), "{again:?}");
        assert_eq!(again.json(), told[key]);
        assert_eq!(ask(served, call, &key.to_string(), body).await.header("idempotency-replayed"), Some("true"));
    }
    assert_eq!(made, [count(JobKind::Backup).await, count(JobKind::Restore).await, count(JobKind::Verify).await]);
}
