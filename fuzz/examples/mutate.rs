//! `mutate [--seconds N] [--runs N] [--seed N] [TARGET…]`: fuzzes without coverage, on any compiler.
//!
//! First every file of the corpus, then mutations of them until the time is over. An input that led to
//! something new joins the pool; what is new is told from the target's fingerprint. One seed gives one
//! sequence of inputs. An input that panics, or takes [`STUCK`], is written to `fuzz/artifacts`, and
//! that is a failure.

use std::{
    collections::HashSet,
    panic,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use tracer_fuzz::{
    TARGETS, Target,
    mutation::{Random, mutate},
};

/// Longer than any input may take, also on a machine that is busy with other things.
const STUCK: Duration = Duration::from_secs(20);
/// Inputs that are kept to be mutated.
const POOL_MAX: usize = 2_000;

struct Plan {
    seconds: u64,
    runs: u64,
    seed: u64,
    targets: Vec<(&'static str, Target)>,
}

struct Tally {
    corpus: usize,
    runs: u64,
    kept: usize,
}

/// An input that must not have been.
struct Bad {
    input: Vec<u8>,
    why: String,
}

fn main() -> ExitCode {
    let plan = match plan(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("mutate: {why}");
            return ExitCode::from(2);
        }
    };
    let mut code = ExitCode::SUCCESS;
    for &(name, target) in &plan.targets {
        match run(name, target, &plan) {
            Ok(Tally { corpus, runs, kept }) => {
                eprintln!("{name}: {corpus} files, {runs} runs, {kept} kept, nothing found");
            }
            Err(why) => {
                eprintln!("{name}: FAILED with seed {}: {why}", plan.seed);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

fn plan(mut arguments: impl Iterator<Item = String>) -> Result<Plan, String> {
    let mut plan = Plan {
        seconds: 5,
        runs: u64::MAX,
        seed: 1,
        targets: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().unwrap_or_default();
            value
                .parse()
                .map_err(|_| format!("{argument} takes a number, not {value:?}"))
        };
        match argument.as_str() {
            "--seconds" => plan.seconds = number()?,
            "--runs" => plan.runs = number()?,
            "--seed" => plan.seed = number()?,
            name => {
                let found = TARGETS.iter().find(|(target, _)| *target == name);
                plan.targets
                    .push(*found.ok_or_else(|| format!("there is no target {name:?}"))?);
            }
        }
    }
    if plan.targets.is_empty() {
        plan.targets = TARGETS.to_vec();
    }
    Ok(plan)
}

fn folder(kind: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(name)
}

fn run(name: &str, target: Target, plan: &Plan) -> Result<Tally, String> {
    let corpus = corpus(&folder("corpus", name))?;
    let current = Arc::new(Mutex::new(Vec::new()));
    let (tell, hear) = mpsc::sync_channel(1);
    let (seconds, runs, seed) = (plan.seconds, plan.runs, plan.seed);
    let theirs = Arc::clone(&current);
    // A target that never comes back must not keep us from saying so.
    let worker = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let until = Instant::now() + Duration::from_secs(seconds);
            // Nobody hears it when the wait was given up.
            let _ = tell.send(fuzz(target, corpus, &theirs, until, runs, seed));
        });
    let worker = worker.map_err(|error| format!("no thread: {error}"))?;
    let mut last = (Vec::new(), Instant::now());
    let result = loop {
        match hear.recv_timeout(Duration::from_millis(200)) {
            Ok(result) => break result,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err("its thread is gone".to_owned());
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let now = current
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                if now != last.0 {
                    last = (now, Instant::now());
                } else if last.1.elapsed() > STUCK {
                    break Err(Bad {
                        input: now,
                        why: "it does not come back".to_owned(),
                    });
                }
            }
        }
    };
    match result {
        Ok(tally) => {
            let _joined = worker.join();
            Ok(tally)
        }
        Err(Bad { input, why }) => {
            let folder = folder("artifacts", name);
            let file = folder.join(format!("crash-{:016x}", hash(&input)));
            let kept =
                std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, &input));
            let place = match kept {
                Ok(()) => file.display().to_string(),
                Err(error) => format!("not kept ({error}): {}", input.escape_ascii()),
            };
            Err(format!("{why}\n  {} bytes: {place}", input.len()))
        }
    }
}

/// FNV-1a: a name for an input.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The files of a corpus in the order of their names, so that a seed means the same everywhere.
fn corpus(folder: &Path) -> Result<Vec<Vec<u8>>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(told)?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(told)?;
    files.sort();
    let inputs = files
        .iter()
        .map(std::fs::read)
        .collect::<Result<Vec<_>, _>>()
        .map_err(told)?;
    if inputs.is_empty() {
        Err(format!("{} is empty", folder.display()))
    } else {
        Ok(inputs)
    }
}

fn fuzz(
    target: Target,
    corpus: Vec<Vec<u8>>,
    current: &Mutex<Vec<u8>>,
    until: Instant,
    runs: u64,
    seed: u64,
) -> Result<Tally, Bad> {
    let mut tally = Tally {
        corpus: corpus.len(),
        runs: 0,
        kept: 0,
    };
    let mut fingerprints = HashSet::new();
    let mut pool: Vec<Vec<u8>> = Vec::new();
    let mut random = Random::new(seed);
    let mut left = corpus.into_iter();
    loop {
        let next = left.next();
        let given = next.is_some();
        if !given && (tally.runs >= runs || Instant::now() >= until) {
            return Ok(tally);
        }
        let input = next.unwrap_or_else(|| {
            let (one, other) = (random.below(pool.len()), random.below(pool.len()));
            mutate(&mut random, &pool[one], &pool[other])
        });
        current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&input);
        match panic::catch_unwind(|| target(&input)) {
            Ok(print) => {
                let new = fingerprints.insert(print);
                if given || (new && pool.len() < POOL_MAX) {
                    tally.kept += usize::from(!given);
                    pool.push(input);
                }
            }
            Err(cause) => {
                let text = cause.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
                let why = format!("it panicked: {}", text.unwrap_or("no message"));
                return Err(Bad { input, why });
            }
        }
        tally.runs += u64::from(!given);
    }
}
