//! A database with a history: twenty thousand ended jobs, snapshots and events, and a few hundred jobs in the queue. Each
//! database says how it answers the questions of every day, and it never is by reading all rows.

use backstay_core::ports::clock::Clock as _;
use backstay_db::question::{Asked, MARIADB_SESSION, POSTGRES_SESSION, all};
use backstay_testkit::conformance::world::World;
use backstay_testkit::peers::database::Engine;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, QueryResult, Statement, TransactionTrait as _, Value};

use crate::OnFile;
use crate::server::OnServer;

/// Returns a row source `numbers(n)` of the numbers from 1.
fn numbers(backend: DbBackend, count: u32) -> String {
    match backend {
        DbBackend::Postgres => format!("generate_series(1, {count}) AS numbers(n)"),
        DbBackend::MySql => format!("(SELECT seq AS n FROM seq_1_to_{count}) AS numbers"),
        _ => format!(
            "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s)"
        ),
    }
}

/// Returns an id made of a number, as an expression; `group` keeps those of several groups apart.
fn id_of(backend: DbBackend, group: u8) -> String {
    id_by(backend, group, "n")
}

/// As [`id_of`], of another number than the row's own.
fn id_by(backend: DbBackend, group: u8, number: &str) -> String {
    let head = format!("'0197f0c2-0000-7000-800{group}-'");
    match backend {
        DbBackend::Postgres => format!("{head} || lpad(CAST({number} AS text), 12, '0')"),
        DbBackend::MySql => format!("CONCAT({head}, lpad({number}, 12, '0'))"),
        _ => format!("{head} || printf('%012d', {number})"),
    }
}

