//! The client's side of a control socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::api::ErrorReply;
use crate::socket::{block_for, connect_at_once};

/// The most bytes of an answer: a machine with a few hundred devices.
const MAX_ANSWER: u64 = 4 << 20;

/// How long a machine may take to answer: more than it takes to say that it can't.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A request that is on its way.
#[derive(Debug)]
pub struct Pending {
    stream: UnixStream,
    deadline: Instant,
}

impl Pending {
    /// Sends a request. Neither a machine that is dead nor one that is stuck holds it up.
    ///
    /// # Errors
    /// Nobody listens at the socket, or too many wait there.
    pub fn send(socket: &Path, method: &str, path: &str, body: &str, time: Duration) -> anyhow::Result<Self> {
        let deadline = Instant::now() + time;
        let mut stream = connect_at_once(socket).with_context(|| format!("can't reach {socket:?}"))?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // It fits into the socket's buffer.
        stream.write_all(request.as_bytes()).context("can't send the request")?;
        Ok(Pending { stream, deadline })
    }

    /// The body of the answer.
    ///
    /// # Errors
    /// It does not come in time, or the request was refused: then the error is what the machine says.
    pub fn answer(self) -> anyhow::Result<Vec<u8>> {
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            block_for(&self.stream, left).context("the machine does not answer")?;
            match (&self.stream).read(&mut chunk).context("can't read the answer")? {
                0 => break,
                len => answer.extend(chunk.get(..len).unwrap_or_default()),
            }
            if answer.len() as u64 > MAX_ANSWER {
                bail!("the answer has no end");
            }
        }
        let (status, head) = head(&answer)?;
        let body = answer.split_off(head);
        if (200..300).contains(&status) {
            return Ok(body);
        }
        match serde_json::from_slice(&body) {
            Ok(ErrorReply { error }) => bail!(error),
            Err(_) => bail!("the machine answers with status {status}"),
        }
    }

    /// The answer as a value.
    ///
    /// # Errors
    /// As [`Pending::answer`]; or it is no such value.
    pub fn value<T: DeserializeOwned>(self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.answer()?).context("the machine answers with something else")
    }

    /// Hands each event's data to `take` as it comes, until the machine ends.
    ///
    /// # Errors
    /// The request was refused, or `take` fails.
    pub fn events(self, mut take: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        block_for(&self.stream, left).context("the machine does not answer")?;
        self.stream.set_nonblocking(false)?;
        let mut lines = BufReader::new(self.stream);
        let mut line = String::new();
        let mut status = None;
        while lines.read_line(&mut line)? > 0 {
            if status.is_none() {
                let ok = line.starts_with("HTTP/1.1 200 ");
                status = Some(ok);
                if !ok {
                    bail!("the machine answers with {line:?}");
                }
            }
            if let Some(data) = line.strip_prefix("data: ") {
                take(data.trim_end())?;
            }
            line.clear();
        }
        Ok(())
    }
}

/// The status of an answer, and where its body begins.
fn head(answer: &[u8]) -> anyhow::Result<(u16, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(answer) {
        Ok(httparse::Status::Complete(head)) => Ok((response.code.unwrap_or(0), head)),
        _ => bail!("the machine does not answer: it may have ended"),
    }
}

/// Asks, and waits for the answer.
///
/// # Errors
/// As [`Pending::send`] and [`Pending::answer`].
pub fn ask(
    socket: &Path,
    method: &str,
    path: &str,
    body: Option<&impl Serialize>,
) -> anyhow::Result<Vec<u8>> {
    let body = body.map(serde_json::to_string).transpose()?.unwrap_or_default();
    Pending::send(socket, method, path, &body, PATIENCE)?.answer()
}
