//! A webhook's other end, which takes requests as badly as it is told to.
//!
//! HTTP by hand on `std` sockets: what is tested is how a client stands a server that breaks the rules.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

/// No client of a test takes longer to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a request is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// With this status and a small body.
    Status(u16),
    /// Sent elsewhere: to the path `/elsewhere` of the same server.
    Redirect,
    /// Read, and never answered.
    Hang,
    /// The connection is closed before the body has been read.
    CloseMidBody,
    /// The answer promises more body than it has.
    TornAnswer,
    /// The answer is not HTTP.
    Garbage,
}

/// A request that was read to its end.
#[derive(Debug, Clone)]
pub struct Received {
    /// Method, path and version.
    pub line: String,
    /// Header lines.
    pub headers: String,
    /// Body.
    pub body: String,
    /// How it was taken.
    pub manner: Manner,
}

#[derive(Default)]
struct State {
    manners: VecDeque<Manner>,
    otherwise: Option<Manner>,
    received: Vec<Received>,
    hanging: Vec<TcpStream>,
    over: bool,
}

/// The server. It ends when it is dropped.
pub struct Receiver {
    /// Where it listens.
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts one on a port of its own. Requests are taken in these manners in turn, further ones like
    /// the last.
    ///
    /// # Errors
    /// No port, or no thread.
    pub fn start(manners: &[Manner]) -> Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), manners)
    }

    /// The same, where one has been before.
    ///
    /// # Errors
    /// The port is taken, or there is no thread.
    pub fn start_on(addr: SocketAddr, manners: &[Manner]) -> Result<Self> {
        let listener = TcpListener::bind(addr).context("listen")?;
        let addr = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            manners: manners.iter().copied().collect(),
            otherwise: manners.last().copied(),
            ..State::default()
        }));
        let theirs = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("receiver".to_owned())
            .spawn(move || serve(&listener, &theirs))?;
        Ok(Self {
            addr,
            state,
            thread: Some(thread),
        })
    }

    /// Its address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it has received so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state).received.clone()
    }

    /// How it takes everything from now on.
    pub fn behave(&self, manner: Manner) {
        let mut state = lock(&self.state);
        state.manners.clear();
        state.otherwise = Some(manner);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        lock(&self.state).over = true;
        // Wakes it from accept.
        let _woken = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(listener: &TcpListener, state: &Mutex<State>) {
    for stream in listener.incoming() {
        if lock(state).over {
            return;
        }
        // A client that leaves early is part of the game.
        let _taken = stream
            .map_err(Into::into)
            .and_then(|stream| take(stream, state));
    }
}

fn take(mut stream: TcpStream, state: &Mutex<State>) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let manner = {
        let mut state = lock(state);
        let next = state.manners.pop_front();
        next.or(state.otherwise).context("no manner is left")?
    };
    let (line, headers, rest) = head(&mut stream)?;
    if manner == Manner::CloseMidBody {
        // Unread bytes make the kernel answer with a reset.
        lock(state)
            .received
            .push(received(line, headers, "", manner));
        return Ok(());
    }
    let body = body(&mut stream, &headers, rest)?;
    lock(state)
        .received
        .push(received(line, headers, &body, manner));
    let answer = match manner {
        Manner::Status(status) => {
            format!("HTTP/1.1 {status} Said\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
        }
        Manner::Redirect => {
            "HTTP/1.1 307 Elsewhere\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\
                             Connection: close\r\n\r\n"
                .to_owned()
        }
        Manner::TornAnswer => "HTTP/1.1 500 Torn\r\nContent-Length: 1000\r\n\r\nhalf".to_owned(),
        Manner::Garbage => "220 mail.example.org ESMTP\r\n\r\n".to_owned(),
        Manner::Hang => {
            lock(state).hanging.push(stream);
            return Ok(());
        }
        Manner::CloseMidBody => bail!("handled above"),
    };
    stream.write_all(answer.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    Ok(())
}

fn received(line: String, headers: String, body: &str, manner: Manner) -> Received {
    let body = body.to_owned();
    Received {
        line,
        headers,
        body,
        manner,
    }
}

/// Request line, headers, and what came of the body with them.
fn head(stream: &mut TcpStream) -> Result<(String, String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
            return Ok((
                line.to_owned(),
                headers.to_owned(),
                bytes[end + 4..].to_vec(),
            ));
        }
        let mut some = [0; 4096];
        match stream.read(&mut some)? {
            0 => bail!("the client left in its headers"),
            count => bytes.extend_from_slice(&some[..count]),
        }
    }
}

fn body(stream: &mut TcpStream, headers: &str, mut bytes: Vec<u8>) -> Result<String> {
    let length = headers.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let length = length.context("a body without Content-Length")?;
    while bytes.len() < length {
        let mut some = [0; 4096];
        match stream.read(&mut some)? {
            0 => bail!("the client left in its body"),
            count => bytes.extend_from_slice(&some[..count]),
        }
    }
    Ok(String::from_utf8(bytes)?)
}
