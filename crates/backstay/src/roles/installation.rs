//! An installation on one machine, put together and started: database, managers, API on loopback, agent, loops.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use backstay_agent::own::{never_read, never_written};
use backstay_agent::runners::RUNNER_KINDS;
use backstay_agent::{AgentOptions, Commands, EngineReader, SOURCE_KINDS};
use backstay_api::{Client, ClientError};
use backstay_core::domain::id::AgentId;
use backstay_core::domain::lease::{LEASE_TTL, STALL_LIMIT};
use backstay_core::domain::secret::Secret;
use backstay_core::domain::sweep::HISTORY_DEFAULT;
use backstay_core::domain::token::token_text;
use backstay_core::managers::context::Context;
use backstay_core::managers::job::JobManager;
use backstay_core::managers::rescue::rescue;
use backstay_core::managers::schedule::clock_watch;
use backstay_core::managers::source::OwnAgent;
use backstay_core::ports::access::AccessStore;
use backstay_core::ports::job::Jobs;
use backstay_core::ports::random::Random;
use backstay_core::ports::secret::SecretStore;
use backstay_core::ports::signer::Signer;
use backstay_core::ports::store::StoreError;
use backstay_core::ports::sweep::SweepStore;
use backstay_db::{Database, MasterKeys, OpenError, SealError, SealedSecrets, ServerOptions};
use backstay_failpoint::lease_time;
use backstay_server::channels::{Channels, Reach};
use backstay_server::http::{ServerState, TokenAuthenticator, serve, serve_tls};
use backstay_server::loops::{Turns, notifier, rescuer, scheduler, sweeper, watcher};
use backstay_server::secrets::by_reference::ByReference;
use backstay_server::secrets::environment::EnvironmentSecrets;
use backstay_server::secrets::file::FileSecrets;
use backstay_server::signing::{KeySigner, SigningError};
use backstay_server::tally::{Tallied, Tally};
use data_encoding::HEXLOWER;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::config::{Beside, Config};
use super::data_dir::{DataDir, DataDirError, DataDirLock, ServerFile};
use super::database_url::DatabaseUrl;
use super::door::{Certificate, Door, OpenDoor};
use super::home::{Home, Rows};
use super::master_key::KeyError;
use super::service::Service;
use super::system::{SystemClock, SystemRandom, hostname, storage_judges, username};

/// Whether this process does jobs, or only answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithAgent {
    /// It does jobs.
    Yes,
    /// It answers and keeps the queue going; agents elsewhere do the jobs.
    Elsewhere,
    /// It only answers: a look at a list must not begin a backup.
    No,
}

/// Jobs that the agent in this process does at once.
const SLOTS: u32 = 2;

/// How often the agent looks for work when nobody wakes it.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// How often progress is told: what a person at a terminal feels as live, at two small writes a second.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Longest wait for what runs to end. A client that sends half a request, or a read that hangs in a dead mount, ends only
/// with the process.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// The name of the signing key among the installation's own secrets.
const SIGNING_KEY: &str = "signing-key";

