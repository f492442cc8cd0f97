//! Trees that begin by themselves: by the name that is executed, and by the cgroup, whatever way in.
//!
//! The observer's own children are none to follow, so everything here is made by a shell.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tracer::{
    event::{Event, EventKind},
    probe::{
        attached::Attached,
        decode::{DecodeUnits, decode, followed},
        follow::Follow,
        loader::Settings,
        ring::RingMap,
    },
};
use tracer_common::event::Followed;

use crate::watch::{attach, wait_for};

/// A probe that follows, and all it has said.
struct Source {
    probe: Attached,
    ring: RingMap,
    events: Vec<(Event, Option<Followed>)>,
}

impl Source {
    fn new(follow: &Follow) -> Self {
        let mut probe = attach(Settings {
            follows: true,
            ..Settings::default()
        });
        assert_eq!(probe.follow_lacks(), []);
        let adoption = probe.follow(follow).unwrap();
        assert!(adoption.converged(), "{adoption:?}");
        let ring = probe.take_ring().unwrap().unwrap();
        Self {
            probe,
            ring,
            events: Vec::new(),
        }
    }

    fn drain(&mut self) {
        let page_kb = rustix::param::page_size() as u64 / 1024;
        while let Some(record) = self.ring.read_next() {
            let event = decode(record, DecodeUnits { page_kb }).unwrap();
            self.events.push((event, followed(record)));
        }
        self.ring.release(self.ring.position());
    }

    /// Everybody has ended, and nothing was lost.
    fn end(mut self) -> Vec<(Event, Option<Followed>)> {
        let probe = &self.probe;
        wait_for("an empty map", || probe.tracked().unwrap().is_empty());
        self.drain();
        let counters = self.probe.losses().unwrap();
        assert_eq!(counters.lost(), 0, "{counters:?}");
        let count = |is: fn(&EventKind) -> bool| {
            let those = self.events.iter().filter(|(event, _)| is(&event.kind));
            those.count()
        };
        let forks = count(|kind| matches!(kind, EventKind::Fork(_)));
        assert_eq!(forks, count(|kind| matches!(kind, EventKind::Exit(_))));
        self.events
    }
}

/// Pid, comm and reason of each root.
fn roots(events: &[(Event, Option<Followed>)]) -> Vec<(u32, u64)> {
    let root = |(event, followed): &(Event, Option<Followed>)| match &event.kind {
        EventKind::Fork(fork) => Some((fork.child.tgid.0, (*followed)?.cgroup)),
        _ => None,
    };
    events.iter().filter_map(root).collect()
}

/// Comm, argument and number of each exec.
fn execs(events: &[(Event, Option<Followed>)]) -> Vec<(u32, String, u32)> {
    let exec = |(event, _): &(Event, Option<Followed>)| match &event.kind {
        EventKind::Exec(exec) => Some((exec.process.tgid.0, exec.comm.to_text(), exec.exec_no)),
        _ => None,
    };
    events.iter().filter_map(exec).collect()
}

fn shell(text: &str, words: &[&Path]) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", text]).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().unwrap()
}

fn copy_of(program: &str, to: &Path) {
    let mut which = Command::new("sh");
    which.args(["-c", &format!("command -v {program}")]);
    let found = which.output().unwrap().stdout;
    fs::copy(String::from_utf8(found).unwrap().trim(), to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A mount of cgroup version 2 of the test's own, and one cgroup in it.
struct Cgroup {
    mount: tempfile::TempDir,
    name: String,
}

impl Cgroup {
    fn new(name: &str) -> Self {
        let at = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "cgroup2", "none"])
            .arg(at.path())
            .status();
        assert!(mounted.unwrap().success(), "cgroup2 cannot be mounted");
        let name = format!("tracer-{name}-{}", std::process::id());
        fs::create_dir(at.path().join(&name)).unwrap();
        Self { mount: at, name }
    }

    fn path(&self) -> PathBuf {
        self.mount.path().join(&self.name)
    }

    fn follow(&self) -> Follow {
        let mut follow = Follow::default();
        follow.cgroups.insert(self.id());
        follow
    }

    fn id(&self) -> u64 {
        fs::metadata(self.path()).unwrap().ino()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        wait_for("an empty cgroup", || {
            let _ = fs::remove_dir(self.path().join("below"));
            fs::remove_dir(self.path()).is_ok()
        });
        let unmount = Command::new("umount")
            .arg("-l")
            .arg(self.mount.path())
            .status();
        assert!(unmount.unwrap().success());
    }
}

