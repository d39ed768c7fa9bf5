#![no_main]
//! Fuzzes `pattern_file` of `parsers.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| backstay_engine_fuzz::run("pattern_file", bytes));
