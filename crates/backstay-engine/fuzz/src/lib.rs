//! What the fuzz targets run: `parsers.rs`, which the engine's own tests take in too.

mod parsers;

pub use parsers::{PARSERS, run};
