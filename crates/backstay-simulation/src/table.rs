//! The database's rows as they are, read past the product: an oracle that asks the product proves nothing.

use std::sync::Arc;

use backstay_db::Database;
use sea_orm::{ConnectionTrait as _, DbBackend, QueryResult, Statement, TryGetable};

use crate::stage::Stage;

/// Reads rows.
#[derive(Clone)]
pub struct Table {
    stage: Arc<Stage>,
    database: Database,
}

/// A row.
pub struct Row(QueryResult);

impl Row {
    /// Returns a cell.
    ///
    /// # Panics
    /// When there is none of this name or kind: the question is wrong.
    pub fn get<T: TryGetable>(&self, column: &str) -> T {
        self.0.try_get("", column).unwrap_or_else(|error| panic!("{column}: {error}"))
    }

    /// Returns a text.
    pub fn text(&self, column: &str) -> String {
        self.get(column)
    }

    /// Returns a number.
    pub fn number(&self, column: &str) -> i64 {
        self.get(column)
    }
}

impl Table {
    /// Opens the tables of a database.
    pub fn new(stage: &Arc<Stage>, database: &Database) -> Self {
        Self { stage: Arc::clone(stage), database: database.clone() }
    }

    /// Asks a question.
    ///
    /// # Panics
    /// When the question is wrong.
    pub fn rows(&self, sql: String) -> Vec<Row> {
        self.ask(Statement::from_string(DbBackend::Sqlite, sql))
    }

    /// Asks a question with values.
    ///
    /// # Panics
    /// When the question is wrong.
    pub fn ask(&self, question: Statement) -> Vec<Row> {
        let sql = question.sql.clone();
        let rows = self.stage.block(self.database.connection().query_all_raw(question));
        rows.unwrap_or_else(|error| panic!("{sql}: {error}")).into_iter().map(Row).collect()
    }

    /// Does something behind the product's back.
    ///
    /// # Panics
    /// When it cannot be done.
    pub fn execute(&self, sql: &str) {
        let done = self.stage.block(self.database.connection().execute_unprepared(sql));
        if let Err(error) = done {
            panic!("{sql}: {error}");
        }
    }
}
