//! What handlers work with.

use std::sync::Arc;

use backstay_core::domain::id::ItemId;
use backstay_core::managers::context::Context;
use backstay_core::managers::source::OwnAgent;
use backstay_core::ports::access::AccessStore;
use backstay_core::ports::courier::Courier;
use backstay_core::ports::job::Jobs;
use backstay_core::ports::meter::MeterStore;
use backstay_core::ports::monitor::MonitorStore;
use backstay_core::ports::purge::PurgeStore;
use backstay_core::ports::secret::SecretKeeper;
use backstay_core::ports::snapshot::SnapshotReader;
use backstay_core::ports::source::SourceKind;
use backstay_core::ports::storage::StorageJudge;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::door::Authenticator;
use super::meter::Figures;
use crate::tally::Tally;

/// The ports and kinds that a role put together.
#[derive(Clone)]
pub struct ServerState {
    /// The ports.
    pub context: Context,
    /// Leases jobs and takes in what came of them, for agents elsewhere.
    pub jobs: Arc<dyn Jobs>,
    /// Looks into snapshots.
    pub reader: Arc<dyn SnapshotReader>,
    /// The source kinds.
    pub source_kinds: &'static [&'static dyn SourceKind],
    /// The storage kinds.
    pub storage_kinds: Arc<[Box<dyn StorageJudge>]>,
    /// Keeps the secrets that people hand in.
    pub keeper: Arc<dyn SecretKeeper>,
    /// Tokens, remembered answers, and who asked for what.
    pub access: Arc<dyn AccessStore>,
    /// Figures for monitoring.
    pub meter: Arc<dyn MeterStore>,
    /// Those of them that were found a moment ago.
    pub figures: Arc<Figures>,
    /// Purges of tenants.
    pub purges: Arc<dyn PurgeStore>,
    /// Monitors and their pings.
    pub monitors: Arc<dyn MonitorStore>,
    /// What jobs came to since this process began.
    pub tally: Arc<Tally>,
    /// Knows who brings a token.
    pub authenticator: Arc<dyn Authenticator>,
    /// The agent that works in the same process; none where agents are elsewhere.
    pub own_agent: Option<OwnAgent>,
    /// Brings a person's test to a channel.
    pub courier: Arc<dyn Courier>,
    /// Ends streams, which would last longer than the server.
    pub end: CancellationToken,
    /// Wakes the agent in the same process when there may be work.
    pub wake: Arc<Notify>,
}

impl ServerState {
    /// Returns an item's name; none when it has no row.
    pub(super) async fn item_name(&self, id: Option<ItemId>) -> Option<String> {
        let item = self.context.declarations.item_get(id?).await.ok()?;
        Some(item.name)
    }
}
