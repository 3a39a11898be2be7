//! Requests, good and bad, over a disk in memory.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex};

use vm_memory::Bytes;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::*;
use crate::GuestRam;
use crate::virtio::Limits;
use crate::virtio::testing::{Driver, Inline, MmioDriver, NEXT, Ring, WRITE, ram};

/// A disk in memory, and what was asked of it. Requests are done when they are asked for, in reverse order, or when waited for.
#[derive(Clone)]
pub struct MemDisk {
    event: Arc<EventFd>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    bytes: Vec<u8>,
    ram: Option<GuestRam>,
    taken: VecDeque<Request>,
    done: Vec<Completion>,
    /// Requests stay where they are until they are waited for.
    is_lazy: bool,
    /// All requests fail.
    is_broken: bool,
    /// What was done, in order.
    log: Vec<String>,
    rests: u32,
}

impl MemDisk {
    pub fn new(sectors: usize) -> Self {
        let bytes = (0..sectors).flat_map(|sector| [u8::try_from(sector % 251).unwrap(); 512]).collect();
        let event = Arc::new(EventFd::new(EFD_NONBLOCK).unwrap());
        MemDisk { event, inner: Arc::new(Mutex::new(Inner { bytes, ..Inner::default() })) }
    }

    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.lock().unwrap().log)
    }

    /// Whether requests stay where they are until they are waited for, and whether all fail.
    pub fn set(&self, is_lazy: bool, is_broken: bool) {
        let mut inner = self.inner.lock().unwrap();
        (inner.is_lazy, inner.is_broken) = (is_lazy, is_broken);
    }

    /// Has what was kept waiting done.
    pub fn work(&self) {
        self.inner.lock().unwrap().work();
        self.event.write(1).unwrap();
    }
}

impl Inner {
    fn carry_out(&mut self, request: &Request) -> io::Result<()> {
        let ram = self.ram.as_ref().unwrap();
        let at = usize::try_from(request.offset).unwrap();
        let mut zero = |len: u64| self.bytes[at..at + usize::try_from(len).unwrap()].fill(0);
        let (mut from, word) = (
            at,
            match &request.operation {
                Operation::Read(_) => "read".to_owned(),
                Operation::Write(_) => "write".to_owned(),
                Operation::Flush => "flush".to_owned(),
                Operation::Discard(len) => format!("discard {len}"),
                Operation::WriteZeroes { len, unmap } => format!("zero {len} {unmap}"),
            },
        );
        self.log.push(format!("{word} at {at}"));
        if self.is_broken {
            return Err(io::Error::from_raw_os_error(28));
        }
        match &request.operation {
            Operation::Read(buffers) | Operation::Write(buffers) => {
                for buffer in buffers {
                    let part = &mut self.bytes[from..from + buffer.len as usize];
                    from += part.len();
                    if matches!(request.operation, Operation::Read(_)) {
                        ram.write_slice(part, buffer.address).unwrap();
                    } else {
                        ram.read_slice(part, buffer.address).unwrap();
                    }
                }
            }
            Operation::Flush => {}
            Operation::Discard(len) | Operation::WriteZeroes { len, .. } => zero(*len),
        }
        Ok(())
    }

    fn work(&mut self) {
        while let Some(request) = self.taken.pop_back() {
            let result = self.carry_out(&request);
            self.done.push(Completion { tag: request.tag, result });
        }
    }
}

impl Disk for MemDisk {
    fn start(&mut self, ram: &GuestRam) -> io::Result<()> {
        self.inner.lock().unwrap().ram = Some(ram.clone());
        Ok(())
    }

    fn submit(&mut self, request: Request) {
        self.inner.lock().unwrap().taken.push_back(request);
    }

    fn kick(&mut self) {
        let mut inner = self.inner.lock().unwrap();
        if !inner.is_lazy && !inner.taken.is_empty() {
            inner.work();
            self.event.write(1).unwrap();
        }
    }

    fn complete(&mut self, done: &mut Vec<Completion>) {
        let _none = self.event.read();
        done.append(&mut self.inner.lock().unwrap().done);
    }

    fn wait(&mut self) {
        let mut inner = self.inner.lock().unwrap();
        inner.work();
        assert!(!inner.done.is_empty(), "there is something to wait for");
    }

    fn rest(&mut self) {
        let mut inner = self.inner.lock().unwrap();
        assert!(inner.taken.is_empty() && inner.done.is_empty(), "nothing is in flight");
        inner.rests += 1;
    }

