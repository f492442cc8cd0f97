//! `cargo +nightly fuzz run --features libfuzzer journal`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _what_happened = tracer_fuzz::journal::target(data);
});
