"""A backend that speaks HTTP/1.1: reads the whole request, and answers 200 with a small body."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = b"abcdefghijklmnopqrstuvwxyz"


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    # A whole answer is one write: some clients want it as one record.
    wbufsize = 65_536

    def answer(self):
        self.read_body()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(BODY)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                self.rfile.read(size + 2)
            while self.rfile.readline().strip():
                pass
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def handle(self):
        # A proxy that gives up a request closes its connection, and that is no news.
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


@contextlib.contextmanager
def backend():
    """Gives its port."""
    with Server(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
