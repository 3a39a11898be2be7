//! What a network device does with frames. That it is a virtio device as any other is tested with all of them.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use super::testing::{CONFIG, Cable, NONE};
use super::*;
use crate::virtio::testing::{Driver, Inline, MmioDriver, NEXT, Ring, WRITE, ram};

const VERSION_1: u64 = 1 << 32;
const EVENT_IDX: u64 = 1 << 29;
const MRG_RXBUF: u64 = 1 << 15;
const CTRL_VQ: u64 = 1 << 17;
const MQ: u64 = 1 << 22;

/// A device whose driver is ready, with a ring for each queue.
struct Fixture {
    driver: MmioDriver,
    reactor: Inline,
    cables: Vec<Cable>,
    rings: Vec<Ring>,
}

impl Fixture {
    fn running(config: &NetConfig, features: u64) -> Self {
        let (reactor, ram) = (Inline::new(), ram());
        let cables: Vec<_> = (0..config.pairs).map(|_| Cable::new()).collect();
        let worker = reactor.worker(NetBackend::new(cables.clone(), config).unwrap());
        let device = Net::new(config);
        let count = u64::try_from(device.queue_sizes().len()).unwrap();
        let rings = (0..count).map(|queue| Ring::new(&ram, 0x1000 * (queue + 1), 8)).collect();
        let driver = MmioDriver::new(Box::new(device), worker, ram);
        let mut fixture = Fixture { driver, reactor, cables, rings };
        fixture.negotiate(features);
        fixture
    }

    fn negotiate(&mut self, features: u64) {
        self.driver.set_status(3);
        self.driver.set_features(features);
        self.driver.set_status(0xb);
        for (queue, ring) in (0..).zip(&self.rings) {
            self.driver.enable(queue, ring.size, ring.parts);
        }
        self.driver.set_status(0xf);
        assert_eq!(self.driver.status(), 0xf);
        self.reactor.run();
        self.driver.told();
    }

    fn ring(&mut self, queue: u16) {
        self.driver.ring(queue);
        self.reactor.run();
    }

    /// A buffer of this many bytes for a frame, in descriptor `head`, at 0x1000 times `head` behind 0x10000.
    fn offer(&mut self, queue: usize, head: u16, len: u32) {
        let address = 0x1_0000 + 0x1000 * u64::from(head);
        self.rings[queue].describe(head, &[(address, len, WRITE, 0)]);
        self.rings[queue].offer(head);
    }

    fn deliver(&self, frame: &[u8]) {
        self.cables[0].deliver(frame);
        self.reactor.run();
    }

    /// Sends a command and tells the answer.
    fn command(&mut self, queue: u16, command: &[u8]) -> u8 {
        let ring = &mut self.rings[usize::from(queue)];
        ring.write(0x2_0000, command);
        ring.write(0x3_0000, &[0xff]);
        let len = u32::try_from(command.len()).unwrap();
        ring.describe(0, &[(0x2_0000, 1, NEXT, 1), (0x2_0001, len - 1, NEXT, 2), (0x3_0000, 1, WRITE, 0)]);
        ring.offer(0);
        self.ring(queue);
        let ring = &mut self.rings[usize::from(queue)];
        assert_eq!(ring.take_used(), Some((0, 1)));
        ring.read::<1>(0x3_0000)[0]
    }

    fn active(&self) -> [Option<bool>; 2] {
        [0, 1].map(|index: usize| self.cables[index].ends().active)
    }
}

