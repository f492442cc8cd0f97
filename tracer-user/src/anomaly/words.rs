//! An anomaly in a few words for people.

use super::kind::Kind;

/// What it came to: `100.0 % for 12 s`. `worst` is the worst value, `count` how many rows or events it
/// was seen at, `lasted_ns` from the first to the last of them.
#[must_use]
pub fn phrase(kind: &str, worst: f64, count: u64, lasted_ns: u64) -> String {
    let lasted = lasted(lasted_ns);
    let Some(kind) = Kind::from_name(kind) else {
        return lasted;
    };
    match kind {
        Kind::OomSpike => format!("+{worst:.0} of 1000"),
        Kind::OomCritical => format!("{worst:.0} of 1000, for {lasted}"),
        Kind::ZombieDetected | Kind::ZombiePersistent => format!("not reaped for {lasted}"),
        Kind::DStateSustained => format!("for {lasted}"),
        Kind::HighCpuSustained => format!("{worst:.1} % for {lasted}"),
        Kind::FdHigh => format!("{:.1} % of its descriptors", worst * 100.0),
        Kind::RssGrowth => format!("{worst:.1} times within {lasted}"),
        Kind::IdentityDrift => format!("in {count} rows"),
        Kind::ForkStorm => format!("{count} forks, up to {worst:.0} a second"),
        Kind::SignalsPending | Kind::ZombiePileup => format!("{worst:.0} for {lasted}"),
        Kind::OrphanLeft | Kind::PtyHolder if worst < 2.0 => "1 process".to_owned(),
        Kind::OrphanLeft | Kind::PtyHolder => format!("{worst:.0} processes"),
        Kind::RetryLoop => format!("{worst:.0} times within {lasted}"),
    }
}

/// Whom it is about: `high_cpu_sustained python3 (pid 5)`; what is about the tree needs no pid.
#[must_use]
pub fn about(kind: &str, pid: u32, comm: Option<&str>) -> String {
    match (Kind::from_name(kind), comm) {
        (Some(known), _) if known.is_of_tree() && known != Kind::RetryLoop => kind.to_owned(),
        (_, Some(comm)) => format!("{kind} {comm} (pid {pid})"),
        (_, None) => format!("{kind} pid {pid}"),
    }
}

fn lasted(ns: u64) -> String {
    let ms = ns / 1_000_000;
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        10_000..60_000 => format!("{} s", ms / 1000),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}
