"""The server behind the proxy. What it does is in the path of the request; it remembers how connections ended."""

import contextlib
import hashlib
import threading
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.sync.server import serve

MOST = 32 << 20
# Well below any time-out of a proxy.
PATIENCE = 20


def body_of(size, seed):
    """Bytes that differ everywhere, the same for the same seed."""
    block = b"".join(hashlib.sha256(f"{seed} {at}".encode()).digest() for at in range(64))
    return (block * (size // len(block) + 1))[:size]


class Server:
    """`ended[name]` is the close code and reason that the server saw; `said[name]` what a page reported; `via` what
    the requests for WebSockets say of their way."""

    def __init__(self, page):
        self.page = page
        self.ended, self.said, self.via = {}, {}, set()
        self.changed = threading.Condition()

    def noted(self, where, name, what):
        with self.changed:
            where[name] = what
            self.changed.notify_all()

    def wait_for(self, where, name, patience=PATIENCE):
        """What was noted under that name, or None if it was not in time."""
        with self.changed:
            self.changed.wait_for(lambda: name in where, patience)
            return where.get(name)

    def handle(self, connection):
        path, asked = asked_for(connection.request)
        name = asked.get("name")
        self.via.add(connection.request.headers.get("Via", ""))
        try:
            getattr(self, path.strip("/"))(connection, asked)
            connection.close()
        except ConnectionClosed:
            pass
        self.noted(self.ended, name, (connection.close_code, connection.close_reason))

    def echo(self, connection, _):
        for message in connection:
            connection.send(message)

    def fragments(self, connection, _):
        """Sends what came in the same fragments."""
        while True:
            connection.send(list(connection.recv_streaming()))

    def lengths(self, connection, _):
        """Tells how long the fragments of the message were."""
        connection.send(" ".join(str(len(part)) for part in connection.recv_streaming()))

    def sends(self, connection, asked):
        connection.send(body_of(int(asked["size"]), "server"))

    def digest(self, connection, _):
        connection.send(hashlib.sha256(connection.recv()).hexdigest())

    def closes(self, connection, asked):
        connection.close(int(asked["code"]), asked["reason"])

    def waits(self, connection, _):
        for _ in connection:
            pass

    def pings(self, connection, _):
        """Tells whether the client's answer to a ping came."""
        connection.send("yes" if connection.ping(b"from the server").wait(PATIENCE) else "no")

    def cuts(self, connection, _):
        """Ends the connection without a close frame."""
        connection.close_socket()

    def process(self, connection, request):
        """Pages and reports for Chromium, and a refusal; every other path is a WebSocket."""
        path, asked = asked_for(request)
        if path == "/refused":
            return connection.respond(403, "refused\n")
        if path == "/page":
            return Response(
                200, "OK", Headers({"Content-Type": "text/html", "Content-Length": str(len(self.page))}), self.page
            )
        if path == "/said":
            self.noted(self.said, asked.get("name"), asked.get("what"))
            return connection.respond(200, "thanks\n")
        return None


def asked_for(request):
    parts = urlsplit(request.path)
    return parts.path, {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}


@contextlib.contextmanager
def serving(page=b""):
    """Gives the port and the server."""
    server = Server(page)
    with serve(
        server.handle,
        "127.0.0.1",
        0,
        process_request=server.process,
        max_size=MOST,
        ping_interval=None,
        select_subprotocol=lambda _, offered: next((name for name in ("second", "first") if name in offered), None),
    ) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield running.socket.getsockname()[1], server
        finally:
            running.shutdown()
