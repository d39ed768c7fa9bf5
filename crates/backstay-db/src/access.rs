//! The API's door: tokens, remembered answers, and the chain of who asked for a change.

use async_trait::async_trait;
use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::change::ChangeRecord;
use backstay_core::domain::id::{AgentId, ChangeId, TenantId, TokenId};
use backstay_core::domain::token::ApiToken;
use backstay_core::ports::access::{AccessStore, Answer, Begun, Remembered};
use backstay_core::ports::store::{Page, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};

use crate::Database;
use crate::database::commit;
use crate::declaration::found;
use crate::dialect::insert_unless_taken;
use crate::entity::{agent, agent_token, answer, attempt, change, token};
use crate::error::{insert_error, store_error};
use crate::history::rows_limit;
use crate::row::Row;

#[async_trait]
impl AccessStore for Database {
    async fn token_add(&self, token: &ApiToken) -> Result<(), StoreError> {
        let insert = token::Entity::insert(token::Model::of(token).into_active_model());
        let done = insert.exec_without_returning(&self.writer).await;
        done.map(drop).map_err(|error| insert_error(error, "token", token.name.as_str()))
    }

    async fn token_get(&self, id: TokenId) -> Result<ApiToken, StoreError> {
        let row = token::Entity::find_by_id(id.to_string()).one(&self.reader).await.map_err(store_error)?;
        found(row, "token", id)?.read()
    }

    async fn token_by_hash(&self, hash: &str) -> Result<Option<ApiToken>, StoreError> {
        let query = token::Entity::find().filter(token::Column::Hash.eq(hash));
        query.one(&self.reader).await.map_err(store_error)?.map(token::Model::read).transpose()
    }

    async fn token_list(&self, tenant: Option<TenantId>, page: Page<TokenId>) -> Result<Vec<ApiToken>, StoreError> {
        let mut query = token::Entity::find();
        if let Some(tenant) = tenant {
            query = query.filter(token::Column::TenantId.eq(tenant.to_string()));
        }
        if let Some(before) = page.before {
            query = query.filter(token::Column::Id.lt(before.to_string()));
        }
        let query = query.order_by_desc(token::Column::Id).limit(rows_limit(page.rows_max));
        query.all(&self.reader).await.map_err(store_error)?.into_iter().map(token::Model::read).collect()
    }

    async fn token_revoke(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        token::Entity::update_many()
            .col_expr(token::Column::RevokedAt, Expr::val(at.as_microsecond()))
            .filter(token::Column::Id.eq(id.to_string()))
            .filter(token::Column::RevokedAt.is_null())
            .exec(&self.writer)
            .await
            .map(drop)
            .map_err(store_error)
    }

    async fn token_used(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        token::Entity::update_many()
            .col_expr(token::Column::LastUsedAt, Expr::val(at.as_microsecond()))
            .filter(token::Column::Id.eq(id.to_string()))
            .exec(&self.writer)
            .await
            .map(drop)
            .map_err(store_error)
    }

    async fn agent_bind(&self, agent: AgentId, token: TokenId, at: Timestamp) -> Result<bool, StoreError> {
        let known = agent_token::Entity::find_by_id(agent.to_string()).one(&self.reader).await.map_err(store_error)?;
        if let Some(known) = known {
            return Ok(known.token_id == token.to_string());
        }
        self.retrying(|| self.agent_bind_once(agent, token, at)).await
    }

    async fn lease_token(&self, lease: LeaseKey) -> Result<Option<TokenId>, StoreError> {
        let key = (lease.job_id.to_string(), lease.token.0);
        let attempt = attempt::Entity::find_by_id(key).one(&self.reader).await.map_err(store_error)?;
        let Some(attempt) = attempt else { return Ok(None) };
        let bound = agent_token::Entity::find_by_id(attempt.agent_id).one(&self.reader).await.map_err(store_error)?;
        bound.map(|row| Row::of("agent_token", &row.agent_id).parse("token_id", &row.token_id)).transpose()
    }

    async fn answer_begin(
        &self,
        wish: &Remembered,
        forget_before: Timestamp,
        abandoned_before: Timestamp,
    ) -> Result<Begun, StoreError> {
        self.retrying(|| self.answer_begin_once(wish, forget_before, abandoned_before)).await
    }

