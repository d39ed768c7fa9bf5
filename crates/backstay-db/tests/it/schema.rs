//! The schema: up, down, up; its words are the core's; bad rows are refused; what got in all the same is named.

use std::collections::BTreeSet;
use std::time::Duration;

use backstay_core::domain::access::Role;
use backstay_core::domain::attempt::AttemptEnd;
use backstay_core::domain::channel::ChannelKind;
use backstay_core::domain::event::EventKind;
use backstay_core::domain::evidence::Verdict;
use backstay_core::domain::id::PlanId;
use backstay_core::domain::job::{FailureClass, JobKind, Outcome, Phase, StateName};
use backstay_core::domain::monitor::{PingKind, Trouble};
use backstay_core::domain::plan::Plan;
use backstay_core::domain::snapshot::Snapshot;
use backstay_core::ports::store::{Settlement, StoreError};
use backstay_db::migration::Migrator;
use backstay_testkit::conformance::world::World;
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use sea_orm_migration::MigratorTrait as _;

use crate::OnFile;

/// Returns the statements that made all that is in the database, by name.
async fn schema(db: &DatabaseConnection) -> Vec<(String, String)> {
    let sql = "SELECT name, coalesce(sql, '') AS text FROM sqlite_master ORDER BY name";
    let rows = db.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.unwrap();
    rows.iter().map(|row| (row.try_get("", "name").unwrap(), row.try_get("", "text").unwrap())).collect()
}

async fn empty() -> DatabaseConnection {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.max_connections(1).sqlx_logging(false);
    sea_orm::Database::connect(options).await.unwrap()
}

