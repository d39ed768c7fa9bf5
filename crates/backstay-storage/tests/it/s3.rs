//! What a bucket promises beyond the port: protected objects, versions, copies, frozen packs, credentials by purpose.

use std::process::Command;
use std::sync::Arc;

use backstay_storage::kinds::s3::open_without_retries;
use backstay_storage::{
    AccessKey, ObjectKey, ObjectStorage, ObjectVersion, Presence, Purpose, PutAnswer, PutOptions, ReadCache,
    StorageCredentials, StorageError, storage_kind,
};
use backstay_testkit::conformance::storage::StorageFixture;
use backstay_testkit::fakes::proxy::Fault;
use backstay_testkit::peers::s3::{S3Peer, ceph, moto};
use bytes::Bytes;
use futures::executor::block_on;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::house::Bucket;

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn put(storage: &Arc<dyn ObjectStorage>, name: &str, body: &'static [u8]) -> Result<PutAnswer, StorageError> {
    block_on(storage.object_put(&key(name), Bytes::from_static(body)))
}

fn get(storage: &Arc<dyn ObjectStorage>, name: &str) -> Result<Bytes, StorageError> {
    block_on(storage.object_get(&key(name), None, ReadCache::Use))
}

fn versions(storage: &Arc<dyn ObjectStorage>) -> Vec<ObjectVersion> {
    let mut found = Vec::new();
    block_on(storage.object_versions("", &mut |version| found.push(version))).unwrap();
    found
}

fn protected(peer: &'static S3Peer) {
    let bucket = peer.bucket();
    let lock = ["x-amz-bucket-object-lock-enabled: true"];
    assert_eq!(peer.request("PUT", &format!("/{bucket}"), &lock), 200);
    let settings = peer.settings(&peer.endpoint, &bucket);
    let storage = storage_kind("s3").unwrap().open(&settings, &peer.credentials(), Presence::Existing).unwrap();
    assert!(storage.capabilities().retention && storage.capabilities().versions);

    let until = Timestamp::from_second((Timestamp::now() + SignedDuration::from_mins(3)).as_second()).unwrap();
    let options = PutOptions { retain_until: Some(until), ..PutOptions::default() };
    let body = Bytes::from_static(b"kept");
    assert_eq!(block_on(storage.object_put_with(&key("data/x"), body, options)).unwrap(), PutAnswer::Created);
    put(&storage, "data/y", b"y").unwrap();
    let retained = |name| block_on(storage.object_retained_until(&key(name)));
    assert_eq!(retained("data/x").unwrap(), Some(until));
    assert_eq!(retained("data/y").unwrap(), None);
    assert!(matches!(retained("data/z"), Err(StorageError::Missing { .. })));

    // A removal hides it; the version stays, and nobody may remove that.
    block_on(storage.object_remove(&key("data/x"))).unwrap();
    assert!(matches!(get(&storage, "data/x"), Err(StorageError::Missing { .. })));
    let of_x: Vec<_> = versions(&storage).into_iter().filter(|version| version.key == key("data/x")).collect();
    let removal = of_x.iter().find(|version| version.is_removal).unwrap();
    let kept = of_x.iter().find(|version| !version.is_removal).unwrap();
    assert_eq!((removal.is_latest, kept.is_latest, kept.size_bytes, of_x.len()), (true, false, 4, 2));
    let path = format!("/{bucket}/a%20prefix/r/data/x?versionId={}", kept.version);
    assert_eq!(peer.request("DELETE", &path, &[]), 403);
}

#[test]
fn a_protected_object_outlives_its_removal_on_ceph() {
    if let Some(peer) = ceph() {
        protected(peer);
    }
}

#[test]
fn a_protected_object_outlives_its_removal_on_moto() {
    if let Some(peer) = moto() {
        protected(peer);
    }
}

fn copies(peer: &'static S3Peer) {
    let bucket = Bucket::tried_once(peer, |_| {});
    let storage = bucket.storage();
    put(&storage, "data/a", b"bytes").unwrap();
    let before = bucket.proxy().count("GET");
    assert_eq!(block_on(storage.object_copy(&key("data/a"), &key("data/b"))).unwrap(), PutAnswer::Created);
    assert_eq!(block_on(storage.object_copy(&key("data/a"), &key("data/b"))).unwrap(), PutAnswer::Existed);
    assert_eq!(bucket.proxy().count("GET"), before, "the bytes passed here");
    assert_eq!(get(&storage, "data/b").unwrap(), &b"bytes"[..]);
    let missing = block_on(storage.object_copy(&key("data/z"), &key("data/c")));
    assert!(matches!(missing, Err(StorageError::Missing { .. })), "{missing:?}");
}

