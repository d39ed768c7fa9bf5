//! The API's door: tokens, remembered answers, and the chain of who asked for a change.

use async_trait::async_trait;
use backstay_core::domain::change::ChangeRecord;
use backstay_core::domain::id::{ChangeId, TenantId, TokenId};
use backstay_core::domain::token::ApiToken;
use backstay_core::ports::access::{AccessStore, Begun, Remembered};
use backstay_core::ports::store::{Page, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};

use crate::Database;
use crate::database::commit;
use crate::declaration::found;
use crate::entity::{answer, change, token};
use crate::error::{insert_error, store_error};
use crate::history::rows_limit;

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

    async fn answer_begin(
        &self,
        wish: &Remembered,
        forget_before: Timestamp,
        abandoned_before: Timestamp,
    ) -> Result<Begun, StoreError> {
        let tx = self.begin().await?;
        let abandoned =
            answer::Column::Status.is_null().and(answer::Column::AskedAt.lt(abandoned_before.as_microsecond()));
        let gone = Condition::any().add(answer::Column::AskedAt.lt(forget_before.as_microsecond())).add(abandoned);
        answer::Entity::delete_many().filter(gone).exec(&tx).await.map_err(store_error)?;
        let key = (wish.caller.clone(), wish.key.clone());
        let known = answer::Entity::find_by_id(key).lock_exclusive().one(&tx).await.map_err(store_error)?;
        let begun = match known {
            Some(row) => Begun::Known(row.read()?),
            None => {
                let insert = answer::Entity::insert(answer::Model::of(wish).into_active_model());
                let done = insert.exec_without_returning(&tx).await;
                done.map_err(|error| insert_error(error, "idempotency key", &wish.key))?;
                Begun::New
            }
        };
        commit(tx).await?;
        Ok(begun)
    }

    async fn answer_end(&self, caller: &str, key: &str, answer: Option<(u16, &str)>) -> Result<(), StoreError> {
        let done = match answer {
            None => {
                let row = answer::Entity::delete_by_id((caller.to_owned(), key.to_owned()));
                row.exec(&self.writer).await.map(drop)
            }
            Some((status, body)) => answer::Entity::update_many()
                .col_expr(answer::Column::Status, Expr::val(i64::from(status)))
                .col_expr(answer::Column::Body, Expr::val(body))
                .filter(answer::Column::Caller.eq(caller))
                .filter(answer::Column::AnswerKey.eq(key))
                .exec(&self.writer)
                .await
                .map(drop),
        };
        done.map_err(store_error)
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

    async fn change_list(&self, page: Page<ChangeId>) -> Result<Vec<ChangeRecord>, StoreError> {
        let mut query = change::Entity::find();
        if let Some(before) = page.before {
            query = query.filter(change::Column::Id.lt(before.to_string()));
        }
        let query = query.order_by_desc(change::Column::Id).limit(rows_limit(page.rows_max));
        query.all(&self.reader).await.map_err(store_error)?.into_iter().map(change::Model::read).collect()
    }
}
