"""Guests of a few instructions without a loop that keep no rules: each writes what no driver would to its devices.

A guest is machine code that a generator of pseudo-random numbers has made, the same for the same seed: starts of devices with rings,
descriptors and features as they come, doorbells, registers and configuration spaces at any offset and size, and on s390x channel programs,
I/O instructions and service calls with any operands. At the end it prints a line and powers the machine off: so whether it gets there
shows that the VMM still works.
"""

import random
import struct

#: Where its rings and buffers are, from the start of RAM on, and how long that is.
PLAYGROUND, PLAYGROUND_SIZE = 0x80_0000, 0x10_0000
#: RAM that a guest is to be given.
RAM_SIZE = 64 << 20
#: How often a guest starts a device anew.
ROUNDS = 150
#: What it prints at the end.
SURVIVED = "the adversary is done\n"

VERSION_1 = 1


class X86:
    """32-bit code without paging, started by PVH: it reaches what lies below 4 GiB."""
    ram = 0
    registers = 0xd000_0000
    config = 0xe000_0000
    bars = None

    def __init__(self):
        self.code = bytearray()

    def write(self, address, size, value):
        opcode = {1: b"\xc6\x05", 2: b"\x66\xc7\x05", 4: b"\xc7\x05"}[size]
        self.code += opcode + struct.pack("<I", address) + (value & (1 << 8 * size) - 1).to_bytes(size, "little")

    def read(self, address, size):
        self.code += {1: b"\xa0", 2: b"\x66\xa1", 4: b"\xa1"}[size] + struct.pack("<I", address)

    def _out(self, port, value):
        self.code += b"\x66\xba" + struct.pack("<H", port) + bytes((0xb0, value, 0xee))

    def image(self):
        for byte in SURVIVED.encode():
            self._out(0x3f8, byte)
        self._out(0x600, 0x34)
        self.code += b"\xf4\xeb\xfd"
        load, note_at, code_at = 0x10_0000, 0x100, 0x200
        note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", load + code_at)
        end = code_at + len(self.code)
        head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
            "<HHIQQQIHHHHHH", 2, 62, 1, load + code_at, 64, 0, 0, 64, 56, 2, 0, 0, 0)
        for kind, offset, size in ((1, 0, end), (4, note_at, len(note))):
            head += struct.pack("<IIQQQQQQ", kind, 5, offset, load + offset, load + offset, size, size, 4)
        return head.ljust(note_at, b"\0") + note.ljust(code_at - note_at, b"\0") + bytes(self.code)


class Arm:
    """Code without MMU, whose exceptions go on behind what caused them."""
    ram = 0x4000_0000
    registers = 0x0a00_0000
    config = 0x3f00_0000
    bars = 0x1_0000_0000

    def __init__(self):
        self.code = []

    def _load(self, register, value):
        self.code.append(0xd280_0000 | (value & 0xffff) << 5 | register)
        for part in (1, 2, 3):
            if half := value >> 16 * part & 0xffff:
                self.code.append(0xf280_0000 | part << 21 | half << 5 | register)

    def write(self, address, size, value):
        self._load(0, address)
        self._load(1, value & (1 << 8 * size) - 1)
        self.code.append({1: 0x3900_0001, 2: 0x7900_0001, 4: 0xb900_0001}[size])

    def read(self, address, size):
        self._load(0, address)
        self.code.append({1: 0x3940_0001, 2: 0x7940_0001, 4: 0xb940_0001}[size])

    def image(self):
        for byte in SURVIVED.encode():
            self.write(0x0900_0000, 1, byte)
        self.code += [0x5280_0100, 0x72b0_8000, 0xd400_0002]  # SYSTEM_OFF by hvc
        vectors = 0x800
        # Sixteen vectors of 128 bytes: elr_el1 += 4; eret
        skip = struct.pack("<IIII", 0xd538_4022, 0x9100_1042, 0xd518_4022, 0xd69f_03e0).ljust(128, b"\0") * 16
        # b to behind the vectors; a header of 64 bytes; adr x0, vectors; msr vbar_el1, x0; isb
        code_at = vectors + len(skip)
        head = struct.pack("<II6Q4sI", 0x1400_0000 | code_at // 4, 0, 0, code_at + 4 * len(self.code) + 12, 0b1010, 0, 0, 0,
                           b"ARM\x64", 0)
        distance = vectors - code_at
        adr = 0x1000_0000 | (distance & 3) << 29 | (distance >> 2 & 0x7_ffff) << 5
        code = [adr, 0xd518_c000, 0xd503_3fdf, *self.code]
        return head.ljust(vectors, b"\0") + skip + b"".join(struct.pack("<I", word) for word in code)


