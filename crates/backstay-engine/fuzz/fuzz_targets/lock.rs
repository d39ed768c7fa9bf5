#![no_main]
//! Fuzzes `lock` of `parsers.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| backstay_engine_fuzz::run("lock", bytes));
