//! Servers that go away: a claimer killed in the middle, a wire cut at the commit, a database that is gone for a while.
//! What was asked then is asked again, and the answer is right.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use backstay_core::domain::attempt::AttemptEnd;
use backstay_core::domain::disposition::Disposition;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::id::JobId;
use backstay_core::domain::job::{JobKind, JobState, Outcome, StateName};
use backstay_core::domain::lease::LEASE_TTL;
use backstay_core::managers::rescue::rescue;
use backstay_core::ports::job::{LeaseError, Standing};
use backstay_core::ports::store::{Enqueued, JobFilter, JobStore as _, Page, Settlement, SnapshotFilter, StoreError};
use backstay_db::{Database, Now, ServerOptions};
use backstay_testkit::conformance::job::context;
use backstay_testkit::conformance::world::{STALL_LIMIT, Stores, TTL, World, key_of};
use backstay_testkit::peers::database::Engine;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement, TransactionTrait as _};

use crate::proxy::{Proxy, Wire};
use crate::server::OnServer;

/// A world on a server, and the same database by a wire that can be cut.
struct Far {
    world: World,
    raw: DatabaseConnection,
    database: Database,
    proxy: Proxy,
}

/// How long a connection is waited for where one is to be had.
const PATIENT: Duration = Duration::from_secs(20);

impl Far {
    async fn new(engine: Engine, items: usize, acquire_timeout: Duration) -> Option<Self> {
        let near = OnServer::new(engine).await?;
        let proxy = Proxy::to(near.place.port()).await;
        let options =
            ServerOptions { now: Now::Clock(Arc::new(near.clock.clone())), connections_max: 4, acquire_timeout };
        let database = Database::connect(&near.place.address_through(proxy.port), options).await.unwrap();
        let raw = near.raw.clone();
        Some(Self { world: World::new(near.stores(), items).await, raw, database, proxy })
    }
}

fn assert_may_pass(error: &StoreError) {
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(matches!(error.disposition(), Disposition::Retry { .. }));
}

