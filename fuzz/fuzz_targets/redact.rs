//! `cargo +nightly fuzz run --features libfuzzer redact`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _what_happened = tracer_fuzz::redact::target(data);
});