/// Writes the history past the adapter.
async fn fill(db: &DatabaseConnection, world: &World) {
    let backend = db.get_database_backend();
    let (tenant, item, plan) = (world.tenant.id, world.items[0].id, world.plan.id);
    let repository = world.repository.id;
    let (many, few) = (numbers(backend, 20_000), numbers(backend, 300));
    let (id, queued) = (id_of(backend, 1), id_of(backend, 2));
    // Of each source two hundred items.
    let shared = id_by(backend, 1, "(n % 100 + 1)");
    let counts = "file_count, file_unmodified_count, dir_count, content_bytes, added_bytes, stored_bytes, unread_count";
    let job = |(id, kind): (&str, &str), more: &str, values: &str, from: &str| {
        format!(
            "INSERT INTO job (id, tenant_id, repository_id, kind, repository_access, instruction_json, trigger_kind, \
             breach_at, priority, attempt_token, failure_count, created_at, {counts}, {more}) SELECT {id}, '{tenant}', \
             '{repository}', {kind}, 'shared', REPLACE('{{\"kind\":\"backup\"}}', 'backup', {kind}), 'request', 1000000 + n, 0, 1, 0, 1, 0, 0, 0, 0, \
             0, 0, 0, {values} FROM {from}"
        )
    };
    // Prunes are rare: without an index of their own all jobs are gone through for them.
    let kinds = "CASE n % 100 WHEN 0 THEN 'prune' ELSE 'backup' END";
    let ended = format!("'{plan}', '{item}', 'succeeded', 'complete', 1000000 + n * 1000");
    let due = |id: &str, state: &str| {
        format!(
            "INSERT INTO job_due (job_id, state, kind, repository_id, repository_access, due_at, breach_at, priority, \
             tenant_id) SELECT {id}, '{state}', 'backup', '{repository}', 'shared', 1000000 + n, 1000000 + n, 0, '{tenant}' \
             FROM {few}"
        )
    };
    for sql in [
        job((&id, kinds), "plan_id, item_id, state, outcome, finished_at", &ended, &many),
        job((&queued, "'backup'"), "state, not_before_at", "'queued', 1000000 + n", &few),
        due(&queued, "queued"),
        format!(
            "INSERT INTO plan (id, tenant_id, name, source_id, repository_id, schedule_json, rpo_ms, created_at) \
             SELECT {id}, '{tenant}', {id}, '{}', '{repository}', '{{}}', 1, 0 FROM {many}",
            world.source.id
        ),
        format!(
            "INSERT INTO plan_schedule (plan_id, next_due_at, skipped_before, revision) \
             SELECT {id}, 9000000000000000 + n, 0, 0 FROM {many}"
        ),
        format!(
            "INSERT INTO repository (id, tenant_id, name, kind, storage_kind, storage_settings_json, password_reference, \
             epoch) SELECT {id}, '{tenant}', {id}, 'restic', 'local', '{{}}', 'file:keys/home.key', 0 FROM {many}"
        ),
        format!(
            "INSERT INTO upkeep (repository_id, due_at, pending_count) SELECT {id}, 9000000000000000 + n, 0 FROM {many}"
        ),
        format!(
            "INSERT INTO proof (repository_id, due_at, slices_json, drills_json) \
             SELECT {id}, 9000000000000000 + n, '[]', '[]' FROM {many}"
        ),
        format!(
            "INSERT INTO monitor (id, tenant_id, name, live_key, rhythm, time_zone, grace_ms, created_at, due_at, revision) \
             SELECT {id}, '{tenant}', {id}, {id}, 'every 1d', 'UTC', 60000, 0, 9000000000000000 + n, 0 FROM {many}"
        ),
        format!("INSERT INTO ping (id, monitor_id, at, kind, body) SELECT {id}, {id}, n, 'success', '' FROM {many}"),
        format!(
            "INSERT INTO snapshot (id, tenant_id, item_id, repository_id, job_id, foreign_id, taken_at, outcome, {counts}) \
             SELECT {id}, '{tenant}', '{item}', '{repository}', {id}, {id}, n, 'complete', 0, 0, 0, 0, 0, 0, 0 FROM {many}"
        ),
        format!(
            "INSERT INTO event (id, tenant_id, sequence, kind, happened_at, message, hash) SELECT {id}, '{tenant}', n, \
             'succeeded', n, 'done', 'x' FROM {many}"
        ),
        format!("INSERT INTO watch (plan_id, item_id, due_at) SELECT {id}, '{item}', 9000000000000000 + n FROM {many}"),
        format!("INSERT INTO tenant (id, name) SELECT {id}, {id} FROM {many}"),
        format!("INSERT INTO event_cursor (tenant_id, sequence) SELECT {id}, n FROM {many}"),
        format!(
            "INSERT INTO channel (id, owner, name, kind, settings_json, rules_json, created_at) \
             SELECT {id}, '-', {id}, 'smtp', '{{}}', '[]', 0 FROM {many}"
        ),
        format!(
            "INSERT INTO source (id, tenant_id, name, kind, settings_json, retired_mark) \
             SELECT {id}, '{tenant}', {id}, 'filesystem', '{{}}', '' FROM {many}"
        ),
        format!("INSERT INTO item (id, source_id, name, name_hash) SELECT {id}, {shared}, {id}, {id} FROM {many}"),
        format!(
            "INSERT INTO storage (id, tenant_id, name, kind, settings_json, retired_mark) \
             SELECT {id}, '{tenant}', {id}, 'local', '{{}}', '' FROM {many}"
        ),
        format!(
            "INSERT INTO template (id, tenant_id, name, said_json) SELECT {id}, '{tenant}', {id}, '{{}}' FROM {many}"
        ),
        format!(
            "INSERT INTO secret (id, tenant_id, name, key_id, sealed) SELECT {id}, '{tenant}', {id}, 'x', 'x' FROM {many}"
        ),
        format!("INSERT INTO digest (channel_id, from_at, due_at) SELECT {id}, 0, 9000000000000000 + n FROM {many}"),
        format!(
            "INSERT INTO outbox (id, channel_id, document_json, created_at, tries, sent_at) \
             SELECT {id}, {id}, '{{}}', n, 1, 1000000 + n * 1000 FROM {many}"
        ),
        format!(
            "INSERT INTO alert (id, tenant_id, topic, subject_hash, subject, title, message, severity, since_at, last_at, \
             told_count, held_count, silence_reason, revision) SELECT {id}, '{tenant}', 'overdue', {id}, 'x', 'x', 'x', \
             'error', 0, 0, 0, 0, '', 1 FROM {many}"
        ),
    ] {
        db.execute_unprepared(&sql).await.unwrap();
    }
    let analyze = match backend {
        DbBackend::MySql => {
            "ANALYZE TABLE job, job_due, snapshot, event, lease, plan, plan_schedule, upkeep, proof, monitor, ping, watch, event_cursor, digest, \
             outbox, alert, source, item, storage, repository, template, channel, tenant, secret"
        }
        _ => "ANALYZE",
    };
    db.execute_unprepared(analyze).await.unwrap();
}

