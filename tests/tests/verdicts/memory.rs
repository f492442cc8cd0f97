//! Want of memory in a cgroup.

use anyhow::{Context as _, Result, ensure};
use tracer_tests::cgroup::Cgroup;
use tracer_tests::check::until_noted;
use tracer_tests::room::Room;
use tracer_tests::session::Session;
use tracer_tests::verdict::{Expected, again_and_again, on};
use tracer_tests::wait::PATIENCE;
use tracer_tests::{place, proc};

use super::run;

/// A verdict of want of memory. The words rest on the kernel's log, in which it puts no more than ten
/// kills in five seconds, whoever's they are: where it has no line for this one, there are none.
fn oom(log: &Log, session: &Session, verdict: &serde_json::Value, words: &[&str]) -> Result<()> {
    let evidence = verdict["evidence"].as_array().context("no evidence")?;
    let record = session
        .of_kind("oom")
        .find(|oom| evidence.contains(&oom.seq.into()));
    let record = record.with_context(|| format!("no oom record in the evidence: {verdict}"))?;
    let logged = log.has(record.small("pid")?)?;
    let words = if logged { words } else { &["out of memory"] };
    Expected::killed("SIGKILL", "kernel_oom", "", words).check(verdict, session)
}

/// The kernel's log, from now on.
struct Log(std::fs::File);