#[test]
fn the_server_copies_by_itself() {
    ceph().into_iter().chain(moto()).for_each(copies);
}

#[test]
fn a_frozen_pack_is_refused_until_it_was_warmed_up() {
    let Some(peer) = moto() else { return };
    let bucket = Bucket::tried_once(peer, |settings| settings["storage_class"] = json!("GLACIER"));
    let storage = bucket.storage();
    put(&storage, "data/x", b"a pack").unwrap();
    put(&storage, "index/x", b"an index").unwrap();
    let is_warm = |name| block_on(storage.object_is_warm(&key(name))).unwrap();
    assert_eq!(get(&storage, "index/x").unwrap(), &b"an index"[..]);
    assert!(is_warm("index/x") && !is_warm("data/x"));
    let error = get(&storage, "data/x").unwrap_err();
    assert!(matches!(error, StorageError::Frozen { .. }), "{error:?}");
    for _ in 0..2 {
        block_on(storage.object_warm_up(&key("data/x"), 1)).unwrap();
    }
    assert!(is_warm("data/x"));
    assert_eq!(get(&storage, "data/x").unwrap(), &b"a pack"[..]);
    assert!(matches!(block_on(storage.object_warm_up(&key("data/z"), 1)), Err(StorageError::Missing { .. })));
}

#[test]
fn each_purpose_has_its_credential() {
    let Some(peer) = ceph() else { return };
    let bucket = Bucket::tried_once(peer, |_| {});
    put(&bucket.storage(), "data/x", b"x").unwrap();
    let settings = peer.settings(&bucket.proxy().endpoint(), &bucket.name);
    let open = |credentials: &StorageCredentials| open_without_retries(&settings, credentials, Presence::Existing);

    let reader = open(&StorageCredentials::by_purpose([(Purpose::Read, peer.key())])).unwrap();
    assert_eq!(get(&reader, "data/x").unwrap(), &b"x"[..]);
    let before = (bucket.proxy().count("PUT"), bucket.proxy().count("DELETE"));
    let purpose = |answer: Result<(), StorageError>| match answer {
        Err(StorageError::Credential { purpose, .. }) => purpose,
        other => panic!("{other:?}"),
    };
    assert_eq!(purpose(put(&reader, "data/y", b"y").map(drop)), "write");
    assert_eq!(purpose(block_on(reader.object_remove(&key("data/x")))), "delete");
    assert_eq!((bucket.proxy().count("PUT"), bucket.proxy().count("DELETE")), before, "something was sent");

    let watcher = open(&StorageCredentials::by_purpose([(Purpose::Watch, peer.key())])).unwrap();
    assert_eq!(block_on(watcher.object_size(&key("data/x"))).unwrap(), 1);
    assert_eq!(purpose(get(&watcher, "data/x").map(drop)), "read");

    let stranger = AccessKey::new("nobody", "another-secret".into());
    let error = get(&open(&StorageCredentials::one(&stranger)).unwrap(), "data/x").unwrap_err();
    assert!(matches!(error, StorageError::Denied { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("another-secret"));
}

#[test]
fn the_environment_of_the_machine_opens_a_bucket() {
    const ENDPOINT: &str = "BACKSTAY_TEST_AMBIENT_ENDPOINT";
    let Some(peer) = ceph() else { return };
    if let Ok(endpoint) = std::env::var(ENDPOINT) {
        // The second process: it was given no key but those of its environment.
        let settings = peer.settings(&endpoint, &peer.bucket());
        let kind = storage_kind("s3").unwrap();
        let storage = kind.open(&settings, &StorageCredentials::ambient(), Presence::Create).unwrap();
        assert_eq!(put(&storage, "data/x", b"x").unwrap(), PutAnswer::Created);
        return;
    }
    let AccessKey { id, secret, .. } = peer.key();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "s3::the_environment_of_the_machine_opens_a_bucket"]).env(ENDPOINT, &peer.endpoint);
    again.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secrecy::ExposeSecret::expose_secret(&secret));
    let output = again.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
