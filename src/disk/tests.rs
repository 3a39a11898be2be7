//! Every engine over every kind of image does the same.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use imago::format::builder::FormatCreateBuilder;
use imago::qcow2::{Qcow2, Qcow2CreateBuilder};
use imago::{FormatAccess, StorageOpenOptions, file};
use tempfile::TempDir;
use triarch_devices::GuestRam;
use triarch_devices::virtio::{Buffer, Completion, MAX_IN_FLIGHT, Operation, Request};
use vm_memory::{Bytes, GuestAddress};

use super::*;

const SIZE: u64 = 1 << 20;
const RAM: usize = 4 << 20;

fn options(path: &Path) -> Options {
    Options {
        path: path.to_owned(),
        format: None,
        read_only: false,
        sync: Sync::Writeback,
        serial: "serial".to_owned(),
        discard: true,
        queues: 1,
        io: None,
    }
}

/// A raw image: each sector is filled with its number.
fn raw(folder: &TempDir, name: &str) -> PathBuf {
    let path = folder.path().join(name);
    let bytes: Vec<u8> =
        (0..SIZE / 512).flat_map(|sector| [u8::try_from(sector % 251).unwrap(); 512]).collect();
    fs::write(&path, bytes).unwrap();
    path
}

/// An empty qcow2 image, over another.
fn qcow2(folder: &TempDir, name: &str, backing: Option<(&str, &str)>) -> PathBuf {
    let path = folder.path().join(name);
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    let storage =
        file::File::from_open_file(file, StorageOpenOptions::new().filename(&path).write(true)).unwrap();
    let builder: Qcow2CreateBuilder<file::File, FormatAccess<_>> = Qcow2::create_builder(storage).size(SIZE);
    let builder = match backing {
        Some((name, format)) => builder.backing(name.to_owned(), format.to_owned()),
        None => builder,
    };
    builder.create().unwrap();
    path
}

fn refusal(options: &Options) -> String {
    match open(options) {
        Err(error) => format!("{error:#}"),
        Ok(_) => panic!("{options:?} was not refused"),
    }
}

/// A disk and a guest's RAM.
struct Fixture {
    disk: Box<dyn Disk>,
    ram: GuestRam,
    _image: Image,
}

impl Fixture {
    fn new(options: &Options) -> Self {
        let image = open(options).unwrap();
        let mut disk = image.disk().unwrap();
        let ram = GuestRam::from_ranges(&[(GuestAddress(0), RAM)]).unwrap();
        disk.start(&ram).unwrap();
        Fixture { disk, ram, _image: image }
    }

    /// Has requests done, all at once. Their results, by tag.
    fn all(&mut self, requests: Vec<(u64, Operation)>) -> Vec<io::Result<()>> {
        let count = requests.len();
        for (tag, (offset, operation)) in requests.into_iter().enumerate() {
            self.disk.submit(Request { tag, offset, operation });
        }
        self.disk.kick();
        let mut done: Vec<Completion> = Vec::new();
        while done.len() < count {
            self.disk.wait();
            self.disk.complete(&mut done);
        }
        done.sort_by_key(|completion| completion.tag);
        assert!(done.iter().map(|completion| completion.tag).eq(0..count));
        done.into_iter().map(|completion| completion.result).collect()
    }

    fn one(&mut self, offset: u64, operation: Operation) -> io::Result<()> {
        self.all(vec![(offset, operation)]).remove(0)
    }

    /// What the disk reads as.
    fn read(&mut self, offset: u64, len: u32) -> Vec<u8> {
        self.one(offset, Operation::Read(buffers(&[(0x10_0000, len)]))).unwrap();
        let mut bytes = vec![0; len as usize];
        self.ram.read_slice(&mut bytes, GuestAddress(0x10_0000)).unwrap();
        bytes
    }

    fn write(&mut self, offset: u64, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.ram.write_slice(bytes, GuestAddress(at)).unwrap();
        self.one(offset, Operation::Write(buffers(&[(at, u32::try_from(bytes.len()).unwrap())])))
    }
}

fn buffers(list: &[(u64, u32)]) -> Vec<Buffer> {
    list.iter().map(|&(address, len)| Buffer { address: GuestAddress(address), len }).collect()
}

