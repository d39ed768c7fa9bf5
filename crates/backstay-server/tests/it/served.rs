//! A server on loopback over stores of a suite, and a client that may do everything.

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::sync::Arc;

use backstay_api::Client;
use backstay_core::domain::access::{Role, Scope};
use backstay_core::domain::id::TenantId;
use backstay_core::domain::secret::Secret;
use backstay_core::managers::access::{TokenDeclaration, token_issue};
use backstay_core::managers::context::Context;
use backstay_core::managers::job::JobManager;
use backstay_core::ports::access::AccessStore;
use backstay_core::ports::clock::Clock as _;
use backstay_core::ports::monitor::MonitorStore;
use backstay_server::http::{ServerState, TokenAuthenticator, serve};
use backstay_server::tally::{Tallied, Tally};
use backstay_testkit::conformance::job::context;
use backstay_testkit::conformance::snapshot::Planted;
use backstay_testkit::conformance::world::{Stores, TTL};
use backstay_testkit::fakes::clock::ManualClock;
use backstay_testkit::fakes::courier::FakeCourier;
use backstay_testkit::fakes::secret::SecretMap;
use backstay_testkit::fakes::snapshot::FakeReader;
use backstay_testkit::fakes::store::FakeStores;
use futures::FutureExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::troubled::Troubled;

/// The token of the installation itself.
pub(crate) const TOKEN: &str = "bk_test";

/// What came back: status, head, body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Returns a header, by its name in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ &str| line.to_ascii_lowercase().starts_with(&format!("{name}:"));
        let found = self.head.lines().find(line)?;
        found.split_once(':').map(|(_, value)| value.trim())
    }

    /// Returns the body's JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A server that ends when this is dropped.
pub(crate) struct Served {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) access: Arc<dyn AccessStore>,
    pub(crate) monitors: Arc<dyn MonitorStore>,
    pub(crate) context: Context,
    end: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// Returns stores in memory.
pub(crate) fn fakes() -> Stores {
    let clock = ManualClock::default();
    let stores = FakeStores::new(Arc::new(clock.clone()));
    let (holder, kept) = (stores.clone(), Arc::new(stores.clone()));
    Stores {
        declarations: Arc::new(stores.clone()),
        history: Arc::new(stores.clone()),
        schedules: Arc::new(stores.clone()),
        retention: Arc::new(stores.clone()),
        notices: Arc::new(stores.clone()),
        jobs: Arc::new(stores),
        clock,
        hold_alone: Arc::new(move |id| {
            holder.hold_alone(id);
            async {}.boxed()
        }),
        kept,
    }
}

/// Returns a reader of the first snapshot of an installation.
fn reader() -> FakeReader {
    let names = ["/a", "/b", "/c", "/d"].map(|name| (name.to_owned(), Planted::Dir));
    FakeReader { foreign_id: "ab".repeat(32), tree: names.into() }
}

impl Served {
    /// Starts a server on a free port.
    pub(crate) async fn over(stores: &Stores) -> Self {
        let door = stores.kept.downcast_ref::<FakeStores>().cloned();
        let door = door.unwrap_or_else(|| FakeStores::new(Arc::new(stores.clock.clone())));
        Self::with(context(stores), Arc::new(door.clone()), door).await
    }

    /// As [`Served::over`], by a replica whose clock is ahead of the store's.
    pub(crate) async fn ahead(stores: &Stores, by: std::time::Duration) -> Self {
        let door = stores.kept.downcast_ref::<FakeStores>().cloned().unwrap();
        let clock = ManualClock::new(stores.clock.now().saturating_add(by).unwrap());
        let context = Context { clock: Arc::new(clock), ..context(stores) };
        Self::with(context, Arc::new(door.clone()), door).await
    }

    /// As [`Served::over`], with a store of the door that has trouble on demand.
    pub(crate) async fn troubled(stores: &Stores) -> (Self, Arc<Troubled>) {
        let door = stores.kept.downcast_ref::<FakeStores>().cloned().unwrap();
        let troubled = Troubled::over(Arc::new(door.clone()));
        (Self::with(context(stores), troubled.clone(), door).await, troubled)
    }

    async fn with(context: Context, access: Arc<dyn AccessStore>, door: FakeStores) -> Self {
        let end = CancellationToken::new();
        let own = Secret::from(TOKEN);
        let context_of_door = context.clone();
        let tally = Arc::new(Tally::default());
        let state = ServerState {
            jobs: Arc::new(Tallied::new(
                Arc::new(JobManager::new(context.clone(), TTL)),
                context.jobs.clone(),
                Arc::clone(&tally),
            )),
            context,
            reader: Arc::new(reader()),
            own_agent: None,
            source_kinds: &[],
            storage_kinds: Arc::new([]),
            authenticator: Arc::new(TokenAuthenticator::new(context_of_door, access.clone(), &own)),
            keeper: Arc::new(SecretMap::default()),
            access: access.clone(),
            meter: Arc::new(door.clone()),
            figures: Default::default(),
            purges: Arc::new(door.clone()),
            monitors: Arc::new(door),
            tally: Arc::clone(&tally),
            courier: Arc::new(FakeCourier::default()),
            wake: Arc::default(),
            end: end.clone(),
        };
        let monitors = state.monitors.clone();
        let context_kept = state.context.clone();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, state, end.clone()));
        let client = Client::new(&url, own).unwrap();
        Self { client, url, access, monitors, context: context_kept, end }
    }

    /// Ends the server.
    pub(crate) fn stop(&self) {
        self.end.cancel();
    }

    /// Makes a token and returns its text.
    pub(crate) async fn token(&self, role: Role, tenant: Option<TenantId>) -> Secret {
        let scope = Scope::new(role, tenant, Vec::new()).unwrap();
        let wish = TokenDeclaration { name: "test".parse().unwrap(), scope, expires_at: None };
        token_issue(&self.context, &*self.access, wish).await.unwrap().1
    }

    /// Returns a client with a new token.
    pub(crate) async fn client_of(&self, role: Role, tenant: Option<TenantId>) -> Client {
        Client::new(&self.url, self.token(role, tenant).await).unwrap()
    }

    /// Makes a call as any program may, with headers of its own, and reads the answer until `enough` of it is there or it
    /// has ended.
    pub(crate) async fn http(&self, head: &str, headers: &[&str], body: &str, enough: &'static str) -> Answer {
        let address = self.url.trim_start_matches("http://").to_owned();
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let request = format!(
            "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        let read = move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut text = Vec::new();
            let mut chunk = [0; 4096];
            loop {
                let count = stream.read(&mut chunk).unwrap();
                text.extend_from_slice(&chunk[..count]);
                let so_far = String::from_utf8_lossy(&text);
                if count == 0 || (!enough.is_empty() && so_far.contains(enough)) {
                    return so_far.into_owned();
                }
            }
        };
        let text = tokio::task::spawn_blocking(read).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
}
