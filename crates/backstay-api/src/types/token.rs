//! Tokens of the API.

use backstay_core::domain::token::ApiToken;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wire::{SecretText, instant_some};

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    /// What its holder calls it.
    pub name: String,
    /// `admin`, `operator`, `tenant_admin`, `restorer`, `reader` or `agent`.
    pub role: String,
    /// Name of the one tenant that it reaches; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Job kinds that an agent may lease; all when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// From when on it is refused; never when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
}

/// A token, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: String,
    /// Id of the one tenant that it reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Job kinds that it may lease; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// When it was made.
    pub created_at: String,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

impl From<&ApiToken> for TokenView {
    fn from(token: &ApiToken) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.to_string(),
            role: token.scope.role.word().to_owned(),
            tenant_id: token.scope.tenant_id.map(|id| id.to_string()),
            kinds: token.scope.kinds.iter().map(|kind| kind.word().to_owned()).collect(),
            created_at: token.created_at.to_string(),
            expires_at: instant_some(token.expires_at),
            last_used_at: instant_some(token.last_used_at),
            revoked_at: instant_some(token.revoked_at),
        }
    }
}

/// A token that was made: the only answer that has its text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// The token.
    pub token: TokenView,
    /// Its text: keep it now, nobody can show it again.
    pub secret: SecretText,
}
