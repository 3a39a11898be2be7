//! A peer that is a thread of the test, and a driver.

use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use triarch_boards::RamRange;
use triarch_devices::GuestRam;
use triarch_devices::virtio::{Core, Notifier, Worker, status};
use vm_memory::{Bytes, GuestAddress};

use super::Front;
use super::peer::{Needs, Patience, Peer};
use crate::memory::{Pages, allocate};

/// Requests' codes.
pub const GET_FEATURES: u32 = 1;
pub const SET_FEATURES: u32 = 2;
pub const SET_OWNER: u32 = 3;
pub const SET_MEM_TABLE: u32 = 5;
pub const SET_VRING_NUM: u32 = 8;
pub const SET_VRING_ADDR: u32 = 9;
pub const SET_VRING_BASE: u32 = 10;
pub const GET_VRING_BASE: u32 = 11;
pub const SET_VRING_KICK: u32 = 12;
pub const SET_VRING_CALL: u32 = 13;
pub const GET_PROTOCOL_FEATURES: u32 = 15;
pub const SET_PROTOCOL_FEATURES: u32 = 16;
pub const GET_QUEUE_NUM: u32 = 17;
pub const SET_VRING_ENABLE: u32 = 18;
pub const GET_CONFIG: u32 = 24;

/// What a peer does instead of its duty.
#[derive(Debug, Clone, PartialEq)]
pub enum Misdeed {
    HangUp,
    Mute,
    Say(Vec<u8>),
}

/// A peer's abilities and misdeeds.
#[derive(Debug, Clone)]
pub struct Habits {
    pub features: u64,
    pub protocol: u64,
    pub queues: u64,
    pub config: Vec<u8>,
    /// At this request.
    pub misdeed: Option<(u32, Misdeed)>,
    /// At a doorbell, if it does not give buffers back.
    pub at_doorbell: Option<Misdeed>,
}

impl Default for Habits {
    fn default() -> Self {
        Habits {
            features: 1 << 32 | 1 << 30 | 1 << 29 | 1 << 28 | 1 << 26 | 5,
            protocol: !0,
            queues: 2,
            config: Vec::new(),
            misdeed: None,
            at_doorbell: None,
        }
    }
}

/// A request: its code, its body, and how many descriptors came with it.
pub type Request = (u32, Vec<u8>, usize);

/// A peer that runs.
pub struct FakePeer {
    heard: Arc<Mutex<Vec<Request>>>,
    thread: Option<JoinHandle<()>>,
}

impl FakePeer {
    /// Starts one over `ram`; returns the other end of its connection.
    pub fn start(ram: &GuestRam, habits: Habits) -> (Self, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (FakePeer::serve(ram, habits, theirs), ours)
    }

    /// Starts one over `ram` that serves a connection.
    pub fn serve(ram: &GuestRam, habits: Habits, socket: UnixStream) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut peer =
            Serving { socket, ram: ram.clone(), habits, heard: heard.clone(), ring: Ring::default() };
        let thread = std::thread::spawn(move || while peer.serve() {});
        FakePeer { heard, thread: Some(thread) }
    }

    /// What was asked since this was last called.
    pub fn heard(&self) -> Vec<Request> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    /// The same, codes only.
    pub fn heard_codes(&self) -> Vec<u32> {
        self.heard().into_iter().map(|(code, ..)| code).collect()
    }

    /// Waits for its end.
    pub fn join(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Queue 0 as the peer knows it.
#[derive(Default)]
struct Ring {
    size: u64,
    available: u64,
    used: u64,
    next: u16,
    enabled: bool,
    kick: Option<OwnedFd>,
    call: Option<OwnedFd>,
}

struct Serving {
    socket: UnixStream,
    ram: GuestRam,
    habits: Habits,
    heard: Arc<Mutex<Vec<Request>>>,
    ring: Ring,
}

/// Numbers are in the host's order.
#[expect(clippy::host_endian_bytes, reason = "so are the protocol's")]
pub fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect()
}

#[expect(clippy::host_endian_bytes, reason = "so are the protocol's")]
fn halves(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word)).collect()
}

/// A message of the peer's.
pub fn message(code: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len()).unwrap();
    let header = [code, 1 | 4, size].into_iter().flat_map(u32::to_ne_bytes);
    header.chain(body.iter().copied()).collect()
}

#[expect(clippy::host_endian_bytes, reason = "so are the protocol's")]
fn number(value: u64) -> [u8; 8] {
    value.to_ne_bytes()
}

