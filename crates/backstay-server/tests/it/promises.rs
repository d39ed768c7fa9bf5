//! What HTTP itself promises: keys that make a request happen once, tags that keep changes apart, limits, streams.

use backstay_api::JobsClient;
use backstay_core::domain::access::Role;
use backstay_core::domain::id::{StorageId, TenantId};
use backstay_core::domain::job::{JobCounts, JobKind, Outcome, StateName};
use backstay_core::domain::storage::{Purpose, Storage};
use backstay_core::domain::tenant::Tenant;
use backstay_core::domain::unread::Unread;
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseError, LeaseRequest};
use backstay_core::ports::store::{Page, StoreError};
use backstay_testkit::conformance::world::World;
use secrecy::ExposeSecret as _;

use crate::served::{Served, TOKEN, fakes};

/// Red without the hash of the request, and without the remembered answer in `door::once`.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_key_happens_once() {
    let served = Served::over(&fakes()).await;
    let bearer = format!("authorization: Bearer {TOKEN}");
    let ask = async |key: &str, body: &str| {
        served.http("POST /api/v1/tenants", &[&bearer, &format!("idempotency-key: {key}")], body, "").await
    };
    let first = ask("one", r#"{"name":"ada"}"#).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    let again = ask("one", r#"{"name":"ada"}"#).await;
    assert_eq!((again.status, again.header("idempotency-replayed"), &again.body), (201, Some("true"), &first.body));
    let other = ask("one", r#"{"name":"eve"}"#).await;
    assert_eq!((other.status, other.json()["code"].as_str()), (422, Some("idempotency_key_reused")));
    let taken = ask("two", r#"{"name":"ada"}"#).await;
    assert_eq!(taken.status, 409);
    assert_eq!(ask("two", r#"{"name":"ada"}"#).await.header("idempotency-replayed"), Some("true"), "an error too");
    let changes = served.access.change_list(Page::first()).await.unwrap();
    assert_eq!(changes.len(), 2, "a repetition changes nothing and is not recorded");
    let secret = r#"{"name":"a","role":"reader"}"#;
    let key = format!("idempotency-key: {}", "k".repeat(10));
    let refused = served.http("POST /api/v1/tokens", &[&bearer, &key], secret, "").await;
    assert_eq!(refused.status, 422, "an answer with a secret is not remembered");
}

/// Red without `If-Match` in an update, or when what a row does by itself (proofs, pings) counts as a change by somebody.
#[tokio::test(flavor = "multi_thread")]
async fn repositories_and_monitors_have_tags_of_what_is_declared() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 1).await;
    let bearer = format!("authorization: Bearer {TOKEN}");
    let body = r#"{"name":"nightly","tenant":"ada","schedule":"every 1d","grace_ms":3600000}"#;
    let made = served.http("POST /api/v1/monitors", &[&bearer], body, "").await;
    assert_eq!(made.status, 201, "{}", made.body);
    let monitor = made.json()["id"].as_str().unwrap().to_owned();
    for (path, first, second) in [
        (
            format!("/api/v1/repositories/{}", world.repository.id),
            r#"{"verify_within_ms":864000000}"#,
            r#"{"verify_within_ms":0}"#,
        ),
        (format!("/api/v1/monitors/{monitor}"), r#"{"grace_ms":7200000}"#, r#"{"grace_ms":60000}"#),
    ] {
        let seen = served.http(&format!("GET {path}"), &[&bearer], "", "").await;
        let tag = format!("if-match: {}", seen.header("etag").unwrap());
        world.clock.advance(std::time::Duration::from_secs(86_400 * 9));
        let again = served.http(&format!("GET {path}"), &[&bearer], "", "").await;
        assert_eq!(again.header("etag"), seen.header("etag"), "{path}: time is nobody's change");
        let change = async |body: &str| served.http(&format!("PATCH {path}"), &[&bearer, &tag], body, "").await;
        let changed = change(first).await;
        assert_eq!(changed.status, 200, "{path}: {}", changed.body);
        assert_ne!(changed.header("etag"), seen.header("etag"));
        let late = change(second).await;
        assert_eq!((late.status, late.json()["code"].as_str()), (412, Some("changed")), "{path}");
    }
}

/// Red without `If-Match` in `plan_update`, and without the old values in `plan_replace`.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_somebody_else_is_not_overwritten() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 1).await;
    let bearer = format!("authorization: Bearer {TOKEN}");
    let path = format!("/api/v1/plans/{}", world.plan.id);
    let seen = served.http(&format!("GET {path}"), &[&bearer], "", "").await;
    let tag = format!("if-match: {}", seen.header("etag").unwrap());
    let change = async |tag: &str, body: &str| served.http(&format!("PATCH {path}"), &[&bearer, tag], body, "").await;
    let changed = change(&tag, r#"{"rpo_ms":3600000,"name":"hourly"}"#).await;
    assert_eq!((changed.status, changed.json()["name"].as_str()), (200, Some("hourly")));
    assert_ne!(changed.header("etag"), seen.header("etag"));
    let late = change(&tag, r#"{"rpo_ms":7200000}"#).await;
    assert_eq!((late.status, late.json()["code"].as_str()), (412, Some("changed")));
    let now = served.http(&format!("GET {path}"), &[&bearer], "", "").await;
    assert_eq!((now.json()["rpo_ms"].as_u64(), now.header("etag")), (Some(3_600_000), changed.header("etag")));
    assert_eq!(change("x-none: 1", r#"{"rpo_ms":1}"#).await.status, 422);
    let stale = world.plan.clone();
    assert!(!world.stores.declarations.plan_replace(&stale, &world.plan).await.unwrap());
}

/// Red without the tag of `channel_show`, and without `If-Match` in `channel_update`.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_somebody_else_changed_is_not_overwritten() {
    let served = Served::over(&fakes()).await;
    let bearer = format!("authorization: Bearer {TOKEN}");
    let settings = r#"{"url":"https://a.example/","secret":"file:keys/channels/x"}"#;
    let body = format!(r#"{{"name":"hook","kind":"webhook","settings":{settings}}}"#);
    let made = served.http("POST /api/v1/channels", &[&bearer], &body, "").await;
    let path = format!("/api/v1/channels/{}", made.json()["id"].as_str().unwrap());
    let seen = served.http(&format!("GET {path}"), &[&bearer], "", "").await;
    let tag = format!("if-match: {}", seen.header("etag").unwrap());
    let change = async |body: &str| served.http(&format!("PATCH {path}"), &[&bearer, &tag], body, "").await;
    let changed = change(r#"{"digest":"daily 07:00 UTC"}"#).await;
    assert_eq!((changed.status, changed.json()["digest"].as_str()), (200, Some("daily 07:00 UTC")));
    assert_ne!(changed.header("etag"), seen.header("etag"));
    let late = change(r#"{"digest":"never"}"#).await;
    assert_eq!((late.status, late.json()["code"].as_str()), (412, Some("changed")));
}

/// Red without `If-Match` in `storage_update`, or when the row is not compared as it is replaced.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_somebody_else_gave_a_storage_are_not_overwritten() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 1).await;
    let storage = Storage {
        id: StorageId::new(world.now(), world.ten()),
        tenant_id: world.tenant.id,
        name: "disk".parse().unwrap(),
        place: world.repository.storage.clone(),
        credentials: [(Purpose::Read, "file:keys/read".parse().unwrap())].into(),
        retired_at: None,
    };
    world.stores.declarations.storage_add(&storage).await.unwrap();
    let bearer = format!("authorization: Bearer {TOKEN}");
    let path = format!("/api/v1/storages/{}", storage.id);
    let seen = served.http(&format!("GET {path}"), &[&bearer], "", "").await;
    let tag = format!("if-match: {}", seen.header("etag").unwrap());
    assert_eq!(seen.json()["credentials"]["read"].as_str(), Some("file:keys/read"));
    let change = async || served.http(&format!("PATCH {path}"), &[&bearer, &tag], r#"{"credentials":{}}"#, "").await;
    let changed = change().await;
    assert!(changed.status == 200 && changed.json()["credentials"].is_null(), "{}", changed.body);
    assert_ne!(changed.header("etag"), seen.header("etag"));
    let late = change().await;
    assert_eq!((late.status, late.json()["code"].as_str()), (412, Some("changed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_have_to_wait_and_good_ones_do_not() {
    let served = Served::over(&fakes()).await;
    let ask = async |token: &str| {
        served.http("GET /api/v1/tenants", &[&format!("authorization: Bearer {token}")], "", "").await
    };
    let first = ask("bk_wrong").await;
    assert_eq!((first.status, first.header("www-authenticate")), (401, Some("Bearer")));
    let mut last = first;
    for _ in 0..40 {
        last = ask("bk_wrong").await;
    }
    assert_eq!((last.status, last.json()["code"].as_str()), (429, Some("too_many_failures")));
    assert!(last.header("retry-after").unwrap().parse::<u64>().unwrap() <= 60);
    let good = ask(TOKEN).await;
    assert_eq!((good.status, good.header("cache-control")), (200, Some("no-store")));
    assert_eq!(served.http("GET /api/v1/tenants", &[], "", "").await.status, 401, "no token is no guess");
}

/// Red when a stream begins after the newest event, or with the one that the reader has.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_loses_nothing_across_a_reconnect_and_tells_nothing_of_others() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores.clone(), 5).await;
    let other = Tenant { id: TenantId::new(world.now(), world.ten()), name: "eve".parse().unwrap() };
    stores.declarations.tenant_add(&other).await.unwrap();
    world.queued(0).await;
    world.queued(1).await;
    let read = async |tenant: TenantId, path: &str, after: &str, enough: &'static str| {
        let token = served.token(Role::Reader, Some(tenant)).await;
        let bearer = format!("authorization: Bearer {}", token.expose_secret());
        served.http(&format!("GET {path}"), &[&bearer, after], "", enough).await
    };
    let path = "/api/v1/events/stream";
    let first = read(world.tenant.id, path, "x-none: 1", "id: 2").await;
    assert_eq!((first.status, first.header("content-type")), (200, Some("text/event-stream")));
    assert!(first.body.contains("id: 1\n") && first.body.contains("event: enqueued\n"), "{}", first.body);
    world.queued(2).await;
    let next = async {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        world.queued(3).await;
    };
    let (again, ()) = tokio::join!(read(world.tenant.id, path, "last-event-id: 2", "id: 4"), next);
    assert!(again.body.contains("id: 3\n") && !again.body.contains("id: 2\n"), "{}", again.body);
    let foreign = read(other.id, "/api/v1/events/stream?tenant=ada", "x-none: 1", "").await;
    assert_eq!(foreign.status, 404);
    // A stream of the other tenant ends with the server, and had nothing to tell.
    let end = async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        served.stop();
    };
    let (silent, ()) = tokio::join!(read(other.id, path, "x-none: 1", "event: end"), end);
    assert!(silent.body.contains("event: end") && !silent.body.contains("enqueued"), "{}", silent.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused() {
    let served = Served::over(&fakes()).await;
    let bearer = format!("authorization: Bearer {TOKEN}");
    let body = format!(r#"{{"name":"{}"}}"#, "x".repeat(1 << 20));
    let refused = served.http("POST /api/v1/tenants", &[&bearer], &body, "").await;
    assert_eq!(refused.status, 413, "{refused:?}");
}

/// Red without `fits` in `http/agent.rs`: the backup would have succeeded, with no snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_does_not_end_with_the_result_of_another_kind() {
    let stores = fakes();
    let served = Served::over(&stores).await;
    let world = World::new(stores, 1).await;
    let jobs = JobsClient::new(&served.client_of(Role::Agent, None).await);
    let id = world.queued(0).await;
    let ask = LeaseRequest { agent_id: world.agent(), kinds: vec![JobKind::Backup], held: Vec::new(), count_max: 1 };
    let key = jobs.job_lease(&ask).await.unwrap()[0].lease_key();
    let (outcome, counts) = (Outcome::Complete, JobCounts::default());
    let wrong = jobs.job_finish(key, &JobResult::Restored { outcome, counts, unread: Unread::default() }).await;
    assert!(matches!(wrong, Err(LeaseError::Store(StoreError::Refused { .. }))), "{wrong:?}");
    assert_eq!(world.job(id).await.state.name(), StateName::Leased);
}