class S390:
    """Code whose program interruptions go on behind what caused them."""
    ram = 0

    def __init__(self):
        self.code = bytearray()

    def load(self, register, value):
        self.code += struct.pack(">BBI", 0xc0, register << 4 | 0xf, value & 0xffff_ffff)  # llilf

    def write(self, address, size, value):
        self.load(2, address)
        self.load(3, value if size == 4 else int.from_bytes((value & (1 << 8 * size) - 1).to_bytes(size, "little"), "big"))
        self.code += {1: b"\x42", 2: b"\x40", 4: b"\x50"}[size] + b"\x30\x20\x00"  # stc, sth, st

    def words(self, address, data):
        """Puts bytes, as they are."""
        data += bytes(-len(data) % 4)
        for at in range(0, len(data), 4):
            self.load(2, address + at)
            self.load(3, int.from_bytes(data[at:at + 4], "big"))
            self.code += b"\x50\x30\x20\x00"

    def instruction(self, code):
        self.code += code

    def service(self, command, address):
        self.load(4, command)
        self.load(5, address)
        self.code += b"\xb2\x20\x00\x45"  # servc %r4,%r5

    def image(self):
        # By the console of the VT220: an event of type 0x1a.
        sccb = PLAYGROUND + PLAYGROUND_SIZE
        event = struct.pack(">HBBH", 6 + len(SURVIVED), 0x1a, 0, 0) + SURVIVED.encode()
        self.words(sccb, struct.pack(">HBBBBH", 8 + len(event), 0, 0, 0, 0, 0) + event)
        self.service(0x0076_0005, sccb)
        self.code += b"\xa7\x38\x00\x00\xae\x13\x00\x05\xa7\xf4\xff\xfe"  # lhi %r3,0; sigp %r1,%r3,5; j to it
        handler = 0x200
        file = bytearray(0x1_0000)
        file[handler:handler + 4] = b"\xb2\xb2\x01\x50"  # lpswe 0x150
        for new_psw in (0x1d0, 0x1c0, 0x1e0, 0x1f0):
            file[new_psw:new_psw + 16] = struct.pack(">QQ", 0x0000_0001_8000_0000, handler)
        file += b"\xc0\xf4\x00\x00\x08\x00\0\0S390EP"
        file += bytes(0x1_1000 - len(file))
        return bytes(file + self.code)


class Chance:
    """What is done is chance, the same for the same seed."""

    def __init__(self, seed, ram):
        self.random = random.Random(seed)
        self.ram = ram

    def below(self, end):
        return self.random.randrange(end)

    def one(self, *choices):
        return self.random.choice(choices)

    def number(self, bits=32):
        """Often small, or one of those at which something ends."""
        return self.one(0, 1, self.below(8), self.below(256), 1 << self.below(bits), (1 << bits) - 1, self.below(1 << bits))

    def place(self, align=1):
        """Most often in the playground, sometimes about the end of RAM, seldom anywhere."""
        inside = self.ram + PLAYGROUND + self.below(PLAYGROUND_SIZE) // align * align
        return self.one(inside, inside, inside, inside, self.ram + RAM_SIZE - self.below(64), self.anywhere(64))

    def anywhere(self, bits=32):
        """An address that is not among the guest's own code, which it would not survive."""
        address = self.number(bits)
        return address + PLAYGROUND if self.ram <= address < self.ram + PLAYGROUND else address

    def descriptor(self, size):
        length = self.one(1, 16, 512, self.below(5000), self.number())
        return struct.pack("<QIHH", self.place(), length, self.one(0, 1, 2, 3, 3, 4, 5, self.below(1 << 16)),
                           self.one(self.below(size), self.below(size + 2), self.below(1 << 16)))

    def ring(self):
        """The parts of a queue of 8 entries, as bytes with their addresses."""
        base = self.ram + PLAYGROUND + self.below(200) * 0x1000
        table = b"".join(self.descriptor(8) for _ in range(8))
        heads = b"".join(struct.pack("<H", self.one(self.below(8), self.below(10))) for _ in range(8))
        available = struct.pack("<HH", self.one(0, 0, 1, self.below(1 << 16)), self.one(1, 4, 8, 9, self.below(1 << 16))) + heads
        request = struct.pack("<IIQ", self.below(16), 0, self.one(0, 1, self.number(64)))
        return [(base, table), (base + 0x100, available + bytes(4)), (base + 0x200, bytes(4)), (base + 0x300, request)]


def _put(guest, parts):
    for address, data in parts:
        for at in range(0, len(data), 4):
            guest.write(address + at, 4, int.from_bytes(data[at:at + 4], "little"))


