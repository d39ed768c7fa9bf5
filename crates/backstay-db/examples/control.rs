//! Measures the queue and the scheduler on a large installation: `bench/control` runs it and says what it found.
//!
//! Usage: control ADDRESS [--plans N] [--due N] [--cycles N] [--churn N] [--hold SECONDS]
//! ADDRESS is a database that is empty, of PostgreSQL, MariaDB or SQLite. Prints one tab-separated line a figure:
//! what, how many, median, 99th of a hundred, longest (milliseconds), a second.

#![expect(clippy::unwrap_used, reason = "a benchmark has nobody to tell")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use backstay_core::domain::attempt::AttemptToken;
use backstay_core::domain::event::{Event, EventKind};
use backstay_core::domain::id::{AgentId, EventId, ItemId, JobId, PlanId, RepositoryId, TenantId};
use backstay_core::domain::item::Item;
use backstay_core::domain::job::{Instruction, Job, JobCounts, JobKind, JobState, Outcome, Trigger};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::repository::{Repository, RepositoryEpoch, RepositoryKind};
use backstay_core::domain::retention::RetentionPolicy;
use backstay_core::domain::schedule::{OverlapKey, Rhythm, Schedule};
use backstay_core::domain::snapshot::PublishedSnapshot;
use backstay_core::domain::source::Source;
use backstay_core::domain::storage::StorageSettings;
use backstay_core::domain::template::Said;
use backstay_core::domain::tenant::Tenant;
use backstay_core::domain::unread::Unread;
use backstay_core::managers::context::Context;
use backstay_core::managers::job::JobManager;
use backstay_core::managers::schedule::tick;
use backstay_core::ports::clock::Clock;
use backstay_core::ports::job::{JobResult, Jobs as _, LeaseRequest};
use backstay_core::ports::random::ten_bytes;
use backstay_core::ports::store::{DeclarationStore as _, Enqueued, JobStore as _};
use backstay_db::{Database, ServerOptions};
use backstay_testkit::fakes::random::SeededRandom;
use backstay_testkit::fakes::secret::SecretMap;
use backstay_testkit::fakes::signer::FixedSigner;
use jiff::Timestamp;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, TransactionTrait as _};
use serde_json::json;

/// Tenants, each with one repository; plans are theirs in turn, and each plan has a source of one item.
const TENANTS: u32 = 1_000;

/// How long a heartbeat holds.
const TTL: Duration = Duration::from_secs(600);

/// Plans that are due in one tick.
const DUE_IN_A_TICK: u32 = 100;

/// Ticks on connections that are new, and on those that know their statements.
const TICKS: (u32, u32) = (40, 20);

/// Claimers at once.
const CLAIMERS: u32 = 8;

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// What the command line asks for.
struct Wish {
    address: String,
    plans: u32,
    due: u32,
    cycles: u32,
    churn: u32,
    hold: Duration,
}

impl Wish {
    fn read() -> Self {
        let mut words = std::env::args().skip(1);
        let address = words.next().expect("the first word is a database's address");
        let mut wish = Self { address, plans: 1_000_000, due: 10_000, cycles: 2_000, churn: 0, hold: Duration::ZERO };
        while let Some(word) = words.next() {
            let number: u32 = words.next().and_then(|text| text.parse().ok()).expect("each option has a number");
            match word.as_str() {
                "--plans" => wish.plans = number,
                "--due" => wish.due = number,
                "--cycles" => wish.cycles = number,
                "--churn" => wish.churn = number,
                "--hold" => wish.hold = Duration::from_secs(number.into()),
                word => panic!("{word} is no option"),
            }
        }
        wish
    }
}

