//! The sampler on this kernel, against processes made for the purpose.
//!
//! Each test owns what it looks at. The processes are this test program itself, run again in a part of
//! `fixture`; what is true of them is asked of the `procfs` crate, an independent reader of `/proc`.

#![expect(
    clippy::unwrap_used,
    reason = "tests say what must hold; the lint exempts #[test] functions, not what they call"
)]

#[path = "sampler/amounts.rs"]
mod amounts;
#[path = "sampler/cost.rs"]
mod cost;
#[path = "sampler/credentials.rs"]
mod credentials;
#[path = "sampler/enclosed.rs"]
mod enclosed;
#[path = "sampler/fixture.rs"]
mod fixture;
#[path = "sampler/identity.rs"]
mod identity;
#[path = "sampler/images.rs"]
mod images;
#[path = "sampler/kernel.rs"]
mod kernel;
#[path = "sampler/kinds.rs"]
mod kinds;
#[path = "sampler/memory.rs"]
mod memory;
#[path = "sampler/namespaces.rs"]
mod namespaces;
#[path = "sampler/oracle.rs"]
mod oracle;
#[path = "sampler/relations.rs"]
mod relations;
#[path = "sampler/roles.rs"]
mod roles;
#[path = "sampler/scheduling.rs"]
mod scheduling;
#[path = "sampler/signals.rs"]
mod signals;
#[path = "sampler/views.rs"]
mod views;
#[path = "sampler/waits.rs"]
mod waits;
#[path = "sampler/ways.rs"]
mod ways;