/// Over every engine and format, with the same contents.
fn on_every_disk(test: impl Fn(&Options, Fixture)) {
    let folder = tempfile::tempdir().unwrap();
    let all = [
        (Some(Io::Uring), Sync::Writeback, raw(&folder, "uring")),
        (Some(Io::Uring), Sync::Direct, raw(&folder, "uring-direct")),
        (Some(Io::Threads), Sync::Writeback, raw(&folder, "threads")),
        (Some(Io::Threads), Sync::Direct, raw(&folder, "threads-direct")),
        (None, Sync::Writeback, {
            raw(&folder, "base.raw");
            qcow2(&folder, "one.qcow2", Some(("base.raw", "raw")))
        }),
        (None, Sync::Direct, {
            qcow2(&folder, "base.qcow2", Some(("base.raw", "raw")));
            qcow2(&folder, "two.qcow2", Some(("./base.qcow2", "qcow2")))
        }),
    ];
    for (io, sync, path) in all {
        if io == Some(Io::Uring) && !uring::is_there() {
            println!("SKIPPED: no io_uring");
            continue;
        }
        println!("{io:?} {sync:?} {path:?}");
        let options = Options { io, sync, ..options(&path) };
        test(&options, Fixture::new(&options));
    }
}

#[test]
fn bytes_are_read_and_written_from_any_memory() {
    on_every_disk(|options, mut fixture| {
        assert_eq!(fixture.read(4096, 4096), (8..16).flat_map(|sector| [sector; 512]).collect::<Vec<u8>>());
        // Odd memory: what direct I/O can't take.
        let odd = buffers(&[(0x1001, 1), (0x3007, 4094), (0x5000, 1)]);
        fixture.one(4096, Operation::Read(odd)).unwrap();
        let mut bytes = [0; 4094];
        fixture.ram.read_slice(&mut bytes, GuestAddress(0x3007)).unwrap();
        assert_eq!((bytes[0], bytes[510], bytes[511], bytes[4093]), (8, 8, 9, 15));
        let data: Vec<u8> = (0..=250).cycle().take(600 << 10).collect();
        fixture.write(8192, 0x10_0003, &data).unwrap();
        assert_eq!(fixture.read(8192, 600 << 10), data);
        assert_eq!(fixture.read(4096, 4096)[4095], 15);
        assert_eq!(fixture.read(8192 + (600 << 10), 4096)[0], u8::try_from((16 + 1200) % 251).unwrap());
        fixture.one(0, Operation::Flush).unwrap();
        drop(fixture);
        // It is there when the image is opened again.
        assert_eq!(Fixture::new(options).read(8192, 600 << 10), data);
    });
}

#[test]
fn many_requests_are_in_flight() {
    on_every_disk(|_, mut fixture| {
        let page = |tag: u64| (tag * 4096, buffers(&[(tag * 4096, 4096)]));
        let tags = 0..u64::try_from(MAX_IN_FLIGHT).unwrap();
        for tag in tags.clone() {
            fixture.ram.write_slice(&[u8::try_from(tag).unwrap(); 4096], GuestAddress(tag * 4096)).unwrap();
        }
        let writes = tags.clone().map(page).map(|(at, buffers)| (at, Operation::Write(buffers)));
        assert!(fixture.all(writes.collect()).iter().all(Result::is_ok));
        fixture.ram.write_slice(&vec![0xee; 4096 * MAX_IN_FLIGHT], GuestAddress(0)).unwrap();
        let reads = tags.clone().map(page).map(|(at, buffers)| (at, Operation::Read(buffers)));
        assert!(fixture.all(reads.collect()).iter().all(Result::is_ok));
        for tag in tags {
            let mut bytes = [0; 4096];
            fixture.ram.read_slice(&mut bytes, GuestAddress(tag * 4096)).unwrap();
            assert_eq!(bytes, [u8::try_from(tag).unwrap(); 4096]);
        }
    });
}

#[test]
fn ranges_become_zero() {
    on_every_disk(|options, mut fixture| {
        let before = fixture.read(0, 1 << 20);
        for (offset, len, unmap) in
            [(4096, 4096, false), (64 << 10, 128 << 10, true), (512 << 10, 12 << 10, true)]
        {
            fixture.one(offset, Operation::WriteZeroes { len, unmap }).unwrap();
            let (offset, len) = (usize::try_from(offset).unwrap(), usize::try_from(len).unwrap());
            let after = fixture.read(0, 1 << 20);
            assert_eq!(after[offset..offset + len], vec![0; len]);
            assert_eq!(after[offset + len..offset + len + 4096], before[offset + len..offset + len + 4096]);
            assert_eq!(after[offset - 512..offset], before[offset - 512..offset]);
        }
        fixture.one(256 << 10, Operation::Discard(128 << 10)).unwrap();
        assert_eq!(fixture.read((256 << 10) - 512, 512), before[(256 << 10) - 512..256 << 10]);
        let after = fixture.read(0, 1 << 20);
        drop(fixture);
        assert!(Fixture::new(options).read(0, 1 << 20) == after);
    });
}

