//! The clock that decides whether a lease is over.

use std::fmt;
use std::sync::Arc;

use backstay_core::ports::clock::Clock;
use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ConnectionTrait, DbBackend};

use crate::dialect::clock_micros;
use crate::error::store_error;
use crate::row::Row;

/// Whose clock decides. Replicas of the server may disagree about the time; the database does not with itself.
#[derive(Clone)]
pub enum Now {
    /// The database's own, read within the statement that decides. The one for production.
    Database,
    /// A simulation's, bound to the statement as a parameter.
    Clock(Arc<dyn Clock>),
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Database => "Now::Database",
            Self::Clock(_) => "Now::Clock",
        })
    }
}

impl Now {
    /// Returns the present moment as an expression, in microseconds.
    pub(crate) fn expr(&self, backend: DbBackend) -> Expr {
        match self {
            Self::Database => Expr::cust(clock_micros(backend)),
            Self::Clock(clock) => Expr::val(clock.now().as_microsecond()),
        }
    }

    /// Asks for the present moment, for an instant that a row shows. Decisions use [`Now::expr`] instead.
    pub(crate) async fn read(&self, db: &impl ConnectionTrait) -> Result<Timestamp, StoreError> {
        let micros = match self {
            Self::Clock(clock) => clock.now().as_microsecond(),
            Self::Database => {
                let question = Query::select().expr_as(self.expr(db.get_database_backend()), "now_at").to_owned();
                let answer = db.query_one(&question).await.map_err(store_error)?;
                let answer = answer.map(|row| row.try_get::<i64>("", "now_at")).transpose().map_err(store_error)?;
                answer.unwrap_or_default()
            }
        };
        Row::of("database", "clock").instant("now_at", micros)
    }
}
