"""Processes that end with the run, and what they used, from the kernel's accounting."""

import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Used:
    """CPU seconds."""

    user: float
    system: float
    # By thread, to the nanosecond but without the division in two. Empty if the kernel doesn't tell.
    threads: dict

    def __sub__(self, other):
        user, system = self.user - other.user, self.system - other.system
        # A thread that ended took its number along; the ticks still have it.
        if self.threads and self.threads.keys() >= other.threads.keys() and user + system > 0:
            exact = sum(self.threads.values()) - sum(other.threads.values())
            user, system = exact * user / (user + system), exact * system / (user + system)
        return Used(user, system, {})


class Process:
    """A program with its children, pinned to some CPUs, ended on exit from the `with` block."""

    def __init__(self, command, cpus, folder: Path, environment=None):
        self.command, self.cpus, self.folder, self.environment = command, cpus, folder, environment or {}
        self.log = folder / f"{Path(command[0]).name}.log"
        self.process = None
        self.input = subprocess.DEVNULL
        # Whether it waits for its turn rather than interrupt who woke it up.
        self.patient = False

    def __enter__(self):
        def prepare():
            # A killed run must not leave a proxy behind.
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files(), open_files()))
            if self.cpus:
                os.sched_setaffinity(0, self.cpus)
            if self.patient:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, stdin=self.input, stdout=log, stderr=log,
                env={**os.environ, **self.environment}, start_new_session=True, preexec_fn=prepare,
            )
        return self

    def __exit__(self, *_):
        if self.process.returncode is not None:
            return
        # The group exists for sure only until its leader is reaped, so that comes last.
        for sent in [signal.SIGTERM, signal.SIGKILL]:
            os.killpg(self.process.pid, sent)
            if self.ends_within(3):
                break
        # A child that outlived its parent.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ends_within(self, seconds):
        """Whether the program ends in time; it is not reaped."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return True
            time.sleep(0.01)
        return False

    def wait_for(self, port, ready, patience=20.0):
        """Waits until the program is `ready`, a function of its port."""
        until = time.monotonic() + patience
        while time.monotonic() < until and self.process.poll() is None:
            if ready(port):
                return
            time.sleep(0.02)
        said = self.log.read_text(errors="replace").strip()[-2000:]
        error_log = self.folder / "error.log"
        if error_log.exists():
            said += error_log.read_text(errors="replace")[-2000:]
        name = Path(self.command[0]).name
        how = "did not answer within its time" if self.process.poll() is None else f"ended ({self.process.poll()})"
        raise RuntimeError(f"{name} {how}. It said: {said or 'nothing'}")

    def until_said(self, text, patience):
        """Waits until the program has printed a text; it may go on running."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            ended = self.process.poll() is not None
            said = self.log.read_text(errors="replace")
            if text in said:
                return
            if ended:
                raise RuntimeError(said.strip()[-1000:] or "the load generator said nothing")
            time.sleep(0.005)
        raise RuntimeError(f"the load generator did not come to an end within {patience:.0f} s")

    def line(self, patience):
        """The first line that the program prints, as JSON; it may go on running."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            ended = self.process.poll() is not None
            said = self.log.read_text(errors="replace")
            for line in said.splitlines(keepends=True):
                if line.startswith("{") and line.endswith("\n"):
                    return json.loads(line)
            if ended:
                raise RuntimeError(said.strip() or "the load generator said nothing")
            time.sleep(0.02)
        raise RuntimeError(f"the load generator said nothing within {patience} s")

    def tree(self):
        """The ids of the program and all of its descendants."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int(fields(int(entry.name))[1])
                except OSError:
                    continue
        tree = {self.process.pid}
        while True:
            more = {child for child, parent in parents.items() if parent in tree} - tree
            if not more:
                return tree
            tree |= more

    def used(self):
        """CPU time of all threads of the whole tree so far, also of children that have ended."""
        user = system = 0
        threads = {}
        for process in self.tree():
            try:
                stat = fields(process)
                for thread in Path(f"/proc/{process}/task").iterdir():
                    threads[thread.name] = int((thread / "schedstat").read_text().split()[0]) / 1e9
            except (OSError, ValueError, IndexError):
                continue
            # utime, stime, cutime, cstime: fields 14 to 17 of proc(5), of which the first two are cut off here.
            user += int(stat[11]) + int(stat[13])
            system += int(stat[12]) + int(stat[14])
        return Used(user / TICKS, system / TICKS, threads)

    def memory(self):
        """What the tree has in memory now, in bytes, pages that its processes share counted once."""
        total = 0
        for process in self.tree():
            try:
                for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
            except OSError:
                continue
        return total

    def peak_memory(self):
        """The sum of the resident peaks, in bytes."""
        total = 0
        for process in self.tree():
            try:
                for line in Path(f"/proc/{process}/status").read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        total += int(line.split()[1]) * 1024
            except OSError:
                continue
        return total


def fields(process):
    """/proc/PID/stat after the name, which may hold spaces and parentheses."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def open_files():
    """As many as the machine allows, up to what any peer can use."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)


def answers(port, path="/small", host="h0.bench.test"):
    """Whether a GET gets a 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            with connection.makefile("rb") as answer:
                return answer.readline().split()[1:2] == [b"200"]
    except OSError:
        return False


def listens(port):
    """Whether a connection is accepted; no backend hears of it."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return True
    except OSError:
        return False


def free_ports(count):
    """Ports that are free now, all different."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def heads_passed_on(start_peer):
    """The lines of the head that a peer sends to a backend, and of the one that it sends to the client.

    `start_peer(backend_port)` gives a context that yields the peer's port.
    """
    with socket.create_server(("127.0.0.1", 0)) as backend:
        backend.settimeout(30)
        with start_peer(backend.getsockname()[1]) as port:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                client.sendall(b"GET /small HTTP/1.1\r\nHost: h0.bench.test\r\n\r\n")
                connection, _ = backend.accept()
                with connection:
                    connection.settimeout(30)
                    request = read_head(connection)
                    fields = b"Server: backend\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\nContent-Length: 2\r\n"
                    connection.sendall(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\nok")
                    return request, read_head(client)


def read_head(connection):
    head = b""
    while b"\r\n\r\n" not in head and (more := connection.recv(65536)):
        head += more
    return head.partition(b"\r\n\r\n")[0].decode("latin-1").splitlines()