    fn descriptor(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}

/// A disk of 64 KiB.
pub fn info() -> DiskInfo {
    DiskInfo {
        name: "disk".to_owned(),
        serial: *b"a serial number\0\0\0\0\0",
        sectors: 128,
        read_only: false,
        block_size: 512,
        physical_block_size: 4096,
        discard: true,
        write_back: true,
        queues: 1,
    }
}

const FLUSH: u64 = 1 << 9;
const VERSION_1: u64 = 1 << 32;

struct Fixture {
    disk: MemDisk,
    driver: MmioDriver,
    reactor: Inline,
    ring: Ring,
}

impl Fixture {
    fn with(info: &DiskInfo, limits: Limits, features: u64) -> Self {
        let (disk, reactor, ram) = (MemDisk::new(128), Inline::new(), ram());
        let backend = BlkBackend::new(Box::new(disk.clone()), info.clone(), limits).unwrap();
        let mut driver = MmioDriver::new(Box::new(Blk::new(info)), reactor.worker(backend), ram.clone());
        let ring = Ring::new(&ram, 0x1000, 64);
        driver.set_status(3);
        driver.set_features(VERSION_1 | features);
        driver.set_status(0xb);
        assert_eq!(driver.status(), 0xb);
        driver.enable(0, ring.size, ring.parts);
        driver.set_status(0xf);
        let fixture = Fixture { disk, driver, reactor, ring };
        fixture.reactor.run();
        fixture
    }

    fn new() -> Self {
        Self::with(&info(), Limits::default(), FLUSH)
    }

    /// A request of a header, parts that follow, and a status at 0x7000.
    fn offer(&mut self, first: u16, kind: u32, sector: u64, parts: &[(u64, u32, u16)]) {
        let at = 0x6000 + 16 * u64::from(first);
        self.ring.write(at, &kind.to_le_bytes());
        self.ring.write(at + 8, &sector.to_le_bytes());
        self.ring.write(0x7000 + u64::from(first), &[0xee]);
        let mut all = vec![(at, 16, 0)];
        all.extend(parts);
        all.push((0x7000 + u64::from(first), 1, WRITE));
        let last = all.len() - 1;
        let chain: Vec<_> = (first + 1..)
            .zip(all.iter().enumerate())
            .map(|(next, (index, (address, len, flags)))| {
                (*address, *len, if index < last { flags | NEXT } else { *flags }, next)
            })
            .collect();
        self.ring.describe(first, &chain);
        self.ring.offer(first);
    }

    fn ring(&mut self) {
        self.driver.ring(0);
        self.reactor.run();
    }

    /// Has a request done. Its status, and how many bytes were written.
    fn ask(&mut self, kind: u32, sector: u64, parts: &[(u64, u32, u16)]) -> (u8, u32) {
        self.offer(0, kind, sector, parts);
        self.ring();
        let (head, written) = self.ring.take_used().expect("an answer");
        assert_eq!(head, 0);
        (self.ring.read::<1>(0x7000)[0], written)
    }
}

#[test]
fn sectors_are_read_into_any_buffers() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.ask(0, 7, &[(0x8000, 512, WRITE)]), (0, 513));
    assert_eq!(fixture.ring.read::<514>(0x7fff)[..], [&[0][..], &[7; 512], &[0]].concat());
    let odd = [(0x9000, 1, WRITE), (0xa000, 1000, WRITE), (0xb000, 23, WRITE)];
    assert_eq!(fixture.ask(0, 9, &odd), (0, 1025));
    assert_eq!((fixture.ring.read(0x9000), fixture.ring.read(0xa000 + 510)), ([9, 0], [9, 10]));
    assert_eq!(fixture.ring.read(0xb000 + 22), [10, 0]);
    assert_eq!(fixture.disk.log(), ["read at 3584", "read at 4608"]);
}

