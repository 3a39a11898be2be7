#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| triarch::fuzz::file(data));