#[test]
fn a_failing_image_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for io in [Io::Uring, Io::Threads] {
        if io == Io::Uring && !uring::is_there() {
            continue;
        }
        let path = raw(&folder, "shrinks");
        let mut fixture = Fixture::new(&Options { io: Some(io), ..options(&path) });
        File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
        let result = fixture.one(8192, Operation::Read(buffers(&[(0, 512)])));
        // imago reads zeros behind the end.
        assert!(io == Io::Threads || result.is_err());
        let beyond = fixture.one(u64::MAX / 512 * 512, Operation::Write(buffers(&[(0, 512)])));
        assert!(beyond.is_err());
    }
}

#[test]
fn an_image_that_is_written_is_used_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = raw(&folder, "disk");
    let (writer, reader) = (options(&path), Options { read_only: true, ..options(&path) });
    let first = open(&writer).unwrap();
    let told = "disk\": is in use by another guest or program, and only one may write to it";
    assert!(refusal(&writer).ends_with(told), "{}", refusal(&writer));
    assert!(refusal(&reader).ends_with("is in use by another guest or program, which writes to it"));
    // What is in flight keeps nothing but the image.
    let disk = first.disk().unwrap();
    drop(first);
    drop(disk);
    let (_one, _other) = (open(&reader).unwrap(), open(&reader).unwrap());
    assert!(refusal(&writer).ends_with(told));
}

#[test]
fn a_backing_file_is_shared_by_readers_only() {
    let folder = tempfile::tempdir().unwrap();
    let base = raw(&folder, "base");
    let images = ["a", "b"].map(|name| qcow2(&folder, &format!("{name}.qcow2"), Some(("base", "raw"))));
    let opened = images.each_ref().map(|image| open(&options(image)).unwrap());
    assert!(refusal(&options(&base)).contains("only one may write"));
    drop(opened);
    let _writer = open(&options(&base)).unwrap();
    assert!(refusal(&options(&images[0])).contains("which writes to it"));
}

#[test]
fn the_longest_chain_of_images_is_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    raw(&folder, "0");
    let mut image = PathBuf::new();
    for depth in 1..16 {
        let format = if depth == 1 { "raw" } else { "qcow2" };
        image = qcow2(&folder, &depth.to_string(), Some((&(depth - 1).to_string(), format)));
    }
    let options = Options { format: Some(Format::Qcow2), ..options(&image) };
    let mut fixture = Fixture::new(&options);
    assert_eq!(fixture.read(4096, 512), [8; 512]);
    fixture.write(4608, 0x1000, &[0xaa; 512]).unwrap();
    assert_eq!(fixture.read(4096, 1536), [[8; 512], [0xaa; 512], [10; 512]].concat());
    drop(fixture);
    qcow2(&folder, "16", Some(("15", "qcow2")));
    let one_more = Options { path: folder.path().join("16"), ..options };
    assert!(refusal(&one_more).contains("is behind 16 images already"));
}

#[test]
fn formats_are_not_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("odd.img");
    fs::copy(qcow2(&folder, "image.qcow2", None), &odd).unwrap();
    assert!(refusal(&options(&odd)).contains("looks like a qcow2 image"));
    let raw_one = open(&Options { format: Some(Format::Raw), ..options(&odd) }).unwrap();
    assert_eq!(raw_one.info().sectors * 512, fs::metadata(&odd).unwrap().len());
    drop(raw_one);
    let meant = open(&Options { format: Some(Format::Qcow2), ..options(&odd) }).unwrap();
    assert_eq!(meant.info().sectors * 512, SIZE);
    let named = raw(&folder, "raw.qcow2");
    assert!(refusal(&options(&named)).contains("is no qcow2 image"));
}

#[test]
fn qcow2_images_name_files_of_their_own_folder_only() {
    let folder = tempfile::tempdir().unwrap();
    raw(&folder, "base");
    let secret = raw(&folder, "secret").to_str().unwrap().to_owned();
    fs::create_dir(folder.path().join("below")).unwrap();
    for (number, (name, format, told)) in [
        (secret.as_str(), "raw", "is not in the image's folder or below it"),
        ("../base", "raw", "is not in the image's folder or below it"),
        ("below/../../base", "raw", "is not in the image's folder or below it"),
        ("nbd://localhost:1/base", "raw", "can't be opened"),
        ("json:{\"driver\":\"nbd\"}", "raw", "can't be opened"),
        ("below", "raw", "is neither a file nor a block device"),
        ("base", "vmdk", "has the format \"vmdk\""),
        ("base", "file", "has the format \"file\""),
        ("base", "qcow2", "is no qcow2 image"),
        ("loop.qcow2", "qcow2", "is behind 16 images already"),
    ]
    .into_iter()
    .enumerate()
    {
        let image = qcow2(&folder, &format!("{number}.qcow2"), Some((name, format)));
        if name == "loop.qcow2" {
            qcow2(&folder, "loop.qcow2", Some(("loop.qcow2", "qcow2")));
        }
        let found = refusal(&options(&image));
        assert!(found.contains(told), "{name}: {found}");
    }
    let image = qcow2(&folder, "encrypted.qcow2", None);
    std::os::unix::fs::FileExt::write_all_at(
        &File::options().write(true).open(&image).unwrap(),
        &[0, 0, 0, 1],
        32,
    )
    .unwrap();
    assert!(refusal(&options(&image)).contains("is encrypted"));
    let image = qcow2(&folder, "damaged.qcow2", None);
    let mut bytes = fs::read(&image).unwrap();
    let table = usize::try_from(u64::from_be_bytes(bytes[48..56].try_into().unwrap())).unwrap();
    bytes[table..table + 8].fill(0);
    fs::write(&image, bytes).unwrap();
    assert!(refusal(&options(&image)).contains("has no refcounts of its header"));
}

