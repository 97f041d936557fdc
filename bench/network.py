"""A network of the run's own, with nothing in it but loopback."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

from bench.processes import BenchmarkError

# <linux/sched.h>, <linux/sockios.h>, <linux/if.h>
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def isolate() -> None:
    """Moves this process and its later children into a new network namespace.

    A server that listens on every address and cannot be told otherwise is reached from nowhere else there, and nothing
    in there reaches anything outside. There is no way back. Raises BenchmarkError where the machine does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET if uid == 0 else _CLONE_NEWNET | _CLONE_NEWUSER):
        reason = os.strerror(ctypes.get_errno())
        raise BenchmarkError(f"the peers need a network of their own, and unshare(2) said: {reason}")
    if uid:
        # The namespace of users only lends the right to the other one: everybody stays who they were.
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
