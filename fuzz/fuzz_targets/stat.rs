//! `cargo +nightly fuzz run --features libfuzzer stat`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _what_happened = tracer_fuzz::stat::target(data);
});
