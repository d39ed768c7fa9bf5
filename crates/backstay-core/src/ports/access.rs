//! The store behind the API's door: tokens, answers that are remembered, and who asked for what.

use async_trait::async_trait;
use jiff::Timestamp;

use super::store::{Page, StoreError};
use crate::domain::attempt::LeaseKey;
use crate::domain::change::ChangeRecord;
use crate::domain::id::{AgentId, ChangeId, TenantId, TokenId};
use crate::domain::token::ApiToken;

/// An answer as it is given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: String,
    /// The tag of what it shows; none where that has none.
    pub etag: Option<String>,
}

/// An answer that is given again when the same request comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Who asked: a token's id, or a word for the installation itself.
    pub caller: String,
    /// The key that the caller chose.
    pub key: String,
    /// SHA-256 of method, path, query and body, hexadecimal.
    pub request_hash: String,
    /// When it was first asked.
    pub asked_at: Timestamp,
    /// The answer; none while it is being made.
    pub answer: Option<Answer>,
}

/// What became of a wish to answer a request once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Nobody answers it now: answer it, then tell. When it was first asked: earlier than the wish when an earlier answer
    /// failed or was given up.
    New(Timestamp),
    /// It was asked before; this is what is known of it.
    Known(Remembered),
}

/// Tokens, remembered answers, records of changes.
#[async_trait]
pub trait AccessStore: Send + Sync {
    /// Adds a token; [`StoreError::Taken`] when its hash is.
    async fn token_add(&self, token: &ApiToken) -> Result<(), StoreError>;
    /// Returns a token.
    async fn token_get(&self, id: TokenId) -> Result<ApiToken, StoreError>;
    /// Returns the token with this hash; none if there is none.
    async fn token_by_hash(&self, hash: &str) -> Result<Option<ApiToken>, StoreError>;
    /// Returns a page of tokens; of one tenant or all.
    async fn token_list(&self, tenant: Option<TenantId>, page: Page<TokenId>) -> Result<Vec<ApiToken>, StoreError>;
    /// Revokes a token. One that is revoked already stays as it is.
    async fn token_revoke(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError>;
    /// Notes when a token was used.
    async fn token_used(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError>;

    /// Ties an agent to the token that it first came with, and says whether it is this one. An agent that has a heartbeat
    /// and no token is of the server's own process, and no token's.
    async fn agent_bind(&self, agent: AgentId, token: TokenId, at: Timestamp) -> Result<bool, StoreError>;
    /// Returns the token of the agent that took this lease; none when nobody took it, or an agent without a token did.
    async fn lease_token(&self, lease: LeaseKey) -> Result<Option<TokenId>, StoreError>;

    /// Takes a caller's key for a request, or says what is known under it. Of many at once one gets it. A row from before
    /// `forget_before` is forgotten first. A row without an answer is taken over, with the moment when it was first
    /// asked, when its answer failed, or was begun before `abandoned_before`: whoever made it is gone.
    async fn answer_begin(
        &self,
        wish: &Remembered,
        forget_before: Timestamp,
        abandoned_before: Timestamp,
    ) -> Result<Begun, StoreError>;
    /// Remembers the answer to a wish that [`AccessStore::answer_begin`] took; none leaves the key to whoever asks again.
    /// The first answer stays, and a run that was given up does not end the one that took over.
    async fn answer_end(&self, wish: &Remembered, answer: Option<&Answer>) -> Result<(), StoreError>;

    /// Adds a record at the end of the chain; [`StoreError::Taken`] when another one took its place.
    async fn change_add(&self, record: &ChangeRecord) -> Result<(), StoreError>;
    /// Returns the newest record; none if there is none.
    async fn change_newest(&self) -> Result<Option<ChangeRecord>, StoreError>;
    /// Returns records in the order of their places, from a place on.
    async fn change_chain(&self, from_sequence: i64, rows_max: u32) -> Result<Vec<ChangeRecord>, StoreError>;
    /// Returns a page of records.
    async fn change_list(&self, page: Page<ChangeId>) -> Result<Vec<ChangeRecord>, StoreError>;
}
