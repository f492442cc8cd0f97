//! `tracer sessions list` of many sessions that have ended, as a call and as a whole program.

use std::{
    fs,
    process::{Command, Stdio},
};

use tracer::{
    procfs::ProcRoot,
    session::{
        Store,
        list::{filter::Filter, list, page::Paging},
        recorder::EndOutcome,
    },
};

use crate::{Plan, clock::Watch, figure, soon, store, story};

/// Sessions to list.
pub(crate) struct Listing {
    room: tempfile::TempDir,
    store: Store,
    count: usize,
}

impl Listing {
    /// Makes them.
    pub(crate) fn of(plan: &Plan) -> Self {
        eprintln!("making {} sessions", plan.listed);
        let (room, store) = store(plan);
        let proc = ProcRoot::open("/proc").expect("procfs is mounted");
        for _ in 0..plan.listed {
            let info = story::info(&store, &proc);
            let (recorder, mut story) = story::begin(&store, &info);
            recorder.accept_all(&mut story.records(30));
            let report = recorder.finish(story::end(), soon());
            assert_eq!(report.end, EndOutcome::Durable);
        }
        let count = usize::try_from(plan.listed).expect("few");
        Self { room, store, count }
    }

    pub(crate) fn measure(&self) {
        let all = Paging {
            limit: 0,
            number: 1,
        };
        let watch = Watch::start();
        let listing = list(&self.store, &Filter::default(), all, jiff::Timestamp::now());
        let took = watch.stop();
        let listing = listing.expect("listed");
        assert_eq!(listing.sessions.len(), self.count);
        assert!(
            listing
                .sessions
                .iter()
                .all(|session| session.problem.is_none())
        );
        figure("list.call", took.wall * 1e3);
        figure("list.call-cpu", took.cpu * 1e3);

        // The least that a listing can do: read what it shows.
        let watch = Watch::start();
        for session in &listing.sessions {
            let text = fs::read(session.path.join("summary.json")).expect("there");
            std::hint::black_box(text);
        }
        figure("list.read", watch.stop().wall * 1e3);

        figure("list.program", self.program("0"));
        figure("list.page", self.program("20"));
    }

    /// The program from its start to its end, ms.
    fn program(&self, limit: &str) -> f64 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
        command.args(["sessions", "list", "-n", limit, "--state-dir"]);
        command.arg(self.room.path().join("state"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let watch = Watch::start();
        let status = command.status().expect("it starts");
        let took = watch.stop();
        assert!(status.success(), "{status}");
        took.wall * 1e3
    }
}
