"""Stock boots by triarch and by other VMMs, in turns on one emulated host.

The measure is the CPU time that the emulator takes from a VMM's start to its guest's init: unlike the wall clock, it says the
same on a machine that others use too. QEMU is Debian's package for the ISA; other peers are static binaries given by path.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "ci/lab.d"))

import cache
import debian
from isas import ISAS
from processes import LabError, run, say

RELEASE = "trixie"
MIB = 256
#: ISA -> package, program, and the firmware that it looks for with a kernel given
QEMU = {
    "x86_64": ("qemu-system-x86", "qemu-system-x86_64",
               ("seabios/bios-256k.bin", "seabios/bios-microvm.bin", "qemu/linuxboot_dma.bin", "qemu/pvh.bin",
                "qemu/kvmvapic.bin")),
    "aarch64": ("qemu-system-arm", "qemu-system-aarch64", ()),
}
#: ELF's e_machine
MACHINES = {62: "x86_64", 183: "aarch64"}

_TRIARCH = "triarch run --memory {mib}M --initrd $I --append \"$APPEND\" --kernel "
_QEMU = ("$Q -L /tmp/qemu -nodefaults -no-user-config -display none -accel kvm -cpu host -m {mib} -initrd $I "
         "-append \"$APPEND\" ")
_KVMTOOL = "/lab/kvmtool run --console serial -m {mib} -c 1 -i $I -k $K -p "
#: ISA -> (name, peer that it takes, command). None for s390x: QEMU, the only other VMM there is, refuses Hercules, whose KVM
#: lacks KVM_CAP_S390_COW (it takes the facility for enhanced suppression on protection).
COMMANDS = {
    "x86_64": (
        ("triarch (bzImage)", None, _TRIARCH + "$K"),
        ("triarch (vmlinux)", None, _TRIARCH + "$V"),
        ("QEMU microvm (vmlinux)", "qemu", _QEMU + "-M microvm -serial stdio -kernel $V"),
        ("QEMU q35 (bzImage)", "qemu", _QEMU + "-M q35 -serial stdio -kernel $K"),
        ("kvmtool (bzImage)", "kvmtool", _KVMTOOL + "\"$APPEND\""),
        ("Firecracker (vmlinux)", "firecracker", "/lab/firecracker --no-api --config-file firecracker.json"),
        ("Cloud Hypervisor (vmlinux)", "cloud-hypervisor", "/lab/cloud-hypervisor --memory size={mib}M --cpus boot=1 "
         "--serial tty --console off --kernel $V --initramfs $I --cmdline \"$APPEND\""),
    ),
    "aarch64": (
        ("triarch", None, _TRIARCH + "$K"),
        ("QEMU virt", "qemu", _QEMU + "-M virt,gic-version=host -serial stdio -kernel $K"),
        ("kvmtool", "kvmtool", _KVMTOOL + "\"$(echo \"$APPEND\" | sed s/ttyAMA0/ttyS0/)\""),
    ),
}

#: `boot NAME COMMAND...`: marks the start and the guest's init, then says what the VMM has beyond guest RAM.
_BOOT = """
cd /tmp
export HOME=/tmp
tar xf /lab/qemu.tar
Q="$(echo qemu/lib/ld*) --library-path qemu/lib qemu/program"
I=/tmp/initrd.img K=/tmp/vmlinuz V=/tmp/vmlinux
cp /lab/initrd.img /lab/kernels/trixie/* .
cat >firecracker.json <<END
{{"boot-source": {{"kernel_image_path": "$V", "initrd_path": "$I", "boot_args": "$APPEND"}}, "drives": [],
 "machine-config": {{"vcpu_count": 1, "mem_size_mib": {mib}}}}}
END
boot() {{
	name=$1
	shift
	rm -f in out
	mkfifo in out
	sleep 1
	echo "MARK begin $name"
	"$@" <>in >out 2>err &
	ready=failed
	exec 3<out
	while read -r line <&3; do
		case "$line" in *'triarch-guest: ready'*) ready=ready; break ;; esac
	done
	echo "MARK $ready $name"
	if [ $ready = failed ]; then
		sed 's/^/ERROR /' err
		return
	fi
	awk '/^Size:/ {{ size = $2 }} /^Rss:/ {{ if (size < {mib} * 256) sum += $2 }} END {{ print "RESIDENT", sum }}' /proc/$!/smaps
	kill -9 $!
	wait $!
	exec 3<&-
}}
"""


def qemu(isa):
    """A tar of Debian's QEMU for an ISA with the libraries that it needs: qemu/program, qemu/lib, firmware in qemu."""
    package, program, firmware = QEMU[isa]
    archive = debian.Archive(ISAS[isa].debian)
    deb = archive.download(package, RELEASE)
    folder = cache.root() / "peers" / deb.stem
    with cache.making(folder) as work:
        if work:
            tree, packed = work / "tree", work / "qemu"
            (packed / "lib").mkdir(parents=True)
            for part in archive.download_all(package, RELEASE):
                debian.unpack(part, tree)
            shutil.copy(tree / "usr/bin" / program, packed / "program")
            for name in firmware:
                shutil.copy(tree / "usr/share" / name, packed)
            _copy_libraries(tree, packed / "program", packed / "lib")
            run(["tar", "cf", work / "qemu.tar", "-C", work, "qemu"])
            shutil.rmtree(tree)
            shutil.rmtree(packed)
    return folder / "qemu.tar"


def _copy_libraries(tree, program, target):
    """Copies the loader and libraries of a program, and what these need, from a tree of packages."""
    known = {path.name: path for path in tree.glob("**/lib*/**/*.so*") if path.exists()}
    todo, taken = [program], set()
    while todo:
        text = run(["readelf", "-dlW", todo.pop()]).decode()
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", text) + re.findall(r"interpreter: .*/(.*)\]", text)
        for name in set(needed) - taken:
            if name not in known:
                raise LabError(f"no package has {name}, which {program.name} needs")
            shutil.copy(known[name], target / name)
            todo.append(target / name)
            taken.add(name)


