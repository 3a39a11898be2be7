//! The socket device, with a driver and clients that go all its ways (VIRTIO 1.2, 5.10).

mod guest;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use super::*;
use crate::Saved;
use crate::saved::testing::Random;
use guest::*;

/// A socket device that takes a packet and has no answer.
pub const SUBJECT: Subject = Subject {
    name: "vsock",
    id: 19,
    make: |reactor| {
        let (device, backend, ..) = parts();
        (Box::new(device), reactor.worker(backend))
    },
    features: FEATURES | 1,
    queue: 1,
    request: |ring, first| {
        ring.write(0x8000, &packet(RST, 52, 80, b"").bytes());
        ring.describe(first, &[(0x8000, 20, NEXT, first + 1), (0x8014, 24, 0, 0)]);
    },
    written: 0,
};

fn everywhere(test: impl Fn(MakeDriver)) {
    for (name, make) in TRANSPORTS {
        println!("over {name}");
        test(make);
    }
}

#[test]
fn the_guest_finds_its_address() {
    everywhere(|make| {
        let mut guest = Guest::new(make, &ram());
        assert_eq!(guest.driver.device_id(), 19);
        for (offset, half) in [(0, [42, 0, 0, 0]), (4, [0; 4])] {
            let mut config = [0xa5; 4];
            guest.driver.read_config(offset, &mut config);
            assert_eq!(config, half);
        }
    });
}

#[test]
fn a_client_connects_and_both_talk_until_the_end() {
    everywhere(|make| {
        let mut guest = Guest::running(make);
        let (mut client, port) = guest.called();
        assert_eq!(port, FIRST_PORT);
        client.write_all(b"from the host").unwrap();
        let data = guest.expect(RW);
        assert_eq!((data.data.as_slice(), data.from.1, data.to.1), (&b"from the host"[..], port, 52));
        guest.send(&packet(RW, 52, port, b"from the guest"));
        assert_eq!(hear(&mut client, 14), b"from the guest");
        // One after another, the two ends have no more to say.
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(guest.expect(SHUTDOWN).flags, 2);
        guest.send(&packet(RW, 52, port, b"last"));
        guest.send(&Packet { flags: 3, ..packet(SHUTDOWN, 52, port, b"") });
        guest.expect(RST);
        assert_eq!(hear(&mut client, 4), b"last");
        assert!(is_over(&mut client));
        assert_eq!(guest.receive(), None);
        assert_eq!(guest.called().1, FIRST_PORT + 1);
    });
}

#[test]
fn the_guest_connects_and_both_talk_until_the_end() {
    everywhere(|make| {
        let mut guest = Guest::running(make);
        let mut service = guest.connect(1000);
        guest.send(&packet(RW, 1000, 80, b"ask"));
        assert_eq!(hear(&mut service, 3), b"ask");
        service.write_all(b"answer").unwrap();
        drop(service);
        assert_eq!(guest.expect(RW).data, b"answer");
        // The other end has gone altogether.
        assert_eq!(guest.expect(SHUTDOWN).flags, 3);
        guest.send(&packet(RST, 1000, 80, b""));
        assert_eq!(guest.receive(), None);
        // Two at a time.
        let (mut one, mut two) = (guest.connect(1000), guest.connect(1001));
        guest.send(&packet(RW, 1001, 80, b"2"));
        guest.send(&packet(RW, 1000, 80, b"1"));
        assert_eq!((hear(&mut one, 1), hear(&mut two, 1)), (b"1".to_vec(), b"2".to_vec()));
    });
}

#[test]
fn nobody_there_is_a_refusal() {
    everywhere(|make| {
        let mut guest = Guest::running(make);
        guest.send(&packet(REQUEST, 1000, 81, b""));
        let refusal = guest.expect(RST);
        assert_eq!((refusal.from.1, refusal.to.1), (81, 1000));
        let (mut client, port) = guest.call();
        guest.send(&packet(RST, 52, port, b""));
        assert!(is_over(&mut client));
        assert_eq!(guest.receive(), None);
        // A client that gives up before the guest has answered.
        let (client, _) = guest.call();
        drop(client);
        guest.expect(RST);
    });
}

