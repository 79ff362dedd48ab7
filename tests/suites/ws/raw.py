"""Cases below the frames: a raw client and a raw backend, byte by byte."""

import base64
import contextlib
import hashlib
import socket
import threading

from . import tls
from .cases import Wrong, same
from .server import PATIENCE, body_of

KEY = base64.b64encode(bytes(16)).decode()
ACCEPT = base64.b64encode(hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
ASKED = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" + f"Sec-WebSocket-Key: {KEY}\r\n"
SWITCHED = (
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    + f"Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
)


class Raw:
    """A listening backend, and the port of the proxy in front of it."""

    def __init__(self, port, over_tls, listener):
        self.port, self.tls, self.listener = port, over_tls, listener

    @contextlib.contextmanager
    def asked(self, behind=b"", fields=ASKED):
        """Sends the request and `behind` in one piece; gives the ends of client and backend, and what it got."""
        open_one = tls.connected if self.tls else plain
        with open_one(self.port, PATIENCE) as client:
            client.sendall(f"GET /raw HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode() + behind)
            backend, _ = self.listener.accept()
            with backend:
                backend.settimeout(PATIENCE)
                yield client, backend, read_until(backend, b"\r\n\r\n")


def plain(port, patience):
    return socket.create_connection(("127.0.0.1", port), patience)


def read_until(connection, end):
    got = b""
    while end not in got:
        more = connection.recv(65536)
        if not more:
            raise Wrong(f"the connection ended after {got!r}")
        got += more
    return got


def read_exactly(connection, length):
    got = bytearray()
    while len(got) < length:
        more = connection.recv(1 << 20)
        if not more:
            raise Wrong(f"the connection ended after {len(got)} of {length} bytes")
        got += more
    return bytes(got)


def switched(client, backend, behind=b""):
    """The backend switches; gives the client's head and what came behind it."""
    backend.sendall(SWITCHED.encode() + behind)
    head, _, rest = read_until(client, b"\r\n\r\n").partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101 "):
        raise Wrong(f"wanted 101, came {head!r}")
    return head.decode("latin-1"), rest


def fields_of_the_upgrade(raw):
    """Both heads still have what makes the upgrade."""
    with raw.asked() as (client, backend, head):
        asked = head.decode("latin-1").lower()
        for wanted in (
            "connection: upgrade",
            "upgrade: websocket",
            f"sec-websocket-key: {KEY.lower()}",
            "sec-websocket-version: 13",
        ):
            if wanted not in asked:
                raise Wrong(f"the backend wanted {wanted!r}, and got {asked!r}")
        answered, _ = switched(client, backend)
        for wanted in ("connection: upgrade", "upgrade: websocket", f"sec-websocket-accept: {ACCEPT.lower()}"):
            if wanted not in answered.lower():
                raise Wrong(f"the client wanted {wanted!r}, and got {answered!r}")


def any_bytes_both_ways(raw):
    """8 MiB that are no frames at all, both ways at once."""
    up, down = body_of(8 << 20, "up"), body_of(8 << 20, "down")
    with raw.asked() as (client, backend, _):
        _, rest = switched(client, backend)
        got = {}
        threads = [
            threading.Thread(target=sent, args=(client, up)),
            threading.Thread(target=sent, args=(backend, down)),
            threading.Thread(target=lambda: got.update(up=read_exactly(backend, len(up)))),
        ]
        for thread in threads:
            thread.start()
        got["down"] = rest + read_exactly(client, len(down) - len(rest))
        for thread in threads:
            thread.join(PATIENCE)
        same("up", got.get("up", b""), up)
        same("down", got["down"], down)


def sent(connection, whole):
    with contextlib.suppress(OSError):
        connection.sendall(whole)


def bytes_right_behind_the_heads(raw):
    """What a client sends behind its request waits for the 101; what the backend sends behind the 101 follows it."""
    with raw.asked(behind=b"early bytes") as (client, backend, head):
        before = head.partition(b"\r\n\r\n")[2]
        backend.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            before += backend.recv(100)
        same("before the 101", before, b"")
        backend.settimeout(PATIENCE)
        _, rest = switched(client, backend, b"behind the 101")
        same("behind the 101", rest + read_exactly(client, 14 - len(rest)), b"behind the 101")
        same("after the 101", read_exactly(backend, 11), b"early bytes")


def ended_by_the_client(raw):
    """What was sent before the end arrives, and then the end."""
    with raw.asked() as (client, backend, _):
        switched(client, backend)
        client.sendall(b"last")
        client.shutdown(socket.SHUT_WR)
        same("the last", read_exactly(backend, 4), b"last")
        same("then", backend.recv(1), b"")


def ended_by_the_backend(raw):
    with raw.asked() as (client, backend, _):
        switched(client, backend)
        backend.sendall(b"last")
        backend.shutdown(socket.SHUT_WR)
        same("the last", read_exactly(client, 4), b"last")
        same("then", client.recv(1), b"")


def answered(raw, answer, fields=ASKED):
    """The status that the client sees if the backend answers so."""
    with raw.asked(fields=fields) as (client, backend, _):
        backend.sendall(answer.encode())
        return read_until(client, b"\r\n\r\n").split()[1].decode()


def a_200_instead_of_the_101(raw):
    same("the status", answered(raw, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), "200")


def a_101_for_another_protocol(raw):
    same("the status", answered(raw, SWITCHED.replace("Upgrade: websocket", "Upgrade: other")), "502")


def a_101_that_was_not_asked_for(raw):
    same("the status", answered(raw, SWITCHED, fields=""), "502")


CASES = [
    fields_of_the_upgrade,
    any_bytes_both_ways,
    bytes_right_behind_the_heads,
    ended_by_the_client,
    ended_by_the_backend,
    a_200_instead_of_the_101,
    a_101_for_another_protocol,
    a_101_that_was_not_asked_for,
]


@contextlib.contextmanager
def listening():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener
