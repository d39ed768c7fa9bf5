//! A token of the API as a row; the token itself is in no row.

use backstay_core::domain::access::{Role, Scope};
use backstay_core::domain::job::JobKind;
use backstay_core::domain::token::ApiToken;
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_token")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) hash: String,
    pub(crate) role: String,
    pub(crate) tenant_id: Option<String>,
    /// Words of the kinds, with a blank between them; empty for all.
    pub(crate) kinds: String,
    pub(crate) created_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) last_used_at: Option<i64>,
    pub(crate) revoked_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(token: &ApiToken) -> Self {
        let kinds: Vec<&str> = token.scope.kinds.iter().map(|kind| kind.word()).collect();
        Self {
            id: token.id.to_string(),
            name: token.name.to_string(),
            hash: token.hash.clone(),
            role: token.scope.role.word().to_owned(),
            tenant_id: token.scope.tenant_id.map(|id| id.to_string()),
            kinds: kinds.join(" "),
            created_at: token.created_at.as_microsecond(),
            expires_at: token.expires_at.map(|at| at.as_microsecond()),
            last_used_at: token.last_used_at.map(|at| at.as_microsecond()),
            revoked_at: token.revoked_at.map(|at| at.as_microsecond()),
        }
    }

    pub(crate) fn read(self) -> Result<ApiToken, StoreError> {
        let row = Row::of("api_token", &self.id);
        let kinds = self.kinds.split_whitespace();
        let scope = Scope::new(
            row.word("role", &self.role, Role::from_word)?,
            row.parse_some("tenant_id", self.tenant_id.as_deref())?,
            kinds.map(|kind| row.word("kinds", kind, JobKind::from_word)).collect::<Result<_, _>>()?,
        );
        Ok(ApiToken {
            id: row.parse("id", &self.id)?,
            name: row.parse("name", &self.name)?,
            scope: scope.map_err(|error| row.unreadable(error.to_string()))?,
            created_at: row.instant("created_at", self.created_at)?,
            expires_at: row.instant_some("expires_at", self.expires_at)?,
            last_used_at: row.instant_some("last_used_at", self.last_used_at)?,
            revoked_at: row.instant_some("revoked_at", self.revoked_at)?,
            hash: self.hash,
        })
    }
}
