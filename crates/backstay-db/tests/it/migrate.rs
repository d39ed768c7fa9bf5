//! The schema on servers: up, down, up; a newer one is refused; half an upgrade is taken back or finished; two processes
//! do it one after the other.

use backstay_core::domain::disposition::Disposition;
use backstay_db::migration::{Migrator, cut_after};
use backstay_db::{Database, Now, OpenError};
use backstay_testkit::peers::database::{Engine, TestDatabase};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use sea_orm_migration::MigratorTrait as _;

use crate::server::{fresh, options, raw};

/// Returns all columns, indexes, keys and checks, one a line.
async fn schema(db: &DatabaseConnection, engine: Engine) -> Vec<String> {
    let here = match engine {
        Engine::Postgresql => "table_schema = 'public'",
        Engine::Mariadb => "table_schema = DATABASE()",
    };
    let columns = format!(
        "SELECT CONCAT(table_name, '.', column_name, ' ', data_type, ' ', is_nullable, ' ', \
         COALESCE(character_maximum_length, 0)) AS line FROM information_schema.columns WHERE {here} ORDER BY 1"
    );
    let indexes = match engine {
        Engine::Postgresql => {
            "SELECT indexdef AS line FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1".to_owned()
        }
        Engine::Mariadb => format!(
            "SELECT CONCAT(table_name, ' ', index_name, ' ', seq_in_index, ' ', column_name, ' ', non_unique) AS line FROM \
             information_schema.statistics WHERE {here} ORDER BY 1"
        ),
    };
    let constraints = format!(
        "SELECT CONCAT(table_name, ' ', constraint_type, ' ', constraint_name) AS line FROM \
         information_schema.table_constraints WHERE {here} AND constraint_name NOT LIKE '%not_null' ORDER BY 1"
    );
    let mut lines = Vec::new();
    for sql in [columns, indexes, constraints] {
        let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
        lines.extend(rows.iter().map(|row| row.try_get::<String>("", "line").unwrap()));
    }
    lines
}

async fn connect(place: &TestDatabase) -> Result<Database, OpenError> {
    Database::connect(&place.address(), options(Now::Database)).await
}

async fn up_down_up(engine: Engine) {
    let Some(server) = engine.up() else { return };
    let place = server.create();
    let db = raw(&place).await;
    connect(&place).await.unwrap();
    let first = schema(&db, engine).await;
    for table in ["job", "job_due", "snapshot", "event", "secret"] {
        assert!(first.iter().any(|line| line.starts_with(&format!("{table}."))), "{table}: {first:#?}");
    }
    // One step at a time: no step leans on a later one.
    for _ in Migrator::migrations() {
        Migrator::down(&db, Some(1)).await.unwrap();
    }
    let left = schema(&db, engine).await;
    assert!(left.iter().all(|line| line.contains("seaql_migrations")), "{left:#?}");
    for _ in Migrator::migrations() {
        Migrator::up(&db, Some(1)).await.unwrap();
    }
    assert_eq!(schema(&db, engine).await, first);
    connect(&place).await.unwrap();

    let sql = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29990101_000001_future', 1)";
    db.execute_unprepared(sql).await.unwrap();
    let refused = connect(&place).await.unwrap_err();
    assert!(matches!(&refused, OpenError::Newer { found, .. } if found == "m29990101_000001_future"), "{refused:?}");
    assert_eq!(refused.disposition(), Disposition::Operator);
}

#[tokio::test]
async fn up_down_up_on_postgresql() {
    up_down_up(Engine::Postgresql).await;
}

#[tokio::test]
async fn up_down_up_on_mariadb() {
    up_down_up(Engine::Mariadb).await;
}

/// PostgreSQL takes the whole upgrade back.
#[tokio::test]
async fn half_an_upgrade_does_not_exist_on_postgresql() {
    let Some(server) = Engine::Postgresql.up() else { return };
    let place = server.create();
    let db = raw(&place).await;
    // The queue's step makes `job`, then stumbles over this.
    db.execute_unprepared("CREATE TABLE agent (id text)").await.unwrap();
    let refused = connect(&place).await.unwrap_err();
    assert!(matches!(refused, OpenError::Migration { .. }), "{refused:?}");
    for table in ["plan", "job", "seaql_migrations"] {
        assert!(db.execute_unprepared(&format!("SELECT * FROM {table}")).await.is_err(), "{table}");
    }
    db.execute_unprepared("DROP TABLE agent").await.unwrap();
    connect(&place).await.unwrap();
}

