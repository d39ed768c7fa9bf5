//! Kinds: the strategies that there are for sources, storages and channels.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A kind, with what a form needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KindView {
    /// Its name, as requests give it.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// JSON Schema of its settings.
    #[schema(value_type = Object)]
    pub schema: serde_json::Value,
}
