//! What becomes of each thing that a network or a server may do to a request: the right outcome, and how often it was
//! asked. Real exchanges with moto, through a proxy that harms one of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Waker};

use backstay_storage::{ObjectKey, ObjectStorage, PutAnswer, ReadCache, StorageError};
use backstay_testkit::conformance::storage::StorageFixture;
use backstay_testkit::fakes::proxy::Fault;
use backstay_testkit::peers::s3::moto;
use bytes::Bytes;
use futures::executor::block_on;
use serde_json::{Value, json};

use crate::house::Bucket;

/// Settings by which each call is one request.
fn plain(settings: &mut Value) {
    settings["conditional_put"] = json!("always");
    settings["confirm_puts"] = json!(false);
}

/// The same, with puts that are looked at afterwards.
fn confirmed(settings: &mut Value) {
    settings["conditional_put"] = json!("always");
}

/// The same as plain, with little patience for silence.
fn impatient(settings: &mut Value) {
    plain(settings);
    settings["stall_seconds"] = json!(1);
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn put(storage: &Arc<dyn ObjectStorage>, name: &str, body: &[u8]) -> Result<PutAnswer, StorageError> {
    block_on(storage.object_put(&key(name), Bytes::copy_from_slice(body)))
}

fn get(storage: &Arc<dyn ObjectStorage>, name: &str) -> Result<Bytes, StorageError> {
    block_on(storage.object_get(&key(name), None, ReadCache::Use))
}

fn list(storage: &Arc<dyn ObjectStorage>) -> Result<BTreeSet<String>, StorageError> {
    let mut names = BTreeSet::new();
    block_on(storage.object_list("data", &mut |object| assert!(names.insert(object.key.to_string())))).map(|()| names)
}

/// Makes each sort of call, and returns its verb and its error.
fn calls(storage: &Arc<dyn ObjectStorage>) -> Vec<(&'static str, StorageError)> {
    let x = key("data/x");
    vec![
        ("PUT", put(storage, "data/y", b"y").unwrap_err()),
        ("GET", get(storage, "data/x").unwrap_err()),
        ("HEAD", block_on(storage.object_size(&x)).unwrap_err()),
        ("LIST", list(storage).unwrap_err()),
        ("DELETE", block_on(storage.object_remove(&x)).unwrap_err()),
    ]
}

/// Holds each call, harmed by `fault`, to an error of this class after `tries` requests. An error shows no secret.
fn check(bucket: &Bucket, fault: &Fault, tries: u64, fits: fn(&StorageError) -> bool) {
    let verbs = ["PUT", "GET", "HEAD", "LIST", "DELETE"];
    for verb in verbs {
        bucket.proxy().harm_all(verb, fault.clone());
    }
    let before = verbs.map(|verb| bucket.proxy().count(verb));
    for (verb, error) in calls(&bucket.storage()) {
        assert!(fits(&error), "{fault:?} {verb}: {error:?}");
        assert!(!format!("{error:?} {error}").contains("secret"), "{error:?}");
    }
    let after = verbs.map(|verb| bucket.proxy().count(verb));
    for (number, verb) in verbs.iter().enumerate() {
        assert_eq!(after[number] - before[number], tries, "{fault:?} {verb}");
    }
    bucket.proxy().heal();
}

#[test]
fn a_refusal_has_its_class_and_nothing_is_asked_twice() {
    let Some(peer) = moto() else { return };
    let bucket = Bucket::tried_once(peer, plain);
    put(&bucket.storage(), "data/x", b"x").unwrap();
    let passing = |error: &StorageError| matches!(error, StorageError::Io { .. } | StorageError::List { .. });
    check(&bucket, &Fault::Status(500), 1, passing);
    check(&bucket, &Fault::Status(502), 1, passing);
    check(&bucket, &Fault::Reset, 1, passing);
    check(&bucket, &Fault::Status(503), 1, |error| matches!(error, StorageError::Busy { after: None, .. }));
    check(
        &bucket,
        &Fault::StatusRetryAfter(429),
        1,
        |error| matches!(error, StorageError::Busy { after: Some(after), .. } if after.is_zero()),
    );
    check(&bucket, &Fault::Status(403), 1, |error| matches!(error, StorageError::Denied { .. }));
    check(&bucket, &Fault::Status(307), 1, |error| {
        matches!(error, StorageError::Refused { .. } | StorageError::List { .. })
    });
}

#[test]
fn what_may_pass_is_tried_eight_times_and_what_does_not_once() {
    let Some(peer) = moto() else { return };
    let bucket = Bucket::behind_proxy(peer, plain);
    put(&bucket.storage(), "data/x", b"x").unwrap();
    check(&bucket, &Fault::Status(500), 8, |error| {
        matches!(error, StorageError::Io { .. } | StorageError::List { .. })
    });
    check(&bucket, &Fault::StatusRetryAfter(429), 8, |error| matches!(error, StorageError::Busy { .. }));
    check(&bucket, &Fault::Reset, 8, |error| matches!(error, StorageError::Io { .. } | StorageError::List { .. }));
    check(&bucket, &Fault::Status(403), 1, |error| matches!(error, StorageError::Denied { .. }));
    let before = (bucket.proxy().count("GET"), bucket.proxy().count("PUT"));
    assert!(matches!(get(&bucket.storage(), "data/z"), Err(StorageError::Missing { .. })));
    assert_eq!(put(&bucket.storage(), "data/x", b"other").unwrap(), PutAnswer::Existed);
    assert_eq!((bucket.proxy().count("GET"), bucket.proxy().count("PUT")), (before.0 + 1, before.1 + 1));
}

#[test]
fn a_body_that_was_cut_is_never_an_object() {
    let Some(peer) = moto() else { return };
    let bucket = Bucket::tried_once(peer, plain);
    let body: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    put(&bucket.storage(), "data/x", &body).unwrap();
    for fault in [Fault::ResetInBody, Fault::ShortBody, Fault::LoseWrite, Fault::Body(""), Fault::Body("<html>")] {
        for range in [None, Some(10..90_000)] {
            bucket.proxy().harm("GET", 1, fault.clone());
            let answer = block_on(bucket.storage().object_get(&key("data/x"), range.clone(), ReadCache::Use));
            assert!(matches!(answer, Err(StorageError::Io { .. })), "{fault:?} {range:?}: {answer:?}");
        }
    }
    assert_eq!(get(&bucket.storage(), "data/x").unwrap(), body);
}

#[test]
fn a_list_that_was_cut_is_never_a_shorter_list() {
    let Some(peer) = moto() else { return };
    let bucket = Bucket::tried_once(peer, plain);
    for name in ["data/a", "data/b", "data/c"] {
        put(&bucket.storage(), name, b"x").unwrap();
    }
    let faults = [
        Fault::Status(500),
        Fault::ResetInBody,
        Fault::ShortBody,
        Fault::Body(""),
        Fault::Body("<html><body>Log in</body></html>"),
        Fault::Body("<Error><Code>InternalError</Code></Error>"),
        Fault::Body("<ListBucketResult></ListBucketResult>"),
        Fault::Replace("<IsTruncated>false", "<IsTruncated>true"),
        Fault::Replace("<IsTruncated>false</IsTruncated>", ""),
        Fault::Replace("data/b", "data/a"),
        Fault::Replace("data/c", "data/0"),
        Fault::Replace("</ListBucketResult>", ""),
    ];
    for fault in faults {
        bucket.proxy().harm("LIST", 1, fault.clone());
        let answer = list(&bucket.storage());
        assert!(matches!(answer, Err(StorageError::List { .. })), "{fault:?}: {answer:?}");
    }
    assert_eq!(list(&bucket.storage()).unwrap().len(), 3);
}

#[test]
fn a_long_list_goes_on_where_it_broke_off() {
    let Some(peer) = moto() else { return };
    let bucket = Bucket::tried_once(peer, plain);
    let directly = bucket.directly();
    std::thread::scope(|scope| {
        for part in 0..8 {
            let directly = &directly;
            scope.spawn(move || {
                for number in 0..256 {
                    block_on(directly.object_put(&key(&format!("data/{part}/{number:04}")), Bytes::new())).unwrap();
                }
            });
        }
    });
    bucket.proxy().harm("LIST", 2, Fault::Status(500));
    assert!(matches!(list(&bucket.storage()), Err(StorageError::List { .. })));
    let retried = bucket.with_retries();
    let before = bucket.proxy().count("LIST");
    bucket.proxy().harm("LIST", 2, Fault::Status(500));
    assert_eq!(list(&retried).unwrap().len(), 8 * 256);
    assert_eq!(bucket.proxy().count("LIST") - before, 4, "three pages, and one of them twice");
}

#[test]
fn slow_is_not_silent() {
    let Some(peer) = moto() else { return };
    let bucket = Bucket::tried_once(peer, impatient);
    let body = vec![7; 3000];
    bucket.proxy().harm("PUT", 1, Fault::Slow(1000));
    assert_eq!(put(&bucket.storage(), "data/x", &body).unwrap(), PutAnswer::Created);
    bucket.proxy().harm("GET", 1, Fault::Slow(1000));
    assert_eq!(get(&bucket.storage(), "data/x").unwrap(), body);
}

#[test]
fn silence_is_ended() {
    let Some(peer) = moto() else { return };
    let bucket = Bucket::tried_once(peer, impatient);
    put(&bucket.storage(), "data/x", &[7; 3000]).unwrap();
    for fault in [Fault::Stall, Fault::StallInBody] {
        bucket.proxy().harm("GET", 1, fault.clone());
        let error = get(&bucket.storage(), "data/x").unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "nothing moved for 1 seconds", "{fault:?}");
    }
    bucket.proxy().harm("PUT", 1, Fault::Stall);
    assert!(matches!(put(&bucket.storage(), "data/y", b"y"), Err(StorageError::Io { .. })));
}