fn whether_the_server_keeps_conditions_is_learnt_once() {
    let Some(peer) = moto() else { return };
    let bucket = Bucket::tried_once(peer, |_| {});
    let counts = || (bucket.proxy().count("PUT"), bucket.proxy().count("HEAD"));
    let before = counts();
    put(&bucket.storage(), "locks/a", b"a").unwrap();
    let learnt = counts();
    assert_eq!(learnt.0 - before.0, 2, "put, and put again to see what it says");
    put(&bucket.storage(), "locks/b", b"b").unwrap();
    assert_eq!((counts().0 - learnt.0, counts().1 - learnt.1), (1, 1), "put, and looked at");
    assert!(bucket.proxy().head("PUT").to_ascii_lowercase().contains("if-none-match: *"));
    assert!(bucket.proxy().head("PUT").to_ascii_lowercase().contains("content-md5: "));
}

#[test]
fn a_server_that_ignores_conditions_is_asked_first() {
    let Some(peer) = moto() else { return };
    let bucket = Bucket::tried_once(peer, |_| {});
    bucket.proxy().harm_all("PUT", Fault::DropHeader("if-none-match"));
    assert_eq!(put(&bucket.storage(), "locks/a", b"a").unwrap(), PutAnswer::Created);
    let before = bucket.proxy().count("PUT");
    assert_eq!(put(&bucket.storage(), "locks/a", b"another").unwrap(), PutAnswer::Existed);
    assert_eq!(bucket.proxy().count("PUT"), before);
    assert_eq!(get(&bucket.storage(), "locks/a").unwrap(), &b"a"[..]);
}

#[test]
fn what_the_server_encrypts_with_is_said_in_headers() {
    let Some(peer) = moto() else { return };
    let head = |change: &dyn Fn(&mut serde_json::Value), credentials: &StorageCredentials| {
        let bucket = Bucket::tried_once(peer, |_| {});
        let mut settings = peer.settings(&bucket.proxy().endpoint(), &bucket.name);
        change(&mut settings);
        let storage = open_without_retries(&settings, credentials, Presence::Existing).unwrap();
        put(&storage, "data/x", b"x").unwrap();
        assert_eq!(get(&storage, "data/x").unwrap(), &b"x"[..]);
        assert!(!format!("{storage:?} {}", storage.place()).contains("MDEy"));
        let (put, get) = (bucket.proxy().head("PUT"), bucket.proxy().head("GET"));
        (put.to_ascii_lowercase(), get.to_ascii_lowercase())
    };
    let (put, _) = head(&|settings| settings["encryption"] = json!("AES256"), &peer.credentials());
    assert!(put.contains("x-amz-server-side-encryption: aes256"), "{put}");
    let kms = |settings: &mut serde_json::Value| {
        settings["encryption"] = json!("aws:kms");
        settings["kms_key_id"] = json!("key-7");
    };
    let (put, _) = head(&kms, &peer.credentials());
    assert!(put.contains("x-amz-server-side-encryption: aws:kms"), "{put}");
    assert!(put.contains("x-amz-server-side-encryption-aws-kms-key-id: key-7"), "{put}");
    // The 32 bytes 0123456789… in base64.
    let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let credentials = peer.credentials().with_customer_key(key.into());
    let (put, get) = head(&|settings| settings["encryption"] = json!("customer_key"), &credentials);
    for head in [put, get] {
        assert!(head.contains("x-amz-server-side-encryption-customer-key: "), "{head}");
        assert!(head.contains("x-amz-server-side-encryption-customer-key-md5: "), "{head}");
    }
    let settings = json!({ "endpoint": peer.endpoint, "bucket": "abc", "encryption": "customer_key" });
    let error = open_without_retries(&settings, &peer.credentials(), Presence::Existing).unwrap_err();
    assert_eq!(error.to_string(), "settings.encryption: customer_key needs the key as a credential");
}

#[test]
fn a_bucket_that_must_be_there_is_not_made() {
    for peer in ceph().into_iter().chain(moto()) {
        let settings = peer.settings(&peer.endpoint, &peer.bucket());
        for _ in 0..2 {
            let answer = storage_kind("s3").unwrap().open(&settings, &peer.credentials(), Presence::Existing);
            assert!(matches!(answer, Err(StorageError::Absent { .. })), "{answer:?}");
        }
    }
}
