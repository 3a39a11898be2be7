//! Clients of every kind, against the API's thread and a control thread that answers or does not.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use super::*;
use crate::control::{Answer, Command, Event, Refusal, Request, State};
use crate::wake::Wake;

/// A socket that is served. Dropping it ends the thread.
struct Served {
    dir: tempfile::TempDir,
    requests: Receiver<Request>,
    notes: Sender<Note>,
    wake: Arc<Wake>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    fn new(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = crate::socket::listen(&dir.path().join("api")).unwrap();
        let (to_control, requests) = mpsc::channel();
        let (notes, to_api) = mpsc::channel();
        let wake = Arc::new(Wake::new().unwrap());
        let control = Arc::new(Wake::new().unwrap());
        let link = Link { requests: to_control, control, notes: to_api, own: wake.clone() };
        let thread = Some(std::thread::spawn(move || serve(&listener, &link, limits)));
        Served { dir, requests, notes, wake, thread }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("api")
    }

    /// A client that waits at most 20 s for anything.
    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn send(&self, text: &str) -> UnixStream {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    fn note(&self, note: Note) {
        self.notes.send(note).unwrap();
        self.wake.wake();
    }

    /// Answers the next request, which is for this.
    fn answers(&self, wanted: &Command, answer: Result<Answer, Refusal>) {
        let Request { command, ticket } = self.requests.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(&command, wanted);
        self.note(Note::Answer(ticket, answer));
    }

    /// A pause that is asked for and done: the API works.
    fn works(&self) {
        let client = self.send(PAUSE);
        self.answers(&Command::Pause, Ok(Answer::State(State::Paused)));
        assert!(all(client).ends_with("\r\n\r\n{\"state\":\"paused\"}"));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.note(Note::End);
        self.thread.take().unwrap().join().unwrap();
    }
}

const PAUSE: &str = "POST /v1/pause HTTP/1.1\r\nHost: x\r\n\r\n";

/// All that a client gets.
fn all(mut stream: UnixStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn status(text: &str) -> &str {
    text.split(' ').nth(1).unwrap_or("none")
}

#[test]
fn answers_find_their_clients() {
    let served = Served::new(Limits::default());
    let (first, second) = (served.send(PAUSE), served.send("POST /v1/resume HTTP/1.1\r\n\r\n"));
    let mut asked = [(); 2].map(|()| served.requests.recv_timeout(Duration::from_secs(20)).unwrap());
    asked.sort_by_key(|request| request.command != Command::Resume);
    let refusal = Refusal::Conflict("the machine is not paused".to_owned());
    served.note(Note::Answer(asked[0].ticket, Err(refusal)));
    served.note(Note::Answer(asked[1].ticket, Ok(Answer::State(State::Paused))));
    // An answer that nobody waits for.
    served.note(Note::Answer(1000, Ok(Answer::State(State::Paused))));
    assert_eq!(status(&all(first)), "200");
    let refused = all(second);
    assert!(status(&refused) == "409" && refused.contains("is not paused"), "{refused}");
    served.works();
}

#[test]
fn a_request_may_come_in_pieces_and_a_client_may_close_its_half() {
    let served = Served::new(Limits::default());
    let mut client = served.connect();
    for byte in PAUSE.bytes() {
        client.write_all(&[byte]).unwrap();
    }
    client.shutdown(std::net::Shutdown::Write).unwrap();
    served.answers(&Command::Pause, Ok(Answer::State(State::Paused)));
    assert_eq!(status(&all(client)), "200");
}

#[test]
fn half_a_request_gets_a_status() {
    let served = Served::new(Limits { client: Duration::from_millis(100), ..Limits::default() });
    let late = served.send(&PAUSE[..20]);
    assert_eq!(status(&all(late)), "408");
    let ended = served.send("POST /v1/stop HTTP/1.1\r\nContent-Length: 100\r\n\r\n{");
    ended.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(status(&all(ended)), "400");
    // One that says nothing at all.
    let silent = served.connect();
    silent.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(all(silent), "");
    assert!(served.requests.try_recv().is_err());
    served.works();
}

#[test]
fn a_body_of_a_gibibyte_is_refused_and_not_kept() {
    let served = Served::new(Limits::default());
    let mut client = served.send("POST /v1/stop HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n");
    // The client sends on for a while, whatever it is told, until nobody reads it any more.
    let chunk = vec![b'x'; 64 << 10];
    let mut sent = 0;
    while sent < 64 << 20 && client.write_all(&chunk).is_ok() {
        sent += chunk.len();
    }
    assert_eq!(status(&all(client)), "413");
    served.works();
}

#[test]
fn a_thousand_idle_connections_keep_nobody_out() {
    // Both ends are this process's.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let more = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, more).unwrap();
    let served = Served::new(Limits::default());
    let idle: Vec<_> = (0..1000).map(|_| served.connect()).collect();
    served.works();
    // One that waits for its answer, or for events, is not among those that go.
    let mut waiting = served.send(PAUSE);
    let listening = served.send("GET /v1/events HTTP/1.1\r\n\r\n");
    let request = served.requests.recv_timeout(Duration::from_secs(20)).unwrap();
    let more: Vec<_> = (0..200).map(|_| served.connect()).collect();
    served.works();
    served.note(Note::Answer(request.ticket, Ok(Answer::State(State::Paused))));
    let mut first = [0; 12];
    waiting.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    served.note(Note::Event(Event::Paused));
    drop((idle, more));
    drop(served);
    assert!(all(listening).contains("event: paused\ndata: {\"event\":\"paused\"}\n\n"));
}

#[test]
fn a_control_thread_that_does_not_answer_is_said_to() {
    let served = Served::new(Limits { answer: Duration::from_millis(100), ..Limits::default() });
    let client = served.send(PAUSE);
    assert_eq!(status(&all(client)), "504");
    // The answer comes when nobody waits for it any more.
    served.answers(&Command::Pause, Ok(Answer::State(State::Paused)));
    served.works();
}

#[test]
fn who_goes_away_is_forgotten() {
    let served = Served::new(Limits::default());
    for _ in 0..200 {
        drop(served.send(PAUSE));
        drop(served.send("GET /v1/events HTTP/1.1\r\n\r\n"));
    }
    for request in served.requests.try_iter() {
        served.note(Note::Answer(request.ticket, Ok(Answer::State(State::Paused))));
    }
    served.note(Note::Event(Event::Booted));
    while let Ok(request) = served.requests.recv_timeout(Duration::from_millis(200)) {
        served.note(Note::Answer(request.ticket, Ok(Answer::State(State::Paused))));
    }
    served.works();
}

#[test]
fn events_come_to_all_who_listen_and_a_slow_one_is_dropped() {
    let served = Served::new(Limits { events: 4096, ..Limits::default() });
    let mut first = served.send("GET /v1/events HTTP/1.1\r\n\r\n");
    let slow = served.send("GET /v1/events HTTP/1.1\r\n\r\n");
    let mut head = [0; 15];
    first.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    (&slow).read_exact(&mut head).unwrap();
    let reader = std::thread::spawn(move || all(first));
    let reason = "a line that \"ends\"\nand another ".repeat(100);
    for _ in 0..1000 {
        served.note(Note::Event(Event::Crash { reason: reason.clone() }));
        // The reader's buffer is the kernel's; it is given time.
        std::thread::sleep(Duration::from_micros(500));
    }
    served.works();
    drop(served);
    let text = reader.join().unwrap();
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.starts_with("id: 1000\nevent: crash\ndata: "), "{}", &last[..60.min(last.len())]);
    let data = last.split_once("data: ").unwrap().1;
    assert_eq!(serde_json::from_str::<Event>(data).unwrap(), Event::Crash { reason });
    assert!(all(slow).matches("event: crash").count() < 1000);
}