def given(words):
    """`NAME=PATH` of --peer as {(isa, name): path}; a binary's ISA is read from it."""
    known = {peer for commands in COMMANDS.values() for _, peer, _ in commands if peer not in (None, "qemu")}
    found = {}
    for word in words:
        name, _, path = word.partition("=")
        if name not in known or not path:
            raise LabError(f"--peer {word}: it takes NAME=PATH with one of {', '.join(sorted(known))}")
        head = pathlib.Path(path).read_bytes()[:20]
        isa = MACHINES.get(int.from_bytes(head[18:20], "little"))
        if head[:4] != b"\x7fELF" or isa is None:
            raise LabError(f"--peer {word}: no ELF program of an ISA of the lab")
        found[isa, name] = pathlib.Path(path).absolute()
    return found


def on_host(found, kernel, folder):
    """name -> command of a whole run of a bare-metal kernel of x86_64, of those peers that take it."""
    commands = {}
    if path := found.get(("x86_64", "firecracker")):
        config = folder / "firecracker.json"
        boot = {"kernel_image_path": str(kernel), "boot_args": ""}
        config.write_text(json.dumps({
            "boot-source": boot, "drives": [], "machine-config": {"vcpu_count": 1, "mem_size_mib": 128},
        }))
        commands["Firecracker"] = [path, "--no-api", "--config-file", config]
    if path := found.get(("x86_64", "cloud-hypervisor")):
        commands["Cloud Hypervisor"] = [path, "--memory", "size=128M", "--serial", "null", "--console", "off", "--kernel", kernel]
    return commands


def _cpu_seconds(pid):
    """CPU time that a process and its living descendants have had."""
    total = 0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            total += sum(_cpu_seconds(child) for child in (task / "children").read_text().split())
    return total


def measure(isa, triarch, peers, runs):
    """name -> list of (CPU seconds, resident KiB), of boots in turns."""
    commands = [(name, command) for name, peer, command in COMMANDS[isa] if peer in (None, "qemu") or (isa, peer) in peers]
    lines = [f"boot '{name}' {command.format(mib=MIB)}" for name, command in commands]
    script = _BOOT.format(mib=MIB) + "\n".join(lines * runs)
    with tempfile.TemporaryDirectory() as folder:
        put = [qemu(isa)]
        for (of, name), path in peers.items():
            if of == isa:
                put.append(shutil.copy(path, pathlib.Path(folder) / name))
        command = [TOP / "ci/lab", isa, "--triarch", triarch, "--kernels", "trixie", "--timeout", 600 * runs * len(lines)]
        command += [word for path in put for word in ("--put", path)] + ["--run", script]
        with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as lab:
            return _follow(lab)


def _follow(lab):
    found, begun, name, last = {}, 0, None, []
    for line in lab.stdout:
        kind, _, rest = line.strip().partition(" ")
        last = [*last, line][-20:]
        if line.startswith("MARK begin"):
            begun = _cpu_seconds(lab.pid)
        elif line.startswith("MARK ready"):
            name = rest.removeprefix("ready ")
            found.setdefault(name, []).append([_cpu_seconds(lab.pid) - begun])
            say(f"bench: {name}: {found[name][-1][0]:.1f} s of CPU time")
        elif kind == "RESIDENT" and name:
            found[name][-1].append(float(rest))
        elif line.startswith("MARK failed"):
            name = None
            say(f"bench: no boot by {rest.removeprefix('failed ')}")
        elif kind == "ERROR":
            say(f"bench: {rest}")
    if lab.wait() or not found:
        raise LabError(f"the lab's host ended with status {lab.returncode}:\n{''.join(last)}")
    return found


def rows(isa, found):
    """Rows of the table: ISA, name, median CPU seconds, ratio to the quickest of triarch's, resident KiB, boots."""
    middle = {name: [statistics.median(column) for column in zip(*boots)] for name, boots in found.items()}
    own = min(seconds for name, (seconds, _) in middle.items() if name.startswith("triarch"))
    return [
        [f"{isa}: {name}", f"{seconds:.1f}", f"{seconds / own:.2f}", f"{kib:.0f}", len(found[name])]
        for name, (seconds, kib) in middle.items()
    ]
