//! Files from the outside: what they want, what would change, and that what is written is read as the same.

#![expect(clippy::unwrap_used, reason = "helpers of tests: an error where none is expected is what they report")]

mod kinds;
mod change;
mod mistake;
mod page;
mod round_trip;
mod schema;
