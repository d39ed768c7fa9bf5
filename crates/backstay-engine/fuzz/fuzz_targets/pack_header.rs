#![no_main]
//! Fuzzes `pack_header` of `parsers.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| backstay_engine_fuzz::run("pack_header", bytes));
