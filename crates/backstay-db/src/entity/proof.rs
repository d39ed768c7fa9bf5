//! How far the proof of a repository is, as a row.

use std::time::Duration;

use backstay_core::domain::proof::{DrillRate, Proof, SLICES, SliceState};
use backstay_core::ports::store::StoreError;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::row::{Row, count_cell, json_cell, micros_of};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "proof")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) repository_id: String,
    pub(crate) due_at: i64,
    pub(crate) began_at: Option<i64>,
    pub(crate) drilled_item_id: Option<String>,
    /// The slices in their order; those at the end of which nothing is known are left out.
    pub(crate) slices_json: String,
    /// What the newest drills measured, the newest last.
    pub(crate) drills_json: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Twin of [`SliceState`].
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SliceTwin {
    #[serde(skip_serializing_if = "Option::is_none")]
    read_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proved_at: Option<i64>,
}

/// Twin of [`DrillRate`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DrillTwin {
    bytes: i64,
    took_us: i64,
}

impl Model {
    pub(crate) fn of(proof: &Proof) -> Self {
        let slice = |state: &SliceState| SliceTwin {
            read_at: state.read_at.map(|at| at.as_microsecond()),
            proved_at: state.proved_at.map(|at| at.as_microsecond()),
        };
        let drill = |rate: &DrillRate| DrillTwin { bytes: count_cell(rate.bytes), took_us: micros_of(rate.took) };
        Self {
            repository_id: proof.repository_id.to_string(),
            due_at: proof.due_at.as_microsecond(),
            began_at: proof.began_at.map(|at| at.as_microsecond()),
            drilled_item_id: proof.drilled_item_id.map(|id| id.to_string()),
            slices_json: json_cell(&proof.slices.iter().map(slice).collect::<Vec<_>>()),
            drills_json: json_cell(&proof.drills.iter().map(drill).collect::<Vec<_>>()),
        }
    }

    pub(crate) fn read(self) -> Result<Proof, StoreError> {
        let row = Row::of("proof", &self.repository_id);
        let slice = |twin: SliceTwin| {
            let read_at = row.instant_some("slices_json", twin.read_at)?;
            Ok(SliceState { read_at, proved_at: row.instant_some("slices_json", twin.proved_at)? })
        };
        let drill = |twin: DrillTwin| {
            let took = Duration::from_micros(row.count("drills_json", twin.took_us)?);
            Ok(DrillRate { bytes: row.count("drills_json", twin.bytes)?, took })
        };
        let slices: Vec<SliceTwin> = row.json("slices_json", &self.slices_json)?;
        let drills: Vec<DrillTwin> = row.json("drills_json", &self.drills_json)?;
        let mut slices = slices.into_iter().map(slice).collect::<Result<Vec<_>, StoreError>>()?;
        slices.resize(SLICES as usize, SliceState::default());
        Ok(Proof {
            repository_id: row.parse("repository_id", &self.repository_id)?,
            due_at: row.instant("due_at", self.due_at)?,
            began_at: row.instant_some("began_at", self.began_at)?,
            drilled_item_id: row.parse_some("drilled_item_id", self.drilled_item_id.as_deref())?,
            slices,
            drills: drills.into_iter().map(drill).collect::<Result<_, StoreError>>()?,
        })
    }
}
