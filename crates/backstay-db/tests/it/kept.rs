//! What is kept and what is not: sweeps of history, dead agents, sealed secrets; on each database.

use std::sync::Arc;
use std::time::Duration;

use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::JobSetId;
use backstay_core::domain::job::Outcome;
use backstay_core::domain::job_set::JobSet;
use backstay_core::domain::secret::Secret;
use backstay_core::domain::sweep::Sweepable;
use backstay_core::managers::event::event_verify;
use backstay_core::ports::notice::{Mark, NoticeWrite};
use backstay_core::ports::store::{HistoryStore as _, Settlement, StoreError};
use backstay_core::ports::sweep::SweepStore as _;
use backstay_db::{Database, MasterKey, MasterKeys, SealError, SealedSecrets};
use backstay_testkit::conformance::job::context;
use backstay_testkit::conformance::secret;
use backstay_testkit::conformance::world::{TTL, World};
use backstay_testkit::fakes::random::SeededRandom;
use backstay_testkit::peers::database::Engine;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use secrecy::ExposeSecret as _;

use crate::OnFile;
use crate::server::OnServer;

const DAY: Duration = Duration::from_secs(86_400);

/// What ended long ago goes, in batches; what is younger, or has not ended, stays; the chain of events can be verified
/// from its anchor on, and goes on.
async fn history_is_swept(database: Database, world: World) {
    let agent = world.agent();
    let (id, name, created_at) = (JobSetId::new(world.now(), world.ten()), world.plan.name.clone(), world.now());
    let set = JobSet { id, tenant_id: world.tenant.id, name, wanted: 2, created_at };
    world.jobs.set_add(&set).await.unwrap();
    let mut ended = Vec::new();
    for _ in 0..3 {
        let key = world.leased(0, agent).await;
        let event = Some(world.event(EventKind::Succeeded, &world.job(key.job_id).await));
        world.jobs.job_settle(key, &Settlement { event, ..world.success() }).await.unwrap();
        ended.push(key.job_id);
        world.clock.advance(DAY);
    }
    let waiting = world.queued(1).await;
    let now = world.now();
    assert_eq!(
        database.rows_sweep(Sweepable::Jobs, now, 9).await.unwrap(),
        0,
        "two months are kept, whatever is asked"
    );
    assert_eq!(world.jobs.set_get(set.id).await.unwrap(), set, "its members may be on their way");
    assert_eq!(database.event_sweep(world.tenant.id, now, 99).await.unwrap(), 0);
    world.clock.advance(DAY * 61);
    let cut = now.checked_sub(DAY).unwrap();
    assert_eq!(database.rows_sweep(Sweepable::Jobs, cut, 1).await.unwrap(), 1);
    assert_eq!(database.rows_sweep(Sweepable::Jobs, cut, 9).await.unwrap(), 1, "the third is of the day of the cut");
    assert_eq!(database.rows_sweep(Sweepable::Jobs, cut, 9).await.unwrap(), 0);
    for id in &ended[..2] {
        assert!(matches!(world.jobs.job_get(*id).await, Err(StoreError::NotFound { .. })));
        assert!(world.history.attempt_list(*id).await.unwrap().is_empty());
    }
    assert!(matches!(world.jobs.set_get(set.id).await, Err(StoreError::NotFound { .. })), "no member is left of it");
    world.job(ended[2]).await;
    world.job(waiting).await;

    assert_eq!(database.event_anchor(world.tenant.id).await.unwrap(), None);
    assert_eq!(database.event_sweep(world.tenant.id, cut, 3).await.unwrap(), 0, "alerts have not taken them in");
    let take = async |from, to| {
        let mark = Some(Mark::Events { tenant_id: world.tenant.id, from, to });
        world.stores.notices.notice_put(&NoticeWrite { mark, ..NoticeWrite::default() }).await.unwrap()
    };
    assert!(take(0, 2).await);
    assert_eq!(database.event_sweep(world.tenant.id, cut, 9).await.unwrap(), 2, "they have taken in two");
    assert!(take(2, 7).await);
    assert_eq!(database.event_sweep(world.tenant.id, cut, 1).await.unwrap(), 1);
    assert_eq!(database.event_sweep(world.tenant.id, cut, 9).await.unwrap(), 1);
    let anchor = database.event_anchor(world.tenant.id).await.unwrap().unwrap();
    assert_eq!(anchor.0, 4);
    world.clock.advance(DAY * 90);
    let verify = async || {
        let found = event_verify(&context(&world.stores), world.tenant.id, 1).await.unwrap();
        assert_eq!((found.broken, found.next), (None, None));
        (found.swept, found.checked, found.last.map(|(place, _)| place))
    };
    assert_eq!(verify().await, (Some(4), 3, Some(7)));
    assert_eq!(database.event_sweep(world.tenant.id, world.now(), 99).await.unwrap(), 3);
    let anchor = database.event_anchor(world.tenant.id).await.unwrap().unwrap();
    world.queued(2).await;
    assert_eq!(anchor.0, 7);
    assert_eq!(verify().await, (Some(7), 1, Some(8)), "an empty chain goes on from its anchor");

    let dead = async || database.rows_sweep(Sweepable::Agents, world.now().checked_sub(DAY).unwrap(), 9).await.unwrap();
    assert_eq!(dead().await, 1, "the agent is long dead");
    let holder = world.agent();
    let claimed = world.claim(holder, 1).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(dead().await, 0, "it lives");
    world.clock.advance(TTL + DAY * 2);
    assert_eq!(dead().await, 0, "it holds a lease, which the rescuer has to end first");
}