/// Why an installation did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Database(#[from] OpenError),
    #[error("the database {} cannot be used", url.shown())]
    Remote { url: DatabaseUrl, source: OpenError },
    #[error(transparent)]
    Signing(#[from] SigningError),
    #[error("no port on 127.0.0.1 could be listened on")]
    Listen(#[source] std::io::Error),
    #[error("{address} cannot be listened on")]
    Door { address: String, source: std::io::Error },
    #[error("jobs that an earlier process left could not be taken over")]
    TakeOver(#[source] StoreError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// The ports of a control plane, and the adapters behind them that a role needs by themselves.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) context: Context,
    pub(crate) database: Arc<Database>,
    pub(crate) secrets: Arc<SealedSecrets>,
    /// What was said of how it works.
    pub(crate) ways: Ways,
}

/// What may be said of how a control plane works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways {
    /// How long rows of what is over are kept.
    pub(crate) history: Duration,
    /// How far channels reach.
    pub(crate) reach: Reach,
}

impl Ways {
    /// Returns those of an installation that was told nothing and has its rows for itself.
    pub(crate) const fn alone() -> Self {
        Self { history: HISTORY_DEFAULT, reach: Reach::Anywhere }
    }

    /// Returns what a configuration says; `reach` is where it says nothing and nobody else writes to the database.
    pub(crate) fn of(config: &Config, reach: Reach) -> Self {
        let history = Duration::from_secs(config.number("server.history_days") * 86_400);
        let reach = match config.text("server.private_channels") {
            None if Rows::of(config) == Rows::Elsewhere => Reach::PublicForTenants,
            None => reach,
            Some(_) if config.is_on("server.private_channels") => Reach::Anywhere,
            Some(_) => Reach::PublicForTenants,
        };
        Self { history, reach }
    }
}

/// What answers and keeps the queue going, in this process.
pub(crate) struct ControlPlane {
    pub(crate) jobs: Arc<dyn Jobs>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) end: CancellationToken,
    pub(crate) tasks: TaskTracker,
    turns: Arc<Turns>,
}

/// A running installation.
pub(crate) struct Installation {
    /// Speaks to it.
    pub(crate) client: Client,
    /// Where it listens.
    pub(crate) url: String,
    /// Where it listens for others, if it does.
    pub(crate) door: Option<String>,
    /// The port that it had before and that is another program's now.
    pub(crate) taken: Option<u16>,
    plane: ControlPlane,
    lock: DataDirLock,
}

impl ControlPlane {
    /// Answers at doors, and looks after the queue unless it only answers. `own` is a token beside those of the store,
    /// `own_agent` the agent of this process, which tries sources.
    pub(crate) fn start(
        parts: &Parts,
        doors: Vec<OpenDoor>,
        own: Option<&Secret>,
        with_agent: WithAgent,
        own_agent: Option<OwnAgent>,
    ) -> Self {
        let Parts { context, database, secrets, .. } = parts.clone();
        let (sweeps, ways): (Arc<dyn SweepStore>, _) = (database.clone(), parts.ways);
        let courier = Arc::new(Channels::reaching(ways.reach));
        let access: Arc<dyn AccessStore> = database.clone();
        let wake = Arc::new(Notify::new());
        let (end, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (tally, turns) = (Arc::new(Tally::default()), Arc::<Turns>::default());
        let jobs = Arc::new(JobManager::new(context.clone(), lease_time(LEASE_TTL)));
        let jobs: Arc<dyn Jobs> = Arc::new(Tallied::new(jobs, context.jobs.clone(), Arc::clone(&tally)));
        let authenticator = match own {
            Some(own) => TokenAuthenticator::new(context.clone(), access.clone(), own),
            None => TokenAuthenticator::of_store(context.clone(), access.clone()),
        };
        let state = ServerState {
            context: context.clone(),
            jobs: jobs.clone(),
            reader: Arc::new(EngineReader::default()),
            own_agent,
            source_kinds: SOURCE_KINDS,
            storage_kinds: storage_judges().into(),
            authenticator: Arc::new(authenticator),
            keeper: secrets,
            access,
            monitors: parts.database.clone(),
            purges: parts.database.clone(),
            meter: database,
            figures: Default::default(),
            tally: Arc::clone(&tally),
            courier: courier.clone(),
            wake: Arc::clone(&wake),
            end: end.clone(),
        };
        for OpenDoor { listener, certificate, .. } in doors {
            let (state, stop) = (state.clone(), end.clone());
            let tls = certificate.as_ref().map(Certificate::tls);
            tasks.spawn(async move {
                match tls {
                    Some(tls) => serve_tls(listener, &tls, state, stop).await,
                    None => serve(listener, state, stop).await,
                }
            });
            if let Some(certificate) = certificate {
                tasks.spawn(certificate.keep_fresh(end.clone()));
            }
        }
        if with_agent != WithAgent::No {
            tasks.spawn(rescuer::run(context.clone(), tally, Arc::clone(&wake), turns.clone(), end.clone()));
            tasks.spawn(scheduler::run(context.clone(), Arc::clone(&wake), turns.clone(), end.clone()));
            tasks.spawn(watcher::run(context.clone(), parts.database.clone(), end.clone()));
            tasks.spawn(notifier::run(context.clone(), courier, end.clone()));
            tasks.spawn(sweeper::run(context, sweeps, ways.history, end.clone()));
        }
        Self { jobs, wake, end, tasks, turns }
    }

    /// Tells a service manager that it answers, and from now on that it lives.
    pub(crate) fn told_to(&self, service: &Service, status: &str) {
        service.ready(status);
        self.tasks.spawn(service.clone().watch(Arc::clone(&self.turns), self.end.clone()));
    }

    /// Stops what runs: jobs are given back, answers under way are given, as far as that ends in time. Says whether it did.
    pub(crate) async fn stop(self) -> bool {
        self.end.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(STOP_TIME_MAX, self.tasks.wait()).await.is_ok();
        if !ended {
            tracing::warn!("not everything ended in time; the rest ends with the process");
        }
        ended
    }
}

impl Installation {
    /// Opens the data directory and starts what runs in it, for one command.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub(crate) async fn start(
        home: &Home,
        with_agent: WithAgent,
        commands: Commands,
        ways: Ways,
    ) -> Result<Self, StartError> {
        let lock = home.data.lock()?;
        let listener = any_port().await?;
        Self::start_at(home, with_agent, commands, (None, ways), (lock, listener)).await
    }

