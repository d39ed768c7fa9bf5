//! A sealed secret as a row.

use backstay_core::domain::id::TenantId;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "secret")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    /// Whose it is; none when it is the installation's own.
    pub(crate) tenant_id: Option<String>,
    /// Its name beside those of its tenant; none when it is the installation's own.
    pub(crate) name: Option<String>,
    pub(crate) key_id: String,
    pub(crate) sealed: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn of(id: &str, key_id: &str, sealed: Vec<u8>) -> Self {
        let place = id.split_once('/').filter(|(tenant, _)| tenant.parse::<TenantId>().is_ok());
        let (tenant_id, name) = place.map(|(tenant, name)| (tenant.to_owned(), name.to_owned())).unzip();
        Self { id: id.to_owned(), tenant_id, name, key_id: key_id.to_owned(), sealed }
    }
}
