//! What a backup reads.

use jiff::Timestamp;

use super::id::{SourceId, TenantId};
use super::name::Name;

/// A source of one tenant. Its kind decides what the settings mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name, unique for the tenant.
    pub name: Name,
    /// Source kind, a row of `SOURCE_KINDS`.
    pub kind: String,
    /// The kind's settings, already judged by the kind's `parse`; never a secret.
    pub settings: serde_json::Value,
    /// When it was retired: nothing new is made of it then, and what it made stays; none while it lives.
    pub retired_at: Option<Timestamp>,
}
