"""What every peer is given, and how a program is found."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from certificates import Certificate


@dataclass(frozen=True)
class Setup:
    """What a peer is to serve."""

    folder: Path
    port: int
    # Addresses of backends, all in one pool.
    backends: tuple[str, ...]
    # Routes by exact host, all to that pool: h0.bench.test and so on. 0: one route for any host.
    hosts: int = 0
    # Policies, each on a route by host of its own. 0: those of the peer, on every route.
    policies: int = 0
    workers: int = 1
    # Of the listener, which then offers HTTP/2 and HTTP/1.1. None: a plain one.
    certificate: Certificate | None = None
    # A plain listener speaks HTTP/2 by prior knowledge, and need not speak HTTP/1.1.
    h2c: bool = False
    # Requests at the same time, so many that connections would not be kept as usual. 0: not more than usual.
    crowd: int = 0
    # What the backends speak: `http/1.1`, `h2c`, or `websocket`, which is HTTP/1.1 first.
    upstream: str = "http/1.1"

    @property
    def scheme(self):
        return "https" if self.certificate else "http"

    def host_names(self):
        return [host_name(at) for at in range(self.hosts)]


def host_name(at):
    return f"h{at}.bench.test"


def version_of(command, pattern):
    """The first match of `pattern` in what `command` prints, on either stream."""
    try:
        said = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "of unknown version"
    found = re.search(pattern, said.stdout + said.stderr)
    return found.group(1) if found else "of unknown version"


def lacking(program, how):
    return None if shutil.which(program) else f"`{program}` is not on the PATH ({how})"
