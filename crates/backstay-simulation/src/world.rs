//! What a year is made of: the database, who works on it, and what they have told each other.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstay_core::domain::alert::{Delivery, Severity};
use backstay_core::domain::backup::BackupTerms;
use backstay_core::domain::channel::{Channel, ChannelKind, ChannelRule, ChannelSettings, Window};
use backstay_core::domain::id::{ChannelId, ItemId, PlanId, RepositoryId, SourceId, TenantId};
use backstay_core::domain::item::Item;
use backstay_core::domain::name::Name;
use backstay_core::domain::plan::Plan;
use backstay_core::domain::repository::Repository;
use backstay_core::domain::retention::{Count, RetentionPolicy};
use backstay_core::domain::schedule::{CatchUp, OverlapKey, Schedule};
use backstay_core::domain::source::Source;
use backstay_core::domain::template::Said;
use backstay_core::domain::tenant::Tenant;
use backstay_core::ports::notice::NoticeStore as _;
use backstay_core::ports::random::ten_bytes;
use backstay_core::ports::store::{DeclarationStore as _, StoreError};
use backstay_db::Database;
use backstay_testkit::conformance::world::repository;
use backstay_testkit::fakes::secret::SecretMap;
use jiff::Timestamp;
use serde_json::json;

use crate::courier::Couriers;
use crate::mutant::Mutant;
use crate::repository::Repositories;
use crate::stage::{ProcessId, Stage, TrueClock, WrongClock};
use crate::store::SteppedStore;
use crate::weather::Weather;
use crate::wire::{Doors, Wire};

/// How long a heartbeat holds: longer than in production, so that a year has fewer of them.
pub const TTL: Duration = Duration::from_secs(1_200);

/// Agents at work at once.
pub const AGENTS: usize = 3;

/// Replicas of the server.
pub const REPLICAS: usize = 2;

/// What those who wait for work would see if they looked all the time: a simulation of a year cannot look each second.
#[derive(Default)]
pub struct Board {
    /// When the first of the queued jobs is due; at the end of time when there is none.
    pub lease_at: AtomicI64,
    /// When the next lease or wait is over.
    pub rescue_at: AtomicI64,
    /// When the next plan is due.
    pub tick_at: AtomicI64,
    /// When the next item is to be looked at; at the beginning of time while events are to be taken in.
    pub watch_at: AtomicI64,
    /// When the next window is over, or the next message due.
    pub notify_at: AtomicI64,
}

/// Everything.
pub struct World {
    /// Where it plays.
    pub stage: Arc<Stage>,
    /// How bad it is.
    pub weather: Arc<Weather>,
    /// The production database, in memory.
    pub database: Database,
    /// The same, as replicas see it.
    pub store: Arc<SteppedStore>,
    /// Replicas that answer.
    pub doors: Doors,
    /// Simulated bytes.
    pub repositories: Repositories,
    /// Who brings messages.
    pub couriers: Arc<Couriers>,
    /// Passwords.
    pub secrets: Arc<SecretMap>,
    /// Hints for those who wait.
    pub board: Board,
    /// What is left out.
    pub mutant: Option<Mutant>,
    /// The machines of the agents.
    pub machines: Vec<Machine>,
    /// The machines of the replicas.
    pub servers: Vec<Machine>,
    /// The plans, each with the items of its source.
    pub plans: Vec<(Plan, Vec<Item>)>,
    /// Tenants.
    pub tenants: Vec<TenantId>,
    /// The channels.
    pub channels: Vec<Channel>,
}

/// A machine: its clock, and the process that runs there now.
pub struct Machine {
    /// Its clock.
    pub clock: Arc<WrongClock>,
    /// What runs there; none while nothing does.
    pub process: Mutex<Option<ProcessId>>,
    /// Rung when there may be work.
    pub bell: u64,
}

impl Machine {
    fn new(stage: &Arc<Stage>, bell: u64, offset_secs: i64) -> Self {
        let drift = i64::try_from(stage.dice.below(400)).unwrap_or(0) - 200;
        Self { clock: WrongClock::new(stage, offset_secs, drift), process: Mutex::default(), bell }
    }

    /// Returns the bell of the scheduler there; the plain one is the rescuer's.
    pub const fn tick_bell(&self) -> u64 {
        self.bell + 100
    }

    /// Returns the bell of the watcher there.
    pub const fn watch_bell(&self) -> u64 {
        self.bell + 200
    }

    /// Returns the bell of the notifier there.
    pub const fn notify_bell(&self) -> u64 {
        self.bell + 300
    }

    /// Returns what runs there.
    pub fn running(&self) -> Option<ProcessId> {
        *self.process.lock().expect("no holder panics")
    }

    /// Says what runs there from now on.
    pub fn runs(&self, process: Option<ProcessId>) {
        *self.process.lock().expect("no holder panics") = process;
    }
}