/// Prints a figure.
fn told(what: &str, mut times: Vec<Duration>, took: Duration) {
    times.sort();
    let ms = |of: usize| times[(times.len() * of / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    let each = times.len() as f64 / took.as_secs_f64();
    println!("{what}\t{}\t{:.2}\t{:.2}\t{:.2}\t{each:.0}", times.len(), ms(50), ms(99), ms(100));
}

/// The installation under test.
struct Bench {
    database: Database,
    raw: DatabaseConnection,
    context: Context,
    random: SeededRandom,
    plans: u32,
    /// The number of the plan whose item gets the next job.
    next: AtomicU32,
}

/// Returns an id made of a number; `group` keeps tables apart.
fn id<I: std::str::FromStr>(group: u8, number: u32) -> I
where
    I::Err: std::fmt::Debug,
{
    format!("0197f0c2-0000-7000-800{group}-{number:012}").parse().unwrap()
}

impl Bench {
    async fn connect(address: &str) -> Database {
        if let Some(path) = address.strip_prefix("sqlite:") {
            return Database::open(std::path::Path::new(path)).await.unwrap();
        }
        let options = ServerOptions { acquire_timeout: Duration::from_secs(60), ..ServerOptions::default() };
        Database::connect(address, options).await.unwrap()
    }

    async fn new(wish: &Wish) -> Self {
        let database = Self::connect(&wish.address).await;
        let raw = match wish.address.strip_prefix("sqlite:") {
            Some(path) => sea_orm::Database::connect(format!("sqlite://{path}")).await,
            None => sea_orm::Database::connect(&wish.address).await,
        };
        let shared = Arc::new(database.clone());
        let secrets = SecretMap::default();
        secrets.put(&"file:keys/home.key".parse().unwrap(), "a password");
        let context = Context {
            declarations: shared.clone(),
            history: shared.clone(),
            schedules: shared.clone(),
            retention: shared.clone(),
            notices: shared.clone(),
            jobs: shared,
            secrets: Arc::new(secrets),
            signer: Arc::new(FixedSigner::default()),
            clock: Arc::new(Wall),
            random: Arc::new(SeededRandom::new(23)),
        };
        let random = SeededRandom::new(29);
        Self { database, raw: raw.unwrap(), context, random, plans: wish.plans, next: AtomicU32::new(0) }
    }

    /// Declares the first plan by the adapter and all others as copies of its rows.
    async fn fill(&self) {
        let now = Timestamp::now();
        let tenant = Tenant { id: id(0, 1), name: "tenant-1".parse().unwrap() };
        let source = Source {
            id: id(1, 1),
            tenant_id: tenant.id,
            name: "source-1".parse().unwrap(),
            kind: "filesystem".to_owned(),
            settings: json!({ "path": "/home/ada" }),
            retired_at: None,
        };
        let item = Item { id: id(2, 1), source_id: source.id, name: "/home/ada".to_owned(), vanished_at: None };
        let repository = Repository {
            id: id(3, 1),
            tenant_id: tenant.id,
            name: "repository-1".parse().unwrap(),
            kind: RepositoryKind::Restic,
            storage_id: None,
            storage: StorageSettings { kind: "local".to_owned(), settings: json!({ "path": "/srv/backup" }) },
            password: "file:keys/home.key".parse().unwrap(),
            credentials: Default::default(),
            verify_within: Default::default(),
            epoch: RepositoryEpoch(0),
            retired_at: None,
        };
        let rhythm = Rhythm::Every(Duration::from_secs(86_400));
        let schedule = Schedule::new(rhythm, "UTC".to_owned(), Duration::ZERO, OverlapKey::Plan).unwrap();
        let plan = Plan {
            id: id(4, 1),
            tenant_id: tenant.id,
            name: "plan-1".parse().unwrap(),
            source_id: source.id,
            repository_id: repository.id,
            template: None,
            said: Said::default(),
            schedule,
            rpo: Duration::from_secs(93_600),
            retention: RetentionPolicy::default(),
            backup: Default::default(),
            created_at: now,
            moved_at: None,
            retired_at: None,
        };
        self.raw.execute_unprepared("CREATE TABLE bench_row (number INT)").await.unwrap();
        self.database.tenant_add(&tenant).await.unwrap();
        self.database.source_add(&source, std::slice::from_ref(&item)).await.unwrap();
        self.database.repository_add(&repository).await.unwrap();
        self.database.plan_add(&plan).await.unwrap();
        for (table, group, count) in
            [("tenant", 0, TENANTS), ("source", 1, self.plans), ("item", 2, self.plans), ("repository", 3, TENANTS)]
        {
            self.copies(table, group, count, "").await;
        }
        self.copies("repository_usage", 3, TENANTS, "").await;
        self.copies("plan", 4, self.plans, "").await;
        // Spread over the next day, from an hour on: nothing is due by itself.
        let later =
            format!("{} + n * {}", now.as_microsecond() + 3_600_000_000, 82_800_000_000_u64 / u64::from(self.plans));
        self.copies("plan_schedule", 4, self.plans, &later).await;
        self.copies("watch", 4, self.plans, &later).await;
        if self.raw.get_database_backend() == DbBackend::Postgres {
            // What follows a million inserts, cleaning and writing to the disk, is not what is timed.
            self.raw.execute_unprepared("VACUUM").await.unwrap();
            self.raw.execute_unprepared("CHECKPOINT").await.unwrap();
        }
        self.analyze().await;
    }

    /// Tells the database what there is, as it finds out by itself within minutes.
    async fn analyze(&self) {
        let analyze = match self.raw.get_database_backend() {
            DbBackend::MySql => {
                "ANALYZE TABLE tenant, source, item, repository, plan, plan_schedule, watch, job, job_due, lease, event"
            }
            _ => "ANALYZE",
        };
        self.raw.execute_unprepared(analyze).await.unwrap();
    }

    /// Copies the first row of a table until there are `count`, with ids and names of their own.
    async fn copies(&self, table: &str, group: u8, count: u32, due_at: &str) {
        let backend = self.raw.get_database_backend();
        let (numbers, pad) = match backend {
            DbBackend::Postgres => {
                (format!("generate_series(2, {count}::bigint) AS numbers(n)"), "lpad(CAST(# AS text), 12, '0')")
            }
            DbBackend::MySql => (format!("(SELECT seq AS n FROM seq_2_to_{count}) AS numbers"), "lpad(#, 12, '0')"),
            _ => (
                format!(
                    "(WITH RECURSIVE s(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s)"
                ),
                "printf('%012d', #)",
            ),
        };
        let join = |head: String, tail: String| match backend {
            DbBackend::MySql => format!("CONCAT('{head}', {tail})"),
            _ => format!("'{head}' || {tail}"),
        };
        let id_of = |group: u8, number: &str| join(format!("0197f0c2-0000-7000-800{group}-"), pad.replace('#', number));
        let tenant = format!("(n - 1) % {TENANTS} + 1");
        let columns = self.columns(table).await;
        let value = |column: &str| match (table, column) {
            ("plan_schedule" | "watch", "plan_id") => id_of(4, "n"),
            ("plan_schedule", "next_due_at") | ("watch", "due_at") => due_at.to_owned(),
            ("watch", "item_id") => id_of(2, "n"),
            ("repository_usage", "repository_id") => id_of(3, "n"),
            ("repository_usage", "tenant_id") => id_of(0, "n"),
            (_, "id") => id_of(group, "n"),
            ("repository", "tenant_id") => id_of(0, "n"),
            (_, "tenant_id") => id_of(0, &tenant),
            (_, "repository_id") => id_of(3, &tenant),
            (_, "source_id") => id_of(1, "n"),
            ("item", "name") => "first.name".to_owned(),
            (_, "name") => join(format!("{table}-"), pad.replace('#', "n")),
            (_, column) => format!("first.{column}"),
        };
        let values: Vec<String> = columns.iter().map(|column| value(column)).collect();
        let key = match table {
            "plan_schedule" | "watch" => "plan_id",
            "repository_usage" => "repository_id",
            _ => "id",
        };
        let first: String = format!("0197f0c2-0000-7000-800{group}-{:012}", 1);
        let sql = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM {numbers}, {table} AS first WHERE first.{key} = '{first}'",
            columns.join(", "),
            values.join(", ")
        );
        self.raw.execute_unprepared(&sql).await.unwrap_or_else(|error| panic!("{table}: {error}\n{sql}"));
    }

    async fn columns(&self, table: &str) -> Vec<String> {
        let backend = self.raw.get_database_backend();
        let sql = match backend {
            DbBackend::Sqlite => format!("SELECT name FROM pragma_table_info('{table}')"),
            DbBackend::MySql => format!(
                "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '{table}'"
            ),
            _ => format!(
                "SELECT column_name AS name FROM information_schema.columns WHERE table_name = '{table}' AND table_schema = 'public'"
            ),
        };
        let rows = self.raw.query_all_raw(sea_orm::Statement::from_string(backend, sql)).await.unwrap();
        rows.iter().map(|row| row.try_get::<String>("", "name").unwrap()).collect()
    }

    /// Puts a backup of the next plan's item in the queue.
    async fn enqueue(&self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed) % self.plans + 1;
        let (now, tenant) = (Timestamp::now(), (number - 1) % TENANTS + 1);
        let job = Job {
            id: JobId::new(now, ten_bytes(&self.random)),
            tenant_id: id::<TenantId>(0, tenant),
            plan_id: Some(id::<PlanId>(4, number)),
            item_id: Some(id::<ItemId>(2, number)),
            repository_id: id::<RepositoryId>(3, tenant),
            set: None,
            instruction: Instruction::Backup,
            trigger: Trigger::Request,
            breach_at: now.saturating_add(Duration::from_secs(u64::from(number % 86_400))).unwrap(),
            priority: 0,
            attempt_token: AttemptToken(0),
            overlap: OverlapKey::Plan,
            streak: None,
            counts: JobCounts::default(),
            created_at: now,
            trace: None,
            state: JobState::Queued { not_before: now },
        };
        let event = Event {
            id: EventId::new(now, ten_bytes(&self.random)),
            tenant_id: job.tenant_id,
            kind: EventKind::Enqueued,
            job_id: Some(job.id),
            item_id: job.item_id,
            at: now,
            message: "asked for by a benchmark".to_owned(),
        };
        assert_eq!(self.database.job_enqueue(&job, &event, None).await.unwrap(), Enqueued::New(job.id));
    }

    async fn enqueue_many(self: &Arc<Self>, count: u32) {
        let tasks = (0..CLAIMERS).map(|_| {
            let bench = Arc::clone(self);
            tokio::spawn(async move {
                for _ in 0..count / CLAIMERS {
                    bench.enqueue().await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    }

    fn agent(&self) -> AgentId {
        AgentId::new(Timestamp::now(), ten_bytes(&self.random))
    }

    /// Leases a job and ends it, as an agent does, and puts another in its place; returns how long each lease took, and
    /// beside each a write of one row, which says how quiet disk and processors were.
    async fn cycles(self: &Arc<Self>, claimers: u32, cycles: u32) -> (Vec<Duration>, Vec<Duration>) {
        let tasks = (0..claimers).map(|_| {
            let bench = Arc::clone(self);
            tokio::spawn(async move {
                let manager = JobManager::new(bench.context.clone(), TTL);
                let agent_id = bench.agent();
                let (mut times, mut bare) = (Vec::new(), Vec::new());
                for number in 0..cycles / claimers {
                    let request =
                        LeaseRequest { agent_id, kinds: JobKind::ALL.to_vec(), held: Vec::new(), count_max: 1 };
                    let began = Instant::now();
                    let mut leased = manager.job_lease(&request).await.unwrap();
                    times.push(began.elapsed());
                    let job = leased.pop().expect("there is always something due");
                    let foreign_id =
                        format!("{:064x}", u128::from_be_bytes(*job.id.uuid().as_bytes()) ^ u128::from(number));
                    let result = JobResult::BackedUp {
                        outcome: Outcome::Complete,
                        snapshot: PublishedSnapshot { foreign_id, taken_at: Timestamp::now() },
                        counts: JobCounts::default(),
                        unread: Unread::default(),
                        warning: None,
                    };
                    manager.job_finish(job.lease_key(), &result).await.unwrap();
                    bench.enqueue().await;
                    let began = Instant::now();
                    bench.raw.execute_unprepared("INSERT INTO bench_row VALUES (1)").await.unwrap();
                    bare.push(began.elapsed());
                }
                (times, bare)
            })
        });
        let (mut times, mut bare) = (Vec::new(), Vec::new());
        for task in tasks.collect::<Vec<_>>() {
            let (some, bare_some) = task.await.unwrap();
            times.extend(some);
            bare.extend(bare_some);
        }
        (times, bare)
    }

    async fn claims(self: &Arc<Self>, what: &str, cycles: u32) {
        for claimers in [1, CLAIMERS] {
            let began = Instant::now();
            let (times, bare) = self.cycles(claimers, cycles).await;
            told(&format!("{what}, claimers {claimers}"), times, began.elapsed());
            let took = bare.iter().sum();
            told(&format!("one row written, beside {what}, claimers {claimers}"), bare, took);
        }
    }

    async fn ticks(&self) {
        // The first plan was declared a moment ago, and is looked at once.
        tick(&self.context).await.unwrap();
        let mut times = Vec::new();
        for round in 0..TICKS.0 + TICKS.1 {
            let from = self.plans / 2 + round * DUE_IN_A_TICK;
            let sql = format!(
                "UPDATE plan_schedule SET next_due_at = 1, last_planned_at = NULL WHERE plan_id > '0197f0c2-0000-7000-8004-{from:012}' AND \
                 plan_id <= '0197f0c2-0000-7000-8004-{:012}'",
                from + DUE_IN_A_TICK
            );
            self.raw.execute_unprepared(&sql).await.unwrap();
            let began = Instant::now();
            let ticked = tick(&self.context).await.unwrap();
            times.push(began.elapsed());
            assert_eq!((ticked.looked, ticked.failed.len()), (u64::from(DUE_IN_A_TICK), 0), "{ticked:?}");
        }
        let later = times.split_off(TICKS.0 as usize);
        for (what, times) in [(", first ones", times), ("", later)] {
            let took = times.iter().sum();
            told(&format!("tick with {DUE_IN_A_TICK} due{what}"), times, took);
        }
        let mut times = Vec::new();
        let began = Instant::now();
        for _ in 0..100 {
            let began = Instant::now();
            assert_eq!(tick(&self.context).await.unwrap().looked, 0);
            times.push(began.elapsed());
        }
        told("tick with nothing due", times, began.elapsed());
    }
}

#[tokio::main]
async fn main() {
    let wish = Wish::read();
    println!("# what\tcount\tmedian_ms\tp99_ms\tlongest_ms\ta_second");
    let began = Instant::now();
    let bench = Arc::new(Bench::new(&wish).await);
    bench.fill().await;
    eprintln!("{} plans after {:.0} s", wish.plans, began.elapsed().as_secs_f64());
    bench.enqueue_many(wish.due).await;
    eprintln!("{} due after {:.0} s", wish.due, began.elapsed().as_secs_f64());
    bench.cycles(CLAIMERS, 400).await;
    bench.analyze().await;
    bench.claims("claim", wish.cycles).await;
    bench.ticks().await;
    let mut times = Vec::new();
    let began = Instant::now();
    for _ in 0..3 {
        let began = Instant::now();
        let cold = Bench::new(&wish).await;
        tick(&cold.context).await.unwrap();
        times.push(began.elapsed());
    }
    told("cold start until the first tick is done", times, began.elapsed());
    if wish.churn > 0 {
        // A reader that never ends keeps every dead row from being cleaned.
        let open = bench.raw.begin_with_config(Some(sea_orm::IsolationLevel::RepeatableRead), None).await.unwrap();
        open.execute_unprepared("SELECT COUNT(*) FROM job_due").await.unwrap();
        let began = Instant::now();
        let mut churned = 0;
        while churned < wish.churn {
            churned += CLAIMERS * 50;
            bench.cycles(CLAIMERS, CLAIMERS * 50).await;
        }
        tokio::time::sleep(wish.hold.saturating_sub(began.elapsed())).await;
        let held = began.elapsed().as_secs();
        bench.claims(&format!("claim beside a transaction open for {held} s and {churned} cycles"), wish.cycles).await;
        drop(open);
    }
}
