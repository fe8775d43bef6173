"""A container runtime that never asks for capabilities this machine cannot give, then runc.

Where a capability is missing from the bounding set (CAP_SYS_RESOURCE in many sandboxes),
privileged containers fail with "unable to apply caps: operation not permitted". dockerd
calls this file in runc's place; it takes the missing ones out of the bundle's `config.json`
and out of the `--process` file of `exec`. It is run alone (`python3 -I`), so it imports
nothing of this repository.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

#: Capability bits in the kernel's order (capability.h); only those ever missing need a name.
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID",
    "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN",
    "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE",
    "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME",
    "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
    "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)  # fmt: skip


def missing_capabilities(status: str) -> frozenset[str]:
    """Return the capabilities absent from the bounding set of a /proc/PID/status text."""
    line = next(line for line in status.splitlines() if line.startswith("CapBnd:"))
    bounding = int(line.split()[1], 16)
    return frozenset(
        f"CAP_{name}" for bit, name in enumerate(CAPABILITIES) if not bounding & (1 << bit)
    )


def strip(process: dict[str, Any], missing: frozenset[str]) -> None:
    """Take the missing capabilities out of an OCI process, in place."""
    sets = process.get("capabilities") or {}
    for name, capabilities in sets.items():
        sets[name] = [each for each in capabilities or () if each not in missing]


def spec_file(arguments: list[str]) -> Path | None:
    """Return the file that names the capabilities, if this call to runc has one."""
    for option, name in (("--process", ""), ("--bundle", "config.json")):
        for position, argument in enumerate(arguments):
            if argument == option or (option == "--process" and argument == "-p"):
                return (
                    Path(arguments[position + 1], name) if name else Path(arguments[position + 1])
                )
            if argument.startswith(f"{option}="):
                return Path(argument.partition("=")[2], name)
    return None


def main(arguments: list[str]) -> None:
    """Rewrite the bundle or process file if there is one and become runc."""
    missing = missing_capabilities(Path("/proc/self/status").read_text())
    path = spec_file(arguments)
    if missing and path and path.is_file():
        spec = json.loads(path.read_text())
        strip(spec.get("process") or spec, missing)
        path.write_text(json.dumps(spec))
    os.execvp("runc", ["runc", *arguments])  # noqa: S606  # becoming runc is the point


if __name__ == "__main__":
    main(sys.argv[1:])
