//! `cargo +nightly fuzz run --features libfuzzer redact`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    tracer_fuzz::redact::target(data);
});
