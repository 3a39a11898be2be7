"""Emulated x86_64 (SVM) and aarch64 (EL2) hosts: QEMU without acceleration."""

import subprocess

import images
from kernels import Kernel
from processes import spawn, stop

# One CPU: two emulated ones cost a third more for the same work, and kernels that patch their own code while both run it
# (each start of a first guest does) have been seen to die of it in QEMU 7.2.

#: Memory is taken from the real machine as the host touches it, so a big one costs little. x86_64 has room for a
#: guest with RAM above 4 GiB.
_X86_64 = ["qemu-system-x86_64", "-machine", "q35", "-cpu", "EPYC-Milan,+svm,+npt", "-m", "6G"]
_AARCH64 = ["qemu-system-aarch64", "-machine", "virt,virtualization=on,gic-version={gic}",
            "-cpu", "max,pauth-impdef=on", "-m", "4G"]

#: What makes a stock kernel start fast as the emulated host.
_APPEND = ("panic=-1 quiet nokaslr mitigations=off cryptomgr.notests=1 audit=0 "
           "initcall_blacklist=load_system_certificate_list,jent_mod_init")


def _machine(job):
    if job.isa.name == "x86_64":
        return _X86_64, "vmlinux", "console=ttyS0"
    gic = "2" if job.variant == "gicv2" else "3"
    return [word.format(gic=gic) for word in _AARCH64], "vmlinuz", "console=ttyAMA0"


def _command(job, lab, serial, append=_APPEND):
    machine, image, console = _machine(job)
    command = [*machine, "-nodefaults", "-no-reboot", "-display", "none", "-accel", "tcg", "-smp", "1",
               "-kernel", Kernel(job.isa, "trixie").folder / image, "-initrd", images.host(job.isa, "9p"),
               "-append", f"{console} {append}",
               "-chardev", serial, "-serial", "chardev:console"]
    shares = (("lab", lab, "on"), ("kernels", job.kernel_view(), "on"), ("out", job.results, "off"))
    for tag, path, read_only in shares:
        # QEMU takes a doubled comma for a comma in a value.
        path = str(path).replace(",", ",,")
        command += ["-virtfs", f"local,path={path},mount_tag={tag},security_model=none,readonly={read_only}"]
    return command


async def boot(job, lab):
    """Runs the host to its end; its console goes to host.log. The caller sees to the time limit by cancelling."""
    log = job.log("host")
    with open(job.log("emulator"), "wb") as errors:
        process = await spawn(_command(job, lab, f"file,id=console,path={str(log).replace(',', ',,')}"),
                              stdout=errors, stderr=subprocess.STDOUT)
        try:
            return await process.wait()
        finally:
            await stop(process)


async def interact(job, lab):
    """Runs the host with its console on this terminal; every key goes to the host, Ctrl-C too."""
    # The host's kernel shares the terminal with the guest: only its last words may disturb.
    command = _command(job, lab, "stdio,id=console,signal=off", f"{_APPEND} loglevel=1")
    process = await spawn(command, stdin=None, own_session=False,
                          stderr=subprocess.DEVNULL)
    try:
        return await process.wait()
    finally:
        await stop(process, own_session=False)
