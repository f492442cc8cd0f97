//! The `tracer` program: hands over to [`tracer::cli`], prints its error, and exits.

fn main() {}
