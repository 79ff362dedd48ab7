"""Origin servers on loopback, and forward proxies by which clients reach them."""

import contextlib
import http.server
import json
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from peers import certificate, free_ports, listens
from processes import Process

USER, PASSWORD = "ann", "secret"
# What a page says of itself, so that the page of something else is not taken for it.
SAID = "{name} got {path}"
LARGE = bytes(range(256)) * 12_000


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/large":
            return self.answer(LARGE, "application/octet-stream")
        said = SAID.format(name=self.server.name, path=self.path)
        return self.answer(f"<!doctype html><title>suite</title><p>{said}</p>".encode(), "text/html")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])), "application/octet-stream")

    def answer(self, body, kind):
        self.server.seen.append(dict(self.headers.items()))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, name, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        # The headers of each request.
        self.name, self.seen = name, []
        if context:
            # A thread has the handshake, so that a client that says nothing holds up no other.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def port(self):
        return self.server_address[1]

    def handle_error(self, request, client_address):
        """Clients that hang up are no error."""


@contextlib.contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Proxy:
    """The ports of a forward proxy: plain, with TLS; and the file with its log."""

    http: int
    https: int
    log: Path

    def address(self, scheme):
        return f"{scheme}://127.0.0.1:{getattr(self, scheme)}"

    def logged(self):
        """The lines of the access log that are there."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        return [json.loads(line) for line in lines if '"method"' in line and line.endswith("}\n")]

    def logs(self, method, after, patience):
        """The line of a request by this method after so many others; it may have to be waited for."""
        until = time.monotonic() + patience
        while True:
            lines = self.logged()[after:]
            found = [line for line in lines if line["method"] == method and line["status"] == 200]
            if found or time.monotonic() > until:
                return found[-1] if found else None
            time.sleep(0.02)


@dataclass(frozen=True)
class World:
    """Origins, of which no proxy allows `forbidden`, and proxies, of which `guarded` wants a password."""

    plain: Server
    secure: Server
    forbidden: Server
    open: Proxy
    guarded: Proxy
    authority: Path
    folder: Path

    def url(self, scheme, path="/page"):
        server = self.secure if scheme == "https" else self.plain
        return f"{scheme}://localhost:{server.port}{path}"

    def refused(self, scheme):
        return f"{scheme}://localhost:{self.forbidden.port}/page"


@contextlib.contextmanager
def world(peer, folder):
    certificate(folder, "ecdsa")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ecdsa.pem", folder / "ecdsa.key")
    hashed = subprocess.run(
        ["openssl", "passwd", "-5", PASSWORD], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    (folder / "users").write_text(f"{USER}:{hashed}", encoding="utf-8")
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(serving(Server("plain")))
        secure = stack.enter_context(serving(Server("secure", context)))
        forbidden = stack.enter_context(serving(Server("forbidden")))

        def proxy(name, more):
            return stack.enter_context(proxying(peer, folder / name, [plain.port, secure.port], more))

        guarded = 'authentication = { file = "../users", realm = "suite" }'
        yield World(
            plain, secure, forbidden, proxy("open", ""), proxy("guarded", guarded), folder / "ca.pem", folder
        )


@contextlib.contextmanager
def proxying(peer, folder, ports, more):
    """A forward proxy that leads to these ports of this machine."""
    folder.mkdir()
    http, https = free_ports(2)
    files = '{ certificate = "../ecdsa.pem", key = "../ecdsa.key" }'
    (folder / "waypost.toml").write_text(f"""
workers = 2
[admin]
listen = "off"
[access-log]
requests = "all"
[forward]
listen = [
    "127.0.0.1:{http}",
    {{ address = "127.0.0.1:{https}", tls = {{ certificates = [{files}] }} }},
]
allow = [{{ host = "localhost", network = ["127.0.0.0/8", "::1"], ports = {ports} }}]
{more}
""")
    command = [str(peer.binary), "run", "--config", str(folder / "waypost.toml")]
    with Process(command, None, folder, {"WAYPOST_LOG": "warn"}) as process:
        for port in (http, https):
            process.wait_for(port, listens)
        yield Proxy(http, https, process.log)
        if process.process.poll() is not None:
            raise RuntimeError(f"the proxy ended: {process.log.read_text(errors='replace')[-2000:]}")