#[test]
fn a_write_that_was_lost_is_noticed_and_made_again() {
    let Some(peer) = moto() else { return };
    let once = Bucket::tried_once(peer, confirmed);
    once.proxy().harm("PUT", 1, Fault::LoseWrite);
    assert!(matches!(put(&once.storage(), "data/x", b"x"), Err(StorageError::Io { .. })));
    let retried = once.with_retries();
    let before = once.proxy().count("PUT");
    once.proxy().harm("PUT", 1, Fault::LoseWrite);
    assert_eq!(put(&retried, "data/x", b"x").unwrap(), PutAnswer::Created);
    assert_eq!(once.proxy().count("PUT") - before, 2);
    assert_eq!(get(&once.directly(), "data/x").unwrap(), &b"x"[..]);
}

#[test]
fn a_put_whose_answer_was_lost_is_our_own() {
    let Some(peer) = moto() else { return };
    let bucket = Bucket::behind_proxy(peer, plain);
    bucket.proxy().harm("PUT", 1, Fault::LoseAnswer);
    assert_eq!(put(&bucket.storage(), "config", b"ours").unwrap(), PutAnswer::Created);
    assert_eq!(bucket.proxy().count("PUT"), 2 + 1, "the bucket's own put comes first");
    // Another one's object of the same length: the first try failed, the second meets it.
    put(&bucket.directly(), "keys/k", b"theirs").unwrap();
    bucket.proxy().harm("PUT", 1, Fault::Status(500));
    assert_eq!(put(&bucket.storage(), "keys/k", b"ours!!").unwrap(), PutAnswer::Existed);
    assert_eq!(get(&bucket.storage(), "keys/k").unwrap(), &b"theirs"[..]);
}

#[test]
fn a_call_that_is_dropped_ends_its_exchange() {
    let Some(peer) = moto() else { return };
    let bucket = Bucket::tried_once(peer, plain);
    put(&bucket.storage(), "data/x", b"x").unwrap();
    bucket.proxy().harm_all("GET", Fault::Stall);
    let (storage, x) = (bucket.storage(), key("data/x"));
    let mut call = storage.object_get(&x, None, ReadCache::Use);
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    while bucket.proxy().count("GET") == 0 {
        std::thread::yield_now();
    }
    assert_eq!(bucket.proxy().open(), 1);
    drop(call);
    // The connection's end is what the proxy waits for; a test that never ends is the failure.
    while bucket.proxy().open() > 0 {
        std::thread::yield_now();
    }
}
