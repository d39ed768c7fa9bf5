#![no_main]
//! Fuzzes `index` of `parsers.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| backstay_engine_fuzz::run("index", bytes));
