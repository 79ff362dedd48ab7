"""The two backends of docs/side-by-side.md. They remember what they were asked for."""

import contextlib
import queue
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Seen:
    target: str
    fields: object


class Pool(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.port = self.server_address[1]
        self.seen = []
        self.arrived = queue.SimpleQueue()
        self.ended = threading.Event()

    def forget(self):
        self.seen = []
        self.arrived = queue.SimpleQueue()

    def wait(self, target, seconds):
        """Until it is asked for this; others may come before, such as a copy of an earlier request."""
        came = []
        while target not in came:
            try:
                came.append(self.arrived.get(timeout=seconds).target)
            except queue.Empty:
                raise TimeoutError(f"no copy for {target} came, but {came}") from None


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        seen = Seen(self.path, self.headers)
        self.server.seen.append(seen)
        self.server.arrived.put(seen)
        if self.path.startswith("/slow"):
            # Longer than any time-out of the page.
            self.server.ended.wait()
        body = b"x" * (8192 if self.path.startswith("/large") else 100)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("X-Powered-By", "a test")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = answer

    def handle(self):
        # A program that gives up a request closes its connection, and that is no news.
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def pools():
    with Pool() as app, Pool() as beta:
        for pool in (app, beta):
            threading.Thread(target=pool.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield {"app": app, "beta": beta}
        finally:
            for pool in (app, beta):
                pool.ended.set()
                pool.shutdown()