    /// As [`Installation::start`], to stay: at the port that it had before, if it can, and with a door for others beside that
    /// for this machine's own commands: whatever name is in a certificate, those need not believe it.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub(crate) async fn start_to_stay(
        home: &Home,
        with_agent: WithAgent,
        commands: Commands,
        told: (Option<Door>, Ways),
    ) -> Result<Self, StartError> {
        let lock = home.data.lock()?;
        let (listener, taken) = same_port(&home.data).await?;
        let started = Self::start_at(home, with_agent, commands, told, (lock, listener)).await?;
        Ok(Self { taken, ..started })
    }

    async fn start_at(
        home: &Home,
        with_agent: WithAgent,
        commands: Commands,
        (door, ways): (Option<Door>, Ways),
        (lock, listener): (DataDirLock, TcpListener),
    ) -> Result<Self, StartError> {
        let data = &home.data;
        let parts = Parts { ways, ..parts(home).await? };
        // Whoever else works on a server's database may be alive: what an earlier process of this machine left there is
        // taken over when its lease has ended.
        if home.remote.is_none() {
            // Heartbeats say how far the clock had come, as long as they are not ended.
            let (seen, moved) = clock_watch(&parts.context, None).await.map_err(StartError::TakeOver)?;
            if let Some(rows) = moved {
                let now = seen.now;
                tracing::warn!(rows, %now, "the clock went back: what it had dated in the future is due earlier");
            }
            take_over(&parts.context, &lock).await.map_err(StartError::TakeOver)?;
        }
        let token = random_token();
        let own = Secret::from(token.clone());
        let address = listener.local_addr().map_err(StartError::Listen)?;
        let own_door = OpenDoor::own(listener, address);
        let url = own_door.url();
        let mut doors = vec![own_door];
        if let Some(door) = door {
            let address = door.address().to_owned();
            doors.push(door.open().await.map_err(|source| StartError::Door { address, source })?);
        }
        let door = doors.get(1).map(OpenDoor::url);
        let client = Client::new(&url, own.clone())?.tracing(super::telemetry::given);
        // The last thing that can fail. Whoever reads it early waits on the listener, which is there already.
        data.server_file_write(&ServerFile { url: url.clone(), token })?;
        // Also where this verb brings none: the next one that needs an agent has it on this machine.
        let own_agent = OwnAgent { host: hostname(), runs_commands: commands == Commands::Allowed };
        let plane = ControlPlane::start(&parts, doors, Some(&own), with_agent, Some(own_agent));
        if with_agent == WithAgent::Yes {
            let id = AgentId::new(parts.context.now(), parts.context.ten());
            let options = agent_options(id, commands, Arc::clone(&plane.wake));
            plane.tasks.spawn(backstay_agent::run(plane.jobs.clone(), options, plane.end.clone()));
        }
        Ok(Self { client, url, door, taken: None, plane, lock })
    }

    /// Tells a service manager of it, as [`ControlPlane::told_to`] does.
    pub(crate) fn told_to(&self, service: &Service) {
        self.plane.told_to(service, &format!("answers at {}", self.door.as_ref().unwrap_or(&self.url)));
    }

    /// Stops what runs, as [`ControlPlane::stop`] does.
    pub(crate) async fn stop(self) {
        if !self.plane.stop().await {
            // What is left may still write: the directory is nobody else's before the process has ended.
            std::mem::forget(self.lock);
        }
    }
}

