//! A request with a key is carried out once, whatever happens to its connection, its server or its database.

use std::sync::atomic::Ordering;
use std::time::Duration;

use backstay_core::domain::job::JobKind;
use backstay_core::ports::store::{JobFilter, Page, StoreError};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
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

/// Replicas share what is remembered, whatever their clocks say, and what is asked for is due at once.
///
/// Red when the door asks the replica's clock.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_with_clocks_hours_apart_carry_a_request_out_once() {
    let stores = fakes();
    let ahead = Served::ahead(&stores, Duration::from_secs(30 * 3_600)).await;
    let house = House::of(stores, Served::over(&fakes()).await).await;
    let (world, call) = (&house.world, format!("POST /api/v1/plans/{}/run", house.world.plan.id));
    let right = Served::over(&world.stores).await;
    let first = ask(&ahead, &call, "k", "").await;
    assert_eq!(first.status, 202, "{first:?}");
    let again = ask(&right, &call, "k", "").await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")), "{again:?}");
    let jobs = world.jobs.job_list(JobFilter::default(), Page::first()).await.unwrap();
    let made = jobs.iter().filter(|job| job.created_at > world.now()).count();
    assert_eq!(made, 0, "all are due");
}

/// Red when an answer that says when to ask again is remembered.
#[tokio::test(flavor = "multi_thread")]
async fn what_says_when_to_ask_again_is_asked_again() {
    let (served, trouble) = Served::troubled(&fakes()).await;
    let busy = StoreError::Busy { noun: "repository", key: "home".to_owned(), by: "job 1".to_owned() };
    trouble.refusals.lock().unwrap().push(busy);
    let refused = ask(&served, "POST /api/v1/tenants", "k", MAKE).await;
    assert_eq!((refused.status, code(&refused).as_str()), (409, "in_use"));
    let again = ask(&served, "POST /api/v1/tenants", "k", MAKE).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, None), "{again:?}");
}

/// Red when two conditions are one request.
#[tokio::test(flavor = "multi_thread")]
async fn another_condition_is_another_request() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let house = House::of(stores, served).await;
    let call = format!("PUT /api/v1/tenants/{}/quota", house.world.tenant.id);
    let bearer = format!("authorization: Bearer {TOKEN}");
    let put = async |headers: &[&str], body: &str| {
        let headers: Vec<&str> = [bearer.as_str()].into_iter().chain(headers.iter().copied()).collect();
        house.served.http(&call, &headers, body, "").await
    };
    let seen = house.served.http(&call.replace("PUT", "GET"), &[&bearer.replace("Bearer", "bEARER")], "", "").await;
    assert_eq!(seen.status, 200, "a scheme's letters may be large or small: {seen:?}");
    let tag = format!("if-match: {}", seen.header("etag").unwrap());
    assert_eq!(put(&[&tag, "idempotency-key: k"], r#"{"quota_bytes":5}"#).await.status, 200);
    let late = put(&[&tag], r#"{"quota_bytes":6}"#).await;
    assert_eq!((late.status, code(&late).as_str()), (412, "changed"), "{late:?}");
    let other = put(&["idempotency-key: k"], r#"{"quota_bytes":5}"#).await;
    assert_eq!((other.status, code(&other).as_str()), (422, "idempotency_key_reused"), "{other:?}");
    assert_eq!(put(&[], r#"{"quota_bytes":7}"#).await.json()["quota_bytes"], 7);
}

/// Red without the limit of a request's time in `router.rs`.
#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_answered() {
    let (served, trouble) = Served::troubled(&fakes()).await;
    trouble.changes.forget_permits(1_000);
    // Nothing may block: the clock stands still as long as anything is under way, and jumps to the limit then.
    let mut stream = tokio::net::TcpStream::connect(served.url.trim_start_matches("http://")).await.unwrap();
    let head = format!("authorization: Bearer {TOKEN}\r\nconnection: close\r\ncontent-type: application/json");
    let length = MAKE.len();
    let request =
        format!("POST /api/v1/tenants HTTP/1.1\r\nhost: x\r\n{head}\r\ncontent-length: {length}\r\n\r\n{MAKE}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains("\"timed_out\""), "{answer}");
}
