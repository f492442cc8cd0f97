//! From events to the workload: which process the user means.
//!
//! Facts come from exec events (or, at an attach, from what `/proc` showed of each process), so a
//! workload that has ended before anyone looks is found like any other. Pure: no `/proc`, no clock.
//! Refuses to fall back to a wrapper; a miss is an error that says what was seen.
//!
//! Every process carries the [`Want`] of the wrapper it descends from. A wrapper that only runs its
//! command wants anything; one that also runs other programs (`sudo`, a login shell, a version
//! manager) wants the name it was given, and what else runs below it is remembered and passed over.

mod joined;
mod named;
mod pinned;
mod unresolved;

use crate::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use joined::Existing;
pub use pinned::{Pinned, Rule, Skipped, TraceTarget};
pub use unresolved::{Candidate, Miss, Unresolved};

use super::wrappers::{self, Image, Part, Want};
use crate::event::{Event, EventKind, Exec, Exit, Fork};
use crate::units::{BootNs, Comm, ProcKey, Process};

/// How many candidates and passed-over images are kept; the rest are counted.
pub const KEPT: usize = 64;
/// Living processes followed at most; matches the kernel side's map. Those beyond want anything.
const FOLLOWED: usize = 65_536;

const NOT_NAMED: &str = "has another name";
const NOT_ASKED: &str = "is not what the wrapper above it was asked to run";
const COPY: &str = "is a copy of the wrapper above it";

/// What to look for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spec {
    /// The workload's name; a path stands for its last component.
    pub expect: Option<Vec<u8>>,
    /// The process the user named.
    pub root: Process,
}

/// Finds the workload below one root. See the module's text.
#[derive(Debug)]
pub struct Resolver {
    expect: Option<Vec<u8>>,
    root: Process,
    root_comm: Option<Comm>,
    nodes: HashMap<ProcKey, Node>,
    existing: Vec<Existing>,
    candidates: Vec<Candidate>,
    candidates_more: u64,
    skipped: Vec<Skipped>,
    skipped_more: u64,
    /// Executed below a wrapper that did not ask for it, in order.
    doubtful: Vec<Pending>,
    /// The innermost wrapper so far, while it can do the work itself and nothing else ran.
    lone: Option<Pending>,
    pinned: Option<Pinned>,
}

/// A living process of the tree.
#[derive(Debug, Clone, Default)]
struct Node {
    /// What the wrapper above asked for; `None`: anything will do.
    want: Option<Arc<Want>>,
    goes_on: bool,
    /// An `env` or shim of the expected name, which becomes something else in the same process.
    held: Option<Box<Pending>>,
    /// Its image came from an event: newer than what `/proc` showed.
    exec_seen: bool,
}

/// A target that may be pinned later.
#[derive(Debug, Clone)]
struct Pending {
    target: TraceTarget,
    rule: Rule,
    goes_on: bool,
}

impl Resolver {
    /// Begins with nothing but the root known.
    #[must_use]
    pub fn new(spec: Spec) -> Self {
        let expect = spec.expect.map(|name| wrappers::basename(&name).to_vec());
        Self {
            expect,
            root: spec.root,
            root_comm: None,
            nodes: HashMap::from_iter([(spec.root.key, Node::default())]),
            existing: Vec::new(),
            candidates: Vec::new(),
            candidates_more: 0,
            skipped: Vec::new(),
            skipped_more: 0,
            doubtful: Vec::new(),
            lone: None,
            pinned: None,
        }
    }

    /// The workload, once found.
    #[must_use]
    pub fn pinned(&self) -> Option<&Pinned> {
        self.pinned.as_ref()
    }

    /// Takes the next event; the workload at the very event that shows it, and never again.
    pub fn observe(&mut self, event: &Event) -> Option<&Pinned> {
        if self.pinned.is_some() {
            return None;
        }
        match &event.kind {
            EventKind::Fork(fork) => self.fork(fork),
            EventKind::Exec(exec) => self.exec(exec, event.t),
            EventKind::Exit(exit) => self.exit(exit),
            EventKind::Signal(_) | EventKind::Oom(_) | EventKind::Account(_) => {}
        }
        self.pinned.as_ref()
    }

