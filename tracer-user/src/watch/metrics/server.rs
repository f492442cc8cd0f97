//! `/metrics` and `/healthz`, on a thread of its own: a scrape never waits for a look at the machine, and
//! a client that is slow or many never delays one.
//!
//! GET and HEAD, no more than [`AT_ONCE`] connections, a deadline on every one. There is no encryption
//! and no password: the address is a loopback one unless somebody asked for another.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::{Readings, text};

/// Connections at once; further ones wait to be accepted.
const AT_ONCE: usize = 16;
/// A client that has not said what it wants by then is sent away.
const HEADER: Duration = Duration::from_secs(5);
/// A connection may last this long.
const CONNECTION: Duration = Duration::from_secs(60);
/// After an accept that failed, for want of descriptors say.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the end of the thread is looked for: `std` joins without a deadline or not at all.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why there are no metrics.
#[derive(Debug, Error)]
pub enum MetricsError {
    /// The address cannot be had.
    #[error("serve metrics on {addr}: choose another address, or off")]
    Listen {
        /// Which.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No thread, or no event loop in it.
    #[error("start the server of metrics")]
    Start(#[source] io::Error),
}

/// What the server shows.
#[derive(Default)]
struct Shown {
    readings: Readings,
    /// When they came; with none for too long the watch hangs, and is not healthy.
    fresh_until: Option<Instant>,
}

type Shelf = Arc<Mutex<Shown>>;

/// The server.
pub struct Server {
    addr: SocketAddr,
    shelf: Shelf,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Listens, and serves what [`Self::publish`] is given.
    ///
    /// # Errors
    /// The address cannot be had, or a thread.
    pub fn start(addr: SocketAddr) -> Result<Self, MetricsError> {
        let failed = |source| MetricsError::Listen { addr, source };
        let listener = TcpListener::bind(addr).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let shelf = Shelf::default();
        let (stop, stopped) = watch::channel(false);
        let theirs = Arc::clone(&shelf);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(MetricsError::Start)?;
        let thread = std::thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || runtime.block_on(serve(listener, theirs, stopped)))
            .map_err(MetricsError::Start)?;
        Ok(Self {
            addr,
            shelf,
            stop,
            thread,
        })
    }

    /// Where it listens, with the port that it got where 0 was asked for.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on these are shown. With no newer ones for `fresh`, `/healthz` is red: the watch hangs.
    pub fn publish(&self, readings: Readings, fresh: Duration) {
        let mut shown = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shown.readings = readings;
        shown.fresh_until = Instant::now().checked_add(fresh);
    }

    /// Ends it. False: not by then.
    #[must_use]
    pub fn shutdown(self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        self.stop.send_replace(true);
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(LOOK_EVERY);
        }
        self.thread.is_finished() && self.thread.join().is_ok()
    }
}

/// Accepts until it is stopped; dropping the set ends what is still served.
async fn serve(listener: TcpListener, shelf: Shelf, mut stopped: watch::Receiver<bool>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut serving = JoinSet::new();
    loop {
        let accepted = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            _ = stopped.changed() => return,
            accepted = accepted => accepted,
        };
        while serving.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let shelf = Arc::clone(&shelf);
        serving.spawn(async move {
            let _place = permit;
            let service = service_fn(move |request| {
                let answer = answer(&request, &shelf);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER)
                .max_buf_size(16 << 10)
                .serve_connection(TokioIo::new(stream), service);
            // What a client does wrong concerns the client.
            let _served = tokio::time::timeout(CONNECTION, connection).await;
        });
    }
}

fn answer(request: &Request<Incoming>, shelf: &Shelf) -> Response<String> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let shown = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            (
                StatusCode::OK,
                text::CONTENT_TYPE,
                text::page(&shown.readings),
            )
        }
        (&Method::GET | &Method::HEAD, "/healthz") => {
            let shown = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            let (status, body) = health(&shown, Instant::now());
            (status, PLAIN, body)
        }
        (_, "/metrics" | "/healthz") => {
            let body = "GET or HEAD\n".to_owned();
            (StatusCode::METHOD_NOT_ALLOWED, PLAIN, body)
        }
        _ => {
            let body = "there are /metrics and /healthz\n".to_owned();
            (StatusCode::NOT_FOUND, PLAIN, body)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers.insert(
        CACHE_CONTROL,
        hyper::header::HeaderValue::from_static("no-store"),
    );
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// Green only when everything works and the watch is seen to work.
fn health(shown: &Shown, now: Instant) -> (StatusCode, String) {
    let mut wrong: Vec<String> = shown
        .readings
        .degraded
        .iter()
        .map(|degraded| format!("{}: {}\n", degraded.part, degraded.why))
        .collect();
    match shown.fresh_until {
        None => wrong.push("watch: has not looked yet\n".to_owned()),
        Some(until) if now > until => {
            wrong.push("watch: has not looked for longer than it should\n".to_owned());
        }
        Some(_) => {}
    }
    if wrong.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, wrong.concat())
}

/// Seconds since 1970, for [`Readings::start_time_s`].
#[must_use]
pub fn seconds_since_1970(at: SystemTime) -> f64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::metrics::Degraded;

    #[test]
    fn health_is_red_when_a_part_is_degraded_and_when_the_watch_hangs() {
        let now = Instant::now();
        let mut shown = Shown::default();
        assert_eq!(health(&shown, now).0, StatusCode::SERVICE_UNAVAILABLE);
        shown.fresh_until = Some(now + Duration::from_secs(1));
        assert_eq!(health(&shown, now), (StatusCode::OK, "ok\n".to_owned()));
        let later = now + Duration::from_secs(2);
        assert!(health(&shown, later).1.contains("has not looked"));
        shown.readings.degraded.push(Degraded {
            part: "kernel".to_owned(),
            why: "ring full".to_owned(),
        });
        let (status, body) = health(&shown, now);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, "kernel: ring full\n");
    }
}