/// Listens at a port of this machine that is free.
async fn any_port() -> Result<TcpListener, StartError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(StartError::Listen)
}

/// Listens at the port that this data directory had before, so that URLs of pings stay what they are; the first one is kept.
/// Where another program has it now, listens elsewhere and returns which it was: it may be free at the next start.
async fn same_port(data: &DataDir) -> Result<(TcpListener, Option<u16>), StartError> {
    let Some(port) = data.port_read() else {
        let listener = any_port().await?;
        data.port_write(listener.local_addr().map_err(StartError::Listen)?.port())?;
        return Ok((listener, None));
    };
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => Ok((listener, None)),
        Err(_) => Ok((any_port().await?, Some(port))),
    }
}

/// Puts the ports of an installation on one machine together.
async fn parts(home: &Home) -> Result<Parts, StartError> {
    let data = &home.data;
    never_read(data.database_files().into_iter().chain(data.secret_places()));
    never_written(data.path().to_owned());
    let files: Arc<dyn SecretStore> = Arc::new(FileSecrets::new(data.path().to_owned()));
    let keys = || home.keys.clone().map_or_else(|| super::master_key::ensure(&data.master_key()), Ok);
    let Some(remote) = &home.remote else {
        let database = Arc::new(Database::open(&data.database()).await?);
        let mut fresh = [0; 32];
        SystemRandom.fill(&mut fresh);
        let signer = Arc::new(KeySigner::open(&data.signing_key(), fresh)?);
        let secrets = sealed(&database, keys()?).await?;
        return Ok(parts_of(database, secrets, Some(files), signer, home.beside.clone()));
    };
    let database = remote_database(&remote.url, remote.wait).await?;
    let secrets = sealed(&database, keys()?).await?;
    let signer = shared_signer(&secrets).await?;
    Ok(parts_of(database, secrets, Some(files), signer, home.beside.clone()))
}

/// Opens a database on a server.
pub(crate) async fn remote_database(url: &DatabaseUrl, wait: Duration) -> Result<Arc<Database>, StartError> {
    let options = ServerOptions { acquire_timeout: wait, ..ServerOptions::default() };
    let database = Database::connect(url.expose(), options).await;
    Ok(Arc::new(database.map_err(|source| StartError::Remote { url: url.clone(), source })?))
}

/// Returns what signs for everybody who works on a database: evidence that one of them signed is the installation's.
pub(crate) async fn shared_signer(secrets: &SealedSecrets) -> Result<Arc<KeySigner>, SealError> {
    let mut fresh = Zeroizing::new([0; 32]);
    SystemRandom.fill(&mut *fresh);
    let fresh = Secret::from(HEXLOWER.encode(&*fresh));
    let key = secrets.ensure(SIGNING_KEY, &fresh).await?;
    let key = HEXLOWER.decode(key.expose_secret().as_bytes()).ok().and_then(|key| key.try_into().ok());
    let key: Zeroizing<[u8; 32]> =
        Zeroizing::new(key.ok_or_else(|| SealError::Missing { row: SIGNING_KEY.to_owned() })?);
    Ok(Arc::new(KeySigner::new(&key)))
}