/// What was forgotten, sent, given up, ended or answered long ago goes; what was not stays, and a child stays without its
/// parent.
///
/// Red when any of the questions leaves its filter out.
async fn what_is_over_is_swept(database: Database, raw: DatabaseConnection, world: World) {
    let agent = world.agent();
    let saved = async |foreign_id: &str| {
        let key = world.leased(0, agent).await;
        let snapshot = world.snapshot(&world.job(key.job_id).await, foreign_id, Outcome::Complete);
        let id = snapshot.id;
        world.jobs.job_settle(key, &Settlement { snapshot: Some(snapshot), ..world.success() }).await.unwrap();
        id
    };
    let (one, two) = (saved("one").await, saved("two").await);
    let cut = world.now();
    let micros = cut.as_microsecond();
    let alert = |id: &str, ended: &str| {
        format!(
            "INSERT INTO alert (id, tenant_id, topic, subject_hash, subject, title, message, severity, since_at, last_at, \
             told_count, held_count, ended_at, silence_reason, revision) VALUES ('{id}', '{}', 'overdue', '{id}', 'x', 'x', \
             'x', 'error', 0, 0, 0, 0, {ended}, '', 1)",
            world.tenant.id
        )
    };
    let message = |id: &str, due: &str, sent: &str, given_up: &str| {
        format!(
            "INSERT INTO outbox (id, channel_id, document_json, created_at, due_at, tries, sent_at, given_up_at) \
             VALUES ('{id}', 'x', '{{}}', 0, {due}, 1, {sent}, {given_up})"
        )
    };
    let answer = |key: &str, asked: i64| {
        format!(
            "INSERT INTO remembered_answer (caller, answer_key, request_hash, asked_at) VALUES ('x', '{key}', 'x', {asked})"
        )
    };
    for sql in [
        format!("UPDATE snapshot SET parent_id = '{one}' WHERE id = '{two}'"),
        format!("UPDATE snapshot SET forgotten_at = {} WHERE id = '{one}'", micros - 1),
        alert("ended", "1"),
        alert("goes on", "NULL"),
        alert("young", &format!("{micros}")),
        message("sent", "NULL", "1", "NULL"),
        message("given up", "NULL", "NULL", "1"),
        message("waits", "1", "NULL", "NULL"),
        message("young", "NULL", &format!("{micros}"), "NULL"),
        answer("old", 1),
        answer("young", micros),
    ] {
        raw.execute_unprepared(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let sweep = async |what| database.rows_sweep(what, cut, 9).await.unwrap();
    assert_eq!(sweep(Sweepable::Snapshots).await, 0, "two months are kept, whatever is asked");
    world.clock.advance(DAY * 70);
    assert_eq!(sweep(Sweepable::Snapshots).await, 1);
    assert!(matches!(world.history.snapshot_get(one).await, Err(StoreError::NotFound { .. })));
    world.history.snapshot_get(two).await.unwrap();
    assert_eq!(sweep(Sweepable::Alerts).await, 1);
    assert_eq!(sweep(Sweepable::Messages).await, 2);
    assert_eq!(sweep(Sweepable::Answers).await, 1);
    for what in [Sweepable::Snapshots, Sweepable::Alerts, Sweepable::Messages, Sweepable::Answers] {
        assert_eq!(sweep(what).await, 0, "{}", what.word());
    }
    let left = async |table: &str| {
        let sql = format!("SELECT COUNT(*) AS count FROM {table}");
        let row = raw.query_one_raw(Statement::from_string(raw.get_database_backend(), sql)).await.unwrap().unwrap();
        row.try_get::<i64>("", "count").unwrap()
    };
    assert_eq!((left("alert").await, left("outbox").await, left("remembered_answer").await), (2, 2, 1));
}

/// Secrets come back; not from another row, not under another key, and never as text; rotation leaves no old key.
async fn secrets_are_sealed(database: Database, raw: DatabaseConnection) {
    let key = |letter: u8| MasterKey::new([letter; 32]);
    let with = |keys: MasterKeys| SealedSecrets::new(database.clone(), keys, Arc::new(SeededRandom::new(5)));
    let old = with(MasterKeys::new(key(1), Vec::new()));
    let secret = Secret::from("correct horse ü");
    let read =
        async |store: &SealedSecrets, name: &str| store.get(name).await.map(|got| got.expose_secret().to_owned());
    assert!(matches!(read(&old, "repo").await, Err(SealError::Missing { .. })));
    old.put("repo", &Secret::from("first")).await.unwrap();
    old.put("repo", &secret).await.unwrap();
    old.put("other", &Secret::from("other one")).await.unwrap();
    assert_eq!(read(&old, "repo").await.unwrap(), "correct horse ü");
    let printed = format!("{old:?} {:?}", key(1));
    assert!(printed.contains(key(1).id()) && !printed.contains("correct") && !printed.contains("1, 1"), "{printed}");

    let wrong = with(MasterKeys::new(key(2), Vec::new()));
    let refused = read(&wrong, "repo").await.unwrap_err();
    assert!(matches!(&refused, SealError::Key { key_id, .. } if key_id == key(1).id()), "{refused:?}");
    assert!(refused.to_string().contains(key(1).id()) && refused.to_string().contains(key(2).id()), "{refused}");
    assert!(wrong.rotate().await.is_err());
    assert_eq!(read(&old, "repo").await.unwrap(), "correct horse ü", "a rotation that cannot open changes nothing");

    let both = with(MasterKeys::new(key(2), vec![key(1)]));
    assert_eq!(read(&both, "repo").await.unwrap(), "correct horse ü");
    assert_eq!((both.rotate().await.unwrap(), both.rotate().await.unwrap()), (2, 0));
    assert_eq!(read(&wrong, "repo").await.unwrap(), "correct horse ü", "the old key is needed no more");
    assert!(matches!(read(&old, "repo").await, Err(SealError::Key { .. })));

    let rows = raw.query_all_raw(Statement::from_string(raw.get_database_backend(), "SELECT sealed FROM secret"));
    for row in rows.await.unwrap() {
        let sealed: Vec<u8> = row.try_get("", "sealed").unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("horse"));
    }
    let copy = "UPDATE secret SET sealed = (SELECT s.sealed FROM (SELECT * FROM secret) s WHERE s.id = 'other')";
    raw.execute_unprepared(copy).await.unwrap();
    assert_eq!(read(&wrong, "other").await.unwrap(), "other one");
    let refused = read(&wrong, "repo").await.unwrap_err();
    assert!(matches!(&refused, SealError::Broken { row, .. } if row == "repo"), "{refused:?}");
    wrong.remove("repo").await.unwrap();
    wrong.remove("repo").await.unwrap();
    assert!(matches!(read(&wrong, "repo").await, Err(SealError::Missing { .. })));
}

/// Red when `put_first` replaces what is there, and when `keys_check` looks at nothing.
async fn what_replicas_share_is_made_once(database: Database) {
    let with = |keys: MasterKeys| SealedSecrets::new(database.clone(), keys, Arc::new(SeededRandom::new(5)));
    let key = |letter: u8| MasterKey::new([letter; 32]);
    let store = with(MasterKeys::new(key(1), Vec::new()));
    store.keys_check().await.unwrap();
    let fresh: Vec<Secret> = (0..8).map(|number| Secret::from(format!("fresh {number}"))).collect();
    let made = futures::future::join_all(fresh.iter().map(|fresh| store.ensure("signing-key", fresh))).await;
    let made: Vec<String> = made.into_iter().map(|one| one.unwrap().expose_secret().to_owned()).collect();
    assert!(made.iter().all(|one| *one == made[0]), "eight replicas got {made:?}");
    assert_eq!(store.ensure("signing-key", &Secret::from("late")).await.unwrap().expose_secret(), made[0]);
    secret::exercise_keeper(&store, &store).await;
    let wrong = with(MasterKeys::new(key(2), Vec::new()));
    let refused = wrong.keys_check().await.unwrap_err().to_string();
    assert!(refused.contains(key(1).id()) && refused.contains(key(2).id()), "{refused}");
    with(MasterKeys::new(key(2), vec![key(1)])).keys_check().await.unwrap();
}

#[tokio::test]
async fn what_replicas_share_is_made_once_on_a_file() {
    what_replicas_share_is_made_once(OnFile::new().await.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replicas_share_is_made_once_on_postgresql() {
    let Some(here) = OnServer::new(Engine::Postgresql).await else { return };
    what_replicas_share_is_made_once(here.database.clone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replicas_share_is_made_once_on_mariadb() {
    let Some(here) = OnServer::new(Engine::Mariadb).await else { return };
    what_replicas_share_is_made_once(here.database.clone()).await;
}

#[test]
fn a_master_key_is_32_bytes() {
    let id = MasterKey::new([7; 32]).id().to_owned();
    let hex = Secret::from(format!(" {}\n", "07".repeat(32)));
    assert_eq!(MasterKey::parse(&hex).unwrap().id(), id);
    assert_eq!(MasterKey::parse(&Secret::from("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")).unwrap().id(), id);
    for text in ["", "hunter2", "0707"] {
        let refused = MasterKey::parse(&Secret::from(text)).unwrap_err();
        assert!(text.is_empty() || !refused.to_string().contains(text));
    }
}

#[tokio::test]
async fn history_is_swept_on_a_file() {
    let here = OnFile::new().await;
    history_is_swept(here.database.clone(), World::new(here.stores(), 3).await).await;
}

async fn history_is_swept_on_a_server(engine: Engine) {
    let Some(here) = OnServer::new(engine).await else { return };
    history_is_swept(here.database.clone(), World::new(here.stores(), 3).await).await;
}

#[tokio::test]
async fn history_is_swept_on_postgresql() {
    history_is_swept_on_a_server(Engine::Postgresql).await;
}

#[tokio::test]
async fn history_is_swept_on_mariadb() {
    history_is_swept_on_a_server(Engine::Mariadb).await;
}

#[tokio::test]
async fn what_is_over_is_swept_on_a_file() {
    let here = OnFile::new().await;
    let (database, raw) = (here.database.clone(), here.raw.clone());
    what_is_over_is_swept(database, raw, World::new(here.stores(), 3).await).await;
}

async fn what_is_over_is_swept_on_a_server(engine: Engine) {
    let Some(here) = OnServer::new(engine).await else { return };
    let (database, raw) = (here.database.clone(), here.raw.clone());
    what_is_over_is_swept(database, raw, World::new(here.stores(), 3).await).await;
}

#[tokio::test]
async fn what_is_over_is_swept_on_postgresql() {
    what_is_over_is_swept_on_a_server(Engine::Postgresql).await;
}

#[tokio::test]
async fn what_is_over_is_swept_on_mariadb() {
    what_is_over_is_swept_on_a_server(Engine::Mariadb).await;
}

#[tokio::test]
async fn secrets_are_sealed_on_a_file() {
    let here = OnFile::new().await;
    secrets_are_sealed(here.database, here.raw).await;
}

async fn secrets_are_sealed_on_a_server(engine: Engine) {
    let Some(here) = OnServer::new(engine).await else { return };
    secrets_are_sealed(here.database, here.raw).await;
}

#[tokio::test]
async fn secrets_are_sealed_on_postgresql() {
    secrets_are_sealed_on_a_server(Engine::Postgresql).await;
}

#[tokio::test]
async fn secrets_are_sealed_on_mariadb() {
    secrets_are_sealed_on_a_server(Engine::Mariadb).await;
}
