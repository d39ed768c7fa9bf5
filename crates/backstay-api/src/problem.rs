//! How the API says that something went wrong: RFC 9457, with a stable code and a hint.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Media type of a problem.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// A problem. `code` never changes its meaning; `detail` and `hint` are for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable word for programs, such as `not_found`.
    pub code: String,
    /// What happened, in a few words.
    pub title: String,
    /// What happened here.
    pub detail: String,
    /// What to do next; empty when there is nothing to say.
    #[serde(default)]
    pub hint: String,
}

/// Stable words that programs of ours look at.
pub mod code {
    /// The lease is over: the caller stops and says nothing more.
    pub const LEASE_LOST: &str = "lease_lost";
    /// There is no such row.
    pub const NOT_FOUND: &str = "not_found";
}