/// Nobody knows whether a commit was done whose answer was lost. Each call may be repeated, and then there is one job,
/// one lease, one snapshot, one event, whether it was done or not.
async fn a_cut_commit_is_asked_again(engine: Engine, done: bool) {
    let Some(Far { world, database, proxy, .. }) = Far::new(engine, 2, PATIENT).await else { return };
    // The statement as each driver sends it; what a connection is told first has the word too.
    let commit = match engine {
        Engine::Postgresql => "COMMIT\0",
        Engine::Mariadb => "\u{3}COMMIT",
    };
    let wire = if done { Wire::CutAfter(commit) } else { Wire::CutBefore(commit) };
    let job = world.backup(0);
    let told = world.event(EventKind::Enqueued, &job);
    proxy.set(wire);
    assert_may_pass(&database.job_enqueue(&job, &told, None).await.unwrap_err());
    assert_eq!(proxy.cuts(), 1);
    assert_eq!(world.jobs.job_get(job.id).await.is_ok(), done);
    proxy.set(Wire::Whole);
    assert_eq!(database.job_enqueue(&job, &told, None).await.unwrap(), Enqueued::New(job.id));
    assert_eq!(world.told().await, [EventKind::Enqueued]);

    let agent = world.agent();
    proxy.set(wire);
    assert_may_pass(&database.job_lease(agent, JobKind::ALL, &[], 9, TTL).await.unwrap_err());
    assert_eq!(proxy.cuts(), 2);
    proxy.set(Wire::Whole);
    let mut claimed = database.job_lease(agent, JobKind::ALL, &[], 9, TTL).await.unwrap();
    assert_eq!(claimed.is_empty(), done, "it is leased already, and the agent has not heard so");
    if done {
        world.clock.advance(TTL - Duration::from_secs(1));
        assert_eq!(database.job_renew(agent, &[], TTL).await.unwrap(), []);
        world.clock.advance(Duration::from_secs(1));
        assert!(database.job_lease(agent, JobKind::ALL, &[], 9, TTL).await.unwrap().is_empty());
        for lost in database.job_list_lost(STALL_LIMIT, 9).await.unwrap() {
            let key = backstay_core::domain::attempt::LeaseKey { job_id: lost.job.id, token: lost.job.attempt_token };
            let (state, told) =
                (JobState::Queued { not_before: world.now() }, world.event(EventKind::Rescued, &lost.job));
            let rows = world.rescue_rows(key, state, told).await;
            assert!(database.job_rescue(key, STALL_LIMIT, &rows).await.unwrap());
        }
        claimed = database.job_lease(agent, JobKind::ALL, &[], 9, TTL).await.unwrap();
    }
    assert_eq!(claimed.iter().map(|row| row.job.id).collect::<Vec<_>>(), [job.id]);
    let key = key_of(&claimed[0]);

    let rows = Settlement {
        snapshot: Some(world.snapshot(&job, "ab", Outcome::Complete)),
        event: Some(world.event(EventKind::Succeeded, &job)),
        ..world.success()
    };
    proxy.set(wire);
    let cut = database.job_settle(key, &rows).await.unwrap_err();
    assert!(matches!(&cut, LeaseError::Store(StoreError::Unavailable(_))), "{cut:?}");
    assert_eq!(proxy.cuts(), 3);
    proxy.set(Wire::Whole);
    let again = database.job_settle(key, &rows).await;
    match done {
        true => assert!(matches!(again, Err(LeaseError::Lost { .. })), "{again:?}"),
        false => again.unwrap(),
    }
    assert_eq!(world.job(job.id).await.state, rows.state);
    assert_eq!(world.history.snapshot_list(SnapshotFilter::default(), Page::first()).await.unwrap().len(), 1);
    let told = world.told().await;
    assert_eq!(told.iter().filter(|kind| **kind == EventKind::Succeeded).count(), 1, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_cut_before_postgresql_heard_of_it() {
    a_cut_commit_is_asked_again(Engine::Postgresql, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_cut_after_postgresql_did_it() {
    a_cut_commit_is_asked_again(Engine::Postgresql, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_cut_before_mariadb_heard_of_it() {
    a_cut_commit_is_asked_again(Engine::Mariadb, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_cut_after_mariadb_did_it() {
    a_cut_commit_is_asked_again(Engine::Mariadb, true).await;
}

/// While the database is away each call says that it may pass; when it is back everything goes on as if nothing had
/// been, leases included.
async fn a_database_that_was_away(engine: Engine) {
    let Some(Far { world, database, proxy, .. }) = Far::new(engine, 3, Duration::from_secs(1)).await else { return };
    let agent = world.agent();
    world.queued(0).await;
    let claimed = database.job_lease(agent, JobKind::ALL, &[], 1, TTL).await.unwrap();
    let key = key_of(&claimed[0]);
    proxy.set(Wire::Cut);
    assert_may_pass(&database.job_get(key.job_id).await.unwrap_err());
    assert_may_pass(&database.job_renew(agent, &[key], TTL).await.unwrap_err());
    let job = world.backup(1);
    let told = world.event(EventKind::Enqueued, &job);
    assert_may_pass(&database.job_enqueue(&job, &told, None).await.unwrap_err());
    assert!(matches!(database.job_settle(key, &world.success()).await, Err(LeaseError::Store(_))));
    proxy.set(Wire::Whole);
    // A machine that is busy may need more than the one second for a new connection.
    while database.job_get(key.job_id).await.is_err() {}
    assert_eq!(database.job_renew(agent, &[key], TTL).await.unwrap(), [Standing::Held]);
    assert_eq!(database.job_enqueue(&job, &told, None).await.unwrap(), Enqueued::New(job.id));
    database.job_settle(key, &world.success()).await.unwrap();
    let claimed = database.job_lease(agent, JobKind::ALL, &[], 9, TTL).await.unwrap();
    assert_eq!(claimed.iter().map(|row| row.job.id).collect::<Vec<_>>(), [job.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_was_away() {
    a_database_that_was_away(Engine::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_was_away() {
    a_database_that_was_away(Engine::Mariadb).await;
}

/// How long a server is away: twice as long as a lease holds.
const AWAY: Duration = Duration::from_secs(60);

/// How soon somebody who got no answer asks again.
const AGAIN: Duration = Duration::from_millis(200);

/// Jobs of an installation whose database goes away: as many in the queue before, as are asked for meanwhile.
const JOBS: usize = 60;

/// Those who work on while their database is away: nobody tells them so.
struct Crew {
    world: World,
    database: Database,
    /// Set when all is asked for and done.
    over: AtomicBool,
}

impl Crew {
    /// Asks until there is an answer; any error says that it may pass.
    async fn until_answered<T, F: Future<Output = Result<T, LeaseError>>>(&self, ask: impl Fn() -> F) -> Option<T> {
        loop {
            match ask().await {
                Ok(answer) => return Some(answer),
                Err(LeaseError::Store(error)) => assert_may_pass(&error),
                Err(LeaseError::Lost { .. }) => return None,
                Err(other) => panic!("{other:?}"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Asks for a backup of each of these items, one after the other.
    async fn asks(&self, items: Range<usize>) {
        for item in items {
            let job = self.world.backup(item);
            let told = self.world.event(EventKind::Enqueued, &job);
            let asked = self
                .until_answered(|| async { Ok(self.database.job_enqueue(&job, &told, None).await?) })
                .await
                .unwrap();
            assert_eq!(asked, Enqueued::New(job.id));
            tokio::time::sleep(AWAY / JOBS as u32).await;
        }
    }

    /// Leases, works for a moment and hands in; returns the jobs whose end it was told.
    async fn works(&self) -> Vec<JobId> {
        let (agent, mut done) = (self.world.agent(), Vec::new());
        while !self.over.load(SeqCst) {
            let leased = self
                .until_answered(|| async { Ok(self.database.job_lease(agent, JobKind::ALL, &[], 2, LEASE_TTL).await?) })
                .await;
            tokio::time::sleep(AGAIN).await;
            for claimed in leased.unwrap_or_default() {
                let (job, key) = (&claimed.job, key_of(&claimed));
                let foreign_id = format!("{:0>64}", format!("{}{}", job.id, key.token.0).replace('-', ""));
                let rows = Settlement {
                    snapshot: Some(self.world.snapshot(job, &foreign_id, Outcome::Complete)),
                    event: Some(self.world.event(EventKind::Succeeded, job)),
                    ..self.world.success()
                };
                let ended = self.until_answered(|| self.database.job_settle(key, &rows)).await;
                done.extend(ended.map(|()| job.id));
            }
        }
        done
    }

    /// Puts back what was lost, as the loop of a server does.
    async fn rescues(&self, stores: &Stores) {
        let far = Arc::new(self.database.clone());
        let context = context(&Stores { jobs: far.clone(), schedules: far, ..stores.clone() });
        while !self.over.load(SeqCst) {
            if let Err(error) = rescue(&context, STALL_LIMIT).await {
                assert_may_pass(&error);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Returns how many jobs succeeded, as the server itself has it.
    async fn succeeded(&self) -> usize {
        let succeeded = JobFilter { state: Some(StateName::Succeeded), ..JobFilter::default() };
        let page = Page { before: None, rows_max: 2 * JOBS as u32 };
        self.world.jobs.job_list(succeeded, page).await.unwrap().len()
    }
}

/// A database is away for a minute while jobs are asked for, leased, done and rescued. Nothing comes through meanwhile;
/// then everybody goes on by asking again, every job is done, and each once.
async fn a_minute_without_a_database(engine: Engine) {
    let Some(near) = OnServer::new(engine).await else { return };
    let proxy = Proxy::to(near.place.port()).await;
    let options = ServerOptions { now: Now::Database, connections_max: 6, acquire_timeout: Duration::from_secs(1) };
    let database = Database::connect(&near.place.address_through(proxy.port), options).await.unwrap();
    let stores = near.stores();
    let world = World::new(stores.clone(), JOBS).await;
    for item in 0..JOBS / 2 {
        world.queued(item).await;
    }
    let crew = Crew { world, database, over: AtomicBool::new(false) };
    let minute = async {
        // Whoever has a job in the hand loses the database with it.
        while crew.succeeded().await < 2 {
            tokio::time::sleep(AGAIN).await;
        }
        proxy.set(Wire::Cut);
        assert_may_pass(&crew.database.job_list(JobFilter::default(), Page::first()).await.unwrap_err());
        let before = crew.succeeded().await;
        tokio::time::sleep(AWAY).await;
        assert_eq!(crew.succeeded().await, before, "nothing comes through");
        proxy.set(Wire::Whole);
        while crew.succeeded().await < JOBS {
            tokio::time::sleep(AGAIN).await;
        }
        crew.over.store(true, SeqCst);
    };
    let (_, _, _, first, second) =
        tokio::join!(minute, crew.rescues(&stores), crew.asks(JOBS / 2..JOBS), crew.works(), crew.works());
    let told: BTreeSet<JobId> = first.iter().chain(&second).copied().collect();
    assert_eq!(told.len(), first.len() + second.len(), "no end is accepted twice");
    let rows = Page { before: None, rows_max: 2 * JOBS as u32 };
    let snapshots = crew.world.history.snapshot_list(SnapshotFilter::default(), rows).await.unwrap();
    let of: BTreeSet<JobId> = snapshots.iter().map(|row| row.job_id).collect();
    assert_eq!((snapshots.len(), of.len()), (JOBS, JOBS), "one snapshot a job");
    let told = crew.world.told().await;
    assert_eq!(told.iter().filter(|kind| **kind == EventKind::Succeeded).count(), JOBS, "{told:?}");
    for job in of {
        let attempts = crew.world.history.attempt_list(job).await.unwrap();
        let finished = attempts.iter().filter(|row| matches!(row.ended, Some((_, AttemptEnd::Finished)))).count();
        assert_eq!(finished, 1, "{attempts:?}");
    }
}

/// Both at once: a minute is a minute.
///
/// Red when a pool stays broken after its server was away, or a repeated call does its work twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_minute_without_postgresql_and_mariadb() {
    tokio::join!(a_minute_without_a_database(Engine::Postgresql), a_minute_without_a_database(Engine::Mariadb));
}

/// Returns the connection of this database that waits for a lock.
async fn who_waits(raw: &DatabaseConnection, engine: Engine) -> i64 {
    let sql = match engine {
        Engine::Postgresql => {
            "SELECT CAST(pid AS BIGINT) AS id FROM pg_stat_activity WHERE datname = current_database() AND \
             wait_event_type = 'Lock'"
        }
        Engine::Mariadb => {
            "SELECT CAST(t.trx_mysql_thread_id AS SIGNED) AS id FROM information_schema.innodb_trx t JOIN \
             information_schema.processlist p ON p.id = t.trx_mysql_thread_id WHERE p.db = DATABASE() AND \
             t.trx_state = 'LOCK WAIT'"
        }
    };
    loop {
        let rows = raw.query_all_raw(Statement::from_string(raw.get_database_backend(), sql)).await.unwrap();
        if let [row] = rows.as_slice() {
            return row.try_get("", "id").unwrap();
        }
        // MariaDB shows an old picture of its transactions to whoever asks again within a tenth of a second.
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// A claimer whose connection the server ends in the middle of its transaction leaves nothing behind: the next claimer
/// gets the job, as the first one that ever had it.
async fn a_killed_claimer_leaves_nothing(engine: Engine) {
    let Some(Far { world, raw, database, proxy: _wire }) = Far::new(engine, 1, PATIENT).await else { return };
    let id = world.queued(0).await;
    // The claim has locked the job's place in the queue when it comes to the repository, and waits there.
    let stands = raw.begin().await.unwrap();
    stands.execute_unprepared("SELECT id FROM repository FOR UPDATE").await.unwrap();
    let claimer = {
        let (database, agent) = (database.clone(), world.agent());
        tokio::spawn(async move { database.job_lease(agent, JobKind::ALL, &[], 9, TTL).await })
    };
    let waits = who_waits(&raw, engine).await;
    let passed_over = world.claim(world.agent(), 9).await;
    assert!(passed_over.is_empty(), "what another claimer has locked is passed over");
    let kill = match engine {
        Engine::Postgresql => format!("SELECT pg_terminate_backend({waits})"),
        Engine::Mariadb => format!("KILL {waits}"),
    };
    raw.execute_unprepared(&kill).await.unwrap();
    assert_may_pass(&claimer.await.unwrap().unwrap_err());
    stands.rollback().await.unwrap();
    let claimed = database.job_lease(world.agent(), JobKind::ALL, &[], 9, TTL).await.unwrap();
    assert_eq!(claimed.iter().map(|row| (row.job.id, row.job.attempt_token.0)).collect::<Vec<_>>(), [(id, 1)]);
    assert_eq!(world.history.attempt_list(id).await.unwrap().len(), 1);
    database.job_settle(key_of(&claimed[0]), &world.success()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimer_killed_by_postgresql() {
    a_killed_claimer_leaves_nothing(Engine::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimer_killed_by_mariadb() {
    a_killed_claimer_leaves_nothing(Engine::Mariadb).await;
}