    /// The whole tree has ended: decides on what was left open. `Some` once.
    ///
    /// A shell with `-c` below which nothing was ever executed did the work itself (a function, a
    /// builtin behind a condition), and so did `busybox nice true`: that is the workload. No other
    /// wrapper is ever taken: a `timeout` whose command does not exist ran nothing.
    pub fn conclude(&mut self) -> Option<&Pinned> {
        if self.pinned.is_some() {
            return None;
        }
        // Start-up files run first, so the last one is the likeliest command.
        let choice = self.doubtful.pop().or(self.lone.take());
        choice.and_then(|pending| self.pin(pending))
    }

    /// The error of a search that ended without a workload.
    #[must_use]
    pub fn failure(&self, miss: Miss, waited: Duration) -> Unresolved {
        Unresolved {
            miss,
            root: self.root,
            root_comm: self.root_comm,
            expect: self.expect.clone(),
            waited,
            candidates: self.candidates.clone(),
            more: self.candidates_more,
        }
    }

    fn fork(&mut self, fork: &Fork) {
        if self.nodes.len() < FOLLOWED {
            let creator = self.nodes.get(&fork.creator.key);
            let node = Node {
                want: creator.and_then(|node| node.want.clone()),
                goes_on: creator.is_some_and(|node| node.goes_on),
                ..Node::default()
            };
            self.nodes.entry(fork.child.key).or_insert(node);
        }
        if fork.child.key == self.root.key {
            self.root_comm.get_or_insert(fork.comm);
        }
    }

    fn exec(&mut self, exec: &Exec, t: BootNs) {
        let image = Image {
            comm: exec.comm.as_bytes(),
            filename: &exec.filename,
            filename_cut: exec.filename_truncated,
            argv: &exec.argv,
            argv_cut: exec.argv_truncated,
        };
        self.node(exec.process.key).exec_seen = true;
        let seen = Seen {
            process: exec.process,
            exec_no: exec.exec_no,
            comm: exec.comm,
            at: t,
        };
        self.consider(seen, &image);
    }

    fn exit(&mut self, exit: &Exit) {
        let held = self
            .nodes
            .remove(&exit.process.key)
            .and_then(|node| node.held);
        if exit.process.key == self.root.key {
            self.root_comm = Some(exit.comm);
        }
        // `env` of the expected name that could not run what it should.
        if let Some(held) = held {
            self.pin(*held);
        }
    }

    /// An image, newly there: pins it or passes it over.
    fn consider(&mut self, seen: Seen, image: &Image<'_>) {
        if seen.process.key == self.root.key {
            self.root_comm = Some(seen.comm);
        }
        let node = self.node(seen.process.key).clone();
        match self.expect.clone() {
            Some(name) => self.consider_named(&name, &node, seen, image),
            None => self.consider_any(&node, seen, image),
        }
    }

    fn consider_named(&mut self, name: &[u8], node: &Node, seen: Seen, image: &Image<'_>) {
        let (why, goes_on) = match wrappers::part(image) {
            Part::Wrapper { why, goes_on, .. } => (Some(why), goes_on),
            Part::Program | Part::ShellText => (None, false),
        };
        let held = node.held.as_ref().map(|held| held.rule);
        if let Some(rule) = named::matches(name, image).or(held) {
            let pending = Pending {
                target: seen.target(image),
                rule,
                goes_on: node.goes_on,
            };
            // A version manager's shim and the `env` of a `#!` line bear the name for a moment and
            // then execute what it stands for, perhaps through more wrappers.
            let stands_in = matches!(why, Some(wrappers::ENV | wrappers::SHIM));
            match why.filter(|_| stands_in || held.is_some()) {
                None => {
                    self.pin(pending);
                }
                Some(why) => {
                    self.node(seen.process.key).held = Some(Box::new(pending));
                    self.pass_over(seen, image, why, true);
                }
            }
            return;
        }
        self.node(seen.process.key).goes_on |= goes_on;
        self.pass_over(seen, image, why.unwrap_or(NOT_NAMED), why.is_some());
    }

