"""A client's connection that sends what a case wants, and keeps what came back."""

import socket
import ssl
import struct
import time
from dataclasses import dataclass

from .frames import (
    ACK,
    DEFAULT_FRAME,
    DEFAULT_WINDOW,
    GOAWAY,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    TYPES,
    block,
    described,
    settings,
)


class Unexpected(Exception):
    """What came is not what the RFC wants."""


@dataclass(frozen=True)
class Target:
    port: int
    tls: bool = False
    # Of one wait.
    patience: float = 5.0
    address: str = "127.0.0.1"

    def fields(self, method="GET", path="/"):
        """The fields that every request has, in the order of h2spec."""
        scheme = "https" if self.tls else "http"
        authority = f"localhost:{self.port}"
        return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes

    def __str__(self):
        return described(self.kind, self.flags, self.stream, self.payload)

    def code(self):
        """The error code of RST_STREAM or GOAWAY."""
        if self.kind == RST_STREAM:
            return struct.unpack(">I", self.payload)[0]
        if self.kind == GOAWAY:
            return struct.unpack(">II", self.payload[:8])[1]
        return None


# What `event` gives beside frames.
CLOSED, NOTHING = "the connection was closed", "nothing more"


class Connection:
    def __init__(self, target):
        self.target = target
        # What was sent and received, as lines.
        self.log = []
        # What the peer announced.
        self.settings = {}
        self.socket = None
        self.received = b""

    def __enter__(self):
        self.socket = socket.create_connection((self.target.address, self.target.port), timeout=self.target.patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.target.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
            if self.socket.selected_alpn_protocol() != "h2":
                raise Unexpected("the TLS handshake did not select h2")
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, sent):
        self.log.append(f"sent  {readable(sent)}")
        try:
            self.socket.sendall(sent)
        except OSError:
            # The peer has closed already; what it said before can still be read.
            pass

    def handshake(self):
        self.send(PREFACE)
        self.send(settings((INITIAL_WINDOW_SIZE, DEFAULT_WINDOW)))
        theirs = ours = False
        while not (theirs and ours):
            event = self.event()
            if not isinstance(event, Frame):
                raise Unexpected(f"no settings were exchanged: {event}")
            if event.kind == SETTINGS and event.flags & ACK:
                ours = True
            elif event.kind == SETTINGS:
                for at in range(0, len(event.payload), 6):
                    name, value = struct.unpack(">HI", event.payload[at : at + 6])
                    self.settings[name] = value
                self.send(settings(flags=ACK))
                theirs = True

    def max_frame(self):
        return self.settings.get(MAX_FRAME_SIZE, DEFAULT_FRAME)

    def request(self, method="GET", extra=(), only=None):
        """The field block of a request, with more fields or of some of its pseudo-fields only."""
        fields = [pair for pair in self.target.fields(method) if only is None or pair[0] in only]
        return block([*fields, *extra])

    def event(self):
        """The next frame, `CLOSED` or `NOTHING`."""
        until = time.monotonic() + self.target.patience
        while True:
            if (frame := self.take()) is not None:
                self.log.append(f"got   {frame}")
                return frame
            self.socket.settimeout(max(until - time.monotonic(), 0.001))
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                self.log.append(f"got   {NOTHING} in {self.target.patience:g} s")
                return NOTHING
            except OSError:
                more = b""
            if not more:
                self.log.append(f"got   {CLOSED}")
                return CLOSED
            self.received += more

    def take(self):
        """A frame out of what was received. What is no frame is not taken: it is only waited for its end."""
        if len(self.received) < 9 or self.received.startswith(b"HTTP/1."):
            return None
        length = int.from_bytes(self.received[:3], "big")
        if len(self.received) < 9 + length:
            return None
        kind, flags, stream = struct.unpack(">BBI", self.received[3:9])
        payload, self.received = self.received[9 : 9 + length], self.received[9 + length :]
        return Frame(kind, flags, stream & 0x7FFF_FFFF, payload)


def readable(sent):
    """What was sent, as frames where it is whole ones."""
    if sent == PREFACE:
        return "the preface"
    parts, rest = [], sent
    while len(rest) >= 9 and rest[3] < len(TYPES) and len(rest) >= 9 + int.from_bytes(rest[:3], "big"):
        length = int.from_bytes(rest[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", rest[3:9])
        parts.append(described(kind, flags, stream & 0x7FFF_FFFF, rest[9 : 9 + length]))
        rest = rest[9 + length :]
    if rest:
        parts.append(f"{rest[:40].hex(' ')}{'...' if len(rest) > 40 else ''}")
    return ", ".join(parts)