#[test]
fn a_qcow2_image_that_is_damaged_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = qcow2(&folder, "image.qcow2", None);
    let mut fixture = Fixture::new(&options(&path));
    fixture.write(0, 0x1000, &[0xaa; 4096]).unwrap();
    fixture.one(0, Operation::Flush).unwrap();
    drop(fixture);
    let whole = fs::read(&path).unwrap();
    // Header, tables of refcounts and of clusters: what is not zero, and what is near.
    let spots: Vec<_> =
        (0..whole.len()).filter(|at| *at < 112 || whole[*at] != 0 && whole[*at] != 0xaa).collect();
    let mut random = 0x1234_5678_9abc_def1_u64;
    let mut next = |end: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 33).unwrap() % end
    };
    let ram = GuestRam::from_ranges(&[(GuestAddress(0), RAM)]).unwrap();
    let (mut opened, rounds) = (0, 400);
    for _ in 0..rounds {
        let mut bytes = whole.clone();
        for _ in 0..=next(2) {
            let at = spots[next(spots.len())];
            bytes[at] = [0, 1, 0x7f, 0x80, 0xff, u8::try_from(next(256)).unwrap()][next(6)];
            println!("{at:#x}: {:#x}", bytes[at]);
        }
        fs::write(&path, &bytes).unwrap();
        let Ok(Image { info, engine: Engine::Threads(image) }) = open(&options(&path)) else { continue };
        opened += 1;
        let part = || buffers(&[(0x1000, 8192)]);
        let last = (info.sectors * 512).saturating_sub(8192) / 512 * 512;
        for (offset, operation) in [
            (0, Operation::Read(part())),
            (last, Operation::Read(part())),
            (4096, Operation::Write(part())),
            (last, Operation::Write(part())),
            (0, Operation::Discard(65536)),
            (0, Operation::WriteZeroes { len: 8192, unmap: true }),
            (0, Operation::Flush),
        ] {
            // Done or not: it ends.
            let _result = image.carry_out(&ram, &Request { tag: 0, offset, operation });
        }
    }
    assert!(opened > 0 && opened < rounds, "{opened} were opened");
}

#[test]
fn what_is_no_image_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("empty"), b"").unwrap();
    fs::write(path("short"), [1; 511]).unwrap();
    fs::write(path("odd"), [1; 1000]).unwrap();
    for (name, told) in [
        ("absent", "absent\": can't be opened: No such file"),
        ("empty", "empty\": has 0 bytes, less than a block of 512"),
        ("short", "short\": has 511 bytes"),
        (".", "is neither a file nor a block device"),
    ] {
        let found = refusal(&options(&path(name)));
        assert!(found.contains(told), "{found}");
    }
    assert_eq!(open(&options(&path("odd"))).unwrap().info().sectors, 1);
    let odd = options(&path("odd"));
    for wrong in [
        Options { serial: "x".repeat(21), ..odd.clone() },
        Options { serial: "\u{e9}".to_owned(), ..odd.clone() },
        Options { queues: 0, ..odd.clone() },
        Options { queues: 65, ..odd.clone() },
    ] {
        assert!(refusal(&wrong).contains("="));
    }
    let image = qcow2(&folder, "image.qcow2", None);
    assert!(
        refusal(&Options { io: Some(Io::Uring), ..options(&image) }).contains("io=uring is for raw images")
    );
}

#[test]
fn a_disk_is_as_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = raw(&folder, "disk");
    let info = open(&options(&path)).unwrap().info().clone();
    assert_eq!((info.sectors, info.block_size, &info.serial[..7]), (SIZE / 512, 512, &b"serial\0"[..]));
    assert!(info.physical_block_size >= 512 && info.write_back && info.discard && !info.read_only);
    let other = Options { read_only: true, sync: Sync::Writethrough, queues: 4, ..options(&path) };
    let info = open(&other).unwrap().info().clone();
    assert!(!info.write_back && !info.discard && info.read_only && info.queues == 4);
}
