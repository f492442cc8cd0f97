//! One HTTP request, and its whole answer.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result};

/// A server of a test answers within this.
const PATIENCE: Duration = Duration::from_secs(20);

/// Status and body of the answer. HTTP/1.0: the answer ends when the connection does.
///
/// # Errors
/// Nobody listens, or the answer is not HTTP.
pub fn ask(addr: SocketAddr, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {addr}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("an answer with a head")?;
    let status = head.split(' ').nth(1).context("a status")?;
    Ok((status.parse()?, body.to_owned()))
}

/// The answer to a GET.
///
/// # Errors
/// As [`ask`].
pub fn get(addr: SocketAddr, path: &str) -> Result<(u16, String)> {
    ask(addr, "GET", path, "")
}
