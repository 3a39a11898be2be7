use std::path::Path;
use std::time::{Duration, Instant};

use triarch_devices::GuestRam;
use triarch_devices::virtio::{Backend, DeviceType, status};
use vm_memory::{Bytes, GuestAddress};

use super::testing::*;
use super::*;
use crate::reactor::Reactor;

fn front() -> Front {
    Front { device_type: DeviceType::FileSystem, features: 5, queue_sizes: vec![8, 8], config: vec![1, 2, 3] }
}

/// A device with its driver, over a peer of these habits.
fn device(reactor: &Reactor, habits: Habits) -> (Driver, FakePeer) {
    device_with(reactor, habits, |backend| backend)
}

fn device_with(
    reactor: &Reactor,
    habits: Habits,
    make: impl FnOnce(PeerBackend) -> PeerBackend,
) -> (Driver, FakePeer) {
    let ram = ram();
    let (peer, socket) = FakePeer::start(&ram, habits);
    let backend = make(PeerBackend::new("fake", greet(socket, NEEDS).unwrap()));
    peer.heard();
    (Driver::new(&ram, front(), reactor.worker(Box::new(backend))), peer)
}

fn refusing(backend: PeerBackend) -> PeerBackend {
    backend.with_refusals(Box::new(|ram: &GuestRam, chain: &_| fuse::refuse(ram, chain, false)))
}

#[test]
fn a_peer_is_told_all_that_it_needs() {
    let reactor = Reactor::spawn("io0").unwrap();
    let (mut driver, peer) = device(&reactor, Habits::default());
    driver.begin();
    let heard = peer.heard();
    let codes: Vec<u32> = heard.iter().map(|(code, ..)| *code).collect();
    let order = [
        SET_FEATURES,
        SET_MEM_TABLE,
        SET_VRING_NUM,
        SET_VRING_ADDR,
        SET_VRING_BASE,
        SET_VRING_CALL,
        SET_VRING_KICK,
        SET_VRING_ENABLE,
    ];
    assert_eq!(codes, order);
    // Those of the driver, of the virtio version, and of the protocol.
    assert_eq!(words(&heard[0].1), [1 << 32 | 1 << 30 | 5]);
    // One region: where, how big, where in messages, where in its file.
    let table = words(&heard[1].1);
    assert_eq!((&table[1..], heard[1].2), (&[0, 1 << 20, 0, 0][..], 1));
    // Table, used ring, available ring.
    assert_eq!(&words(&heard[3].1)[1..4], [0x1000, 0x3000, 0x2000]);
    assert_eq!((heard[5].2, heard[6].2), (1, 1));
    driver.core.reset();
    assert_eq!(peer.heard_codes(), [GET_VRING_BASE]);
}

#[test]
fn a_peer_serves_the_queue_and_tells_where_it_stopped() {
    let reactor = Reactor::spawn("io0").unwrap();
    let (mut driver, _peer) = device(&reactor, Habits::default());
    driver.begin();
    for (count, head) in [(1, 0), (2, 2), (3, 0)] {
        driver.offer(head);
        driver.wait_used(count);
        assert_eq!(driver.used(u64::from(count) - 1), u64::from(head) | 7 << 32);
        driver.wait_told(count.into());
        driver.core.stop();
        assert_eq!(driver.core.queue(0).progress, (count, count));
        driver.core.start();
    }
    // What becomes available while it is stopped is served when it goes on.
    driver.core.stop();
    driver.offer(2);
    driver.core.start();
    driver.wait_used(4);
    driver.core.reset();
    assert_eq!(driver.core.status(), 0);
}

#[test]
fn requests_are_refused_when_the_peer_has_died() {
    let reactor = Reactor::spawn("io0").unwrap();
    for is_big_endian in [false, true] {
        let habits = Habits { at_doorbell: Some(Misdeed::HangUp), ..Habits::default() };
        let (mut driver, peer) = device_with(&reactor, habits, |backend| {
            backend.with_refusals(Box::new(move |ram: &GuestRam, chain: &_| {
                fuse::refuse(ram, chain, is_big_endian)
            }))
        });
        let mut request = [0; 40];
        request[8..16].copy_from_slice(b"theirnum");
        driver.ram.write_slice(&request, GuestAddress(0x4000)).unwrap();
        driver.begin();
        // One that the peer had, and one that comes later.
        for (count, head) in [(1, 0), (2, 2)] {
            driver.offer(head);
            driver.wait_used(count);
            assert_eq!(driver.used(u64::from(count) - 1), u64::from(head) | 16 << 32);
            let mut answer = [0; 16];
            driver.ram.read_slice(&mut answer, GuestAddress(0x5000 + 0x100 * u64::from(head))).unwrap();
            let expected = match is_big_endian {
                false => *b"\x10\0\0\0\x95\xff\xff\xfftheirnum",
                true => *b"\0\0\0\x10\xff\xff\xff\x95theirnum",
            };
            assert_eq!(answer, expected);
            driver.wait_told(count.into());
        }
        assert_eq!(driver.core.status() & status::NEEDS_RESET, 0);
        peer.join();
        // There is no starting it again.
        driver.core.stop();
        assert_eq!(driver.core.queue(0).progress, (2, 2));
        driver.core.start();
        driver.wait_needs_reset();
    }
}

