#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roundhouse_fuzzing::client_frame(data));
