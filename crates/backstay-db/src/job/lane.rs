//! The tenants of a window, and the first jobs of each: one question, whose cost does not grow with what waits.

use backstay_core::domain::id::AgentId;
use backstay_core::domain::job::JobKind;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::{ConnectionTrait as _, DbBackend, FromQueryResult, Statement, Value};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::claim::Wish;
use super::hint::Low;
use crate::error::store_error;

/// Most tenants of one window.
pub(crate) const LANES_MAX: usize = 16;

/// Jobs of each tenant at first: enough for most claims.
pub(super) const LANE_ROWS: u64 = 2;

/// A tenant that has queued jobs, and the first of those that are due.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) tenant: String,
    pub(super) jobs: Vec<String>,
}

/// A row of the answer.
#[derive(FromQueryResult)]
struct Found {
    tenant_id: Option<String>,
    /// From one on; zero for the first tenant of all, and less for the last.
    place: i32,
    first_id: Option<String>,
    second_id: Option<String>,
}

/// Returns tenants that have queued jobs, at most [`LANES_MAX`] of them: with more, another claim begins elsewhere.
pub(super) async fn lanes(wish: Wish<'_>) -> Result<Vec<Lane>, StoreError> {
    let Wish { db, tx, now, agent, kinds, low, .. } = wish;
    let hints = &db.hints;
    let after = hints.tenants().map_or_else(String::new, |(first, last)| between(&first, &last, now, agent));
    let statement = lanes_question(tx.get_database_backend(), &after, now, kinds, low);
    let rows = Found::find_by_statement(statement).all(tx).await.map_err(store_error)?;
    let (ends, mut rows): (Vec<Found>, Vec<Found>) = rows.into_iter().partition(|row| row.place <= 0);
    let end = |place: i32| ends.iter().find(|row| row.place == place)?.tenant_id.clone();
    rows.sort_by_key(|row| row.place);
    rows.truncate(LANES_MAX);
    // Where all fit there is no other place to begin at.
    hints.tenants_put(end(0).zip(end(-1)).filter(|_| rows.len() == LANES_MAX));
    let lane = |row: Found| {
        Some(Lane { tenant: row.tenant_id?, jobs: row.first_id.into_iter().chain(row.second_id).collect() })
    };
    Ok(rows.into_iter().filter_map(lane).collect())
}

/// Returns a place between two ids that looks random and is another one for another claim. Ids begin with their moment.
fn between(first: &str, last: &str, now: Timestamp, agent: AgentId) -> String {
    let number = |text: &str| text.parse::<Uuid>().map_or(0, |id| id.as_u128());
    let (first, last) = (number(first), number(last));
    let hash =
        Sha256::new().chain_update(agent.to_string()).chain_update(now.as_microsecond().to_be_bytes()).finalize();
    let share = u128::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]));
    let at = first + ((last.saturating_sub(first)) >> 32) * share;
    Uuid::from_u128(at).to_string()
}

/// A statement under way: its words, and what its places stand for.
struct Sql {
    backend: DbBackend,
    values: Vec<Value>,
}

impl Sql {
    /// Returns a place for a value.
    fn hold(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        match self.backend {
            DbBackend::Postgres => format!("${}", self.values.len()),
            _ => "?".to_owned(),
        }
    }

    /// Returns the first tenant after another one, as a question. What lies before the queue's beginning is passed over
    /// within the index.
    fn next(&mut self, after: &str, low: Option<&Low>) -> String {
        let low = self.above(low);
        format!(
            "SELECT tenant_id FROM job_due WHERE state = 'queued' AND tenant_id > {after}{low} ORDER BY tenant_id LIMIT 1"
        )
    }

    fn above(&mut self, low: Option<&Low>) -> String {
        low.map_or_else(String::new, |low| format!(" AND breach_at >= {}", self.hold(low.from)))
    }

    /// Returns one of a lane's first due jobs, as a question.
    fn pick(&mut self, now: Timestamp, kinds: &[JobKind], offset: u64, low: Option<&Low>) -> String {
        let kinds: Vec<String> = kinds.iter().map(|kind| format!("'{}'", kind.word())).collect();
        let (now, kinds) = (self.hold(now.as_microsecond()), kinds.join(", "));
        let low = self.above(low);
        format!(
            "(SELECT job_id FROM job_due WHERE state = 'queued' AND tenant_id = every_lane.tenant_id AND due_at <= {now} \
             AND kind IN ({kinds}){low} ORDER BY breach_at, priority DESC, job_id LIMIT 1 OFFSET {offset})"
        )
    }
}

/// Returns the question for tenants with queued jobs, in the order of their ids from after one on, and from the first of
/// all on where the end is reached; each with its first jobs. Two rows more say who is the first and the last of all.
pub(crate) fn lanes_question(
    backend: DbBackend,
    after: &str,
    now: Timestamp,
    kinds: &[JobKind],
    low: Option<&Low>,
) -> Statement {
    let mut sql = Sql { backend, values: Vec::new() };
    // Values are held in the order in which their places stand in the text.
    let start = sql.hold(after);
    let (first, following) = (sql.next(&start, low), sql.next("later.tenant_id", low));
    let later = format!(
        "later (tenant_id, place) AS (SELECT tenant_id, 1 FROM ({first}) AS later_head UNION ALL \
         SELECT ({following}), place + 1 FROM later WHERE tenant_id IS NOT NULL AND place < {LANES_MAX})"
    );
    let (mut earlier, mut every) =
        (String::new(), "SELECT tenant_id, place FROM later WHERE tenant_id IS NOT NULL".to_owned());
    if !after.is_empty() {
        let (first, end) = (sql.next("''", low), sql.hold(after));
        let following = sql.next("earlier.tenant_id", low);
        let (begin_place, end_place) = (LANES_MAX + 1, 2 * LANES_MAX);
        // Only where those after it are too few.
        earlier = format!(
            ", earlier (tenant_id, place) AS (SELECT tenant_id, {begin_place} FROM ({first}) AS earlier_head WHERE \
             tenant_id <= {end} AND NOT EXISTS (SELECT place FROM later WHERE place = {LANES_MAX} AND tenant_id IS NOT \
             NULL) UNION ALL SELECT ({following}), place + 1 FROM earlier WHERE tenant_id IS NOT NULL AND place < \
             {end_place})"
        );
        every = format!(
            "{every} UNION ALL SELECT tenant_id, place FROM earlier WHERE tenant_id IS NOT NULL AND tenant_id <= {}",
            sql.hold(after)
        );
    }
    let picks = (sql.pick(now, kinds, 0, low), sql.pick(now, kinds, 1, low));
    let ends = |order: &str| {
        format!(
            "(SELECT tenant_id FROM job_due WHERE state = 'queued' AND tenant_id IS NOT NULL ORDER BY tenant_id {order} \
             LIMIT 1)"
        )
    };
    let text = format!(
        "WITH RECURSIVE {later}{earlier}, every_lane (tenant_id, place) AS ({every}) \
         SELECT tenant_id, place, {} AS first_id, {} AS second_id FROM every_lane \
         UNION ALL SELECT {}, 0, NULL, NULL UNION ALL SELECT {}, -1, NULL, NULL",
        picks.0,
        picks.1,
        ends("ASC"),
        ends("DESC")
    );
    Statement::from_sql_and_values(backend, text, sql.values)
}
