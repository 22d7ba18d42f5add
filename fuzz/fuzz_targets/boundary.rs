#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roundhouse_fuzzing::boundary(data));