impl Serving {
    /// Waits for the next event; false at its end.
    fn serve(&mut self) -> bool {
        let kick = self.ring.kick.as_ref().filter(|_| self.ring.enabled);
        let mut polled = vec![PollFd::new(&self.socket, PollFlags::IN)];
        polled.extend(kick.map(|kick| PollFd::new(kick, PollFlags::IN)));
        poll(&mut polled, None).unwrap();
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready.get(1) == Some(&true) && !self.doorbell() {
            return false;
        }
        !ready[0] || self.request()
    }

    fn commit(&mut self, misdeed: Misdeed) -> bool {
        match misdeed {
            Misdeed::HangUp => return false,
            Misdeed::Mute => {}
            Misdeed::Say(bytes) => self.socket.write_all(&bytes).unwrap(),
        }
        true
    }

    fn doorbell(&mut self) -> bool {
        rustix::io::read(self.ring.kick.as_ref().unwrap(), &mut [0; 8]).unwrap();
        if let Some(misdeed) = self.habits.at_doorbell.clone() {
            return self.index(self.ring.available) == self.ring.next || self.commit(misdeed);
        }
        let mut told = false;
        while self.index(self.ring.available) != self.ring.next {
            let at = u64::from(self.ring.next) % self.ring.size;
            let head: u16 = self.ram.read_obj(GuestAddress(self.ring.available + 4 + 2 * at)).unwrap();
            let used = self.index(self.ring.used);
            let element = GuestAddress(self.ring.used + 4 + 8 * (u64::from(used) % self.ring.size));
            let both = (u64::from(u16::from_le(head)) | 7 << 32).to_le_bytes();
            self.ram.write_slice(&both, element).unwrap();
            self.ram.write_obj((used + 1).to_le(), GuestAddress(self.ring.used + 2)).unwrap();
            self.ring.next += 1;
            told = true;
        }
        if told {
            rustix::io::write(self.ring.call.as_ref().unwrap(), &number(1)).unwrap();
        }
        true
    }

    /// The index of a ring.
    fn index(&self, ring: u64) -> u16 {
        u16::from_le(self.ram.read_obj(GuestAddress(ring + 2)).unwrap())
    }

    fn request(&mut self) -> bool {
        let mut header = [0; 12];
        let mut space = [MaybeUninit::uninit(); 256];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let parts = &mut [IoSliceMut::new(&mut header)];
        let got = recvmsg(&self.socket, parts, &mut ancillary, RecvFlags::empty());
        if got.map_or(0, |got| got.bytes) != 12 {
            return false;
        }
        let mut files = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                files.extend(fds);
            }
        }
        let fields = halves(&header);
        let mut body = vec![0; fields[2] as usize];
        self.socket.read_exact(&mut body).unwrap();
        self.heard.lock().unwrap().push((fields[0], body.clone(), files.len()));
        match self.habits.misdeed.clone() {
            Some((code, misdeed)) if code == fields[0] => self.commit(misdeed),
            _ => {
                self.answer(fields[0], fields[1] & 8 != 0, &body, files);
                true
            }
        }
    }

    fn answer(&mut self, code: u32, acknowledged: bool, body: &[u8], mut files: Vec<OwnedFd>) {
        let (long, short) = (words(body), halves(body));
        let mut answer = acknowledged.then(|| number(0).to_vec());
        match code {
            GET_FEATURES => answer = Some(number(self.habits.features).to_vec()),
            GET_PROTOCOL_FEATURES => answer = Some(number(self.habits.protocol).to_vec()),
            GET_QUEUE_NUM => answer = Some(number(self.habits.queues).to_vec()),
            GET_CONFIG => answer = Some([&body[..12], &self.habits.config].concat()),
            GET_VRING_BASE => {
                self.ring.enabled = false;
                answer = Some(pair(short[0], self.ring.next.into()));
            }
            _ if code != SET_VRING_ADDR && short.first() != Some(&0) => {}
            SET_VRING_NUM => self.ring.size = short[1].into(),
            // Index and flags, and the addresses of table, used and available ring.
            SET_VRING_ADDR if short[0] == 0 => (self.ring.used, self.ring.available) = (long[2], long[3]),
            SET_VRING_BASE => self.ring.next = u16::try_from(short[1]).unwrap(),
            SET_VRING_KICK => self.ring.kick = files.pop(),
            SET_VRING_CALL => self.ring.call = files.pop(),
            SET_VRING_ENABLE => self.ring.enabled = short[1] == 1,
            _ => {}
        }
        if let Some(answer) = answer {
            // Whoever asked may be gone.
            self.socket.write_all(&message(code, &answer)).ok();
        }
    }
}