#[test]
fn header_and_status_may_lie_in_any_buffers() {
    let mut fixture = Fixture::new();
    let ring = &mut fixture.ring;
    // A write: 5 bytes of header, then the rest with the data; the status is the last of 3 bytes.
    ring.write(0x6000, &1u32.to_le_bytes());
    ring.write(0x6004, &[0]);
    ring.write(0x6100, &[[0; 3].as_slice(), &3u64.to_le_bytes(), &[0xaa; 512]].concat());
    ring.describe(0, &[(0x6000, 5, NEXT, 1), (0x6100, 523, NEXT, 2), (0x7000, 3, WRITE, 0)]);
    ring.write(0x7000, &[9; 4]);
    ring.offer(0);
    fixture.ring();
    assert_eq!(fixture.ring.take_used(), Some((0, 1)));
    assert_eq!(fixture.ring.read(0x7000), [9, 9, 0, 9]);
    assert_eq!(
        fixture.disk.inner.lock().unwrap().bytes[3 * 512 - 1..][..514],
        [&[2][..], &[0xaa; 512], &[4]].concat()
    );
}

#[test]
fn what_is_not_on_the_disk_fails() {
    let mut fixture = Fixture::new();
    for kind in [0, 1] {
        let flags = if kind == 0 { WRITE } else { 0 };
        for (sector, len) in
            [(128, 512), (127, 1024), (u64::MAX, 512), (u64::MAX / 512 + 1, 512), (0, 513), (0, 1)]
        {
            assert_eq!(fixture.ask(kind, sector, &[(0x8000, len, flags)]), (1, 1), "{kind} {sector} {len}");
        }
        assert_eq!(fixture.ask(kind, 127, &[(0x8000, 512, flags)]).0, 0);
        assert_eq!(fixture.ask(kind, 128, &[]), (0, 1), "nothing at the end");
    }
    assert_eq!(fixture.disk.log().len(), 2);
}

#[test]
fn other_requests_are_answered() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.ask(4, 0, &[]), (0, 1));
    assert_eq!(fixture.disk.log(), ["flush at 0"]);
    assert_eq!(fixture.ask(8, 0, &[(0x8000, 20, WRITE)]), (0, 21));
    assert_eq!(&fixture.ring.read::<20>(0x8000), b"a serial number\0\0\0\0\0");
    assert_eq!(fixture.ask(8, 0, &[(0x9000, 4, WRITE), (0x9100, 900, WRITE)]), (0, 21));
    assert_eq!((&fixture.ring.read::<5>(0x9000), &fixture.ring.read(0x9100)), (b"a se\0", b"rial "));
    assert_eq!(fixture.ask(8, 0, &[]), (1, 1));
    for kind in [2, 3, 5, 14, 15, 24, 0x8000_0000, u32::MAX] {
        assert_eq!(fixture.ask(kind, 0, &[(0x8000, 512, WRITE)]), (2, 1), "{kind}");
    }
    assert!(fixture.disk.log().is_empty());
}

#[test]
fn ranges_are_discarded_and_made_zero() {
    let mut fixture = Fixture::new();
    let mut ask = |kind, sector: u64, sectors: u32, flags: u32, len: u32| {
        fixture.ring.write(0x8000, &sector.to_le_bytes());
        fixture.ring.write(0x8008, &[sectors.to_le_bytes(), flags.to_le_bytes()].concat());
        fixture.ask(kind, 0, &[(0x8000, 10, 0), (0x800a, len - 10, 0)]).0
    };
    assert_eq!(ask(11, 8, 16, 0, 16), 0);
    assert_eq!(ask(13, 127, 1, 0, 16), 0);
    assert_eq!(ask(13, 0, 128, 1, 16), 0);
    assert_eq!(ask(11, 128, 0, 0, 16), 0);
    // Unmapping is not for discards, and other flags are for nothing.
    assert_eq!([ask(11, 8, 16, 1, 16), ask(11, 8, 16, 2, 16), ask(13, 8, 16, 0x8000_0000, 16)], [2; 3]);
    // Outside, too long, and of another number of segments.
    assert_eq!([ask(11, 127, 2, 0, 16), ask(13, u64::MAX, 2, 0, 16), ask(13, 0, u32::MAX, 0, 16)], [1; 3]);
    assert_eq!([ask(11, 8, 16, 0, 15), ask(11, 8, 16, 0, 32)], [1; 2]);
    let expected = ["discard 8192 at 4096", "zero 512 false at 65024", "zero 65536 true at 0"];
    assert_eq!(fixture.disk.log(), expected);
}

