//! The one row of the installation: the rules by which the queue is gone through, and how far its clock went back.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "queue_rules")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) revision: i64,
    pub(crate) rules_json: String,
    /// By how much the database's clock went back so far, as far as dates were brought nearer for it.
    pub(crate) clock_back_us: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