/// Returns what the database says of how it answers a question. PostgreSQL says it of the plan that it makes without the
/// values, as its connections are told to make them.
async fn plan_of(db: &DatabaseConnection, question: &Statement) -> Vec<QueryResult> {
    let backend = db.get_database_backend();
    let verb = if backend == DbBackend::Sqlite { "EXPLAIN QUERY PLAN" } else { "EXPLAIN" };
    if backend != DbBackend::Postgres {
        let explain = Statement { sql: format!("{verb} {}", question.sql), ..question.clone() };
        let tx = db.begin().await.unwrap();
        if backend == DbBackend::MySql {
            tx.execute_unprepared(MARIADB_SESSION).await.unwrap();
        }
        return tx.query_all_raw(explain).await.unwrap();
    }
    let literal = |value: &Value| match value {
        Value::String(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        Value::BigInt(Some(number)) => number.to_string(),
        Value::BigUnsigned(Some(number)) => number.to_string(),
        Value::Int(Some(number)) => number.to_string(),
        other => panic!("{other:?} in {}", question.sql),
    };
    let values: Vec<String> = question.values.iter().flat_map(|values| &values.0).map(literal).collect();
    let call = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    let tx = db.begin().await.unwrap();
    tx.execute_unprepared(POSTGRES_SESSION).await.unwrap();
    // As if starting other processes cost nothing, as it seems to where there are a million rows.
    tx.execute_unprepared(
        "SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; \
         SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL min_parallel_index_scan_size = 0",
    )
    .await
    .unwrap();
    tx.execute_unprepared(&format!("PREPARE question AS {}", question.sql)).await.unwrap();
    let explain = Statement::from_string(backend, format!("EXPLAIN EXECUTE question{call}"));
    let rows = tx.query_all_raw(explain).await.unwrap();
    tx.execute_unprepared("DEALLOCATE question").await.unwrap();
    rows
}

/// Returns how the database answers a question, and whether it reads a whole table of history or starts other processes for
/// it.
async fn explain(db: &DatabaseConnection, question: &Statement) -> (String, bool) {
    let backend = db.get_database_backend();
    let rows = plan_of(db, question).await;
    let large = [
        "job",
        "snapshot",
        "event",
        "plan",
        "plan_schedule",
        "upkeep",
        "proof",
        "monitor",
        "ping",
        "watch",
        "event_cursor",
        "digest",
        "outbox",
        "alert",
        "source",
        "item",
        "storage",
        "repository",
        "template",
        "channel",
        "tenant",
        "secret",
    ];
    let (mut lines, mut whole) = (Vec::new(), false);
    for row in &rows {
        match backend {
            DbBackend::Postgres => {
                let line: String = row.try_get("", "QUERY PLAN").unwrap();
                whole |= large.iter().any(|table| line.contains(&format!("Seq Scan on {table} ")));
                whole |= line.contains("Sort") || line.contains("Gather");
                lines.push(line);
            }
            DbBackend::MySql => {
                let cell = |name: &str| row.try_get::<Option<String>>("", name).unwrap().unwrap_or_default();
                let (table, kind, key, extra) = (cell("table"), cell("type"), cell("key"), cell("Extra"));
                whole |= large.contains(&table.as_str()) && (kind == "ALL" || extra.contains("filesort"));
                lines.push(format!("{table} {kind} {key} {extra}"));
            }
            _ => {
                let line: String = row.try_get("", "detail").unwrap();
                whole |= large.iter().any(|table| line == format!("SCAN {table}")) || line.contains("TEMP B-TREE");
                lines.push(line);
            }
        }
    }
    (lines.join("\n"), whole)
}

fn asked_of(world: &World) -> Asked {
    Asked {
        tenant: world.tenant.id,
        item: world.items[0].id,
        plan: world.plan.id,
        repository: world.repository.id,
        source: "0197f0c2-0000-7000-8001-000000000001".parse().unwrap(),
        now: world.clock.now(),
    }
}

async fn no_question_reads_all(db: DatabaseConnection, world: World) {
    fill(&db, &world).await;
    let asked = asked_of(&world);
    let mut claim = String::new();
    for (name, question) in all(db.get_database_backend(), asked) {
        let (plan, whole) = explain(&db, &question).await;
        assert!(!whole, "{name}: {}\n{plan}", question.sql);
        let index = match name {
            "jobs of a kind" => "ix_job_kind",
            "how long jobs of a kind took" if db.get_database_backend() == DbBackend::MySql => "ix_job_kind",
            "how long jobs of a kind took" => "ix_job_succeeded",
            _ => "",
        };
        assert!(plan.contains(index), "{name}: {}\n{plan}", question.sql);
        if name == "claim" {
            claim = plan;
        }
    }
    assert!(claim.contains("job_due") && !claim.contains(" job "), "the claim looks at the hot table alone: {claim}");
    let wake = world.jobs.job_wake().await.unwrap();
    assert_eq!((wake, world.claim(world.agent(), 16).await.len()), (0, 16));
}

#[tokio::test]
async fn no_question_reads_all_on_a_file() {
    let here = OnFile::new().await;
    no_question_reads_all(here.raw.clone(), World::new(here.stores(), 1).await).await;
}

#[tokio::test]
async fn no_question_reads_all_on_postgresql() {
    let Some(here) = OnServer::new(Engine::Postgresql).await else { return };
    no_question_reads_all(here.raw.clone(), World::new(here.stores(), 1).await).await;
}

/// A connection keeps the plan that it made when the queue was empty and nothing was known of it.
#[tokio::test]
async fn what_is_asked_by_name_is_found_by_name_by_a_plan_made_before_there_was_anything() {
    let Some(here) = OnServer::new(Engine::Postgresql).await else { return };
    let raw = here.raw.clone();
    let world = World::new(here.stores(), 1).await;
    // An index that has the key's column anywhere costs the same as the key's own then.
    raw.execute_unprepared("ANALYZE").await.unwrap();
    let mut keys = 0;
    for (name, question) in all(DbBackend::Postgres, asked_of(&world)) {
        let key = match name {
            "claim by name" | "a place in the queue" => "job_due_pkey",
            "a lease" => "lease_pkey",
            "waiting for a repository" => "ix_job_due_repository",
            "wake" => "ix_job_due_time",
            _ => continue,
        };
        let (plan, _) = explain(&raw, &question).await;
        assert!(plan.contains(key), "{name}: {}\n{plan}", question.sql);
        keys += 1;
    }
    assert_eq!(keys, 5);
}

/// A connection keeps the plan that it made when the queue was short: then nothing was cheaper than to read and sort it.
#[tokio::test]
async fn the_queue_is_gone_through_in_its_order_by_a_plan_made_at_any_length() {
    let Some(here) = OnServer::new(Engine::Postgresql).await else { return };
    let raw = here.raw.clone();
    let world = World::new(here.stores(), 1).await;
    let id = id_of(DbBackend::Postgres, 2);
    let mut before = 0;
    for length in [1, 20, 100, 1_000] {
        let fill = format!(
            "INSERT INTO job_due (job_id, state, kind, repository_id, repository_access, due_at, breach_at, priority, \
             tenant_id) SELECT {id}, 'queued', 'backup', '{}', 'shared', n, n, 0, '{}' FROM generate_series({}, {length}) \
             AS numbers(n)",
            world.repository.id,
            world.tenant.id,
            before + 1
        );
        raw.execute_unprepared(&fill).await.unwrap();
        raw.execute_unprepared("ANALYZE job_due").await.unwrap();
        before = length;
        let mut asked = 0;
        for (name, question) in all(DbBackend::Postgres, asked_of(&world)) {
            if matches!(name, "claim" | "claim behind those known by name" | "the queue's beginning") {
                let (plan, _) = explain(&raw, &question).await;
                assert!(!plan.contains("Sort"), "{name} at {length}: {}\n{plan}", question.sql);
                asked += 1;
            }
        }
        assert_eq!(asked, 3);
    }
}

#[tokio::test]
async fn no_question_reads_all_on_mariadb() {
    let Some(here) = OnServer::new(Engine::Mariadb).await else { return };
    no_question_reads_all(here.raw.clone(), World::new(here.stores(), 1).await).await;
}