#[tokio::test]
async fn migrations_go_up_and_down_and_up() {
    let db = empty().await;
    Migrator::up(&db, None).await.unwrap();
    let first = schema(&db).await;
    for table in [
        "tenant",
        "source",
        "item",
        "repository",
        "plan",
        "job_set",
        "job",
        "attempt",
        "lease",
        "checkpoint",
        "agent",
        "job_unread",
        "snapshot",
        "evidence",
        "event",
        "api_token",
        "remembered_answer",
        "change_record",
        "job_due",
        "event_anchor",
        "secret",
    ] {
        assert!(first.iter().any(|(name, _)| name == table), "{table}");
    }
    Migrator::down(&db, None).await.unwrap();
    let left = schema(&db).await.into_iter().map(|(name, _)| name).filter(|name| !name.contains("seaql_migrations"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
    Migrator::up(&db, None).await.unwrap();
    assert_eq!(schema(&db).await, first);
    // One step at a time as well: no step leans on a later one.
    for _ in Migrator::migrations() {
        Migrator::down(&db, Some(1)).await.unwrap();
    }
    for _ in Migrator::migrations() {
        Migrator::up(&db, Some(1)).await.unwrap();
    }
    assert_eq!(schema(&db).await, first);
}

/// The words are written out in the migrations; when the core gets another one, this asks for a new migration.
#[tokio::test]
async fn the_words_of_the_checks_are_those_of_the_core() {
    let db = empty().await;
    Migrator::up(&db, None).await.unwrap();
    let schema = schema(&db).await;
    let listed = |table: &str, before: &str| -> BTreeSet<String> {
        let (_, sql) = schema.iter().find(|(name, _)| name == table).unwrap();
        let (_, rest) = sql.split_once(&format!("{before} IN (")).unwrap_or_else(|| panic!("{table}: {before}: {sql}"));
        let (list, _) = rest.split_once(')').unwrap();
        list.split(", ").map(|word| word.trim_matches('\'').to_owned()).collect()
    };
    let set = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    let states = |which: fn(StateName) -> bool| {
        set(StateName::ALL.iter().filter(|state| which(**state)).map(|state| state.word()).collect())
    };
    assert_eq!(listed("job", "CHECK (kind"), set(JobKind::ALL.iter().map(|word| word.word()).collect()));
    assert_eq!(listed("job", "CHECK (state"), states(|_| true));
    assert_eq!(listed("job", "(finished_at IS NOT NULL) = (state"), states(StateName::is_final));
    assert_eq!(listed("job", "kind = 'backup' AND item_id IS NOT NULL AND state"), states(StateName::is_live));
    let outcomes = set(Outcome::ALL.iter().map(|word| word.word()).collect());
    assert_eq!(listed("job", "outcome IS NULL OR outcome"), outcomes);
    assert_eq!(listed("snapshot", "(outcome"), outcomes);
    let classes = set(FailureClass::ALL.iter().map(|word| word.word()).collect());
    assert_eq!(listed("job", "failure_class IS NULL OR failure_class"), classes.clone());
    assert_eq!(listed("job", "(streak_class"), classes);
    assert_eq!(listed("lease", "(phase"), set(Phase::ALL.iter().map(|word| word.word()).collect()));
    assert_eq!(listed("attempt", "(ending"), set(AttemptEnd::ALL.iter().map(|word| word.word()).collect()));
    assert_eq!(listed("evidence", "(verdict"), set(Verdict::ALL.iter().map(|word| word.word()).collect()));
    let roles = set(Role::ALL.iter().map(|word| word.word()).collect());
    assert_eq!((listed("api_token", "(role"), listed("change_record", "(role")), (roles.clone(), roles));
    assert_eq!(listed("monitor", "told IS NULL OR told"), set(Trouble::ALL.iter().map(|word| word.word()).collect()));
    assert_eq!(listed("ping", "(kind"), set(PingKind::ALL.iter().map(|word| word.word()).collect()));
    assert_eq!(listed("channel", "(kind"), set(ChannelKind::ALL.iter().map(|word| word.word()).collect()));
    assert_eq!(listed("event", "(kind"), set(EventKind::ALL.iter().map(|word| word.word()).collect()));
}

/// Red when secrets of before the step are on no list, or those of the installation are.
#[tokio::test]
async fn secrets_of_before_they_had_names_get_theirs() {
    let db = empty().await;
    let before = Migrator::migrations().iter().take_while(|step| !step.name().ends_with("_names")).count();
    Migrator::up(&db, u32::try_from(before).ok()).await.unwrap();
    let tenant = "0197f0c2-0000-7000-8000-000000000001";
    for id in [format!("{tenant}/s3-read"), "installation/signing-key".to_owned(), "x".to_owned()] {
        let sql = format!("INSERT INTO secret (id, key_id, sealed) VALUES ('{id}', 'k', 's')");
        db.execute_unprepared(&sql).await.unwrap();
    }
    Migrator::up(&db, None).await.unwrap();
    let sql = "SELECT tenant_id || ' ' || name AS line FROM secret WHERE tenant_id IS NOT NULL OR name IS NOT NULL";
    let rows = db.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.try_get("", "line").unwrap()).collect();
    assert_eq!(lines, [format!("{tenant} s3-read")]);
}

/// Rows that no version of ours writes are refused by the database itself.
#[tokio::test]
async fn checks_refuse_bad_rows() {
    let file = OnFile::new().await;
    let raw = file.raw.clone();
    let world = World::new(file.stores(), 4).await;
    let agent = world.agent();
    let leased = world.leased(0, agent).await;
    let done = world.leased(1, agent).await;
    let snapshot: Snapshot = world.snapshot(&world.job(done.job_id).await, "ab", Outcome::Complete);
    let event = Some(world.event(EventKind::Succeeded, &world.job(done.job_id).await));
    let rows = Settlement { snapshot: Some(snapshot), event, ..world.success() };
    world.jobs.job_settle(done, &rows).await.unwrap();
    let queued = world.queued(2).await;
    let (leased, done) = (leased.job_id, done.job_id);
    let item = world.items[3].id;
    let refused = [
        format!("UPDATE job SET state = 'Queued' WHERE id = '{queued}'"),
        format!("UPDATE job SET kind = 'dance' WHERE id = '{queued}'"),
        format!("UPDATE job SET finished_at = 5 WHERE id = '{queued}'"),
        format!("UPDATE job SET finished_at = NULL WHERE id = '{done}'"),
        format!("UPDATE job SET outcome = NULL WHERE id = '{done}'"),
        format!("UPDATE job SET outcome = 'fine' WHERE id = '{done}'"),
        format!("UPDATE job SET agent_id = NULL WHERE id = '{leased}'"),
        format!("UPDATE job SET message = 'x' WHERE id = '{leased}'"),
        format!("UPDATE job SET not_before_at = NULL WHERE id = '{queued}'"),
        format!("UPDATE job SET wake_at = 5 WHERE id = '{queued}'"),
        format!("UPDATE job SET live_key = NULL WHERE id = '{queued}'"),
        format!("UPDATE job SET live_key = '{item}' WHERE id = '{queued}'"),
        format!("UPDATE job SET live_key = item_id WHERE id = '{done}'"),
        format!("UPDATE job SET item_id = '{0}', live_key = '{0}' WHERE id = '{queued}'", world.items[0].id),
        format!("UPDATE job SET occurrence_key = 'x' WHERE id = '{queued}'"),
        format!("UPDATE job SET attempt_token = -1 WHERE id = '{queued}'"),
        format!("UPDATE job SET content_bytes = -1 WHERE id = '{queued}'"),
        format!("UPDATE job SET set_place = 1 WHERE id = '{queued}'"),
        format!("UPDATE job SET repository_access = 'mine' WHERE id = '{queued}'"),
        format!("UPDATE job SET repository_id = 'x' WHERE id = '{queued}'"),
        format!("UPDATE lease SET token = 0 WHERE job_id = '{leased}'"),
        format!("UPDATE lease SET phase = 'dancing' WHERE job_id = '{leased}'"),
        format!("UPDATE lease SET bytes_done = -1 WHERE job_id = '{leased}'"),
        format!("INSERT INTO lease SELECT * FROM lease WHERE job_id = '{leased}'"),
        format!("UPDATE attempt SET ended_at = 5 WHERE job_id = '{leased}'"),
        format!("UPDATE attempt SET ending = 'gone', ended_at = 5 WHERE job_id = '{leased}'"),
        format!("INSERT INTO attempt SELECT * FROM attempt WHERE job_id = '{leased}'"),
        "DELETE FROM agent".to_owned(),
        "DELETE FROM item".to_owned(),
        "UPDATE repository SET epoch = -1".to_owned(),
        "UPDATE repository SET kind = 'tape'".to_owned(),
        "UPDATE plan SET rpo_ms = -1".to_owned(),
        "UPDATE snapshot SET file_count = -1".to_owned(),
        "UPDATE snapshot SET outcome = 'fine'".to_owned(),
        "UPDATE event SET sequence = 1".to_owned(),
        "UPDATE event SET kind = 'dance'".to_owned(),
        "INSERT INTO ping VALUES ('p', 'nobody', 0, 'success', NULL, '')".to_owned(),
    ];
    raw.execute_unprepared("PRAGMA foreign_keys = on").await.unwrap();
    for sql in refused {
        let error = raw.execute_unprepared(&sql).await.err().unwrap_or_else(|| panic!("was taken: {sql}"));
        assert!(error.to_string().contains("constraint failed"), "{sql}: {error}");
    }
    raw.execute_unprepared(&format!("UPDATE job SET priority = 7 WHERE id = '{queued}'")).await.unwrap();
    assert_eq!(world.job(queued).await.priority, 7);
}

/// What got into a row all the same (another program, a broken disk) is an error that names table, row and column.
#[tokio::test]
async fn garbage_is_named_and_does_not_hold_the_queue_up() {
    let file = OnFile::new().await;
    let raw = file.raw.clone();
    let world = World::new(file.stores(), 2).await;
    let id = world.queued(0).await;
    raw.execute_unprepared("PRAGMA ignore_check_constraints = on; PRAGMA foreign_keys = off").await.unwrap();
    for (cell, bad, good) in [
        ("state", "'dancing'", "'queued'"),
        ("kind", "'dance'", "'backup'"),
        ("kind", "'prune'", "'backup'"),
        ("instruction_json", "'{'", "'{\"kind\":\"backup\"}'"),
        ("instruction_json", "'{\"kind\":\"dance\"}'", "'{\"kind\":\"backup\"}'"),
        ("content_bytes", "-1", "0"),
        ("not_before_at", "NULL", "1"),
        ("not_before_at", "9223372036854775807", "1"),
        ("tenant_id", "'x'", &format!("'{}'", world.tenant.id)),
    ] {
        raw.execute_unprepared(&format!("UPDATE job SET {cell} = {bad} WHERE id = '{id}'")).await.unwrap();
        let error = world.jobs.job_get(id).await.unwrap_err();
        let StoreError::Unreadable { table: "job", row, problem } = &error else { panic!("{cell} = {bad}: {error:?}") };
        assert_eq!(*row, id.to_string());
        assert!(problem.contains(cell) || problem.contains("dance") || problem.contains("prune"), "{cell}: {problem}");
        raw.execute_unprepared(&format!("UPDATE job SET {cell} = {good} WHERE id = '{id}'")).await.unwrap();
        world.job(id).await;
    }
    raw.execute_unprepared(&format!("UPDATE job SET breach_at = 'soon' WHERE id = '{id}'")).await.unwrap();
    let error = world.jobs.job_get(id).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unreadable { problem, .. } if problem.contains("breach_at")), "{error:?}");
    raw.execute_unprepared(&format!("UPDATE job SET breach_at = 0, instruction_json = '' WHERE id = '{id}'"))
        .await
        .unwrap();
    // Also one that would have its repository alone holds nobody up.
    raw.execute_unprepared(&format!(
        "UPDATE job_due SET repository_access = 'alone', breach_at = 0 WHERE job_id = '{id}'"
    ))
    .await
    .unwrap();
    let whole = world.queued(1).await;
    let claimed = world.claim_naming(world.agent(), &[], 1).await;
    assert_eq!(claimed.iter().map(|row| row.job.id).collect::<Vec<_>>(), [whole], "the bad row is passed over");

    // A plan that nobody can read is due before one that is well: it goes behind that, also where a page has one row.
    let well = Plan { id: PlanId::new(world.now(), world.ten()), name: "well".parse().unwrap(), ..world.plan.clone() };
    world.stores.declarations.plan_add(&well).await.unwrap();
    let bad = world.plan.id;
    raw.execute_unprepared(&format!("UPDATE plan SET schedule_json = '{{' WHERE id = '{bad}'")).await.unwrap();
    raw.execute_unprepared("UPDATE plan_schedule SET next_due_at = 5").await.unwrap();
    raw.execute_unprepared(&format!("UPDATE plan_schedule SET next_due_at = 4 WHERE plan_id = '{bad}'")).await.unwrap();
    let due = async |now| world.stores.schedules.schedule_list_due(now, 1).await.unwrap();
    let found = due(world.now()).await;
    assert_eq!(found.iter().map(|row| row.plan.id).collect::<Vec<_>>(), [well.id]);
    raw.execute_unprepared("UPDATE plan SET schedule_json = (SELECT schedule_json FROM plan WHERE name = 'well')")
        .await
        .unwrap();
    let later = world.now().saturating_add(Duration::from_secs(60)).unwrap();
    let found = world.stores.schedules.schedule_list_due(later, 9).await.unwrap();
    assert_eq!(found.iter().map(|row| row.plan.id).collect::<Vec<_>>(), [well.id, bad], "it is tried again");

    raw.execute_unprepared("UPDATE tenant SET name = 'A B'").await.unwrap();
    let error = world.stores.declarations.tenant_list().await.unwrap_err();
    assert!(matches!(error, StoreError::Unreadable { table: "tenant", .. }), "{error:?}");
}
