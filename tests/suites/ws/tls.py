"""TLS for a client that reads and writes in two threads: Python's `ssl.SSLSocket` loses bytes then (before 3.13)."""

import contextlib
import socket
import ssl
import threading


class Pipe:
    """`plain` is the client's end; what goes through it is encrypted on `network`."""

    def __init__(self, network):
        self.network = network
        self.plain, self.inner = socket.socketpair()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        # The session is one thread's at a time, and so is writing its records in their order.
        self.lock = threading.Lock()

    def handshake(self):
        while True:
            try:
                self.session.do_handshake()
            except ssl.SSLWantReadError:
                self.network.sendall(self.outgoing.read())
                received = self.network.recv(65_536)
                if not received:
                    raise ConnectionError("the connection ended within the handshake") from None
                self.incoming.write(received)
            else:
                self.network.sendall(self.outgoing.read())
                return

    def upload(self):
        """An end of the client's side is announced (close_notify)."""
        with contextlib.suppress(OSError):
            while sent := self.inner.recv(65_536):
                with self.lock:
                    self.session.write(sent)
                    self.network.sendall(self.outgoing.read())
            with self.lock:
                with contextlib.suppress(ssl.SSLError):
                    self.session.unwrap()
                self.network.sendall(self.outgoing.read())
            self.network.shutdown(socket.SHUT_WR)

    def download(self):
        """The server's end is passed on, announced or not."""
        with contextlib.suppress(OSError):
            while received := self.network.recv(65_536):
                with self.lock:
                    self.incoming.write(received)
                    plain = self.decrypted()
                self.inner.sendall(plain)
        with contextlib.suppress(OSError):
            self.inner.shutdown(socket.SHUT_WR)

    def decrypted(self):
        plain = b""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while more := self.session.read(65_536):
                plain += more
        return plain


@contextlib.contextmanager
def connected(port, patience):
    """A plain socket to what listens there with TLS."""
    with socket.create_connection(("127.0.0.1", port), patience) as network:
        pipe = Pipe(network)
        with pipe.plain, pipe.inner:
            pipe.handshake()
            network.settimeout(None)
            threads = [threading.Thread(target=target, daemon=True) for target in (pipe.upload, pipe.download)]
            for thread in threads:
                thread.start()
            pipe.plain.settimeout(patience)
            try:
                yield pipe.plain
            finally:
                # Whoever still waits reads an end.
                for end in (pipe.plain, pipe.inner, network):
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                for thread in threads:
                    thread.join(patience)
