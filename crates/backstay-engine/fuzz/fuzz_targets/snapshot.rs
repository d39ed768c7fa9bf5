#![no_main]
//! Fuzzes `snapshot` of `parsers.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| backstay_engine_fuzz::run("snapshot", bytes));