impl World {
    /// Makes a world of a few tenants with their plans, at the beginning of a year.
    ///
    /// # Errors
    /// What the database says to the declarations: then the simulation itself is wrong.
    pub fn new(from: Timestamp, seed: u64, mutant: Option<Mutant>) -> Result<Arc<Self>, StoreError> {
        let stage = Stage::new(from, seed);
        let weather = Weather::new(&stage);
        let opened = stage.block(Database::open_in_memory(Arc::new(TrueClock(Arc::clone(&stage)))));
        let database = opened.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        let secrets = SecretMap::default();
        let (tenants, plans) = stage.block(declare(&stage, &database, &secrets))?;
        let channels = stage.block(declare_channels(&stage, &database, &tenants))?;
        let couriers = Couriers::new(&stage, &weather);
        let store = SteppedStore {
            database: database.clone(),
            stage: Arc::clone(&stage),
            weather: Arc::clone(&weather),
            mutant,
            local: None,
        };
        let machines = (0..AGENTS).map(|at| Machine::new(&stage, at as u64, 0)).collect();
        // Replicas with clocks hours apart.
        let hours = |at: usize| [-3 * 3_600, 4 * 3_600][at % 2];
        let servers = (0..REPLICAS).map(|at| Machine::new(&stage, 100 + at as u64, hours(at))).collect();
        Ok(Arc::new(Self {
            stage,
            weather,
            database,
            store: Arc::new(store),
            doors: Doors::default(),
            repositories: Repositories::default(),
            couriers,
            secrets: Arc::new(secrets),
            board: Board::default(),
            mutant,
            machines,
            servers,
            plans,
            tenants,
            channels,
        }))
    }

    /// Returns the control plane as an agent reaches it.
    pub fn wire(&self) -> Wire {
        Wire {
            stage: Arc::clone(&self.stage),
            weather: Arc::clone(&self.weather),
            doors: Arc::clone(&self.doors),
            database: self.database.clone(),
            mutant: self.mutant,
        }
    }
}

/// A plan of the world, in a line.
/// What of a simulated item is locked on some days.
pub(crate) const LOCKED: &str = "/home/locked";

struct Wish {
    tenant: usize,
    rhythm: &'static str,
    zone: &'static str,
    jitter_secs: u64,
    overlap: OverlapKey,
    window_secs: u64,
    catch_up: CatchUp,
    items: usize,
    rpo_hours: u64,
    /// How many of the newest snapshots are kept; all when it is zero.
    keep_last: u32,
    /// Whether what did not change is confirmed, and what the simulated source keeps locked is accepted.
    is_lenient: bool,
    /// The plan that follows it, by its number.
    followed_by: Option<usize>,
}

/// Returns the name of a plan by its number.
fn plan_name(number: usize) -> Name {
    format!("plan-{number}").parse().expect("names of the simulation are names")
}

impl Wish {
    fn backup(&self) -> BackupTerms {
        let follow_ups = self.followed_by.map(plan_name).into_iter().collect();
        match self.is_lenient {
            true => BackupTerms {
                priority: 1,
                accept_unread: vec![LOCKED.to_owned()],
                skip_if_unchanged: true,
                follow_ups,
                ..BackupTerms::default()
            },
            false => BackupTerms { follow_ups, ..BackupTerms::default() },
        }
    }
}

const fn wish(tenant: usize, rhythm: &'static str, zone: &'static str, items: usize) -> Wish {
    Wish {
        tenant,
        rhythm,
        zone,
        jitter_secs: 0,
        overlap: OverlapKey::Plan,
        window_secs: 3_600,
        catch_up: CatchUp::Once,
        items,
        rpo_hours: 24 * 5,
        keep_last: 1,
        is_lenient: false,
        followed_by: None,
    }
}

/// The plans of a year: cron in zones with and without summer time, intervals, both keys of overlap, one that follows.
fn wishes() -> Vec<Wish> {
    vec![
        // In the hour that summer time leaves out, and that winter time has twice.
        Wish { is_lenient: true, ..wish(0, "30 2 * * 0,3", "Europe/Zurich", 2) },
        Wish {
            jitter_secs: 900,
            catch_up: CatchUp::Never,
            rpo_hours: 24 * 8,
            followed_by: Some(6),
            ..wish(0, "0 22 * * 1", "America/New_York", 1)
        },
        Wish { overlap: OverlapKey::Tenant, window_secs: 1_800, ..wish(1, "every 36h", "UTC", 1) },
        Wish {
            overlap: OverlapKey::Tenant,
            window_secs: 5_400,
            rpo_hours: 24 * 9,
            ..wish(1, "15 4 * * 1,4", "Australia/Lord_Howe", 1)
        },
        Wish {
            overlap: OverlapKey::Tenant,
            rpo_hours: 24 * 40,
            keep_last: 0,
            ..wish(1, "0 5 1 * *", "Asia/Kolkata", 1)
        },
        Wish { jitter_secs: 60, rpo_hours: 24 * 9, keep_last: 3, ..wish(2, "every 7d", "UTC", 2) },
        // No schedule: it follows another one.
        Wish { rpo_hours: 24 * 40, keep_last: 2, ..wish(0, "", "UTC", 1) },
    ]
}

