//! The door's store with trouble on demand: changes that are held up or refused, answers that are not remembered.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::change::ChangeRecord;
use backstay_core::domain::id::{AgentId, ChangeId, TenantId, TokenId};
use backstay_core::domain::token::ApiToken;
use backstay_core::ports::access::{AccessStore, Answer, Begun, Remembered};
use backstay_core::ports::store::{Page, StoreError};
use jiff::Timestamp;
use tokio::sync::Semaphore;

/// A store that does as the one within, but for the trouble that a test asks for.
pub(crate) struct Troubled {
    inner: Arc<dyn AccessStore>,
    /// Errors of the next records of changes, the last one first.
    pub(crate) refusals: Mutex<Vec<StoreError>>,
    /// Permits for records of changes.
    pub(crate) changes: Semaphore,
    /// Grows by one for each record that is asked for.
    pub(crate) asked: Semaphore,
    /// Answers are not remembered.
    pub(crate) is_deaf: AtomicBool,
}

impl Troubled {
    pub(crate) fn over(inner: Arc<dyn AccessStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            refusals: Mutex::default(),
            changes: Semaphore::new(1_000),
            asked: Semaphore::new(0),
            is_deaf: AtomicBool::new(false),
        })
    }
}

/// What a driver may say: more than a client should hear.
pub(crate) fn unavailable() -> StoreError {
    StoreError::Unavailable("connection to db7.internal.example refused: SELECT secret FROM vault".into())
}

#[async_trait]
impl AccessStore for Troubled {
    async fn change_add(&self, record: &ChangeRecord) -> Result<(), StoreError> {
        self.asked.add_permits(1);
        self.changes.acquire().await.unwrap().forget();
        let refusal = self.refusals.lock().unwrap().pop();
        match refusal {
            Some(error) => Err(error),
            None => self.inner.change_add(record).await,
        }
    }

    async fn answer_end(&self, wish: &Remembered, answer: Option<&Answer>) -> Result<(), StoreError> {
        if self.is_deaf.load(Ordering::SeqCst) {
            return Err(unavailable());
        }
        self.inner.answer_end(wish, answer).await
    }

    async fn answer_begin(&self, wish: &Remembered, old: Timestamp, gone: Timestamp) -> Result<Begun, StoreError> {
        self.inner.answer_begin(wish, old, gone).await
    }

    async fn token_add(&self, token: &ApiToken) -> Result<(), StoreError> {
        self.inner.token_add(token).await
    }

    async fn token_get(&self, id: TokenId) -> Result<ApiToken, StoreError> {
        self.inner.token_get(id).await
    }

    async fn token_by_hash(&self, hash: &str) -> Result<Option<ApiToken>, StoreError> {
        self.inner.token_by_hash(hash).await
    }

    async fn token_list(&self, tenant: Option<TenantId>, page: Page<TokenId>) -> Result<Vec<ApiToken>, StoreError> {
        self.inner.token_list(tenant, page).await
    }

    async fn token_revoke(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        self.inner.token_revoke(id, at).await
    }

    async fn token_used(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        self.inner.token_used(id, at).await
    }

    async fn agent_bind(&self, agent: AgentId, token: TokenId, at: Timestamp) -> Result<bool, StoreError> {
        self.inner.agent_bind(agent, token, at).await
    }

    async fn lease_token(&self, lease: LeaseKey) -> Result<Option<TokenId>, StoreError> {
        self.inner.lease_token(lease).await
    }

    async fn change_newest(&self) -> Result<Option<ChangeRecord>, StoreError> {
        self.inner.change_newest().await
    }

    async fn change_chain(&self, from_sequence: i64, rows_max: u32) -> Result<Vec<ChangeRecord>, StoreError> {
        self.inner.change_chain(from_sequence, rows_max).await
    }

    async fn change_list(&self, page: Page<ChangeId>) -> Result<Vec<ChangeRecord>, StoreError> {
        self.inner.change_list(page).await
    }
}