/// Two numbers of 32 bits.
pub fn pair(first: u32, second: u32) -> Vec<u8> {
    [first, second].into_iter().flat_map(u32::to_ne_bytes).collect()
}

/// 1 MiB of RAM from 0 on, which others can map.
pub fn ram() -> GuestRam {
    allocate(&[RamRange { base: 0, size: 1 << 20 }], Pages::Normal).unwrap()
}

/// What the tests' devices need.
pub const NEEDS: Needs = Needs { queues: 2, config: 0 };

/// Greets the peer behind `socket`, with little patience.
pub fn greet(socket: UnixStream, needs: Needs) -> std::io::Result<Peer> {
    let patience = Patience { greeting: Duration::from_millis(300), order: Duration::from_millis(300) };
    Peer::greet_with(patience, socket, None, needs)
}

/// Counts what the driver is told.
#[derive(Default)]
pub struct Told {
    queues: AtomicU32,
    config: AtomicU32,
}

impl Notifier for Told {
    fn queue(&self, index: u16) {
        assert!(index < 2);
        self.queues.fetch_add(1, Ordering::AcqRel);
    }

    fn config(&self) {
        self.config.fetch_add(1, Ordering::AcqRel);
    }
}

/// A driver of queue 0, of 4 entries: descriptors at 0x1000, available ring at 0x2000, used ring at 0x3000.
pub struct Driver {
    pub core: Core,
    pub ram: GuestRam,
    told: Arc<Told>,
}

impl Driver {
    /// Of a device with this worker.
    pub fn new(ram: &GuestRam, front: Front, worker: Box<dyn Worker>) -> Self {
        let told = Arc::new(Told::default());
        let core = Core::new(Box::new(front), worker, ram.clone(), told.clone()).unwrap();
        Driver { core, ram: ram.clone(), told }
    }

    /// Finds the device and is ready.
    pub fn begin(&mut self) {
        let core = &mut self.core;
        core.set_status(status::ACKNOWLEDGE | status::DRIVER);
        core.set_driver_features(0, 5);
        core.set_driver_features(1, 1);
        core.set_status(status::FEATURES_OK);
        core.set_up_queue(0, |queue| {
            (queue.size, queue.descriptors, queue.available, queue.used) = (4, 0x1000, 0x2000, 0x3000);
        });
        core.enable_queue(0, true);
        core.set_status(status::DRIVER_OK);
    }

    /// Makes the chain at `head` available: 40 bytes at 0x4000 to read, 16 at 0x5000 + 0x100 * `head` to write; and rings.
    pub fn offer(&mut self, head: u16) {
        let table = GuestAddress(0x1000 + 16 * u64::from(head));
        let answer = 0x5000 + 0x100 * u64::from(head);
        let next = (u64::from(head) + 1) << 48;
        self.ram.write_slice(&0x4000u64.to_le_bytes(), table).unwrap();
        self.ram.write_slice(&(40 | 1 << 32 | next).to_le_bytes(), GuestAddress(table.0 + 8)).unwrap();
        self.ram.write_slice(&answer.to_le_bytes(), GuestAddress(table.0 + 16)).unwrap();
        self.ram.write_slice(&(16u64 | 2 << 32).to_le_bytes(), GuestAddress(table.0 + 24)).unwrap();
        let index = u16::from_le(self.ram.read_obj(GuestAddress(0x2002)).unwrap());
        self.ram.write_obj(head.to_le(), GuestAddress(0x2004 + 2 * u64::from(index % 4))).unwrap();
        self.ram.write_obj((index + 1).to_le(), GuestAddress(0x2002)).unwrap();
        self.core.ring(0);
    }

    /// The element of the used ring at a position: the chain's head, and the bytes written.
    pub fn used(&self, position: u64) -> u64 {
        u64::from_le(self.ram.read_obj(GuestAddress(0x3004 + 8 * (position % 4))).unwrap())
    }

    /// Waits until so many chains were given back in all.
    pub fn wait_used(&self, count: u16) {
        wait_for(|| u16::from_le(self.ram.read_obj(GuestAddress(0x3002)).unwrap()) == count);
    }

    /// Waits until it was told that often of used buffers, in all.
    pub fn wait_told(&self, count: u32) {
        wait_for(|| self.told.queues.load(Ordering::Acquire) >= count);
    }

    /// Waits until it is asked for a reset.
    pub fn wait_needs_reset(&self) {
        wait_for(|| self.core.status() & status::NEEDS_RESET != 0);
        assert!(self.told.config.load(Ordering::Acquire) > 0);
    }
}

/// Waits for something that is bound to come.
pub fn wait_for(mut it: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !it() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}
