//! What needs a machine of its own: `cargo xtask vm` runs these, and nobody else.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::check::until_noted;
use tracer_tests::room::Room;
use tracer_tests::verdict::{Expected, again_and_again, on};
use tracer_tests::wait::PATIENCE;

#[test]
#[ignore = "needs the memory of cgroups version 2: cargo xtask vm runs it where that is"]
fn all_of_a_cgroup_that_goes_together_is_told_so() -> Result<()> {
    let base = Path::new("/sys/fs/cgroup");
    std::fs::write(base.join("cgroup.subtree_control"), "+memory")
        .context("no memory in cgroups version 2 here")?;
    for group in [true, false] {
        again_and_again("memory.oom.group", || {
            let room = Room::new()?;
            let name = room.path("").file_name().context("no name")?.to_owned();
            let folder = base.join(name);
            std::fs::create_dir(&folder)?;
            std::fs::write(folder.join("memory.max"), (48 << 20).to_string())?;
            std::fs::write(
                folder.join("memory.oom.group"),
                if group { "1" } else { "0" },
            )?;
            let at = folder.to_string_lossy();
            let launch = room.run()?.args(["-q", "--require-trace"]);
            // With one of them spared nobody would end it.
            let act = if group { "hog-beside" } else { "hog" };
            let launch = launch.observe("mortal", &[act, &at, "200"])?;
            launch
                .finish(PATIENCE)?
                .expect_code(if group { 7 } else { 137 })?;
            let session = room.session()?;
            let victims: &[&str] = if group {
                &["waits", "takes"]
            } else {
                &["ready"]
            };
            for victim in victims {
                let verdict = on(&room, &session, until_noted(&room, victim)?.parse()?)?;
                // Old kernels do not say what the victim held.
                let figures = session
                    .of_kind("oom")
                    .any(|oom| !oom.value["anon_rss_kb"].is_null());
                let held = if figures { ") held " } else { "" };
                let words = ["out of memory: the kernel killed it", held];
                Expected::killed("SIGKILL", "kernel_oom", "", &words).check(&verdict, &session)?;
                let sentence = verdict["sentence"].to_string();
                ensure!(sentence.contains("memory.oom.group") == group, "{sentence}");
            }
            let limit = "at 48 MiB, the limit of its cgroup /";
            let all = tracer_tests::verdict::on_all(&room, &session)?;
            ensure!(
                all.iter()
                    .any(|told| told["verdict"]["sentence"].to_string().contains(limit)),
                "{all:#?}"
            );
            Ok(std::fs::remove_dir(&folder)?)
        })?;
    }
    Ok(())
}

#[test]
#[ignore = "changes where all of the machine's cores go: cargo xtask vm runs it in a machine of its own"]
fn where_a_core_went_is_told_for_each_kind_of_pattern() -> Result<()> {
    let set = |file: &str, value: &str| {
        let path = Path::new("/proc/sys/kernel").join(file);
        std::fs::write(&path, value).with_context(|| format!("write {}", path.display()))
    };
    let limit = |most| rustix::process::Rlimit {
        current: most,
        maximum: None,
    };
    let elsewhere = Room::without_kernel()?;
    let elsewhere = elsewhere.path("").to_string_lossy().into_owned();
    for (pattern, uses_pid, most, words) in [
        (
            "core",
            false,
            None,
            "(core dumped)…; the core is in HERE/core",
        ),
        (
            "core",
            true,
            None,
            "(core dumped)…; the core is in HERE/core.PID",
        ),
        (
            "c-%p-%e-%s-%%",
            false,
            None,
            "…; the core is in HERE/c-PID-mortal-11-%",
        ),
        (
            "ELSEWHERE%e.%P",
            false,
            None,
            "…; the core is in ELSEWHEREmortal.PID",
        ),
        (
            "|/bin/busybox true %p",
            false,
            None,
            "(core dumped)…; the core went to /bin/busybox",
        ),
        // What it asks for is not known any more.
        (
            "core.%u",
            false,
            None,
            "(core dumped): an address that is not mapped",
        ),
        (
            "core",
            false,
            Some(0),
            "SIGSEGV in mortal: an address that is not mapped",
        ),
    ] {
        let room = Room::new()?;
        let here = room.path("here");
        std::fs::create_dir(&here)?;
        set("core_pattern", &pattern.replace("ELSEWHERE", &elsewhere))?;
        set("core_uses_pid", if uses_pid { "1" } else { "0" })?;
        rustix::process::setrlimit(rustix::process::Resource::Core, limit(most))?;
        let launch = room.run()?.args(["-q", "--require-trace"]);
        let mut launch = launch.observe("mortal", &["nowhere"])?;
        launch.raw().current_dir(&here);
        launch.finish(PATIENCE)?.expect_code(139)?;
        let session = room.session()?;
        let verdict = &session.summary["verdict"];
        let sentence = verdict["sentence"].as_str().context("no sentence")?;
        let pid = session.workload()?.to_string();
        let words = words.replace("HERE/", &format!("{}/", here.display()));
        let words = words.replace("ELSEWHERE", &elsewhere).replace("PID", &pid);
        for words in words.split('…') {
            ensure!(
                sentence.contains(words),
                "{pattern}: no {words:?} in {sentence}"
            );
        }
        ensure!(
            verdict["core_dumped"] == most.is_none(),
            "{pattern}: {verdict}"
        );
        let told = sentence.contains("; the core ");
        ensure!(told == words.contains("the core "), "{pattern}: {sentence}");
    }
    Ok(())
}
