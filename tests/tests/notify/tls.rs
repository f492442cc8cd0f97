//! Notifiers by https: a server with a certificate of the test's own authority, and what is trusted.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::launch::Running;
use tracer_tests::need;
use tracer_tests::room::Room;
use tracer_tests::wait::{PATIENCE, wait_for};

use crate::alerts::{Told, orphan};

const PASSWORD: &str = "t0psecret:pass word";
/// `tracer:` and the password, by base64(1).
const PAIR: &str = "Basic dHJhY2VyOnQwcHNlY3JldDpwYXNzIHdvcmQ=";

/// Takes POSTs with a certificate, and says what it got: one JSON line each, after one with its port.
const SERVER: &str = "\
import http.server, json, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        got = {'path': self.path, 'auth': self.headers['Authorization'], 'body': json.loads(body)}
        print(json.dumps(got), flush=True)
        self.send_response(200)
        self.end_headers()
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
";

/// An authority's certificate, and the server that it vouches for as 127.0.0.1.
struct Server {
    running: Running,
    ca: String,
    port: u16,
}

impl Server {
    fn start(room: &Room) -> Result<Self> {
        let openssl = need::program("openssl", "openssl")?;
        let path = |name: &str| room.path(name).display().to_string();
        let run = |args: &[&str]| -> Result<()> {
            let done = room.program(&openssl).args(args).finish(PATIENCE)?;
            done.expect_code(0).map(drop)
        };
        let key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        let ca = ["req", "-x509", "-days", "2", "-subj", "/CN=the test's own"];
        let files = ["-keyout", &path("ca.key"), "-out", &path("ca.pem")];
        run(&[&ca[..], &key[..], &files[..]].concat())?;
        let names = "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\n";
        fs::write(room.path("names"), names)?;
        let ask = ["req", "-subj", "/CN=server"];
        let files = ["-keyout", &path("server.key"), "-out", &path("server.csr")];
        run(&[&ask[..], &key[..], &files[..]].concat())?;
        let sign = ["x509", "-req", "-days", "2", "-in", &path("server.csr")];
        let by = [
            "-CA",
            &path("ca.pem"),
            "-CAkey",
            &path("ca.key"),
            "-CAcreateserial",
        ];
        let out = ["-extfile", &path("names"), "-out", &path("server.pem")];
        run(&[&sign[..], &by[..], &out[..]].concat())?;
        let python = need::program("python3", "python3")?;
        let running = room.program(python).args(["-c", SERVER]);
        let running = running
            .args([path("server.pem"), path("server.key")])
            .spawn()?;
        let port = wait_for("the server's port", PATIENCE, || {
            let stdout = running.stdout();
            Ok(stdout
                .split_once('\n')
                .map(|(port, _)| port.parse())
                .transpose()?)
        })
        .with_context(|| running.stderr())?;
        Ok(Self {
            running,
            ca: path("ca.pem"),
            port,
        })
    }

    /// What it got, the port's line left out.
    fn got(&self) -> Result<Vec<Value>> {
        let stdout = self.running.stdout();
        let whole = stdout.rfind('\n').map_or("", |end| &stdout[..end]);
        Ok(whole
            .lines()
            .skip(1)
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?)
    }
}

fn webhook(name: &str, host: &str, server: &Server, more: &str) -> String {
    let port = server.port;
    format!(
        "[[notify.webhook]]\nname = \"{name}\"\nurl = \"https://{host}:{port}/{name}\"\ntimeout_s = 10\n\
         retry_max_s = 1\n{more}\n"
    )
}

fn fails(told: &Told, name: &str) -> Result<String> {
    wait_for(&format!("{name} to fail"), PATIENCE, || {
        Ok((told.counters(name).context("counters")?.failed > 0).then_some(()))
    })?;
    wait_for(&format!("why {name} failed"), PATIENCE, || {
        let said = told.said().into_iter();
        Ok(said.into_iter().find(|line| line.contains(name)))
    })
}

#[test]
fn only_who_is_vouched_for_gets_the_alert_and_the_password() -> Result<()> {
    let room = Room::without_kernel()?;
    let server = Server::start(&room)?;
    let password = room.path("password");
    fs::write(&password, format!("{PASSWORD}\n"))?;
    let login = format!("user = \"tracer\"\npassword_file = {password:?}\n");
    let trust = |ca: &Path| format!("ca_file = {ca:?}\n{login}");
    let ca = Path::new(&server.ca);
    let (late, empty) = (room.path("late.pem"), room.path("empty.pem"));
    fs::write(&empty, "no certificate\n")?;
    let alertmanager = format!(
        "[[notify.alertmanager]]\nname = \"manager\"\nurl = \"https://127.0.0.1:{}\"\n{}",
        server.port,
        trust(ca)
    );
    let file = [
        webhook("good", "127.0.0.1", &server, &trust(ca)),
        // The system does not know the test's authority.
        webhook("system", "127.0.0.1", &server, &login),
        // The certificate is of another name.
        webhook("other", "localhost", &server, &trust(ca)),
        webhook("late", "127.0.0.1", &server, &trust(&late)),
        webhook("empty", "127.0.0.1", &server, &trust(&empty)),
        alertmanager,
    ];
    let told = Told::start(&file.concat(), &room.path("queues"))?;
    told.notifiers.offer(&orphan(7));
    for (name, why) in [
        ("system", "signed by nobody who is trusted"),
        ("other", "of another name than the URL"),
        ("late", "late.pem"),
        ("empty", "there is none"),
    ] {
        let said = fails(&told, name)?;
        ensure!(said.contains(why), "{name}: {said}");
    }
    // Put there later, it is taken at the next attempt.
    fs::copy(ca, &late)?;
    for name in ["good", "late", "manager"] {
        wait_for(&format!("{name} to be told"), PATIENCE, || {
            Ok((told.counters(name).context("counters")?.delivered == 1).then_some(()))
        })
        .with_context(|| format!("{:?} {}", told.said(), server.running.stderr()))?;
    }
    let got = server.got()?;
    for one in &got {
        ensure!(one["auth"] == PAIR, "{one}");
    }
    let mut paths: Vec<&str> = got.iter().filter_map(|one| one["path"].as_str()).collect();
    paths.sort_unstable();
    ensure!(paths == ["/api/v2/alerts", "/good", "/late"], "{paths:?}");
    for name in ["system", "other", "empty"] {
        ensure!(
            told.counters(name).context("counters")?.delivered == 0,
            "{name}"
        );
    }
    let all = format!("{:?} {:?}", told.said(), told.notifiers.counters());
    ensure!(!all.contains("t0psecret") && !all.contains(PAIR), "{all}");
    let _counters = told.notifiers.shutdown(std::time::Duration::from_secs(1));
    Ok(())
}
