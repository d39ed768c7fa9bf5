//! Agents.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An agent whose heartbeat is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentView {
    /// Its id.
    pub id: String,
}
