//! `cargo +nightly fuzz run --features libfuzzer enrollment`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _what_happened = tracer_fuzz::enrollment::target(data);
});