/// MariaDB keeps each statement that was done: wherever a process ended, the next one finishes the upgrade.
#[tokio::test]
async fn half_an_upgrade_is_finished_on_mariadb() {
    let Some(place) = fresh(Engine::Mariadb).await else { return };
    let db = raw(&place).await;
    connect(&place).await.unwrap();
    let whole = schema(&db, Engine::Mariadb).await;
    // With the later steps: none of them is done before it.
    let forget = "DELETE FROM seaql_migrations WHERE version >= 'm20261121_000004'";
    let halves: [&[&str]; 5] = [
        // A step that was done and not written down.
        &[],
        &["DROP INDEX ix_job_finished ON job", "DROP INDEX ix_job_state ON job"],
        &["DROP TABLE event_anchor", "ALTER TABLE lease DROP COLUMN disowned_at"],
        &["DROP TABLE job_due", "CREATE INDEX ix_job_lease ON job (state, breach_at, priority DESC, id)"],
        &["DROP INDEX ix_job_due_claim ON job_due"],
    ];
    for half in halves {
        db.execute_unprepared(forget).await.unwrap();
        for sql in half {
            db.execute_unprepared(sql).await.unwrap();
        }
        connect(&place).await.unwrap();
        assert_eq!(schema(&db, Engine::Mariadb).await, whole, "{half:?}");
    }
    db.execute_unprepared("DROP TABLE secret").await.unwrap();
    db.execute_unprepared("DELETE FROM seaql_migrations").await.unwrap();
    connect(&place).await.unwrap();
    assert_eq!(schema(&db, Engine::Mariadb).await, whole, "all of it again");
}

/// Returns how many steps are written down.
async fn steps(db: &DatabaseConnection) -> i64 {
    let count = "SELECT COUNT(*) AS n FROM seaql_migrations";
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), count)).await;
    row.ok().flatten().map_or(0, |row| row.try_get("", "n").unwrap())
}

/// An upgrade that is cut after each of its statements, again and again, comes to its end all the same, with the schema of one
/// that was never cut.
///
/// Red when a statement of a step cannot be run twice on MariaDB.
#[tokio::test]
async fn an_upgrade_that_is_cut_after_each_statement_is_finished_on_mariadb() {
    let (Some(place), Some(other)) = (fresh(Engine::Mariadb).await, fresh(Engine::Mariadb).await) else { return };
    connect(&other).await.unwrap();
    let whole = schema(&raw(&other).await, Engine::Mariadb).await;
    let db = raw(&place).await;
    let (mut cuts, mut statements, mut before) = (0, 1, 0);
    while let Err(error) = cut_after(statements, connect(&place)).await {
        assert!(matches!(error, OpenError::Migration { .. }) && chain(&error).contains("cut by a test"), "{error:?}");
        let done = steps(&db).await;
        // What can be run twice is run twice: a step is over when it is cut behind its last statement.
        statements = if done == before { statements + 1 } else { 1 };
        (before, cuts) = (done, cuts + 1);
    }
    println!("cut {cuts} times");
    assert!(cuts > 100, "{cuts}");
    assert_eq!(schema(&db, Engine::Mariadb).await, whole);
}

/// Returns an error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause))).unwrap_or_default();
    format!("{error}{cause}")
}

/// Four at once on an empty database: each finds it whole.
async fn four_at_once(engine: Engine) {
    let Some(server) = engine.up() else { return };
    let place = server.create();
    let done = futures::future::join_all((0..4).map(|_| connect(&place))).await;
    for database in done {
        database.unwrap();
    }
    let db = raw(&place).await;
    let sql = "SELECT CAST(COUNT(*) AS CHAR(9)) AS line FROM seaql_migrations";
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    let count: String = rows[0].try_get("", "line").unwrap();
    assert_eq!(count.trim().parse::<usize>().unwrap(), Migrator::migrations().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn four_at_once_on_postgresql() {
    four_at_once(Engine::Postgresql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_at_once_on_mariadb() {
    four_at_once(Engine::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_at_once_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backstay.db");
    for database in futures::future::join_all((0..4).map(|_| Database::open(&path))).await {
        database.unwrap();
    }
}

/// An address that makes no sense, and one where nobody listens, are told apart; no password is repeated.
#[tokio::test]
async fn an_address_that_leads_nowhere_is_told() {
    let mut options = options(Now::Database);
    options.acquire_timeout = std::time::Duration::from_millis(500);
    let refused = Database::connect("oracle://ada:hunter2@localhost/x", options.clone()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Address { .. }), "{refused:?}");
    assert!(!format!("{refused:?} {refused}").contains("hunter2"));
    for scheme in ["postgres", "mysql", "mariadb"] {
        let nowhere = format!("{scheme}://ada:hunter2@127.0.0.1:1/x");
        let refused = Database::connect(&nowhere, options.clone()).await.unwrap_err();
        assert!(matches!(refused, OpenError::Unreachable { .. }), "{refused:?}");
        assert!(matches!(refused.disposition(), Disposition::Retry { .. }));
        assert!(!format!("{refused:?} {refused}").contains("hunter2"));
    }
}
