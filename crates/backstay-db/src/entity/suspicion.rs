//! A plan of which so much changed at once that its older snapshots must not go, as a row.

use backstay_core::domain::anomaly::Suspicion;
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;

use crate::row::Row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "suspicion")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) plan_id: String,
    /// The job that found it.
    pub(crate) job_id: String,
    pub(crate) suspected_at: i64,
    /// What was found, for a person.
    pub(crate) message: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(suspicion: &Suspicion) -> Self {
        Self {
            plan_id: suspicion.plan_id.to_string(),
            job_id: suspicion.job_id.to_string(),
            suspected_at: suspicion.at.as_microsecond(),
            message: suspicion.message.clone(),
        }
    }

    pub(crate) fn read(self) -> Result<Suspicion, StoreError> {
        let row = Row::of("suspicion", &self.plan_id);
        Ok(Suspicion {
            plan_id: row.parse("plan_id", &self.plan_id)?,
            job_id: row.parse("job_id", &self.job_id)?,
            at: row.instant("suspected_at", self.suspected_at)?,
            message: self.message.clone(),
        })
    }
}