#[test]
fn a_read_only_disk_stays_as_it_is() {
    let mut fixture =
        Fixture::with(&DiskInfo { read_only: true, discard: false, ..info() }, Limits::default(), 1 << 5);
    assert_eq!(fixture.driver.features() & (1 << 5 | 1 << 9 | 1 << 13 | 1 << 14), 1 << 5);
    assert_eq!(fixture.ask(1, 0, &[(0x8000, 512, 0)]), (1, 1));
    assert_eq!([fixture.ask(11, 0, &[(0x8000, 16, 0)]), fixture.ask(13, 0, &[(0x8000, 16, 0)])], [(2, 1); 2]);
    assert_eq!(fixture.ask(0, 0, &[(0x8000, 512, WRITE)]).0, 0);
    assert_eq!(fixture.disk.log(), ["read at 0"]);
}

#[test]
fn what_the_host_can_not_do_is_an_error_of_the_disk() {
    let mut fixture = Fixture::new();
    fixture.disk.inner.lock().unwrap().is_broken = true;
    assert_eq!(fixture.ask(1, 0, &[(0x8000, 512, 0)]), (1, 1));
    assert_eq!(fixture.ask(0, 0, &[(0x8000, 512, WRITE)]), (1, 1));
    assert_eq!(fixture.ask(4, 0, &[]), (1, 1));
    fixture.disk.inner.lock().unwrap().is_broken = false;
    assert_eq!(fixture.ask(1, 0, &[(0x8000, 512, 0)]), (0, 1));
}

#[test]
fn writes_are_flushed_for_a_driver_that_does_not() {
    for (write_back, features) in [(false, 0), (true, 0)] {
        let mut fixture = Fixture::with(&DiskInfo { write_back, ..info() }, Limits::default(), features);
        assert_eq!(fixture.driver.features() & FLUSH != 0, write_back);
        assert_eq!(fixture.ask(1, 2, &[(0x8000, 512, 0)]), (0, 1));
        assert_eq!(fixture.disk.log(), ["write at 1024", "flush at 0"]);
        assert_eq!(fixture.ask(0, 2, &[(0x8000, 512, WRITE)]), (0, 513));
        fixture.disk.inner.lock().unwrap().is_broken = true;
        assert_eq!(fixture.ask(1, 2, &[(0x8000, 512, 0)]), (1, 1));
        assert_eq!(fixture.disk.log(), ["read at 1024", "write at 1024"]);
    }
}

#[test]
fn a_chain_without_header_or_status_breaks_the_device() {
    for chain in [
        &[(0x6000, 15, NEXT, 1), (0x7000, 1, WRITE, 0)][..],
        &[(0x6000, 16, 0, 0)],
        &[(0x6000, 512, WRITE, 0)],
        &[(0x6000, 16, NEXT, 1), (0x7000, 0, WRITE, 0)],
    ] {
        let mut fixture = Fixture::new();
        fixture.ring.describe(0, chain);
        fixture.ring.offer(0);
        fixture.ring();
        assert_eq!((fixture.ring.take_used(), fixture.driver.status()), (None, 0x4f), "{chain:x?}");
    }
}

#[test]
fn stopping_waits_for_what_is_in_flight() {
    let mut fixture = Fixture::new();
    fixture.disk.inner.lock().unwrap().is_lazy = true;
    for first in [0, 4, 8] {
        fixture.offer(first, 1, u64::from(first), &[(0x8000, 512, 0)]);
    }
    fixture.ring();
    assert_eq!(fixture.ring.take_used(), None);
    let _ = fixture.driver.told();
    fixture.driver.core().stop();
    assert_eq!(fixture.driver.core().queue(0).progress, (3, 3));
    assert_eq!([8, 4, 0].map(|head| fixture.ring.take_used() == Some((head, 1))), [true; 3]);
    assert!(fixture.driver.told().0, "the driver is told of what ended meanwhile");
    assert_eq!(fixture.disk.inner.lock().unwrap().rests, 1);
    fixture.driver.core().start();
    fixture.reactor.run();
    fixture.disk.inner.lock().unwrap().is_lazy = false;
    assert_eq!(fixture.ask(0, 0, &[(0x8000, 512, WRITE)]), (0, 513));
}

#[test]
fn a_driver_that_offers_without_end_finds_one() {
    let mut fixture = Fixture::new();
    fixture.disk.inner.lock().unwrap().is_lazy = true;
    fixture.offer(0, 0, 0, &[(0x8000, 512, WRITE)]);
    for _ in 0..4 {
        for _ in 0..60 {
            fixture.ring.offer(0);
        }
        fixture.ring();
    }
    assert_eq!(fixture.disk.inner.lock().unwrap().taken.len(), MAX_IN_FLIGHT);
    fixture.disk.inner.lock().unwrap().is_lazy = false;
    fixture.disk.event.write(1).unwrap();
    fixture.disk.wait();
    fixture.reactor.run();
    assert_eq!(std::iter::from_fn(|| fixture.ring.take_used()).count(), MAX_IN_FLIGHT);
    assert_eq!(fixture.driver.status(), 0x4f, "more is offered than the ring is long");
}