#[test]
fn a_device_without_refusals_needs_a_reset_when_its_peer_has_died() {
    let reactor = Reactor::spawn("io0").unwrap();
    let habits = Habits { at_doorbell: Some(Misdeed::HangUp), ..Habits::default() };
    let (mut driver, _) = device(&reactor, habits);
    driver.begin();
    driver.offer(0);
    driver.wait_needs_reset();
    driver.core.reset();
    driver.begin();
    driver.wait_needs_reset();
}

#[test]
fn a_peer_that_speaks_unasked_is_left() {
    let reactor = Reactor::spawn("io0").unwrap();
    let habits = Habits { at_doorbell: Some(Misdeed::Say(vec![0; 3])), ..Habits::default() };
    let (mut driver, peer) = device_with(&reactor, habits, refusing);
    driver.begin();
    driver.offer(0);
    driver.wait_needs_reset();
    driver.core.reset();
    peer.join();
}

/// Whatever goes wrong in the order to start or stop, the driver hears of it, and soon.
#[test]
fn a_peer_that_fails_an_order_is_left() {
    let reactor = Reactor::spawn("io0").unwrap();
    let too_far = pair(0, 0x1_0005);
    let nowhere = pair(0, 5);
    for (code, misdeed) in [
        (SET_MEM_TABLE, Misdeed::HangUp),
        (SET_MEM_TABLE, Misdeed::Mute),
        (SET_VRING_ADDR, Misdeed::Say(message(SET_VRING_ADDR, &[1; 8]))),
        (SET_VRING_ENABLE, Misdeed::Say(vec![0xff; 4096])),
        (SET_VRING_KICK, Misdeed::Say(message(SET_VRING_CALL, &[0; 8]))),
        (GET_VRING_BASE, Misdeed::HangUp),
        (GET_VRING_BASE, Misdeed::Mute),
        (GET_VRING_BASE, Misdeed::Say(message(GET_VRING_BASE, &[0; 4]))),
        (GET_VRING_BASE, Misdeed::Say(message(GET_VRING_BASE, &too_far))),
        (GET_VRING_BASE, Misdeed::Say(message(GET_VRING_BASE, &nowhere))),
    ] {
        let what = format!("{code}: {misdeed:?}");
        let habits = Habits { misdeed: Some((code, misdeed)), ..Habits::default() };
        let (mut driver, peer) = device_with(&reactor, habits, refusing);
        let begun = Instant::now();
        driver.begin();
        assert_eq!(driver.core.status() & status::NEEDS_RESET != 0, code != GET_VRING_BASE, "{what}");
        driver.core.stop();
        driver.wait_needs_reset();
        assert!(begun.elapsed() < Duration::from_secs(5), "{what}");
        assert_eq!(driver.core.queue(0).progress, (0, 0), "{what}");
        driver.core.reset();
        peer.join();
    }
}

#[test]
fn what_is_no_peer_is_refused_at_once() {
    let habits = Habits::default;
    for (habits, told) in [
        (
            Habits { features: 1 << 32 | 1 << 29 | 1 << 28, ..habits() },
            "lacks vhost-user's protocol features",
        ),
        (
            Habits { features: 1 << 32 | 1 << 30 | 1 << 28, ..habits() },
            "lacks VIRTIO 1, indirect descriptors",
        ),
        (Habits { queues: 1, ..habits() }, "lacks queues: it has 1, and the device 2"),
        (Habits { protocol: 1, ..habits() }, "lacks a configuration space"),
        (Habits { config: vec![1; 11], ..habits() }, ""),
        (Habits { misdeed: Some((GET_FEATURES, Misdeed::HangUp)), ..habits() }, ""),
        (Habits { misdeed: Some((GET_FEATURES, Misdeed::Mute)), ..habits() }, "no answer in 300ms"),
        (Habits { misdeed: Some((GET_FEATURES, Misdeed::Say(vec![b'?'; 100]))), ..habits() }, ""),
        (Habits { misdeed: Some((GET_QUEUE_NUM, Misdeed::Say(message(17, &[0xff; 8])))), ..habits() }, ""),
    ] {
        let (peer, socket) = FakePeer::start(&ram(), habits.clone());
        let error = match greet(socket, Needs { config: 12, ..NEEDS }) {
            Ok(_) => panic!("{habits:?}"),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(told), "{error}");
        peer.join();
    }
}