    fn consider_any(&mut self, node: &Node, seen: Seen, image: &Image<'_>) {
        let asked_for = node.want.as_ref().is_none_or(|want| want.is(image));
        let part = wrappers::part(image);
        if !asked_for {
            self.not_asked_for(&part, node.goes_on, seen, image);
            return;
        }
        let rule = match part {
            Part::Wrapper { why, want, goes_on } => {
                // A multi-call binary runs its own applets without an exec.
                let by_itself = why == wrappers::SHELL || image.is_multi_call();
                self.lone = by_itself.then(|| Pending {
                    target: seen.target(image),
                    rule: Rule::OnlyProcess,
                    goes_on: node.goes_on,
                });
                let inner = self.node(seen.process.key);
                inner.want = want.map(Arc::new);
                inner.goes_on |= goes_on;
                self.pass_over(seen, image, why, true);
                return;
            }
            Part::Program => Rule::FirstProgram,
            Part::ShellText => Rule::ShellText,
        };
        self.pin(Pending {
            target: seen.target(image),
            rule,
            goes_on: node.goes_on,
        });
    }

    /// Run on the side by a wrapper, or under a name of its own making (a shell's function).
    fn not_asked_for(&mut self, part: &Part, goes_on: bool, seen: Seen, image: &Image<'_>) {
        self.lone = None;
        // Whatever a further wrapper runs stays in doubt, but the wrapper itself is not meant.
        if let Part::Wrapper { why, .. } = part {
            self.pass_over(seen, image, why, true);
            return;
        }
        let on_the_side = wrappers::is_housekeeping(image.program().name);
        if !on_the_side && self.doubtful.len() < KEPT {
            self.doubtful.push(Pending {
                target: seen.target(image),
                rule: Rule::OnlyCandidate,
                goes_on,
            });
        }
        self.pass_over(seen, image, NOT_ASKED, false);
    }

    fn pass_over(&mut self, seen: Seen, image: &Image<'_>, why: &'static str, wrapper: bool) {
        if self.skipped.len() < KEPT {
            self.skipped.push(Skipped {
                process: seen.process,
                exec_no: seen.exec_no,
                comm: seen.comm,
                why,
                wrapper,
            });
        } else {
            self.skipped_more += 1;
        }
        if self.candidates.len() < KEPT {
            self.candidates.push(Candidate {
                process: seen.process,
                comm: seen.comm,
                filename: image.filename.to_vec(),
                argv: image
                    .argv
                    .iter()
                    .take(3)
                    .map(|arg| arg[..arg.len().min(64)].to_vec())
                    .collect(),
                why,
            });
        } else {
            self.candidates_more += 1;
        }
    }

    fn pin(&mut self, pending: Pending) -> Option<&Pinned> {
        self.pinned = Some(Pinned {
            target: pending.target,
            rule: pending.rule,
            skipped: std::mem::take(&mut self.skipped),
            skipped_more: self.skipped_more,
            shell_goes_on: pending.goes_on,
        });
        // Nothing more is decided: a long session does not carry the search's memory along.
        self.nodes = HashMap::default();
        self.doubtful = Vec::new();
        self.candidates = Vec::new();
        self.pinned.as_ref()
    }

    fn node(&mut self, key: ProcKey) -> &mut Node {
        self.nodes.entry(key).or_default()
    }
}

/// When and where an image was seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    process: Process,
    exec_no: u32,
    comm: Comm,
    at: BootNs,
}

impl Seen {
    fn target(self, image: &Image<'_>) -> TraceTarget {
        TraceTarget {
            process: self.process,
            comm: self.comm,
            exe: image.filename.to_vec(),
            argv: image.argv.to_vec(),
            argv_complete: !image.argv_cut,
            exec_no: self.exec_no,
            at: self.at,
        }
    }
}