def _registers(guest, chance, base):
    """Starts a device over memory-mapped registers (VIRTIO 1.2, 4.2.2), and touches others."""
    parts = chance.ring()
    _put(guest, parts)
    for status in (0, 1, 3):
        guest.write(base + 0x70, 4, status)
    for half, bits in ((0, chance.one(0, 0, chance.number())), (1, chance.one(VERSION_1, VERSION_1, chance.number()))):
        guest.write(base + 0x24, 4, half)
        guest.write(base + 0x20, 4, bits)
    guest.write(base + 0x70, 4, 0xb)
    queue = chance.below(3)
    guest.write(base + 0x30, 4, queue)
    guest.write(base + 0x38, 4, chance.one(8, 8, 8, chance.number()))
    for register, (address, _) in zip((0x80, 0x90, 0xa0), parts):
        address = chance.one(address, address, address, address, chance.place())
        guest.write(base + register, 4, address & 0xffff_ffff)
        guest.write(base + register + 4, 4, address >> 32)
    guest.write(base + 0x44, 4, 1)
    guest.write(base + 0x70, 4, chance.one(0xf, 0xf, 0xf, chance.number(8)))
    guest.write(base + 0x50, 4, chance.one(queue, queue, chance.number()))
    for _ in range(chance.below(20)):
        register, size = chance.below(0x200), chance.one(1, 2, 4)
        chance.one(guest.read, lambda at, len: guest.write(at, len, chance.number()))(base + register, size)


def _function(guest, chance, number):
    """Starts a device over PCI (VIRTIO 1.2, 4.1), by its BAR where the guest reaches it, and touches configuration space."""
    config = guest.config + (number << 15)
    guest.write(config + 4, 2, chance.one(6, 6, 0x406, chance.number(16)))
    if guest.bars:
        bar = guest.bars + (number - 1) * 0x8000
        parts = chance.ring()
        _put(guest, parts)
        for status in (0, 1, 3):
            guest.write(bar + 0x14, 1, status)
        for half, bits in ((0, chance.one(0, chance.number())), (1, chance.one(VERSION_1, chance.number()))):
            guest.write(bar + 0x08, 4, half)
            guest.write(bar + 0x0c, 4, bits)
        guest.write(bar + 0x14, 1, 0xb)
        queue = chance.below(3)
        guest.write(bar + 0x16, 2, queue)
        guest.write(bar + 0x18, 2, chance.one(8, 8, chance.number(16)))
        guest.write(bar + 0x1a, 2, chance.one(queue, chance.number(16)))
        for register, (address, _) in zip((0x20, 0x28, 0x30), parts):
            guest.write(bar + register, 4, address & 0xffff_ffff)
            guest.write(bar + register + 4, 4, chance.one(0, 0, 0, chance.number()))
        guest.write(bar + 0x1c, 2, 1)
        guest.write(bar + 0x14, 1, 0xf)
        guest.write(bar + 0x3000 + 4 * queue, 2, queue)
        for _ in range(chance.below(12)):
            offset, size = chance.one(chance.below(0x40), 0x4000 + chance.below(0x100), chance.below(0x8000)), chance.one(1, 2, 4)
            chance.one(guest.read, lambda at, len: guest.write(at, len, chance.number()))(bar + offset, size)
    for _ in range(chance.below(20)):
        offset, size = chance.one(chance.below(0x100), chance.below(0x100), chance.below(0x1000)), chance.one(1, 2, 4)
        chance.one(guest.read, lambda at, len: guest.write(at, len, chance.number()))(config + offset, size)
    # Where it was, for the next round.
    guest.write(config + 0x10, 4, (guest.bars or 0x1_0000_0000) + (number - 1) * 0x8000 & 0xffff_ffff)
    guest.write(config + 0x14, 4, 1)