#[test]
fn a_name_is_followed_from_its_exec_on_with_all_below_and_no_stranger_is() {
    let room = tempfile::tempdir().unwrap();
    // Both are longer than a task's name; a script is executed under its own name, not its shell's.
    let (program, script) = (
        room.path().join("tracer-follow-program"),
        room.path().join("tracer-script-of-a-long-name"),
    );
    copy_of("sh", &program);
    let text = "#!/bin/sh\n/bin/true; /bin/true & wait; exit 3\n";
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut follow = Follow::default();
    follow.name(b"tracer-follow-program");
    follow.name(b"tracer-script-of-a-long-name");
    let source = Source::new(&follow);
    let text = "/bin/true; \"$0\" -c '/bin/true; exit 0'; \"$1\"; /bin/true; :";
    shell(text, &[&program, &script]).wait().unwrap();
    let events = source.end();
    let roots = roots(&events);
    assert_eq!(roots.len(), 2, "{events:#?}");
    assert!(roots.iter().all(|(_, cgroup)| *cgroup == 0));
    // The exec that began it is reported, as its first.
    let execs = execs(&events);
    assert_eq!(execs[0], (roots[0].0, "tracer-follow-p".to_owned(), 1));
    assert!(execs.contains(&(roots[1].0, "tracer-script-o".to_owned(), 1)));
    let names: Vec<&str> = execs.iter().map(|(_, name, _)| name.as_str()).collect();
    let trues = names.iter().filter(|name| **name == "true").count();
    assert_eq!((names.len(), trues), (5, 3), "{names:?}");
}

#[test]
fn a_cgroup_is_followed_by_whoever_is_moved_in_born_in_it_or_was_there() {
    let cgroup = Cgroup::new("ways");
    fs::create_dir(cgroup.path().join("below")).unwrap();
    let below = cgroup.path().join("below/cgroup.procs");
    // There before, with a child.
    let room = tempfile::tempdir().unwrap();
    let go = room.path().join("go");
    // Not for ever: a test that is killed lets nobody go.
    let text = "echo $$ > \"$0\"; (i=0; while [ ! -e \"$1\" ] && [ $i -lt 6000 ]; do sleep 0.01; \
                i=$((i+1)); done) & wait; exit 4";
    let there = format!("sh -c '{text}' \"$0\" \"$1\" & wait");
    let mut before = shell(&there, &[&below, &go]);
    let members = || fs::read_to_string(&below).unwrap().lines().count();
    wait_for("somebody who is there", || members() >= 2);
    let source = Source::new(&cgroup.follow());
    // A shell is moved in and forks at once.
    let text = "(sh -c 'echo $$ > \"$0\"; /bin/true; /bin/true & wait' \"$0\"); /bin/true";
    shell(text, &[&below]).wait().unwrap();
    // A child is born in it, of a creator who is not.
    born_in(&cgroup.path());
    fs::write(&go, "").unwrap();
    before.wait().unwrap();
    let events = source.end();
    let roots = roots(&events);
    assert!(roots.len() >= 3, "{events:#?}");
    assert!(roots.iter().all(|(_, id)| *id == cgroup.id()), "{roots:?}");
    let trues = execs(&events);
    let trues = trues.iter().filter(|(_, name, _)| name == "true").count();
    assert_eq!(
        trues,
        2,
        "the one outside is not seen: {:?}",
        execs(&events)
    );
    let exited = |code: u32| {
        let of = |(event, _): &&(Event, Option<Followed>)| matches!(&event.kind, EventKind::Exit(exit) if exit.status == code << 8);
        events.iter().filter(of).count()
    };
    assert_eq!((exited(4), exited(5)), (1, 1));
}

/// `struct clone_args` of include/uapi/linux/sched.h.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// A grandchild is made in the cgroup (`CLONE_INTO_CGROUP`), makes one itself, and exits with 5.
fn born_in(cgroup: &Path) {
    let pid = crate::watch::fork(|| {
        let dir = fs::File::open(cgroup).unwrap();
        let args = CloneArgs {
            flags: 0x2_0000_0000,
            exit_signal: 17,
            cgroup: u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&dir)).unwrap(),
            ..CloneArgs::default()
        };
        // SAFETY: as fork, with a valid struct of the size that is given.
        let pid =
            unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
        assert!(pid >= 0, "clone3: {}", std::io::Error::last_os_error());
        let pid = i32::try_from(pid).unwrap();
        if pid == 0 {
            crate::watch::reap(crate::watch::fork(|| 0), true);
            // SAFETY: ends this process.
            unsafe { libc::_exit(5) };
        }
        crate::watch::reap(pid, true);
        0
    });
    crate::watch::reap(pid, true);
}

#[test]
fn a_storm_in_a_followed_cgroup_leaves_nothing_and_loses_nothing() {
    let cgroup = Cgroup::new("storm");
    let mut source = Source::new(&cgroup.follow());
    let text = "sh -c 'echo $$ > \"$0/cgroup.procs\"; i=0; while [ $i -lt 1000 ]; do (:); (: & ); \
                i=$((i+1)); done' \"$0\" & wait";
    let mut storm = shell(text, &[&cgroup.path()]);
    while storm.try_wait().unwrap().is_none() {
        source.drain();
        std::thread::yield_now();
    }
    let events = source.end();
    let forks = events.iter();
    let forks = forks.filter(|(event, _)| matches!(event.kind, EventKind::Fork(_)));
    assert_eq!(forks.count(), 3001);
}
