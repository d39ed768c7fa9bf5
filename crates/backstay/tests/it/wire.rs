//! The port `Jobs` over the wire and over SQLite: a server on loopback, an agent's token, the client before it.

use std::any::Any;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;

use backstay_agent::EngineReader;
use backstay_api::{Client, JobsClient};
use backstay_core::domain::access::{Role, Scope};
use backstay_core::domain::secret::Secret;
use backstay_core::managers::access::{TokenDeclaration, token_issue};
use backstay_core::managers::job::JobManager;
use backstay_db::{Database, Now};
use backstay_server::http::{ServerState, TokenAuthenticator, serve};
use backstay_server::tally::{Tallied, Tally};
use backstay_testkit::conformance::job::{JobsHarness, context};
use backstay_testkit::conformance::world::{Stores, TTL};
use backstay_testkit::fakes::clock::ManualClock;
use backstay_testkit::fakes::secret::SecretMap;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Returns the client of a server over a fresh database. It lives as long as the test's runtime.
async fn over_the_wire() -> JobsHarness {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::default();
    let path = folder.path().join("backstay.sqlite");
    let database = Arc::new(Database::open_with(&path, Now::Clock(Arc::new(clock.clone()))).await.unwrap());
    let kept: Arc<dyn Any + Send + Sync> = Arc::new(folder);
    let stores = Stores {
        declarations: database.clone(),
        history: database.clone(),
        schedules: database.clone(),
        retention: database.clone(),
        notices: database.clone(),
        jobs: database.clone(),
        clock,
        hold_alone: Arc::new(|_| -> Pin<Box<dyn Future<Output = ()> + Send>> {
            panic!("no promise of this suite holds a repository alone")
        }),
        kept,
    };
    let context = context(&stores);
    let wish = TokenDeclaration {
        name: "agent".parse().unwrap(),
        scope: Scope::new(Role::Agent, None, Vec::new()).unwrap(),
        expires_at: None,
    };
    let (_, token) = token_issue(&context, &*database, wish).await.unwrap();
    let own = Secret::from("bk_own");
    let tally = Arc::new(Tally::default());
    let state = ServerState {
        jobs: Arc::new(Tallied::new(
            Arc::new(JobManager::new(context.clone(), TTL)),
            context.jobs.clone(),
            Arc::clone(&tally),
        )),
        authenticator: Arc::new(TokenAuthenticator::new(context.clone(), database.clone(), &own)),
        context,
        reader: Arc::new(EngineReader::default()),
        own_agent: None,
        source_kinds: &[],
        storage_kinds: Arc::new([]),
        keeper: Arc::new(SecretMap::default()),
        access: database.clone(),
        monitors: database.clone(),
        purges: database.clone(),
        meter: database,
        figures: Default::default(),
        tally: Arc::clone(&tally),
        courier: Arc::new(backstay_server::channels::Channels::reaching(backstay_server::channels::Reach::Anywhere)),
        wake: Arc::default(),
        end: CancellationToken::new(),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()), token).unwrap();
    tokio::spawn(serve(listener, state, CancellationToken::new()));
    JobsHarness { jobs: Arc::new(JobsClient::new(&client)), stores }
}

backstay_testkit::jobs_promises!(over_the_wire);
