//! What people write in files: the declarations of `backstay apply`, and the settings of `backstay.yaml`.
//!
//! [`yaml`] reads text and keeps each word's place, [`mistake`] says what is wrong there, [`shape`] is how a value may look,
//! [`nouns`] is the one table of what can be declared. From them come [`file`] (what a file wants), [`refer`] (what it
//! names), [`change`] (what would have to change, as a value), [`write`] (a file of what there is), [`schema`] and
//! [`settings`] (what processes are told), and [`page`] (the reference of it all). [`import`] makes a file of what other
//! programs were told.
//!
//! Absent on purpose: files, sockets, clocks and the environment. Who comes in: the binary's `cli/` and `roles/`.

pub mod yaml;
pub mod mistake;
pub mod shape;
pub mod nouns;
pub mod row;
pub mod file;
pub mod refer;
pub mod change;
pub mod write;
pub mod schema;
pub mod settings;
pub mod page;
pub mod import;
