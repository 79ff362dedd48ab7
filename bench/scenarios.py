"""What is asked of the proxies. Add a scenario by adding a line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    name: str
    told: str
    connections: int = 64
    # A file of the backends, named by what it holds; see BODIES.
    path: str = "/small"
    # Each request on a connection of its own (between client and proxy; upstream connections are kept).
    close: bool = False
    # Bytes of each request's body; with any, the method is POST.
    upload: int = 0


# What the backends answer, by path: bytes. The small one is a sentence of 22 bytes.
SMALL = b"a signpost of 22 bytes"
BODIES = {"/10k": 10 * 1024, "/1m": 1024 * 1024}

SCENARIOS = [
    Scenario("keepalive-64", "64 kept connections, 22-byte body"),
    Scenario("keepalive-1", "1 kept connection, 22-byte body", connections=1),
    Scenario("keepalive-512", "512 kept connections, 22-byte body", connections=512),
    Scenario("new-connection", "64 clients, a new connection per request, 22-byte body", close=True),
    Scenario("body-10k", "64 kept connections, 10 KiB body", path="/10k"),
    Scenario("body-1m", "16 kept connections, 1 MiB body", path="/1m", connections=16),
    Scenario("upload-16k", "64 kept connections, 16 KiB uploads, 22-byte answer", upload=16 * 1024),
]
DEFAULT = ["keepalive-64"]
