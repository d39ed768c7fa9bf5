//! Indexes by which a sweep finds what is over, and by which a snapshot that goes finds its children.

use sea_orm_migration::prelude::*;

use super::step::{create_index, drop_index};
use crate::dialect::is_transactional;

/// The step.
#[derive(DeriveMigrationName)]
pub(super) struct Sweep;

// The second columns keep MariaDB from merging an index of cells that are nearly all empty with a better one: rows of one
// cell no longer lie in the order of their ids.
const INDEXES: [(&str, &str, &[&str]); 5] = [
    ("snapshot", "ix_snapshot_forgotten", &["forgotten_at", "taken_at"]),
    ("snapshot", "ix_snapshot_parent", &["parent_id"]),
    ("outbox", "ix_outbox_sent", &["sent_at", "created_at"]),
    ("outbox", "ix_outbox_given_up", &["given_up_at", "created_at"]),
    ("alert", "ix_alert_ended", &["ended_at", "since_at"]),
];

#[async_trait::async_trait]
impl MigrationTrait for Sweep {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, name, columns) in INDEXES {
            let mut index = Index::create();
            for column in columns {
                index.col(*column);
            }
            create_index(manager, table, name, index.take()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, name, columns) in INDEXES {
            // MariaDB has dropped the index that it had made for the foreign key, and refuses to drop the one that took
            // its place. There it stays, and the next `up` finds it.
            if columns != ["parent_id"] || is_transactional(manager.get_database_backend()) {
                drop_index(manager, table, name).await?;
            }
        }
        Ok(())
    }
}