/// Opens the sealed secrets of a database: each of them must be sealed under one of these keys.
pub(crate) async fn sealed(database: &Database, keys: MasterKeys) -> Result<Arc<SealedSecrets>, SealError> {
    let secrets = SealedSecrets::new(database.clone(), keys, Arc::new(SystemRandom));
    secrets.keys_check().await?;
    Ok(Arc::new(secrets))
}

/// Puts the ports over a database together.
pub(crate) fn parts_of(
    database: Arc<Database>,
    secrets: Arc<SealedSecrets>,
    files: Option<Arc<dyn SecretStore>>,
    signer: Arc<dyn Signer>,
    beside: Beside,
) -> Parts {
    let environment = Arc::new(environment_secrets(beside));
    let context = Context {
        declarations: database.clone(),
        history: database.clone(),
        schedules: database.clone(),
        retention: database.clone(),
        notices: database.clone(),
        jobs: database.clone(),
        secrets: Arc::new(ByReference { files, sealed: secrets.clone(), environment }),
        signer,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    Parts { context, database, secrets, ways: Ways::alone() }
}

/// Returns the secrets that this process was started with, and those in `.env`.
fn environment_secrets(beside: Beside) -> EnvironmentSecrets {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty());
    EnvironmentSecrets::new(move |name| beside.lookup(name), folder.map(Into::into))
}

/// Takes over what an earlier process left: whoever holds the lock of a data directory is alone with its database, so
/// every agent that the rows call alive is gone, and its jobs need not wait for their leases to end. In a database that
/// others share they are alive, which is why this cannot be asked for without the lock.
async fn take_over(context: &Context, _alone: &DataDirLock) -> Result<(), StoreError> {
    for agent in context.jobs.agent_list_alive().await? {
        context.jobs.agent_retire(agent.id).await?;
    }
    rescue(context, STALL_LIMIT).await.map(drop)
}

/// Returns how an agent on this machine works.
pub(crate) fn agent_options(agent_id: AgentId, commands: Commands, wake: Arc<Notify>) -> AgentOptions {
    AgentOptions {
        agent_id,
        kinds: RUNNER_KINDS.to_vec(),
        slots: SLOTS,
        threads: std::thread::available_parallelism().map_or(2, usize::from).max(2),
        poll_every: POLL_EVERY,
        progress_every: PROGRESS_EVERY,
        ttl: lease_time(LEASE_TTL),
        hostname: hostname(),
        username: username(),
        program_version: concat!("backstay ", env!("CARGO_PKG_VERSION")).to_owned(),
        commands,
        clock: Arc::new(SystemClock),
        wake,
    }
}

/// Returns whether an agent runs commands that sources name, by what was said, else by who can write sources: where nobody
/// else listens, that is whoever may read the data directory (decision 0037); on a server's database, others may.
pub(crate) fn commands_of(config: &Config, otherwise: Commands) -> Commands {
    match config.text("agent.commands") {
        None if Rows::of(config) == Rows::Elsewhere => Commands::Refused,
        None => otherwise,
        Some(_) if config.is_on("agent.commands") => Commands::Allowed,
        Some(_) => Commands::Refused,
    }
}

/// Returns a token of 256 random bits, for this installation's own command line.
fn random_token() -> String {
    let mut bytes = [0; 32];
    SystemRandom.fill(&mut bytes);
    token_text(&bytes)
}

/// Returns 256 random bits as 52 letters and digits that survive being typed from paper.
pub(crate) fn random_words() -> String {
    let mut bytes = [0; 32];
    SystemRandom.fill(&mut bytes);
    data_encoding::BASE32_NOPAD.encode(&bytes).to_lowercase()
}
