#![no_main]
//! Fuzzes `compressed` of `parsers.rs`.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| backstay_engine_fuzz::run("compressed", bytes));
