//! Channels and the windows of their digests.

use backstay_core::domain::channel::Channel;
use backstay_core::domain::id::ChannelId;
use backstay_core::ports::store::{NamedFilter, Page, StoreError};
use jiff::Timestamp;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect};

use crate::Database;
use crate::database::commit;
use crate::declaration::found;
use crate::entity::{channel, digest, digest_told, outbox};
use crate::error::{insert_error, store_error};
use crate::page::channels_question;
use crate::row::readable;

impl Database {
    pub(crate) async fn channel_add_once(
        &self,
        channel: &Channel,
        due_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let insert = channel::Entity::insert(channel::Model::of(channel).into_active_model());
        let done = insert.exec_without_returning(&tx).await;
        done.map_err(|error| insert_error(error, "channel", channel.name.as_str()))?;
        self.window_put(&tx, channel.id, due_at).await?;
        commit(tx).await
    }

    pub(crate) async fn channel_put_once(
        &self,
        seen: &Channel,
        channel: &Channel,
        due_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let tx = self.begin().await?;
        let row = channel::Model::of(channel);
        let there = channel::Entity::find_by_id(&row.id).lock_exclusive().one(&tx).await.map_err(store_error)?;
        let there = found(there, "channel", channel.id)?.read()?;
        // What is there already may be what this wrote, when the answer was lost.
        if there == *channel || there != *seen {
            return Ok(there == *channel);
        }
        let update = channel::Entity::update_many()
            .col_expr(channel::Column::SettingsJson, Expr::val(&row.settings_json))
            .col_expr(channel::Column::RulesJson, Expr::val(&row.rules_json))
            .col_expr(channel::Column::DigestWindow, Expr::val(row.digest_window.as_deref()))
            .filter(channel::Column::Id.eq(&row.id));
        update.exec(&tx).await.map_err(store_error)?;
        self.window_put(&tx, channel.id, due_at).await?;
        commit(tx).await?;
        Ok(true)
    }

    /// Sets when a channel's digest is due. The window's beginning stays: what it had begun to gather is not lost.
    async fn window_put(
        &self,
        tx: &DatabaseTransaction,
        id: ChannelId,
        due_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let before = digest::Entity::find_by_id(id.to_string()).one(tx).await.map_err(store_error)?;
        let gone = digest::Entity::delete_by_id(id.to_string()).exec(tx).await;
        gone.map_err(store_error)?;
        let Some(due_at) = due_at else { return Ok(()) };
        let from_at = match before {
            Some(before) => before.from_at,
            None => self.now.read(tx).await?.as_microsecond(),
        };
        let row = digest::Model { channel_id: id.to_string(), from_at, due_at: due_at.as_microsecond() };
        let insert = digest::Entity::insert(row.into_active_model()).exec_without_returning(tx).await;
        insert.map(drop).map_err(|error| insert_error(error, "digest of channel", id.to_string()))
    }

    pub(crate) async fn channel_remove_once(&self, id: ChannelId) -> Result<(), StoreError> {
        let tx = self.begin().await?;
        let now = self.now.read(&tx).await?.as_microsecond();
        let told = digest_told::Entity::delete_many().filter(digest_told::Column::ChannelId.eq(id.to_string()));
        told.exec(&tx).await.map_err(store_error)?;
        digest::Entity::delete_by_id(id.to_string()).exec(&tx).await.map_err(store_error)?;
        let waiting = outbox::Entity::update_many()
            .col_expr(outbox::Column::DueAt, Expr::val(Option::<i64>::None))
            .col_expr(outbox::Column::GivenUpAt, Expr::val(now))
            .col_expr(outbox::Column::LastError, Expr::val("the channel was removed"))
            .filter(outbox::Column::ChannelId.eq(id.to_string()))
            .filter(outbox::Column::DueAt.is_not_null());
        waiting.exec(&tx).await.map_err(store_error)?;
        let gone = channel::Entity::delete_by_id(id.to_string()).exec(&tx).await.map_err(store_error)?;
        if gone.rows_affected != 1 {
            return Err(StoreError::NotFound { noun: "channel", key: id.to_string() });
        }
        commit(tx).await
    }

    /// Returns a page of channels. One that cannot be read must not silence the others, nor end the list: the next ones take
    /// its place.
    pub(crate) async fn channels(
        &self,
        filter: &NamedFilter,
        mut page: Page<ChannelId>,
    ) -> Result<Vec<Channel>, StoreError> {
        let mut channels = Vec::new();
        let mut before = page.before.map(|id| id.to_string());
        loop {
            let rest = Page { before, rows_max: page.rows_max };
            let rows = channels_question(filter, &rest).all(&self.reader).await.map_err(store_error)?;
            before = rows.last().map(|row| row.id.clone());
            let (found, wanted) = (rows.len(), page.rows_max as usize);
            let readable = readable(rows, "channel", |row| row.id.clone(), channel::Model::read);
            page.rows_max -= u32::try_from(readable.len()).unwrap_or(page.rows_max);
            channels.extend(readable);
            if page.rows_max == 0 || found < wanted {
                return Ok(channels);
            }
        }
    }
}