/// Returns rules that keep so many of the newest.
fn kept(count: u32) -> RetentionPolicy {
    RetentionPolicy { keep_last: Count::AtMost(count), ..RetentionPolicy::default() }
}

type Declared = (Vec<TenantId>, Vec<(Plan, Vec<Item>)>);

async fn declare(stage: &Stage, database: &Database, secrets: &SecretMap) -> Result<Declared, StoreError> {
    let (now, dice) = (stage.now(), &stage.dice);
    let name = |text: String| text.parse().expect("names of the simulation are names");
    let (mut tenants, mut plans, mut repositories) = (Vec::new(), Vec::new(), Vec::<Repository>::new());
    for number in 0..3 {
        let tenant = Tenant { id: TenantId::new(now, ten_bytes(dice)), name: name(format!("tenant-{number}")) };
        database.tenant_add(&tenant).await?;
        let home = repository(tenant.id, RepositoryId::new(now, ten_bytes(dice)), "home");
        database.repository_add(&home).await?;
        secrets.put(&home.password, "a secret");
        tenants.push(tenant.id);
        repositories.push(home);
    }
    for (number, wish) in wishes().into_iter().enumerate() {
        let tenant_id = tenants[wish.tenant];
        let source = Source {
            id: SourceId::new(now, ten_bytes(dice)),
            tenant_id,
            name: name(format!("source-{number}")),
            kind: "filesystem".to_owned(),
            settings: json!({ "path": "/home" }),
            retired_at: None,
        };
        let item = |place: usize| Item {
            id: ItemId::new(now, ten_bytes(dice)),
            source_id: source.id,
            name: format!("/home/{number}/{place}"),
            vanished_at: None,
        };
        let items: Vec<Item> = (0..wish.items).map(item).collect();
        database.source_add(&source, &items).await?;
        let rhythm = wish.rhythm.parse().expect("rhythms of the simulation can be read");
        let jitter = Duration::from_secs(wish.jitter_secs);
        let schedule = Schedule::new(rhythm, wish.zone.to_owned(), jitter, wish.overlap);
        let schedule = schedule.expect("schedules of the simulation can be evaluated");
        let plan = Plan {
            id: PlanId::new(now, ten_bytes(dice)),
            tenant_id,
            name: plan_name(number),
            source_id: source.id,
            repository_id: repositories[wish.tenant].id,
            schedule: schedule.with_start_window(Duration::from_secs(wish.window_secs)).with_catch_up(wish.catch_up),
            retention: kept(wish.keep_last),
            backup: wish.backup(),
            rpo: Duration::from_secs(wish.rpo_hours * 3_600),
            template: None,
            said: Said::default(),
            created_at: now,
            moved_at: None,
            retired_at: None,
        };
        database.plan_add(&plan).await?;
        plans.push((plan, items));
    }
    Ok((tenants, plans))
}

/// The channels of a year: the installation's hears all that is bad and gets a digest each week, and so does that of one
/// tenant, of errors alone.
async fn declare_channels(
    stage: &Stage,
    database: &Database,
    tenants: &[TenantId],
) -> Result<Vec<Channel>, StoreError> {
    let wishes = [(None, Severity::Warning, "monday 07:00"), (Some(tenants[1]), Severity::Error, "friday 18:30")];
    let mut channels = Vec::new();
    for (number, (tenant_id, severity_min, window)) in wishes.into_iter().enumerate() {
        let host = format!("mail-{number}.example");
        let settings = json!({ "host": host, "from": "b@a.example", "to": ["ada@a.example"] });
        let settings = ChannelSettings::parse(ChannelKind::Smtp, &settings);
        let window = Window::parse(window).expect("windows of the simulation can be read");
        let channel = Channel {
            id: ChannelId::new(stage.now(), ten_bytes(&stage.dice)),
            tenant_id,
            name: format!("mail-{number}").parse().expect("names of the simulation are names"),
            settings: settings.expect("settings of the simulation are accepted"),
            rules: vec![ChannelRule { severity_min, topics: Vec::new(), tenant_id: None, delivery: Delivery::AtOnce }],
            digest: Some(window.clone()),
            created_at: stage.now(),
        };
        database.channel_add(&channel, Some(window.next(stage.now()))).await?;
        channels.push(channel);
    }
    Ok(channels)
}
