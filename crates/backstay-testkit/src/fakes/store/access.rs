//! The API's door in memory.

use async_trait::async_trait;
use backstay_core::domain::attempt::LeaseKey;
use backstay_core::domain::change::ChangeRecord;
use backstay_core::domain::id::{AgentId, ChangeId, TenantId, TokenId};
use backstay_core::domain::token::ApiToken;
use backstay_core::ports::access::{AccessStore, Answer, Begun, Remembered};
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

    async fn agent_bind(&self, agent: AgentId, token: TokenId, _: Timestamp) -> Result<bool, StoreError> {
        Ok(self.read(|rows| {
            if rows.agents.contains_key(&agent) && !rows.agent_tokens.contains_key(&agent) {
                return false;
            }
            *rows.agent_tokens.entry(agent).or_insert(token) == token
        }))
    }

    async fn lease_token(&self, lease: LeaseKey) -> Result<Option<TokenId>, StoreError> {
        Ok(self.read(|rows| {
            let attempt = rows.attempts.iter().find(|attempt| attempt.key == lease)?;
            rows.agent_tokens.get(&attempt.agent_id).copied()
        }))
    }

    async fn answer_begin(
        &self,
        wish: &Remembered,
        forget_before: Timestamp,
        abandoned_before: Timestamp,
    ) -> Result<Begun, StoreError> {
        Ok(self.read(|rows| {
            rows.answers.retain(|(row, _)| row.asked_at >= forget_before);
            let Some((row, began)) = rows.answers.iter_mut().find(|(row, _)| is_same(row, wish)) else {
                rows.answers.push((wish.clone(), Some(wish.asked_at)));
                return Begun::New(wish.asked_at);
            };
            let is_free = row.answer.is_none() && began.is_none_or(|began| began < abandoned_before);
            if !is_free || row.request_hash != wish.request_hash {
                return Begun::Known(row.clone());
            }
            *began = Some(wish.asked_at);
            Begun::New(row.asked_at)
        }))
    }

    async fn answer_end(&self, wish: &Remembered, answer: Option<&Answer>) -> Result<(), StoreError> {
        self.read(|rows| {
            let known = rows.answers.iter_mut().find(|(row, _)| is_same(row, wish));
            if let Some((row, began)) = known.filter(|(row, _)| row.answer.is_none()) {
                match answer {
                    Some(answer) => row.answer = Some(answer.clone()),
                    None if *began == Some(wish.asked_at) => *began = None,
                    None => {}
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

    async fn change_chain(&self, from_sequence: i64, rows_max: u32) -> Result<Vec<ChangeRecord>, StoreError> {
        let mut found: Vec<ChangeRecord> =
            self.read(|rows| rows.changes.iter().filter(|row| row.sequence >= from_sequence).cloned().collect());
        found.sort_by_key(|row| row.sequence);
        found.truncate(rows_max as usize);
        Ok(found)
    }

    async fn change_list(&self, page: Page<ChangeId>) -> Result<Vec<ChangeRecord>, StoreError> {
        Ok(self.read(|rows| page_of(rows.changes.iter(), |row| row.asked.id, page)))
    }
}

/// Says whether two carry the same key of the same caller.
fn is_same(one: &Remembered, other: &Remembered) -> bool {
    (&one.caller, &one.key) == (&other.caller, &other.key)
}
