//! Reading a row's cells: an unknown word or a number out of range is an error that names table and row.
//!
//! Also the few conversions that every row needs on its way in: ids as text of 36 letters (readable in any SQL shell,
//! and sorted by creation on every database), instants as microseconds, counts as signed 64-bit integers.

use std::str::FromStr;
use std::time::Duration;

use backstay_core::ports::store::StoreError;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

/// Which row is being read.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    table: &'static str,
    key: &'a str,
}

impl<'a> Row<'a> {
    /// Names a row by its table and key.
    pub(crate) const fn of(table: &'static str, key: &'a str) -> Self {
        Self { table, key }
    }

    /// Says what is wrong with the row.
    pub(crate) fn unreadable(self, problem: impl Into<String>) -> StoreError {
        StoreError::Unreadable { table: self.table, row: self.key.to_owned(), problem: problem.into() }
    }

    /// Reads an id, a name, or anything else with a text of its own.
    pub(crate) fn parse<T>(self, column: &str, text: &str) -> Result<T, StoreError>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        text.parse().map_err(|error| self.unreadable(format!("{column}: {error}")))
    }

    /// As [`Row::parse`], for a cell that may be empty.
    pub(crate) fn parse_some<T>(self, column: &str, text: Option<&str>) -> Result<Option<T>, StoreError>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        text.map(|text| self.parse(column, text)).transpose()
    }

    /// Reads a word of one of the core's lists.
    pub(crate) fn word<T>(self, column: &str, word: &str, read: fn(&str) -> Option<T>) -> Result<T, StoreError> {
        read(word).ok_or_else(|| self.unreadable(format!("{column} is `{word}`, a word that is not known")))
    }

    /// Reads an instant.
    pub(crate) fn instant(self, column: &str, micros: i64) -> Result<Timestamp, StoreError> {
        Timestamp::from_microsecond(micros).map_err(|error| self.unreadable(format!("{column}: {error}")))
    }

    /// As [`Row::instant`], for a cell that may be empty.
    pub(crate) fn instant_some(self, column: &str, micros: Option<i64>) -> Result<Option<Timestamp>, StoreError> {
        micros.map(|micros| self.instant(column, micros)).transpose()
    }

    /// Reads a count.
    pub(crate) fn count(self, column: &str, count: i64) -> Result<u64, StoreError> {
        u64::try_from(count).map_err(|_| self.unreadable(format!("{column} is {count}, and a count is never negative")))
    }

    /// Reads a count that fits 32 bits.
    pub(crate) fn count_small(self, column: &str, count: i64) -> Result<u32, StoreError> {
        u32::try_from(count).map_err(|_| self.unreadable(format!("{column} is {count}, out of its range")))
    }

    /// Reads a cell that its row's state demands.
    pub(crate) fn demanded<T>(self, column: &str, cell: Option<T>) -> Result<T, StoreError> {
        cell.ok_or_else(|| self.unreadable(format!("{column} is missing")))
    }

    /// Reads a JSON document.
    pub(crate) fn json<T: DeserializeOwned>(self, column: &str, text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(|error| self.unreadable(format!("{column}: {error}")))
    }
}

/// Returns a count as a row holds it. Beyond nine quintillion it stays there: no disk has so many bytes.
pub(crate) fn count_cell(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Returns a duration as a row holds it, in milliseconds.
pub(crate) fn ms_cell(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Returns a duration in microseconds, to be added to an instant.
pub(crate) fn micros_of(duration: Duration) -> i64 {
    // A quarter of the range: added to any instant of ours it still fits.
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

/// Returns a JSON document as a row holds it.
pub(crate) fn json_cell(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("our documents have text keys and no failing serializer")
}

/// Reads rows; one that cannot be read is logged and passed over, so that it does not hold up the others.
pub(crate) fn readable<M, T>(
    rows: Vec<M>,
    noun: &'static str,
    key: impl Fn(&M) -> String,
    read: impl Fn(M) -> Result<T, StoreError>,
) -> Vec<T> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let key = key(&row);
        match read(row) {
            Ok(value) => found.push(value),
            Err(error) => tracing::error!(noun, key, error = %error, "a row is passed over: it cannot be read"),
        }
    }
    found
}