/// A frame of this many bytes with its header, in which all that a link fills in is a pattern.
fn frame(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// The same with the number of chains that it takes.
fn counted(len: usize, chains: u8) -> Vec<u8> {
    let mut frame = frame(len);
    frame[10..12].copy_from_slice(&[chains, 0]);
    frame
}

#[test]
fn the_configuration_is_what_the_driver_is_told() {
    let offloads = Offloads { uso: true, ..Offloads::COMMON };
    let read = |config: &NetConfig| {
        let mut fixture = Fixture::running(config, VERSION_1);
        let mut bytes = [0xa5; 13];
        fixture.driver.read_config(0, &mut bytes);
        (fixture.driver.features() & !(0xff << 24 | 0xff << 32 | 0xff << 40), bytes)
    };
    let (features, bytes) = read(&CONFIG);
    assert_eq!((features, bytes), (testing::FEATURES, [2, 0, 0, 0, 0, 1, 1, 0, 2, 0, 0xdc, 5, 0]));
    let one = NetConfig { pairs: 1, mtu: 9000, offloads, ..CONFIG };
    let (features, bytes) = read(&one);
    let offloading = 0b11 | 0b11_1000 << 8 | 0b11 << 7 | 1 << 9 | 0b111 << 54;
    assert_eq!(features, testing::FEATURES & !(CTRL_VQ | MQ) | offloading);
    assert_eq!(bytes[6..], [1, 0, 1, 0, 0x28, 0x23, 0]);
    assert_eq!(Net::new(&NetConfig { pairs: u16::MAX, ..CONFIG }).queue_sizes().len(), 33);
}

#[test]
fn a_link_leaves_to_the_driver_what_that_takes() {
    let config = NetConfig { offloads: Offloads { uso: true, ..Offloads::COMMON }, ..CONFIG };
    let taken = |features| Fixture::running(&config, VERSION_1 | features).cables[0].ends().offloads;
    assert_eq!(taken(0), Some(NONE));
    assert_eq!(
        taken(1 << 1 | 1 << 7 | 1 << 9),
        Some(Offloads { uso: false, tso6: false, ..config.offloads })
    );
    assert_eq!(taken(1 << 1 | 0b11 << 54), Some(Offloads { checksum: true, uso: true, ..NONE }));
    assert_eq!(taken(1 << 7 | 1 << 8), Some(NONE), "cut by nobody without checksums");
}

#[test]
fn frames_go_out_with_their_header() {
    let mut fixture = Fixture::running(&CONFIG, VERSION_1);
    let sent = frame(100);
    fixture.rings[1].write(0x8000, &sent[..50]);
    fixture.rings[1].write(0x9000, &sent[50..]);
    let writable = (0xa000, 9, WRITE, 0);
    fixture.rings[1].describe(2, &[(0x8000, 50, NEXT, 3), (0x9000, 50, NEXT, 4), writable]);
    fixture.rings[1].offer(2);
    fixture.ring(1);
    assert_eq!(fixture.rings[1].take_used(), Some((2, 0)));
    assert_eq!(fixture.cables[0].ends().outgoing, [sent]);
    assert_eq!(fixture.driver.told(), (true, false));
}

#[test]
fn frames_that_can_not_be_are_dropped() {
    let mut fixture = Fixture::running(&CONFIG, VERSION_1);
    let longest = u32::try_from(HEADER + MAX_FRAME).unwrap();
    for (head, (len, goes)) in
        (0..).zip([(0, false), (12, false), (13, true), (longest, true), (longest + 1, false)])
    {
        fixture.rings[1].describe(head, &[(0x8000, len, 0, 0)]);
        fixture.rings[1].offer(head);
        fixture.ring(1);
        assert_eq!(fixture.rings[1].take_used(), Some((head.into(), 0)));
        assert_eq!(fixture.cables[0].ends().outgoing.drain(..).count(), usize::from(goes), "{len}");
    }
    fixture.cables[0].ends().fails = true;
    fixture.rings[1].describe(5, &[(0x8000, 99, 0, 0)]);
    fixture.rings[1].offer(5);
    fixture.ring(1);
    assert_eq!(fixture.rings[1].take_used(), Some((5, 0)));
}

#[test]
fn what_a_link_has_no_room_for_goes_when_it_has() {
    for features in [VERSION_1, VERSION_1 | EVENT_IDX] {
        let mut fixture = Fixture::running(&CONFIG, features);
        fixture.cables[0].ends().is_full = true;
        for head in 0..3 {
            fixture.rings[1].describe(head, &[(0x8000, 20 + u32::from(head), 0, 0)]);
            fixture.rings[1].offer(head);
        }
        fixture.ring(1);
        assert_eq!(fixture.rings[1].take_used(), None);
        // A stop in between changes nothing.
        fixture.driver.core().stop();
        assert_eq!(fixture.driver.core().queue(1).progress, (0, 0));
        fixture.driver.core().start();
        fixture.reactor.run();
        assert_eq!(fixture.rings[1].take_used(), None);
        fixture.cables[0].ends().is_full = false;
        fixture.cables[0].edge();
        fixture.reactor.run();
        assert_eq!(
            [(); 4].map(|()| fixture.rings[1].take_used()),
            [Some((0, 0)), Some((1, 0)), Some((2, 0)), None]
        );
        let ends = fixture.cables[0].ends();
        assert_eq!(ends.outgoing.iter().map(Vec::len).collect::<Vec<_>>(), [20, 21, 22]);
        assert!(ends.flushed > 0, "first goes what was left over");
    }
}

#[test]
fn frames_come_in_one_chain_each() {
    let mut fixture = Fixture::running(&CONFIG, VERSION_1);
    fixture.deliver(&frame(100));
    assert_eq!(fixture.cables[0].ends().incoming.len(), 1, "it waits for a buffer");
    fixture.rings[0].describe(0, &[(0x8000, 11, WRITE | NEXT, 1), (0x9000, 100, WRITE, 0)]);
    fixture.rings[0].offer(0);
    fixture.ring(0);
    assert_eq!(fixture.rings[0].take_used(), Some((0, 100)));
    let expected = counted(100, 1);
    assert_eq!(fixture.rings[0].read::<11>(0x8000), expected[..11]);
    assert_eq!(fixture.rings[0].read::<89>(0x9000), expected[11..]);
    assert_eq!(fixture.driver.told(), (true, false));

    // Too long for its chain, dropped; the chain is the next one's.
    fixture.offer(0, 2, 60);
    fixture.deliver(&frame(61));
    assert_eq!(fixture.rings[0].take_used(), None);
    fixture.deliver(&frame(60));
    assert_eq!(fixture.rings[0].take_used(), Some((2, 60)));
    assert_eq!(fixture.rings[0].read::<60>(0x1_2000), counted(60, 1)[..]);
    fixture.offer(0, 3, 11);
    fixture.deliver(&frame(61));
    assert_eq!(fixture.rings[0].take_used(), None);
}

#[test]
fn frames_come_in_several_chains_at_once() {
    for features in [VERSION_1 | MRG_RXBUF, VERSION_1 | MRG_RXBUF | EVENT_IDX] {
        let mut fixture = Fixture::running(&CONFIG, features);
        for head in 0..3 {
            fixture.offer(0, head, 500);
        }
        fixture.deliver(&frame(100));
        assert_eq!(fixture.rings[0].take_used(), None, "a frame could need more");
        fixture.offer(0, 3, 500);
        fixture.ring(0);
        assert_eq!([(); 2].map(|()| fixture.rings[0].take_used()), [Some((0, 100)), None]);
        assert_eq!(fixture.rings[0].read::<100>(0x1_0000), counted(100, 1)[..]);
        fixture.driver.told();

        fixture.offer(0, 4, 500);
        // Wanted is an interrupt for the second of the three chains.
        fixture.rings[0].write(fixture.rings[0].parts[1] + 4 + 2 * 8, &2_u16.to_le_bytes());
        fixture.ring(0);
        fixture.deliver(&frame(1200));
        assert_eq!(
            [(); 4].map(|()| fixture.rings[0].take_used()),
            [Some((1, 500)), Some((2, 500)), Some((3, 200)), None]
        );
        let expected = counted(1200, 3);
        assert_eq!(fixture.rings[0].read::<500>(0x1_1000), expected[..500]);
        assert_eq!(fixture.rings[0].read::<500>(0x1_2000), expected[500..1000]);
        assert_eq!(fixture.rings[0].read::<200>(0x1_3000), expected[1000..]);
        assert_eq!(fixture.driver.told(), (true, false));
    }
}

#[test]
fn a_full_ring_of_small_buffers_takes_what_fits() {
    let mut fixture = Fixture::running(&CONFIG, VERSION_1 | MRG_RXBUF);
    for head in 0..8 {
        fixture.offer(0, head, if head == 3 { 0 } else { 5 });
    }
    fixture.ring(0);
    fixture.deliver(&frame(36));
    assert_eq!(fixture.rings[0].take_used(), None, "it is dropped");
    fixture.deliver(&frame(22));
    let used = [(); 7].map(|()| fixture.rings[0].take_used());
    let whole = |head| Some((head, 5));
    assert_eq!(used, [whole(0), whole(1), whole(2), Some((3, 0)), whole(4), Some((5, 2)), None]);
    assert_eq!(fixture.rings[0].read::<5>(0x1_2000), [6, 0, 12, 13, 14], "six chains");
}

#[test]
fn buffers_that_wait_for_frames_are_the_drivers_at_a_stop() {
    let mut fixture = Fixture::running(&CONFIG, VERSION_1 | MRG_RXBUF);
    for head in 0..6 {
        fixture.offer(0, head, 500);
    }
    fixture.ring(0);
    fixture.deliver(&frame(600));
    fixture.driver.core().stop();
    assert_eq!(fixture.driver.core().queue(0).progress, (2, 2));
    fixture.driver.core().start();
    fixture.deliver(&frame(20));
    let used = [(); 4].map(|()| fixture.rings[0].take_used());
    assert_eq!(used, [Some((0, 500)), Some((1, 100)), Some((2, 20)), None]);
}

#[test]
fn a_link_that_fails_keeps_the_buffers() {
    let mut fixture = Fixture::running(&CONFIG, VERSION_1);
    fixture.offer(0, 0, 100);
    fixture.cables[0].ends().fails = true;
    fixture.deliver(&frame(50));
    assert_eq!(fixture.rings[0].take_used(), None);
    fixture.cables[0].ends().fails = false;
    fixture.cables[0].edge();
    fixture.reactor.run();
    assert_eq!(fixture.rings[0].take_used(), Some((0, 50)));
}

#[test]
fn a_flood_lets_other_queues_have_their_turn() {
    let mut fixture = Fixture::running(&CONFIG, VERSION_1);
    for head in 0..8 {
        fixture.offer(0, head, 100);
    }
    fixture.ring(0);
    for _ in 0..20 {
        fixture.cables[0].ends().incoming.push_back(frame(20));
    }
    fixture.cables[0].edge();
    fixture.reactor.run();
    assert_eq!((0..20).filter(|_| fixture.rings[0].take_used().is_some()).count(), 8);
    assert_eq!(fixture.cables[0].ends().incoming.len(), 12);
}

#[test]
fn pairs_of_queues_are_switched_by_command() {
    const SET: u8 = 0;
    let mut fixture = Fixture::running(&CONFIG, VERSION_1 | CTRL_VQ | MQ);
    assert_eq!(fixture.active(), [None, Some(false)]);
    // Nothing goes by a pair that is not active, until it is.
    fixture.rings[3].describe(0, &[(0x8000, 50, 0, 0)]);
    fixture.rings[3].offer(0);
    fixture.ring(3);
    assert_eq!(fixture.rings[3].take_used(), None);
    assert_eq!(fixture.command(4, &[4, SET, 2, 0]), 0);
    assert_eq!(fixture.rings[3].take_used(), Some((0, 0)));
    assert_eq!(fixture.active(), [None, Some(true)]);
    let refused: [&[u8]; 7] = [
        &[4, 1, 1, 0],
        &[4, SET, 0, 0],
        &[4, SET, 3, 0],
        &[4, SET, 1],
        &[4, SET, 1, 0, 0],
        &[0, 0, 1],
        &[3, 0],
    ];
    for command in refused {
        assert_eq!(fixture.command(4, command), 1, "{command:?}");
    }
    assert_eq!(fixture.active(), [None, Some(true)]);
    // The second pair works.
    fixture.offer(2, 0, 100);
    fixture.ring(2);
    fixture.cables[1].deliver(&frame(30));
    fixture.reactor.run();
    assert_eq!(fixture.rings[2].take_used(), Some((0, 30)));

    fixture.cables[1].ends().active = None;
    fixture.driver.core().stop();
    fixture.driver.core().start();
    fixture.reactor.run();
    assert_eq!(fixture.active(), [None, Some(true)], "as it was");
    fixture.driver.told();
    fixture.driver.set_status(0);
    fixture.rings = (0..5).map(|queue| Ring::new(&fixture.rings[0].ram, 0x1000 * (queue + 1), 4)).collect();
    (0..5).for_each(|queue| fixture.rings[queue].set_available(0));
    fixture.negotiate(VERSION_1 | CTRL_VQ | MQ);
    assert_eq!(fixture.active(), [None, Some(false)], "as for every new driver");
}

#[test]
fn without_several_pairs_the_third_queue_is_for_control() {
    let mut fixture = Fixture::running(&CONFIG, VERSION_1 | CTRL_VQ);
    assert_eq!([1, 2].map(|pairs| fixture.command(2, &[4, 0, pairs, 0])), [0, 1]);
    // Queues that mean nothing do nothing, and come back.
    fixture.offer(3, 0, 100);
    fixture.ring(3);
    fixture.offer(4, 0, 100);
    fixture.ring(4);
    assert_eq!((fixture.rings[3].take_used(), fixture.rings[4].take_used()), (None, None));
    fixture.driver.core().stop();
    assert_eq!(fixture.driver.core().queue(2).progress, (2, 2));
}

#[test]
fn commands_without_room_for_an_answer_do_nothing() {
    let mut fixture = Fixture::running(&CONFIG, VERSION_1 | CTRL_VQ | MQ);
    fixture.rings[4].write(0x8000, &[4, 0, 2, 0]);
    fixture.rings[4].describe(0, &[(0x8000, 4, 0, 0), (0x8000, 4, NEXT, 2), (0x9000, 0, WRITE, 0)]);
    fixture.rings[4].offer(0);
    fixture.rings[4].offer(1);
    fixture.ring(4);
    assert_eq!([(); 2].map(|()| fixture.rings[4].take_used()), [Some((0, 0)), Some((1, 0))]);
    assert_eq!(fixture.active(), [None, Some(false)]);
}

#[test]
fn limits_hold_frames_back_and_let_them_go() {
    let ops = NonZeroU64::new(20);
    let mut fixture =
        Fixture::running(&NetConfig { limits: Limits { ops, bytes: None }, ..CONFIG }, VERSION_1);
    for head in 0..5 {
        fixture.offer(0, head, 100);
        fixture.rings[1].describe(head, &[(0x8000, 99, 0, 0)]);
        fixture.rings[1].offer(head);
        fixture.cables[0].ends().incoming.push_back(frame(20));
    }
    fixture.ring(0);
    fixture.ring(1);
    // A tenth of a second was saved up, and one frame may be ahead of its time.
    let count = |ring: &mut Ring| (0..5).filter(|_| ring.take_used().is_some()).count();
    let mut done = [count(&mut fixture.rings[0]), count(&mut fixture.rings[1])];
    assert!(done.iter().all(|done| (2..5).contains(done)), "{done:?}");
    let began = Instant::now();
    while done != [5, 5] {
        assert!(began.elapsed() < Duration::from_secs(60), "{done:?}");
        std::thread::sleep(Duration::from_millis(10));
        fixture.reactor.run();
        done = [0, 1].map(|queue| done[queue] + count(&mut fixture.rings[queue]));
    }
    assert!(began.elapsed() > Duration::from_millis(50));
}

#[test]
fn an_address_goes_along_when_a_device_is_saved() {
    let mut net = Net::new(&CONFIG);
    let saved = net.save().unwrap();
    let mut other = Net::new(&NetConfig { mac: [6; 6], ..CONFIG });
    other.restore(&saved).unwrap();
    let mut mac = [0; 6];
    other.read_config(0, &mut mac);
    assert_eq!(mac, CONFIG.mac);
    assert!(Net::new(&NetConfig { mtu: 1400, ..CONFIG }).restore(&saved).is_err());
    let mut multicast = saved;
    multicast.bytes[0] |= 1;
    assert!(net.restore(&multicast).is_err());
    let backend = |pairs| NetBackend::new(vec![Cable::new(); pairs], &CONFIG).unwrap();
    let mut saved = backend(2).save().unwrap();
    saved.bytes[0] = 2;
    backend(2).restore(&saved).unwrap();
    assert!(backend(1).restore(&saved).is_err());
    saved.bytes[0] = 0;
    assert!(backend(2).restore(&saved).is_err());
}