impl Log {
    fn open() -> Result<Self> {
        let mut options = std::fs::File::options();
        let mut log =
            std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true), libc::O_NONBLOCK)
                .open("/dev/kmsg")?;
        std::io::Seek::seek(&mut log, std::io::SeekFrom::End(0))?;
        Ok(Self(log))
    }

    /// Whether it tells of an OOM kill of this process.
    fn has(&self, pid: i32) -> Result<bool> {
        let mut log = self.0.try_clone()?;
        let wanted = format!(",pid={pid},");
        let mut record = [0; 8192];
        loop {
            match std::io::Read::read(&mut log, &mut record) {
                Ok(len) => {
                    let text = String::from_utf8_lossy(&record[..len]);
                    if text.contains(";oom-kill:") && text.contains(&wanted) {
                        return Ok(true);
                    }
                }
                // What was overwritten is skipped.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[test]
fn a_limit_that_was_reached_is_told_with_who_held_what() -> Result<()> {
    again_and_again("memcg OOM", || {
        let room = Room::new()?;
        let log = Log::open()?;
        let cgroup = Cgroup::limited(&room, 24)?;
        let folder = cgroup.path().to_string_lossy().into_owned();
        let launch = run(&room)?.observe("mortal", &["hog", &folder, "200"])?;
        launch.finish(PATIENCE)?.expect_code(137)?;
        let session = room.session()?;
        let words = [
            "out of memory: the kernel killed it at 24 MiB, the limit of its cgroup /",
            "; mortal (pid ",
            ") held 2",
        ];
        oom(&log, &session, &session.summary["verdict"], &words)
    })
}

#[test]
fn the_counters_of_a_cgroup_are_told_before_and_after() -> Result<()> {
    again_and_again("counters", || {
        let room = Room::new()?;
        let log = Log::open()?;
        let cgroup = Cgroup::limited(&room, 24)?;
        // In the cgroup before the workload is found, so that there is a before.
        let text = "echo 0 > \"$1/cgroup.procs\"; exec \"$0\" hog \"$1\" 200";
        let launch = run(&room)?.args(["--expect", "mortal"]);
        let launch = launch.command(["bash", "-c", text]);
        let launch = launch.arg(place::fixture("mortal")?).arg(cgroup.path());
        launch.finish(PATIENCE)?.expect_code(137)?;
        let session = room.session()?;
        let words = ["OOM kills there: 0 before, 1 now"];
        oom(&log, &session, &session.summary["verdict"], &words)
    })
}

#[test]
fn the_victim_need_not_be_who_asked_for_more() -> Result<()> {
    again_and_again("a small one asks, a large one dies", || {
        let room = Room::new()?;
        let log = Log::open()?;
        let cgroup = Cgroup::limited(&room, 40)?;
        let text = "\"$0\" hog \"$1\" 24 & large=$!; \
                    while ! grep -q ready \"$TRUTH_LOG\" 2>/dev/null; do sleep 0.01; done; \
                    while [ $(cat \"$1/memory.usage_in_bytes\") -lt 25165824 ]; do sleep 0.01; done; \
                    \"$0\" hog \"$1\" 20 & small=$!; \
                    wait $large; code=$?; kill -9 $small; wait $small; exit $code";
        let launch = run(&room)?.command(["bash", "-c", text]);
        let launch = launch.arg(place::fixture("mortal")?).arg(cgroup.path());
        launch.finish(PATIENCE)?.expect_code(137)?;
        let session = room.session()?;
        let record = session.of_kind("oom").next().context("no oom record")?;
        let verdict = on(&room, &session, record.small("pid")?)?;
        oom(
            &log,
            &session,
            &verdict,
            &["at 40 MiB, the limit of its cgroup"],
        )?;
        // The shell only passed it on, and says so.
        let words = [
            "137 came from mortal (pid ",
            "out of memory: the kernel killed it",
        ];
        let shell = on(&room, &session, session.root()?)?;
        Expected::killed("", "error_exit", "", &words)
            .likely()
            .check(&shell, &session)
    })
}

#[test]
fn processes_that_are_made_can_cost_the_life_of_a_sibling() -> Result<()> {
    again_and_again("fork in a full memcg", || {
        let room = Room::new()?;
        let log = Log::open()?;
        let cgroup = Cgroup::limited(&room, 24)?;
        // Each one that is made takes a little, until the one that holds most has to go.
        let text = "\"$0\" hog \"$1\" 16 & large=$!; \
                    while ! grep -q ready \"$TRUTH_LOG\" 2>/dev/null; do sleep 0.01; done; \
                    while [ $(cat \"$1/memory.usage_in_bytes\") -lt 16777216 ]; do sleep 0.01; done; \
                    echo $$ > \"$1/cgroup.procs\"; made=; i=0; \
                    while [ $i -lt 1000 ] && kill -0 $large; do \
                    (while read x; do :; done) < \"$2\" & made=\"$made $!\"; i=$((i+1)); done; \
                    wait $large; code=$?; kill -9 $made; wait; exit $code";
        let pipe = room.path("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into())?;
        let _open = std::fs::File::options()
            .read(true)
            .write(true)
            .open(&pipe)?;
        let launch = run(&room)?.command(["bash", "-c", text]);
        let launch = launch.arg(place::fixture("mortal")?).arg(cgroup.path());
        launch.arg(&pipe).finish(PATIENCE)?.expect_code(137)?;
        let session = room.session()?;
        let record = session.of_kind("oom").next().context("no oom record")?;
        let victim: i32 = until_noted(&room, "ready")?.parse()?;
        ensure!(record.small("pid")? == victim, "{}", record.value);
        let verdict = on(&room, &session, victim)?;
        oom(
            &log,
            &session,
            &verdict,
            &["at 24 MiB, the limit of its cgroup"],
        )
    })
}

#[test]
fn who_shares_the_victims_memory_dies_of_it_too() -> Result<()> {
    again_and_again("CLONE_VM", || {
        let room = Room::new()?;
        let log = Log::open()?;
        let cgroup = Cgroup::limited(&room, 24)?;
        let folder = cgroup.path().to_string_lossy().into_owned();
        let text = "\"$0\" share \"$1\" 200; code=$?; while kill -0 $(cat \"$2\") 2>/dev/null; do \
                    sleep 0.02; done; exit $code";
        let launch = run(&room)?.args(["--expect", "mortal"]);
        let launch = launch.command(["bash", "-c", text]);
        let launch = launch.arg(place::fixture("mortal")?).arg(&folder);
        let tracer = launch.arg(room.path("sharer")).spawn()?;
        let sharer = until_noted(&room, "sharer")?;
        std::fs::write(room.path("sharer"), &sharer)?;
        tracer.finish(PATIENCE)?.expect_code(137)?;
        let session = room.session()?;
        let verdict = on(&room, &session, sharer.parse()?)?;
        oom(
            &log,
            &session,
            &verdict,
            &["which shares its memory with mortal (pid "],
        )
    })
}

#[test]
fn a_process_of_its_own_name_is_no_oom_killer() -> Result<()> {
    again_and_again("a daemon called earlyoom", || {
        let room = Room::new()?;
        let daemon = room.path("earlyoom");
        std::fs::copy(place::fixture("sender")?, &daemon)?;
        let (tracer, target) = super::waiting(&room, &["wait"])?;
        let killer = room
            .program(&daemon)
            .args(["kill", &target.to_string(), "9"]);
        killer.finish(PATIENCE)?.expect_code(0)?;
        tracer.finish(PATIENCE)?.expect_code(137)?;
        let words = ["killed by SIGKILL from earlyoom (pid "];
        Expected::killed("SIGKILL", "killed", "outside", &words).of(&room.session()?)?;
        ensure!(proc::state(target).is_none(), "the victim is gone");
        Ok(())
    })
}
