"""The socket that requests come in by; whoever reaches it must need a key, unless only this machine does."""

import ctypes
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any

from service.errors import StartError

_SO_ATTACH_FILTER = 26
# Of a packet's TCP header: drop it where it has of the flags SYN and ACK the first alone (classic BPF).
_NO_NEW_CONNECTION = (
    (0x30, 0, 0, 13),
    (0x54, 0, 0, 0x12),
    (0x15, 0, 1, 0x02),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFF),
)


@dataclass(frozen=True)
class _Place:
    family: int
    kind: int
    protocol: int
    address: Any

    @property
    def is_loopback(self) -> bool:
        """Whether no other machine reaches it."""
        found = ip_address(self.address[0])
        mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
        return (mapped or found).is_loopback


def listening(host: str, port: int, *, guarded: bool, shared: bool = False) -> socket.socket:
    """Bind a socket.

    Args:
        host: a name or an address.
        port: 0 for any that is free.
        guarded: whether requests need a key, or the operator wants that they need none.
        shared: whether other processes that say the same may bind it too.

    Raises:
        StartError: other machines reach the address and nothing guards it, or it cannot be bound.
    """
    place = _resolved(host, port)
    if not (guarded or place.is_loopback):
        raise StartError(
            f"without keys, everybody who reaches {host} could load and unload models: name a file of keys "
            "with --api-keys-file (`unsure keys create` makes one), listen on --host 127.0.0.1 alone, "
            "or say --without-keys if that is meant"
        )
    listener = None
    try:
        listener = socket.socket(place.family, place.kind, place.protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(place.address)
    except OSError as cause:
        if listener is not None:
            listener.close()
        raise _unavailable(host, port, cause) from cause
    return listener


def only_this_machine(host: str) -> bool:
    """Tell whether no other machine reaches what listens on a host; not where there is no such host."""
    try:
        return _resolved(host, 0).is_loopback
    except StartError:
        return False


def turn_away(listener: socket.socket) -> None:
    """Let nobody connect any more who has not begun to, so that the queue of a listener can be emptied.

    Whoever tries is not refused but unheard, and tries again a second later, when the listener is closed or
    another process has the port. Where the system cannot do this, nothing happens.
    """
    if sys.platform != "linux":
        return
    program = b"".join(struct.pack("HBBI", *line) for line in _NO_NEW_CONNECTION)
    kept = ctypes.create_string_buffer(program)
    with suppress(OSError):
        address = struct.pack("HP", len(_NO_NEW_CONNECTION), ctypes.addressof(kept))
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, address)


def _resolved(host: str, port: int) -> _Place:
    """Choose the one address that will be bound: a name may have several."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as cause:
        raise _unavailable(host, port, cause) from cause
    return _Place(family, kind, protocol, address)


def _unavailable(host: str, port: int, cause: OSError) -> StartError:
    return StartError(
        f"cannot listen on {host}:{port} ({cause.strerror}); choose another with --host and --port"
    )