#[test]
fn a_peer_shows_its_configuration_space_and_features() {
    let habits = Habits { config: (0..12).collect(), ..Habits::default() };
    let (peer, socket) = FakePeer::start(&ram(), habits);
    let greeted = greet(socket, Needs { config: 12, ..NEEDS }).unwrap();
    assert_eq!((greeted.config(), greeted.device_features()), (&(0..12).collect::<Vec<u8>>()[..], 5));
    let order =
        [GET_FEATURES, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, SET_OWNER, GET_QUEUE_NUM, GET_CONFIG];
    let heard = peer.heard();
    assert_eq!(heard.iter().map(|(code, ..)| *code).collect::<Vec<_>>(), order);
    // What is asked for is what is made use of: many queues, acknowledgements, configuration spaces.
    assert_eq!(words(&heard[2].1), [1 | 1 << 3 | 1 << 9]);
    drop(greeted);
    peer.join();
}

#[test]
fn a_configuration_space_ends_in_zeros() {
    use triarch_devices::virtio::VirtioDevice;
    let mut read = [9; 4];
    front().read_config(1, &mut read);
    assert_eq!(read, [2, 3, 0, 0]);
    front().read_config(u64::MAX, &mut read);
    assert_eq!(read, [0; 4]);
}

#[test]
fn a_peer_goes_home_and_is_taken_again_while_it_lives() {
    let (home, ram) = (Home::default(), ram());
    let (peer, socket) = FakePeer::start(&ram, Habits::default());
    let backend = PeerBackend::new("fake", greet(socket, NEEDS).unwrap()).with_home(home.clone());
    drop(backend);
    let none = || Err(io::Error::other("another one"));
    let greeted = home.take_or(none).unwrap();
    assert!(home.take_or(none).is_err(), "it is not there twice");
    home.put(greeted);
    peer.heard();
    let (dead, socket) =
        FakePeer::start(&ram, Habits { misdeed: Some((SET_FEATURES, Misdeed::HangUp)), ..Habits::default() });
    let mut backend = PeerBackend::new("fake", greet(socket, NEEDS).unwrap()).with_home(home.clone());
    assert!(backend.start(0, Vec::new()).is_ok(), "nothing to say without queues");
    drop(home.take_or(none).unwrap());
    peer.join();
    drop(backend);
    let mut peer = home.take_or(none).unwrap();
    assert!(peer.start(0, &ram, &[]).is_err());
    dead.join();
    home.put(peer);
    assert!(home.take_or(none).is_err(), "it is dead");
}

#[test]
fn a_device_in_use_is_not_saved_if_its_peer_knows_more() {
    use triarch_devices::Save;
    let ram = ram();
    for (is_stateful, was_used) in [(false, true), (true, false), (true, true)] {
        let (_peer, socket) = FakePeer::start(&ram, Habits::default());
        let backend = PeerBackend::new("fake", greet(socket, NEEDS).unwrap());
        let mut backend = if is_stateful { backend.with_state() } else { backend };
        if was_used {
            backend.start(0, Vec::new()).unwrap();
            backend.stop();
        }
        let saved = backend.save();
        assert_eq!(saved.is_ok(), !(is_stateful && was_used));
        if let Ok(saved) = saved {
            backend.restore(&saved).unwrap();
        }
    }
}

#[test]
fn a_process_ends_with_its_connection_or_is_ended() {
    // Under user-mode emulation a program that is not there seems to start.
    if std::env::var_os("TRIARCH_HOST_TOOLS").is_some_and(|value| value == "off") {
        eprintln!("SKIPPED: TRIARCH_HOST_TOOLS=off");
        return;
    }
    let programs = [Path::new("/no/such/program"), Path::new("/bin/sh")];
    for script in ["sleep 100", "exit 0"] {
        let (_connection, daemon) = Daemon::start(&programs, &["-c".as_ref(), script.as_ref()]).unwrap();
        let begun = Instant::now();
        drop(daemon);
        assert!(begun.elapsed() < Duration::from_secs(20), "{script}");
    }
    let error = Daemon::start(&programs[..1], &[]).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn where_nobody_listens_is_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    assert!(connect(&path).is_err());
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    connect(&path).unwrap();
    drop(listener);
    assert!(connect(&path).is_err());
}