    async fn answer_end(&self, wish: &Remembered, answer: Option<&Answer>) -> Result<(), StoreError> {
        let row = answer::Entity::update_many()
            .filter(answer::Column::Caller.eq(&wish.caller))
            .filter(answer::Column::AnswerKey.eq(&wish.key))
            .filter(answer::Column::Status.is_null());
        let row = match answer {
            None => row
                .col_expr(answer::Column::BeganAt, Expr::val(None::<i64>))
                .filter(answer::Column::BeganAt.eq(wish.asked_at.as_microsecond())),
            Some(answer) => row
                .col_expr(answer::Column::Status, Expr::val(i64::from(answer.status)))
                .col_expr(answer::Column::Body, Expr::val(answer.body.as_str()))
                .col_expr(answer::Column::Etag, Expr::val(answer.etag.clone())),
        };
        row.exec(&self.writer).await.map(drop).map_err(store_error)
    }

    async fn change_add(&self, record: &ChangeRecord) -> Result<(), StoreError> {
        let insert = change::Entity::insert(change::Model::of(record).into_active_model());
        let done = insert.exec_without_returning(&self.writer).await;
        done.map(drop).map_err(|error| insert_error(error, "change record", record.sequence.to_string()))
    }

    async fn change_newest(&self) -> Result<Option<ChangeRecord>, StoreError> {
        let query = change::Entity::find().order_by_desc(change::Column::Sequence);
        query.one(&self.reader).await.map_err(store_error)?.map(change::Model::read).transpose()
    }

    async fn change_chain(&self, from_sequence: i64, rows_max: u32) -> Result<Vec<ChangeRecord>, StoreError> {
        let query = change::Entity::find().filter(change::Column::Sequence.gte(from_sequence));
        let query = query.order_by_asc(change::Column::Sequence).limit(rows_limit(rows_max));
        query.all(&self.reader).await.map_err(store_error)?.into_iter().map(change::Model::read).collect()
    }

    async fn change_list(&self, page: Page<ChangeId>) -> Result<Vec<ChangeRecord>, StoreError> {
        let mut query = change::Entity::find();
        if let Some(before) = page.before {
            query = query.filter(change::Column::Id.lt(before.to_string()));
        }
        let query = query.order_by_desc(change::Column::Id).limit(rows_limit(page.rows_max));
        query.all(&self.reader).await.map_err(store_error)?.into_iter().map(change::Model::read).collect()
    }
}

impl Database {
    async fn agent_bind_once(&self, agent: AgentId, token: TokenId, at: Timestamp) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let id = agent.to_string();
        let row =
            agent_token::Model { agent_id: id.clone(), token_id: token.to_string(), bound_at: at.as_microsecond() };
        let inserted = insert_unless_taken(&tx, row.into_active_model()).await;
        if !inserted.map_err(|error| insert_error(error, "agent", &id))? {
            let row = agent_token::Entity::find_by_id(&id).one(&tx).await.map_err(store_error)?;
            return Ok(found(row, "agent", id)?.token_id == token.to_string());
        }
        // Whoever leased without a token is of this server's own process: dropped here, the row is not written.
        if agent::Entity::find_by_id(&id).one(&tx).await.map_err(store_error)?.is_some() {
            return Ok(false);
        }
        commit(tx).await?;
        Ok(true)
    }

    async fn answer_begin_once(
        &self,
        wish: &Remembered,
        forget_before: Timestamp,
        abandoned_before: Timestamp,
    ) -> Result<Begun, StoreError> {
        let tx = self.begin().await?;
        let old = answer::Entity::delete_many().filter(answer::Column::AskedAt.lt(forget_before.as_microsecond()));
        old.exec(&tx).await.map_err(store_error)?;
        // The key decides who is first: of two at once, one waits here until the other one has written.
        let inserted = insert_unless_taken(&tx, answer::Model::of(wish).into_active_model()).await;
        if inserted.map_err(|error| insert_error(error, "idempotency key", &wish.key))? {
            commit(tx).await?;
            return Ok(Begun::New(wish.asked_at));
        }
        let key = (wish.caller.clone(), wish.key.clone());
        let row = answer::Entity::find_by_id(key).lock_exclusive().one(&tx).await.map_err(store_error)?;
        let row = found(row, "idempotency key", &wish.key)?;
        let began_at = row.began_at;
        let known = row.read()?;
        let is_free = known.answer.is_none() && began_at.is_none_or(|began| began < abandoned_before.as_microsecond());
        if !is_free || known.request_hash != wish.request_hash {
            return Ok(Begun::Known(known));
        }
        let taken = answer::Entity::update_many()
            .col_expr(answer::Column::BeganAt, Expr::val(wish.asked_at.as_microsecond()))
            .filter(answer::Column::Caller.eq(&wish.caller))
            .filter(answer::Column::AnswerKey.eq(&wish.key));
        taken.exec(&tx).await.map_err(store_error)?;
        commit(tx).await?;
        Ok(Begun::New(known.asked_at))
    }
}