#[test]
fn what_could_not_be_in_flight_follows() {
    let info = DiskInfo { queues: 3, ..info() };
    let mut fixture = Fixture::with(&info, Limits::default(), FLUSH | 1 << 12);
    fixture.driver.core().stop();
    let mut rings = vec![Ring::new(&fixture.ring.ram, 0x1000, 64)];
    for queue in 1..3 {
        let ring = Ring::new(&fixture.ring.ram, 0x1000 + 0x1000 * u64::from(queue), 64);
        fixture.driver.enable(queue, 64, ring.parts);
        rings.push(ring);
    }
    fixture.driver.core().start();
    fixture.disk.inner.lock().unwrap().is_lazy = true;
    fixture.ring.write(0x6000, &[4, 0, 0, 0]);
    for (queue, ring) in (0..).zip(&mut rings) {
        // The same flush, 60 times.
        ring.describe(0, &[(0x6000, 16, NEXT, 1), (0x7000, 1, WRITE, 0)]);
        for _ in 0..60 {
            ring.offer(0);
        }
        fixture.driver.ring(queue);
        fixture.reactor.run();
    }
    assert_eq!(fixture.disk.inner.lock().unwrap().taken.len(), MAX_IN_FLIGHT);
    fixture.disk.inner.lock().unwrap().is_lazy = false;
    fixture.disk.wait();
    fixture.disk.event.write(1).unwrap();
    fixture.reactor.run();
    for ring in &mut rings {
        assert_eq!(std::iter::from_fn(|| ring.take_used()).count(), 60);
    }
}

#[test]
fn a_limit_holds_requests_back() {
    let limits = Limits { ops: NonZeroU64::new(20), bytes: None };
    let mut fixture = Fixture::with(&info(), limits, FLUSH);
    for first in [0, 4, 8, 12, 16] {
        fixture.offer(first, 0, 0, &[(0x8000, 512, WRITE)]);
    }
    fixture.driver.ring(0);
    fixture.reactor.run();
    let at_once = std::iter::from_fn(|| fixture.ring.take_used()).count();
    assert!((2..=4).contains(&at_once), "a burst came through: {at_once}");
    let (began, mut count) = (std::time::Instant::now(), at_once);
    while count < 5 {
        fixture.reactor.run();
        count += std::iter::from_fn(|| fixture.ring.take_used()).count();
        assert!(began.elapsed().as_secs() < 20);
    }
    assert!(began.elapsed().as_millis() >= 20);
}

#[test]
fn the_configuration_is_golden() {
    let mut config = [0xa5; 64];
    let mut driver =
        Fixture::with(&DiskInfo { queues: 3, ..info() }, Limits::default(), FLUSH | 1 << 12).driver;
    driver.read_config(0, &mut config[..8]);
    driver.device.core().read_config(0, &mut config);
    #[rustfmt::skip]
    let expected = [
        128, 0, 0, 0, 0, 0, 0, 0, // capacity
        0, 0, 0, 0, 254, 0, 0, 0, // size_max, seg_max
        0, 0, 0, 0, 0, 2, 0, 0, // geometry, blk_size
        3, 0, 8, 0, 0, 0, 0, 0, // physical_block_exp, alignment_offset, min_io_size, opt_io_size
        1, 0, 3, 0, 0, 0, 0x20, 0, // writeback, num_queues, max_discard_sectors
        1, 0, 0, 0, 8, 0, 0, 0, // max_discard_seg, discard_sector_alignment
        0, 0, 0x20, 0, 1, 0, 0, 0, // max_write_zeroes_sectors, max_write_zeroes_seg
        1, 0, 0, 0, 0, 0, 0, 0, // write_zeroes_may_unmap
    ];
    assert_eq!(config, expected);
    assert_eq!((driver.max_size(2), driver.max_size(3), driver.device_id()), (256, 0, 2));
    let mut behind = [0xa5; 4];
    driver.device.core().read_config(u64::MAX, &mut behind);
    assert_eq!(behind, [0; 4]);
    assert_eq!(driver.features() & 0xff_ffff, 0x7644);
}
