//! `cargo +nightly fuzz run --features libfuzzer enrollment`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tracer_fuzz::enrollment::target(data);
});
