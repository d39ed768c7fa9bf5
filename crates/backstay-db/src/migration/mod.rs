//! The schema, as steps that are only ever added.
//!
//! Rules: a step that was released is never edited; foreign keys stand only inside `CREATE TABLE` (SQLite cannot add
//! one later) and one statement alters one thing; words of states and kinds are written out here, so that a step means
//! the same in ten years (a test compares them with the core's lists). All missing steps run in one transaction, so half
//! an upgrade does not exist; MariaDB commits each `CREATE` by itself, and there a step may be run twice and each of its
//! statements does nothing the second time (`step`).
//!
//! Read the steps in order: what people declare, the queue, what happened, the queue's hot table, sealed secrets, the API's door, how far
//! schedules are, the door once more, what is kept, told, opens storages, turns, what may be stored, is retired, is over, templates, sets,
//! storages, leases, terms of backups, hooks, what is unlike before, proofs, pings, indexes, purges, what is unwanted, places, conditions,
//! ends, keys, what agents take, leases by their age, clocks, and pages.

#![expect(elided_lifetimes_in_paths, reason = "the trait of the migrator names none, and so its adapters cannot")]

mod column;
mod step;
mod m20261121_000001_declarations;
mod m20261121_000002_queue;
mod m20261121_000003_history;
mod m20261121_000004_hot;
mod m20261121_000005_secret;
mod m20261121_000006_access;
mod m20261121_000007_schedule;
mod m20261121_000008_door;
mod m20261121_000009_retention;
mod m20261121_000010_notices;
mod m20261121_000011_credential;
mod m20261121_000012_turns;
mod m20261121_000013_quota;
mod m20261121_000014_retire;
mod m20261121_000015_sweep;
mod m20261121_000016_trace;
mod m20261122_000017_template;
mod m20261122_000018_set;
mod m20261122_000019_storage;
mod m20261122_000020_lease;
mod m20261122_000021_backup;
mod m20261122_000022_hook;
mod m20261122_000023_suspicion;
mod m20261122_000024_proof;
mod m20261122_000025_ping;
mod m20261122_000026_partial;
mod m20261122_000027_purge;
mod m20261122_000028_unwanted;
mod m20261122_000029_places;
mod m20261123_000030_conditions;
mod m20261123_000031_settled;
mod m20261123_000032_keys;
mod m20261123_000033_agent;
mod m20261123_000034_leases;
mod m20261123_000035_clock;
mod m20261123_000036_pages;
mod m20261123_000037_names;
mod m20261124_000038_moved;

pub use step::cut_after;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// All steps, oldest first.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_declarations::Declarations),
            Box::new(m20261121_000002_queue::Queue),
            Box::new(m20261121_000003_history::History),
            Box::new(m20261121_000004_hot::Hot),
            Box::new(m20261121_000005_secret::Secret),
            Box::new(m20261121_000006_access::Access),
            Box::new(m20261121_000007_schedule::Schedule),
            Box::new(m20261121_000008_door::Door),
            Box::new(m20261121_000009_retention::Retention),
            Box::new(m20261121_000010_notices::Notices),
            Box::new(m20261121_000011_credential::Credential),
            Box::new(m20261121_000012_turns::Turns),
            Box::new(m20261121_000013_quota::Quota),
            Box::new(m20261121_000014_retire::Retire),
            Box::new(m20261121_000015_sweep::Sweep),
            Box::new(m20261121_000016_trace::Trace),
            Box::new(m20261122_000017_template::Template),
            Box::new(m20261122_000018_set::Set),
            Box::new(m20261122_000019_storage::Storage),
            Box::new(m20261122_000020_lease::Lease),
            Box::new(m20261122_000021_backup::Backup),
            Box::new(m20261122_000022_hook::Hook),
            Box::new(m20261122_000023_suspicion::Suspicion),
            Box::new(m20261122_000024_proof::Proof),
            Box::new(m20261122_000025_ping::Ping),
            Box::new(m20261122_000026_partial::Partial),
            Box::new(m20261122_000027_purge::Purge),
            Box::new(m20261122_000028_unwanted::Unwanted),
            Box::new(m20261122_000029_places::Places),
            Box::new(m20261123_000030_conditions::Conditions),
            Box::new(m20261123_000031_settled::Settled),
            Box::new(m20261123_000032_keys::Keys),
            Box::new(m20261123_000033_agent::Agent),
            Box::new(m20261123_000034_leases::Leases),
            Box::new(m20261123_000035_clock::Clock),
            Box::new(m20261123_000036_pages::Pages),
            Box::new(m20261123_000037_names::Names),
            Box::new(m20261124_000038_moved::Moved),
        ]
    }
}
