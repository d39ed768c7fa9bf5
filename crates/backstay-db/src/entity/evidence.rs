//! A record of evidence as a row. The document is kept letter by letter: it is what was signed.

use backstay_core::domain::evidence::{Evidence, Place, Verdict};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "evidence")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) tenant_id: String,
    pub(crate) item_id: String,
    pub(crate) item_name: String,
    pub(crate) snapshot_id: String,
    pub(crate) snapshot_foreign_id: String,
    pub(crate) job_id: String,
    pub(crate) sequence: i64,
    pub(crate) previous_hash: Option<String>,
    pub(crate) verdict: String,
    pub(crate) document: String,
    pub(crate) hash: String,
    pub(crate) public_key: String,
    pub(crate) signature: String,
    pub(crate) created_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(evidence: &Evidence) -> Self {
        let place = &evidence.place;
        Self {
            id: place.id.to_string(),
            tenant_id: place.tenant_id.to_string(),
            item_id: place.item_id.to_string(),
            item_name: place.item_name.clone(),
            snapshot_id: place.snapshot_id.to_string(),
            snapshot_foreign_id: place.snapshot_foreign_id.clone(),
            job_id: place.job_id.to_string(),
            sequence: place.sequence,
            previous_hash: place.previous_hash.clone(),
            verdict: evidence.verdict.word().to_owned(),
            document: evidence.document.clone(),
            hash: evidence.hash.clone(),
            public_key: evidence.public_key.clone(),
            signature: evidence.signature.clone(),
            created_at: evidence.created_at.as_microsecond(),
        }
    }

    pub(crate) fn read(self) -> Result<Evidence, StoreError> {
        let row = Row::of("evidence", &self.id);
        Ok(Evidence {
            verdict: row.word("verdict", &self.verdict, Verdict::from_word)?,
            created_at: row.instant("created_at", self.created_at)?,
            place: Place {
                id: row.parse("id", &self.id)?,
                tenant_id: row.parse("tenant_id", &self.tenant_id)?,
                item_id: row.parse("item_id", &self.item_id)?,
                item_name: self.item_name,
                snapshot_id: row.parse("snapshot_id", &self.snapshot_id)?,
                snapshot_foreign_id: self.snapshot_foreign_id,
                job_id: row.parse("job_id", &self.job_id)?,
                sequence: self.sequence,
                previous_hash: self.previous_hash,
            },
            document: self.document,
            hash: self.hash,
            public_key: self.public_key,
            signature: self.signature,
        })
    }
}
