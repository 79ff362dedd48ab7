"""The cases: a client of the websockets package on one side of the proxy and its server on the other."""

import hashlib
import threading
from contextlib import ExitStack, contextmanager
from urllib.parse import quote

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from . import tls
from .server import MOST, PATIENCE, body_of

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20)
LARGE = 16 << 20
TEXT = "text with ☺, 😈 and \0"
# Codes that an endpoint may send (RFC 6455 section 7.4).
CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 4999)


class Wrong(Exception):
    """What came is not what was sent."""


class Client:
    def __init__(self, port, over_tls, server):
        self.port, self.tls, self.server = port, over_tls, server

    @contextmanager
    def connected(self, path, **more):
        options = {
            "compression": None,
            "max_size": MOST,
            "ping_interval": None,
            "proxy": None,
            "close_timeout": PATIENCE,
            **more,
        }
        with ExitStack() as stack:
            if self.tls:
                options["sock"] = stack.enter_context(tls.connected(self.port, PATIENCE))
            yield stack.enter_context(connect(f"ws://localhost:{self.port}{path}", **options))

    def ended(self, name):
        """Close code and reason as the server saw them."""
        return self.server.wait_for(self.server.ended, name)


def same(what, got, wanted):
    if got != wanted:

        def short(value):
            return (
                f"{len(value)} long, sha256 {hashlib.sha256(value).hexdigest()}"
                if len(repr(value)) > 200
                else repr(value)
            )

        raise Wrong(f"{what}: wanted {short(wanted)}, came {short(got)}")


def binary_echo(client):
    with client.connected("/echo") as connection:
        for size in SIZES:
            sent = body_of(size, "client")
            connection.send(sent)
            same(f"a message of {size}", connection.recv(PATIENCE), sent)


def text_echo(client):
    with client.connected("/echo") as connection:
        for sent in ("", TEXT, TEXT * 10_000):
            connection.send(sent)
            same("the text", connection.recv(PATIENCE), sent)


def large_message_up(client):
    sent = body_of(LARGE, "client")
    with client.connected("/digest") as connection:
        connection.send(sent)
        same("the digest", connection.recv(PATIENCE), hashlib.sha256(sent).hexdigest())


def large_message_down(client):
    with client.connected(f"/sends?size={LARGE}") as connection:
        same("the message", connection.recv(PATIENCE), body_of(LARGE, "server"))


def large_message_both_ways(client):
    sent = body_of(LARGE, "client")
    with client.connected("/echo") as connection:
        connection.send(sent)
        same("the message", connection.recv(PATIENCE), sent)


def fragments_up(client):
    with client.connected("/lengths") as connection:
        connection.send([b"", b"a", b"bc" * 500, b"", b"d" * 70_000])
        same("the lengths", connection.recv(PATIENCE), "0 1 1000 0 70000 0")


def fragments_down(client):
    sent = ["first", "", "☺" * 1000, "last"]
    with client.connected("/fragments") as connection:
        connection.send(sent)
        # The last frame of a fragmented message is an empty one, as the package writes them, at each side once.
        same("the fragments", list(connection.recv_streaming()), [*sent, "", ""])


def ping_from_the_client(client):
    with client.connected("/waits") as connection:
        for payload in (b"", b"x", b"y" * 125):
            if not connection.ping(payload).wait(PATIENCE):
                raise Wrong(f"a ping of {len(payload)} was not answered in {PATIENCE} s")


def ping_from_the_server(client):
    with client.connected("/pings") as connection:
        same("whether the answer came", connection.recv(PATIENCE), "yes")


def ping_within_a_message(client):
    with client.connected("/echo") as connection:

        def parts():
            yield b"before "
            if not connection.ping(b"within").wait(PATIENCE):
                raise Wrong("a ping between two fragments was not answered")
            yield b"after"

        connection.send(parts())
        same("the message", connection.recv(PATIENCE), b"before after")


def close_from_the_client(client):
    for code in CODES:
        name, reason = f"client-{code}-{client.tls}", f"reason {code} ☺"
        with client.connected(f"/waits?name={name}") as connection:
            connection.close(code, reason)
            same("the server saw", client.ended(name), (code, reason))
            same("the client's own", (connection.close_code, connection.close_reason), (code, reason))


def close_from_the_server(client):
    for code in CODES:
        reason = f"reason {code} ☺"
        with client.connected(f"/closes?code={code}&reason={quote(reason)}") as connection:
            same("the client saw", closed(connection), (code, reason))


def closed(connection):
    """Close code and reason of a connection from which nothing else comes."""
    try:
        came = connection.recv(PATIENCE)
    except ConnectionClosed:
        return connection.close_code, connection.close_reason
    raise Wrong(f"wanted the end of the connection, came {came!r}")


def cut_by_the_client(client):
    name = f"cut-{client.tls}"
    with client.connected(f"/waits?name={name}") as connection:
        connection.send("whole")
        connection.close_socket()
        same("the server saw", client.ended(name), (1006, ""))


def cut_by_the_server(client):
    with client.connected("/cuts") as connection:
        same("the client saw", closed(connection), (1006, ""))


def subprotocol(client):
    with client.connected("/waits", subprotocols=["first", "third"]) as connection:
        same("the subprotocol", connection.subprotocol, "first")


def compression(client):
    with client.connected("/echo", compression="deflate") as connection:
        same("the extensions", [extension.name for extension in connection.protocol.extensions], ["permessage-deflate"])
        connection.send(TEXT * 10_000)
        same("the text", connection.recv(PATIENCE), TEXT * 10_000)


def refused_by_the_server(client):
    try:
        with client.connected("/refused"):
            raise Wrong("the server refused, and the proxy did not")
    except InvalidStatus as refused:
        same("the status", refused.response.status_code, 403)
        same("the body", refused.response.body, b"refused\n")


def connections_at_once(client):
    """64 of them, each with 16 messages each way."""
    wrong = []

    def one(at):
        try:
            with client.connected("/echo") as connection:
                for count in range(16):
                    sent = body_of(4096 + at, f"{at} {count}")
                    connection.send(sent)
                    same("the message", connection.recv(PATIENCE), sent)
        except (Wrong, OSError, ConnectionClosed, TimeoutError) as failure:
            wrong.append(f"{type(failure).__name__}: {failure}")

    threads = [threading.Thread(target=one, args=(at,)) for at in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise Wrong(f"{len(wrong)} of 64 connections failed; {wrong[0]}")


def a_reader_that_waits(client):
    """8 MiB are sent before any of their echo is read: it waits in the sockets and the proxy, or the sender does."""
    with client.connected("/echo", max_queue=1) as connection:
        sent = [body_of(65_536, str(at)) for at in range(128)]
        sender = threading.Thread(target=lambda: [connection.send(message) for message in sent])
        sender.start()
        sender.join(0.5)
        for message in sent:
            same("the message", connection.recv(PATIENCE), message)
        sender.join()


CASES = [
    text_echo,
    binary_echo,
    large_message_up,
    large_message_down,
    large_message_both_ways,
    fragments_up,
    fragments_down,
    ping_from_the_client,
    ping_from_the_server,
    ping_within_a_message,
    close_from_the_client,
    close_from_the_server,
    cut_by_the_client,
    cut_by_the_server,
    subprotocol,
    compression,
    refused_by_the_server,
    connections_at_once,
    a_reader_that_waits,
]