#[test]
fn clients_that_ask_for_nothing_are_sent_away() {
    everywhere(|make| {
        let mut guest = Guest::running(make);
        let asks = [
            "\n",
            "CONNECT\n",
            "CONNECT x\n",
            "CONNECT 1 2\n",
            "LISTEN 1\n",
            "CONNECT 4294967295\n",
            "CONNECT 4294967296\n",
        ];
        for ask in asks.into_iter().chain(["CONNECT 00000000000000000000000000000001\n"]) {
            let mut client = UnixStream::connect_addr(&guest.address).unwrap();
            client.write_all(ask.as_bytes()).unwrap();
            assert_eq!(guest.receive(), None, "{ask}");
            client.set_nonblocking(true).unwrap();
            assert!(!client.read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
        }
        // A slow one, in small letters.
        let mut client = UnixStream::connect_addr(&guest.address).unwrap();
        for byte in b"connect 52" {
            client.write_all(&[*byte]).unwrap();
            assert_eq!(guest.receive(), None);
        }
        client.write_all(b"\nahead").unwrap();
        let port = guest.expect(REQUEST).from.1;
        assert_eq!(guest.receive(), None, "no data before the guest has accepted");
        guest.send(&packet(RESPONSE, 52, port, b""));
        assert_eq!(guest.expect(RW).data, b"ahead");
    });
}

#[test]
fn the_guest_gets_no_more_than_it_has_room_for() {
    everywhere(|make| {
        let mut guest = Guest::running(make);
        let (mut client, port) = guest.call();
        guest.send(&Packet { room: 10, ..packet(RESPONSE, 52, port, b"") });
        client.write_all(b"0123456789abcdef").unwrap();
        assert_eq!(guest.expect(RW).data, b"0123456789");
        guest.expect(CREDIT_REQUEST);
        assert_eq!(guest.receive(), None, "it is asked once");
        guest.send(&Packet { room: 10, ..packet(CREDIT_UPDATE, 52, port, b"") });
        assert_eq!(guest.receive(), None);
        guest.send(&Packet { room: 10, forwarded: 4, ..packet(CREDIT_UPDATE, 52, port, b"") });
        assert_eq!(guest.expect(RW).data, b"abcd");
        guest.expect(CREDIT_REQUEST);
        // Numbers that make no sense: more has been read than was sent.
        guest.send(&Packet { room: 10, forwarded: 15, ..packet(CREDIT_UPDATE, 52, port, b"") });
        guest.expect(CREDIT_REQUEST);
        guest.send(&Packet { room: 10, forwarded: 14, ..packet(CREDIT_UPDATE, 52, port, b"") });
        assert_eq!(guest.expect(RW).data, b"ef");
        // A buffer of the guest's is not more than it is, either.
        guest.send(&Packet { forwarded: 16, ..packet(CREDIT_UPDATE, 52, port, b"") });
        client.write_all(&[7; 3000]).unwrap();
        for len in [1024, 1024, 952] {
            assert_eq!(guest.expect(RW).data, vec![7; len]);
        }
    });
}

#[test]
fn what_a_slow_service_does_not_take_is_kept_up_to_a_bound() {
    everywhere(|make| {
        let mut guest = Guest::running(make);
        let mut service = guest.connect(1000);
        let (mut sent, mut told): (u32, u32) = (0, 0);
        // As long as there is credit.
        while sent - told < BUFFER {
            guest.send(&packet(RW, 1000, 80, &[1; 2048]));
            sent += 2048;
            while let Some(update) = guest.receive() {
                assert_eq!((update.op, update.room), (CREDIT_UPDATE, BUFFER));
                told = update.forwarded;
            }
        }
        guest.send(&packet(CREDIT_REQUEST, 1000, 80, b""));
        let kept = sent - guest.expect(CREDIT_UPDATE).forwarded;
        assert!(kept > 0 && kept <= BUFFER, "{kept}");
        // The service wakes up.
        let mut taken = 0;
        while taken < sent {
            let part = 16 << 10;
            assert_eq!(hear(&mut service, part as usize), vec![1; part as usize]);
            taken += part;
            guest.reactor.run();
        }
        let mut last = None;
        while let Some(update) = guest.receive() {
            assert_eq!(update.op, CREDIT_UPDATE);
            last = Some(update.forwarded);
        }
        assert!(last.is_some_and(|last| sent - last < BUFFER / 2), "{last:?} of {sent}");
    });
}

#[test]
fn a_guest_that_sends_without_credit_is_cut_off() {
    everywhere(|make| {
        let mut guest = Guest::running(make);
        let _service = guest.connect(1000);
        let reset = (0..1000).find_map(|_| {
            guest.send(&packet(RW, 1000, 80, &[1; 4096]));
            std::iter::from_fn(|| guest.receive()).find(|packet| packet.op != CREDIT_UPDATE)
        });
        assert_eq!(reset.map(|packet| packet.op), Some(RST));
    });
}

#[test]
fn what_was_sent_before_the_end_arrives() {
    everywhere(|make| {
        let mut guest = Guest::running(make);
        for gives_up in [false, true] {
            let mut service = guest.connect(1000);
            let mut sent = 0;
            // Until the device has to keep some.
            loop {
                guest.send(&packet(RW, 1000, 80, &[1; 2048]));
                sent += 2048;
                while guest.receive().is_some() {}
                guest.send(&packet(CREDIT_REQUEST, 1000, 80, b""));
                if guest.expect(CREDIT_UPDATE).forwarded < sent {
                    break;
                }
            }
            guest.send(&Packet { flags: 3, ..packet(SHUTDOWN, 1000, 80, b"") });
            assert_eq!(guest.receive(), None);
            if gives_up {
                guest.send(&packet(RST, 1000, 80, b""));
            }
            let mut taken = 0;
            while taken < sent {
                hear(&mut service, 2048);
                taken += 2048;
                guest.reactor.run();
            }
            assert!(is_over(&mut service));
            assert_eq!(guest.receive().map(|packet| packet.op), if gives_up { None } else { Some(RST) });
        }
    });
}

#[test]
fn packets_that_can_not_be_are_refused_or_dropped() {
    everywhere(|make| {
        let mut guest = Guest::running(make);
        let stray = packet(RW, 7, 8, b"data");
        let cases = [
            ("data for no connection", stray.clone(), true),
            ("an answer for no connection", packet(RESPONSE, 7, 8, b""), true),
            ("a shutdown of no connection", packet(SHUTDOWN, 7, 8, b""), true),
            ("the end of no connection", packet(RST, 7, 8, b""), false),
            ("another type", Packet { kind: 2, ..packet(REQUEST, 7, 80, b"") }, true),
            ("no operation", packet(0, 7, 8, b""), true),
            ("an unknown operation", packet(8, 7, 8, b""), true),
            ("from another guest", Packet { from: (43, 7), ..stray.clone() }, false),
            ("to another guest", Packet { to: (3, 8), ..stray.clone() }, false),
            ("to another guest in the high half", Packet { to: (1 << 32 | 2, 8), ..stray.clone() }, false),
            ("from nobody", packet(REQUEST, u32::MAX, 80, b""), true),
            ("more data than there is", Packet { len: Some(5), ..stray }, true),
        ];
        for (what, packet, is_refused) in cases {
            guest.send(&packet);
            let refusal = guest.receive();
            assert_eq!(refusal.as_ref().map(|packet| packet.op), is_refused.then_some(RST), "{what}");
            assert!(refusal.is_none_or(|refusal| (refusal.from, refusal.to) == (packet.to, packet.from)));
        }
        for len in [0, 1, 43] {
            guest.send_bytes(&vec![0; len]);
        }
        // What ends a connection that there is.
        let packets = [
            packet(REQUEST, 1000, 80, b""),
            packet(RESPONSE, 1000, 80, b""),
            packet(9, 1000, 80, b""),
            Packet { len: Some(u32::MAX), ..packet(RW, 1000, 80, b"x") },
            Packet { flags: 3, ..packet(SHUTDOWN, 1000, 80, b"") },
        ];
        for packet in packets {
            let mut service = guest.connect(1000);
            guest.send(&packet);
            guest.expect(RST);
            assert!(is_over(&mut service), "{packet:?}");
        }
        assert_eq!((guest.receive(), guest.driver.status()), (None, 0xf));
    });
}

#[test]
fn there_is_an_end_to_connections_and_refusals() {
    let (_, make) = TRANSPORTS[0];
    let mut guest = Guest::running(make);
    let mut services = Vec::new();
    for port in 0..400 {
        services.push(guest.serve());
        guest.send(&packet(REQUEST, port, 80, b""));
        guest.expect(RESPONSE);
        // Both ends of so many are more than a test may have open.
        services.truncate(8);
        while let Some(packet) = guest.receive() {
            assert_eq!(packet.op, SHUTDOWN);
        }
    }
    for port in 400..512 {
        drop(guest.serve());
        guest.send(&packet(REQUEST, port, 80, b""));
        guest.expect(RESPONSE);
        while let Some(packet) = guest.receive() {
            assert_eq!(packet.op, SHUTDOWN);
        }
    }
    let _service = guest.serve();
    guest.send(&packet(REQUEST, 512, 80, b""));
    guest.expect(RST);
    let mut client = UnixStream::connect_addr(&guest.address).unwrap();
    guest.reactor.run();
    assert!(is_over(&mut client));
    // One that has gone makes room.
    guest.send(&packet(RST, 0, 80, b""));
    guest.send(&packet(REQUEST, 512, 80, b""));
    guest.expect(RESPONSE);
    // A guest that never takes its refusals is owed a bounded number of them.
    let mut guest = Guest::new(make, &ram());
    guest.negotiate();
    for port in 0..1100 {
        guest.send(&packet(RW, port, 8, b""));
    }
    let refused = std::iter::from_fn(|| {
        guest.offer();
        guest.receive()
    });
    assert_eq!(refused.count(), 1024);
}

#[test]
fn what_waits_for_buffers_comes_with_them() {
    everywhere(|make| {
        let mut guest = Guest::new(make, &ram());
        guest.negotiate();
        guest.send(&packet(RW, 7, 8, b""));
        let mut client = UnixStream::connect_addr(&guest.address).unwrap();
        client.write_all(b"CONNECT 52\n").unwrap();
        assert_eq!(guest.receive(), None);
        // Too small for anything, and then in pieces.
        guest.receive.describe(0, &[(buffer(0), 44, WRITE, 0)]);
        guest.receive.offer(0);
        guest.driver.ring(0);
        guest.reactor.run();
        assert_eq!(guest.receive.take_used(), Some((0, 0)));
        guest.offered = 1;
        for _ in 0..2 {
            let at = guest.offered;
            guest.receive.describe(at, &[(buffer(at), 20, WRITE | NEXT, 7)]);
            guest.receive.describe(7, &[(buffer(at) + 20, 100, WRITE, 0)]);
            guest.receive.offer(at);
            guest.driver.ring(0);
            guest.offered += 1;
            let op = if at == 1 { RST } else { REQUEST };
            guest.expect(op);
        }
    });
}

#[test]
fn a_pause_keeps_connections_and_a_reset_ends_them() {
    everywhere(|make| {
        let mut guest = Guest::running(make);
        let (mut client, port) = guest.called();
        guest.driver.core().stop();
        client.write_all(b"meanwhile").unwrap();
        guest.reactor.run();
        guest.driver.core().start();
        assert_eq!(guest.expect(RW).data, b"meanwhile");
        guest.send(&packet(RW, 52, port, b"yes"));
        assert_eq!(hear(&mut client, 3), b"yes");
        guest.driver.set_status(0);
        assert!(is_over(&mut client));
        let ram = guest.receive.ram.clone();
        guest.receive = Ring::new(&ram, 0x5000, RECEIVE_SIZE);
        guest.transmit = Ring::new(&ram, 0x6000, 8);
        guest.events = Ring::new(&ram, 0x7000, 2);
        guest.negotiate();
        (0..RECEIVE_SIZE).for_each(|_| guest.offer());
        assert_eq!(guest.receive(), None);
        guest.called();
    });
}

#[test]
fn a_restored_guest_is_told_that_its_connections_are_gone() {
    everywhere(|make| {
        let mut guest = Guest::running(make);
        guest.events.describe(0, &[(0x8000, 4, WRITE, 0)]);
        guest.events.write(0x8000, &[0xa5; 5]);
        guest.events.offer(0);
        guest.driver.ring(2);
        guest.reactor.run();
        assert_eq!(guest.events.take_used(), None);
        let (_client, port) = guest.called();
        let saved: Saved = guest.driver.saved().save().unwrap();
        let ram = guest.receive.ram.clone();
        let mut other = Guest::new(make, &ram);
        other.driver.saved().restore(&saved).unwrap();
        assert_eq!(other.driver.saved().save().unwrap(), saved);
        (other.receive, other.transmit, other.events, other.offered) =
            (guest.receive, guest.transmit, guest.events, guest.offered);
        other.driver.core().start();
        other.reactor.run();
        assert_eq!(other.events.take_used(), Some((0, 4)));
        assert_eq!(other.events.read(0x8000), [0, 0, 0, 0, 0xa5]);
        other.send(&packet(RW, 52, port, b"is there anybody?"));
        other.expect(RST);
        other.called();
        // Once.
        other.events.offer(0);
        other.driver.ring(2);
        other.reactor.run();
        assert_eq!(other.events.take_used(), None);
    });
}

#[test]
fn packets_of_chance_do_no_harm() {
    let (_, make) = TRANSPORTS[0];
    let mut guest = Guest::running(make);
    let mut random = Random::new();
    for _ in 0..3000 {
        let mut service = guest.serve();
        service.write_all(b"something to read").unwrap();
        guest.services.lock().unwrap().truncate(4);
        let op = u16::try_from(random.below(9)).unwrap();
        let (port, data) = (u32::try_from(random.below(3)).unwrap(), vec![1; random.below(2000)]);
        let flags = u32::try_from(random.below(5)).unwrap();
        let mut bytes = Packet { flags, ..packet(op, port, 80, &data) }.bytes();
        if random.below(2) == 0 {
            random.mutate(&mut bytes);
        }
        guest.send_bytes(&bytes);
        while guest.receive().is_some() {}
    }
    assert_eq!(guest.driver.status(), 0xf);
    guest.called();
}
