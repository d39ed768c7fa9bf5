//! A server on loopback over stores of a suite, and a client that may do everything.

use std::net::Ipv4Addr;
use std::sync::Arc;

use backstay_api::Client;
use backstay_core::domain::secret::Secret;
use backstay_core::managers::job::JobManager;
use backstay_server::http::{ServerState, serve};
use backstay_testkit::conformance::job::context;
use backstay_testkit::conformance::world::{Stores, TTL};
use backstay_testkit::fakes::clock::ManualClock;
use backstay_testkit::fakes::snapshot::FakeReader;
use backstay_testkit::fakes::store::FakeStores;
use futures::FutureExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The token of the installation itself.
pub(crate) const TOKEN: &str = "bk_test";

/// A server that ends when this is dropped.
pub(crate) struct Served {
    pub(crate) client: Client,
    pub(crate) url: String,
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
    let holder = stores.clone();
    Stores {
        declarations: Arc::new(stores.clone()),
        history: Arc::new(stores.clone()),
        jobs: Arc::new(stores),
        clock,
        hold_alone: Arc::new(move |id| {
            holder.hold_alone(id);
            async {}.boxed()
        }),
        kept: Arc::new(()),
    }
}

impl Served {
    /// Starts a server on a free port.
    pub(crate) async fn over(stores: &Stores) -> Self {
        let context = context(stores);
        let state = ServerState {
            jobs: Arc::new(JobManager::new(context.clone(), TTL)),
            context,
            reader: Arc::new(FakeReader::default()),
            source_kinds: &[],
            storage_kinds: Arc::new([]),
            token: Arc::new(Secret::from(TOKEN)),
            wake: Arc::default(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let end = CancellationToken::new();
        tokio::spawn(serve(listener, state, end.clone()));
        let client = Client::new(&url, Secret::from(TOKEN)).unwrap();
        Self { client, url, end }
    }
}
