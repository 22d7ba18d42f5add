#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| roundhouse_fuzzing::worker_frames(data));
