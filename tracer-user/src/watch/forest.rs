//! The followed trees, from events alone: who lives in which, and who has seen its parent end.
//!
//! Pure. Memory is that of the living: an ended process leaves, and what is known of it stays only with
//! children that live on. The first parent is the one that counts: who is handed on by one that took it in
//! was not started by that one.

use std::{collections::HashMap, sync::Arc};

use super::holders::{Redact, shown_cmdline};
use crate::{
    event::{Event, EventKind, Exit, Fork},
    tree::Tree,
    units::{BootNs, Comm, ProcKey, Process, Tgid},
    verdict::{WaitStatus, signals},
};

/// The first process of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Which.
    pub process: Process,
    /// What it was called then.
    pub comm: Comm,
    /// The flag by which it is followed.
    pub by: String,
}

/// A parent that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub process: Process,
    /// What it was called at the end.
    pub comm: Comm,
    /// Its command line, without secrets, cut.
    pub cmdline: Arc<str>,
    /// How, as in "was ended by SIGKILL".
    pub how: String,
    /// When.
    pub t: BootNs,
}

/// What the tree itself does not know of a living process.
#[derive(Debug)]
struct Member {
    root: Arc<Root>,
    cmdline: Arc<str>,
    ended: Option<Arc<Ended>>,
}

/// All followed trees.
#[derive(Debug)]
pub struct Forest {
    redact: Redact,
    tree: Tree,
    members: HashMap<ProcKey, Member>,
}

impl Forest {
    /// Nobody yet.
    #[must_use]
    pub fn new(redact: Redact) -> Self {
        Self {
            redact,
            tree: Tree::new(),
            members: HashMap::new(),
        }
    }

    /// Takes the next event; `by`: the flag, when it is the fork that begins a tree.
    pub fn apply(&mut self, event: &Event, by: Option<String>) {
        match &event.kind {
            EventKind::Fork(fork) => self.fork(fork, by),
            EventKind::Exec(exec) => {
                let line = self.shown(exec.argv.clone());
                self.member(exec.process, exec.comm).cmdline = line;
            }
            EventKind::Exit(exit) => self.exit(event.t, exit),
            EventKind::Signal(_) | EventKind::Oom(_) | EventKind::Account(_) => {}
        }
        self.tree.apply(event.t, &event.kind);
        if let EventKind::Exit(exit) = &event.kind {
            self.members.remove(&exit.process.key);
        }
    }

    /// What somebody executes who was there before its tree was followed.
    pub fn runs(&mut self, key: ProcKey, argv: Vec<Vec<u8>>) {
        let line = self.shown(argv);
        if let Some(member) = self.members.get_mut(&key) {
            member.cmdline = line;
        }
    }

    /// Events were lost: of those that were there before `now`, only these live. The others have ended,
    /// nobody knows how.
    pub fn only(&mut self, living: &[Process], now: BootNs) {
        let living: std::collections::HashSet<ProcKey> =
            living.iter().map(|process| process.key).collect();
        let gone = self
            .tree
            .iter()
            .filter(|node| node.since < now && !living.contains(&node.process.key));
        let gone: Vec<(Process, Comm)> = gone.map(|node| (node.process, node.comm)).collect();
        for (process, comm) in gone {
            self.orphan_children(process, comm, now, "has ended, it was not seen how");
            self.tree.forget(process.key);
            self.members.remove(&process.key);
        }
    }

    /// Whether it is known to live in one of the trees.
    #[must_use]
    pub fn has(&self, key: ProcKey) -> bool {
        self.members.contains_key(&key)
    }

    /// How many live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether nobody lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// Who lives on although its parent has ended, with that parent and its tree. The first process of a
    /// pid namespace is none: nobody in there could be its parent.
    pub fn orphans(&self) -> impl Iterator<Item = (Process, &Ended, &Root)> {
        self.tree.iter().filter_map(|node| {
            let member = self.members.get(&node.process.key)?;
            let is_init = node.process.inner == 1;
            let ended = member.ended.as_deref().filter(|_| !is_init)?;
            Some((node.process, ended, &*member.root))
        })
    }

    fn fork(&mut self, fork: &Fork, by: Option<String>) {
        let key = fork.child.key;
        if self.members.contains_key(&key) {
            return;
        }
        let maker = self.members.get(&fork.creator.key);
        let maker = maker.or_else(|| self.members.get(&fork.parent.key));
        let member = match (maker, by) {
            // Who is below a followed process is of its tree, also where it would be followed anyway.
            (Some(maker), _) => Member {
                root: Arc::clone(&maker.root),
                cmdline: Arc::clone(&maker.cmdline),
                ended: None,
            },
            (None, by) => Member {
                root: Arc::new(Root {
                    process: fork.child,
                    comm: fork.comm,
                    by: by.unwrap_or_default(),
                }),
                cmdline: Arc::from(""),
                ended: None,
            },
        };
        self.members.insert(key, member);
    }

    /// The member, also when its fork was lost.
    fn member(&mut self, process: Process, comm: Comm) -> &mut Member {
        self.members.entry(process.key).or_insert_with(|| Member {
            root: Arc::new(Root {
                process,
                comm,
                by: String::new(),
            }),
            cmdline: Arc::from(""),
            ended: None,
        })
    }

    fn exit(&mut self, t: BootNs, exit: &Exit) {
        let how = how(WaitStatus(exit.status));
        self.orphan_children(exit.process, exit.comm, t, &how);
    }

    fn orphan_children(&mut self, parent: Process, comm: Comm, t: BootNs, how: &str) {
        let children: Vec<ProcKey> = self
            .tree
            .children(parent.key)
            .map(|child| child.process.key)
            .collect();
        if children.is_empty() {
            return;
        }
        let cmdline = self.members.get(&parent.key);
        let cmdline = cmdline.map_or_else(|| Arc::from(""), |parent| Arc::clone(&parent.cmdline));
        let ended = Arc::new(Ended {
            process: parent,
            comm,
            cmdline,
            how: how.to_owned(),
            t,
        });
        for child in children {
            if let Some(member) = self.members.get_mut(&child) {
                member.ended.get_or_insert_with(|| Arc::clone(&ended));
            }
        }
    }

    fn shown(&self, argv: Vec<Vec<u8>>) -> Arc<str> {
        Arc::from(shown_cmdline(argv, self.redact))
    }

    /// The living one of that pid, in the observer's pid namespace. Looks at all.
    #[must_use]
    pub fn of_pid(&self, pid: Tgid) -> Option<Process> {
        let node = self.tree.iter().find(|node| node.process.tgid == pid)?;
        Some(node.process)
    }
}

fn how(status: WaitStatus) -> String {
    match (status.signal(), status.exit_code()) {
        (Some(signal), _) => format!("was ended by {}", signals::name(signal)),
        (None, Some(code)) => format!("exited with code {code}"),
        (None, None) => "has ended".to_owned(),
    }
}

#[cfg(test)]
mod tests;