def _subchannel(guest, chance, number):
    """Channel programs and I/O instructions with operands as they come (Principles of Operation, chapters 14 to 16)."""
    block, program = PLAYGROUND, PLAYGROUND + 0x1000
    ident = chance.one(*[0x0001_0000 | number] * 6, chance.number())
    guest.load(1, ident)
    guest.load(2, block)
    # STSCH, and MSCH of what was stored with the subchannel enabled.
    guest.instruction(b"\xb2\x34\x20\x00")
    guest.load(3, chance.one(0x1880, 0x1880, 0x0000, chance.number(16)))
    guest.instruction(b"\x40\x30\x20\x04\xb2\x32\x20\x00")
    ring = chance.ring()
    for address, data in ring:
        guest.words(address, data)
    (table, _), (available, _), (used, _) = ring[:3]
    data = PLAYGROUND + 0x2000
    queue = struct.pack(">QIHHQQ", chance.one(table, table, table, chance.place()), 0, chance.one(0, 0, 1, 2),
                        chance.one(8, 8, 8, chance.below(1 << 16)), available, used)
    indicators = struct.pack(">QQQB", chance.place(8), chance.place(8), chance.below(64), chance.below(8))
    # As a driver starts a device: revision, reset, status, features, queue, indicators.
    start = [(0x83, struct.pack(">HH", 2, 0)), (0x33, b""), (0x31, b"\x01"), (0x31, b"\x03"), (0x11, struct.pack("<IB", VERSION_1, 1)),
             (0x31, b"\x0b"), (0x13, queue), (0x73, indicators), (0x31, b"\x0f")]
    strange = [(0x31, bytes((chance.below(256),))), (0x11, struct.pack("<IB", chance.number(), chance.below(3))), (0x13, queue),
               (0x43, struct.pack(">Q", chance.place())), (0x53, struct.pack(">Q", chance.place())), (0x22, bytes(64)),
               (0x21, bytes(chance.below(256) for _ in range(16))), (0x12, bytes(5)), (0x72, bytes(1)), (0x32, bytes(4))]
    words, chain = b"", chance.one(start, start, start, [chance.one(*start, *strange) for _ in range(6)])
    # Sometimes one link is not as it should be.
    odd = chance.below(2 * len(chain))
    for index, (command, block_data) in enumerate(chain):
        at = data + 0x40 * index
        guest.words(at, block_data + bytes(4))
        flags, count = 0x60 if index + 1 < len(chain) else 0x20, len(block_data)
        if index == odd:
            command, flags, count, at = (chance.one(command, chance.below(256)), chance.one(flags, chance.below(256)),
                                         chance.one(count, chance.below(1 << 16)), chance.one(at, chance.anywhere()))
        words += struct.pack(">BBHI", command, flags, count, at)
    # TIC to anywhere.
    words += struct.pack(">BBHI", 0x08, 0, 0, chance.one(program, program + 8, chance.anywhere()))
    guest.words(program, words)
    orb = data + 0x800
    guest.words(orb, struct.pack(">IIII", 0x1234, chance.one(0x0080_ff00, 0x0080_ff00, chance.number()),
                                 chance.one(program, program, program, chance.number()), 0))
    for _ in range(1 + chance.below(3)):
        guest.load(1, ident)
        # What is pending goes, most often: nothing starts otherwise.
        guest.load(2, block + 0x100)
        guest.instruction(chance.one(b"\xb2\x35\x20\x00", b"\xb2\x35\x20\x00", b"\xb2\x35\x20\x00", b""))
        guest.load(2, orb)
        guest.instruction(b"\xb2\x33\x20\x00")  # ssch
        # tsch, csch, hsch, xsch, rsch, tpi, stcrw
        guest.load(2, block + 0x100)
        guest.instruction(chance.one(b"\xb2\x35\x20\x00", b"\xb2\x35\x20\x00", b"\xb2\x30\x00\x00", b"\xb2\x31\x00\x00",
                                     b"\xb2\x76\x00\x00", b"\xb2\x38\x00\x00", b"\xb2\x36\x20\x00", b"\xb2\x39\x20\x00"))
        # The doorbell: DIAGNOSE 500, function 3.
        guest.load(2, ident)
        guest.load(3, chance.one(0, 1, 2, chance.number()))
        guest.load(4, 0)
        guest.load(1, 3)
        guest.instruction(b"\x83\x24\x05\x00")
    # CHSC and SCLP with any blocks; none that stops or loads anew.
    guest.words(block + 0x4000, struct.pack(">HHIII", chance.one(16, 0x20, chance.below(1 << 16)), chance.one(2, 4, 0x10, 0x31, chance.number(16)),
                                            chance.number(), chance.number(), chance.number()))
    guest.load(1, block + 0x4000)
    guest.instruction(b"\xb2\x5f\x00\x10")
    length = chance.one(8, 16, 28, chance.below(1 << 12), chance.below(1 << 16))
    guest.words(block + 0x5000, struct.pack(">HBBBBH", length, 0, 0, 0, 0, 0) + bytes(chance.below(256) for _ in range(64)))
    guest.service(chance.one(0x0001_0001, 0x0002_0001, 0x0076_0005, 0x0077_0005, 0x0078_0005, chance.number()),
                  chance.one(block + 0x5000, block + 0x5000, chance.anywhere() & 0x7fff_fff8))


#: How many devices the guest expects, from the first on.
DEVICES = 4


def kernel(isa, transport, seed):
    """A kernel for an ISA, for devices over `mmio`, `pci` or `ccw`."""
    guest = {"x86_64": X86, "aarch64": Arm, "s390x": S390}[isa]()
    chance = Chance(f"{transport}-{seed}", guest.ram)
    for _ in range(ROUNDS):
        for device in range(DEVICES):
            match transport:
                case "mmio":
                    _registers(guest, chance, guest.registers + device * 0x1000)
                case "pci":
                    _function(guest, chance, device + 1)
                case "ccw":
                    _subchannel(guest, chance, device)
    return guest.image()
