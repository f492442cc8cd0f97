//! Trees that are picked up inside the kernel: the hooks and fields for that differ from kernel to kernel.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Result, ensure};
use tracer_tests::cgroup::Cgroup;
use tracer_tests::check::kernel_may_skip_programs;
use tracer_tests::follow::{DAEMON, Daemon, decisions, end, following, news, number_in, watcher};
use tracer_tests::room::Room;
use tracer_tests::wait::PATIENCE;

#[test]
fn orphans_of_a_name_and_of_a_cgroup_are_told_with_what_followed_them() -> Result<()> {
    let room = Room::new()?;
    let cgroup = Cgroup::unified(&room)?;
    let name = format!("f{}-script-of-a-long-name", std::process::id());
    let (script, mover) = (room.path(&name), room.path("mover"));
    let members = cgroup.path().join("cgroup.procs");
    let text = format!("#!/bin/sh\n{DAEMON}\nexit 0\n");
    fs::write(&script, &text)?;
    let text = format!(
        "#!/bin/sh\necho $$ > {}\n{DAEMON}\nexit 0\n",
        members.display()
    );
    fs::write(&mover, text)?;
    for path in [&script, &mover] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    let watch = watcher(&room)?.args(["--follow-comm", &name]);
    let running = following(watch.arg("--follow-cgroup").arg(cgroup.path()))?;
    // Nothing is missing on this kernel; but where one of the programs is skipped it is right to say so.
    let skipped = "following trees: events were lost";
    let lacks = |words: &str| {
        let told = words
            .lines()
            .filter(|line| line.contains("following trees:"));
        let skips = |line: &str| kernel_may_skip_programs() && line.contains(skipped);
        told.filter(|line| !skips(line)).count() > 0
    };
    let words = running.stderr();
    ensure!(!lacks(&words), "{words}");
    let mut daemons = Vec::new();
    for (program, list) in [(&script, "named"), (&mover, "moved")] {
        let list = room.path(list);
        room.program(program)
            .env("LIST", &list)
            .finish(PATIENCE)?
            .expect_code(0)?;
        daemons.push(Daemon(number_in(&list)?));
    }
    let flags = [
        format!("--follow-comm {name}"),
        format!("--follow-cgroup {}", cgroup.path().display()),
    ];
    for (daemon, flag) in daemons.iter().zip(&flags) {
        let alert = news(&running, daemon.0, "alert")?;
        ensure!(alert["details"]["followed_by"] == *flag, "{alert:#}");
        ensure!(alert["details"]["parent_comm"] == "sh", "{alert:#}");
    }
    let words = running.stderr();
    ensure!(!lacks(&words), "{words}");
    let alerts = end(running)?;
    ensure!(decisions(&alerts, daemons[0].0) == ["alert"], "{alerts:#?}");
    Ok(())
}
