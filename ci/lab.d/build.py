"""The binaries under test."""

import json
import os
import pathlib
import subprocess

from processes import LabError, die_with_parent

CI = pathlib.Path(__file__).parent.parent


def triarch(isa, given):
    """The path of the triarch to test: the given one, or the one that ci/build-static makes for the ISA."""
    if given:
        path = pathlib.Path(given).absolute()
        if not path.is_file():
            raise LabError(f"--triarch: {path} is no file")
        return path
    built = subprocess.run([CI / "build-static", isa.name], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                           preexec_fn=die_with_parent, env=os.environ, check=False)
    if built.returncode != 0:
        raise LabError(f"triarch doesn't build for {isa.name} (ci/build-static {isa.name})")
    return pathlib.Path(built.stdout.decode().strip())


def client(isa):
    """The static program that talks to a console behind a socket."""
    name = "console_client"
    built = subprocess.run([CI / "build-static", isa.name, "--example", name], stdout=subprocess.PIPE,
                           stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, env=os.environ, check=False)
    if built.returncode != 0:
        raise LabError(f"{name} doesn't build for {isa.name} (ci/build-static {isa.name} --example {name})")
    return pathlib.Path(built.stdout.decode().strip()).parent / "examples" / name


def kvm_tests(isa):
    """Static binaries of the tests that need a host's KVM."""
    built = subprocess.run([CI / "build-static", isa.name, "--kvm-tests"], stdout=subprocess.PIPE,
                           stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, env=os.environ, check=False)
    if built.returncode != 0:
        raise LabError(f"the KVM tests don't build for {isa.name} (ci/build-static {isa.name} --kvm-tests)")
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith(b"{")]
    found = [pathlib.Path(message["executable"]) for message in messages
             if message["reason"] == "compiler-artifact" and message["executable"] and message["profile"]["test"]
             and (message["target"]["name"] + "_").startswith(f"kvm_{isa.name}_")]
    if not found:
        raise LabError(f"there are no KVM tests for {isa.name}: no crate has tests/kvm_{isa.name}.rs")
    return found
