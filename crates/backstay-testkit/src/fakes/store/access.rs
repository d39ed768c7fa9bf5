//! The API's door in memory.

use async_trait::async_trait;
use backstay_core::domain::change::ChangeRecord;
use backstay_core::domain::id::{ChangeId, TenantId, TokenId};
use backstay_core::domain::token::ApiToken;
use backstay_core::ports::access::{AccessStore, Begun, Remembered};
use backstay_core::ports::store::{Page, StoreError};
use jiff::Timestamp;

use super::FakeStores;
use super::declaration::found;
use super::history::page_of;

#[async_trait]
impl AccessStore for FakeStores {
    async fn token_add(&self, token: &ApiToken) -> Result<(), StoreError> {
        self.write(|rows, _| {
            if rows.tokens.iter().any(|row| row.hash == token.hash || row.id == token.id) {
                return Err(StoreError::Taken { noun: "token", key: token.name.to_string() });
            }
            rows.tokens.push(token.clone());
            Ok(())
        })
    }

    async fn token_get(&self, id: TokenId) -> Result<ApiToken, StoreError> {
        self.read(|rows| found(rows.tokens.iter().find(|row| row.id == id), "token", id))
    }

    async fn token_by_hash(&self, hash: &str) -> Result<Option<ApiToken>, StoreError> {
        Ok(self.read(|rows| rows.tokens.iter().find(|row| row.hash == hash).cloned()))
    }

    async fn token_list(&self, tenant: Option<TenantId>, page: Page<TokenId>) -> Result<Vec<ApiToken>, StoreError> {
        let shown = |row: &&ApiToken| tenant.is_none() || row.scope.tenant_id == tenant;
        Ok(self.read(|rows| page_of(rows.tokens.iter().filter(shown), |row| row.id, page)))
    }

    async fn token_revoke(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        self.read(|rows| {
            for row in rows.tokens.iter_mut().filter(|row| row.id == id) {
                row.revoked_at = row.revoked_at.or(Some(at));
            }
        });
        Ok(())
    }

    async fn token_used(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        self.read(|rows| {
            for row in rows.tokens.iter_mut().filter(|row| row.id == id) {
                row.last_used_at = Some(at);
            }
        });
        Ok(())
    }

    async fn answer_begin(
        &self,
        wish: &Remembered,
        forget_before: Timestamp,
        abandoned_before: Timestamp,
    ) -> Result<Begun, StoreError> {
        Ok(self.read(|rows| {
            rows.answers.retain(|row| {
                row.asked_at >= forget_before && (row.answer.is_some() || row.asked_at >= abandoned_before)
            });
            let same = |row: &&Remembered| (&row.caller, &row.key) == (&wish.caller, &wish.key);
            match rows.answers.iter().find(same).cloned() {
                Some(known) => Begun::Known(known),
                None => {
                    rows.answers.push(wish.clone());
                    Begun::New
                }
            }
        }))
    }

    async fn answer_end(&self, caller: &str, key: &str, answer: Option<(u16, &str)>) -> Result<(), StoreError> {
        self.read(|rows| match answer {
            None => rows.answers.retain(|row| (row.caller.as_str(), row.key.as_str()) != (caller, key)),
            Some((status, body)) => {
                for row in rows.answers.iter_mut().filter(|row| (&*row.caller, &*row.key) == (caller, key)) {
                    row.answer = Some((status, body.to_owned()));
                }
            }
        });
        Ok(())
    }

    async fn change_add(&self, record: &ChangeRecord) -> Result<(), StoreError> {
        self.write(|rows, _| {
            if rows.changes.iter().any(|row| row.sequence == record.sequence) {
                return Err(StoreError::Taken { noun: "change record", key: record.sequence.to_string() });
            }
            rows.changes.push(record.clone());
            Ok(())
        })
    }

    async fn change_newest(&self) -> Result<Option<ChangeRecord>, StoreError> {
        Ok(self.read(|rows| rows.changes.iter().max_by_key(|row| row.sequence).cloned()))
    }

    async fn change_list(&self, page: Page<ChangeId>) -> Result<Vec<ChangeRecord>, StoreError> {
        Ok(self.read(|rows| page_of(rows.changes.iter(), |row| row.asked.id, page)))
    }
}
