"""The load generators whose runs have a window: a warm-up, and then a time that counts, the start of which they announce.

What wrk does is measured by two runs of it instead, and is in measure.py.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from certificates import CURVE, SUITE
from peer import host_name

HERE = Path(__file__).resolve().parent
LOAD = HERE / "target" / "release" / "load"


@dataclass(frozen=True)
class Found:
    requests: int
    seconds: float
    errors: int
    p50: int
    p99: int

    @property
    def rate(self):
        return self.requests / self.seconds


class H2load:
    """Of nghttp2: HTTP/1.1 over TLS, and HTTP/2 with and without."""

    started = "Main benchmark duration is started"
    ended = "Main benchmark duration is over"

    def command(self, scenario, port, options, folder: Path):
        command = ["h2load", "-t1", f"-c{scenario.connections}", f"-m{scenario.streams}", f"-D{options.seconds}"]
        # A crowd of requests opens as many connections to backends first.
        warm_up = options.warm_up * (2 if scenario.streams > 10 else 1)
        command += [f"--warm-up-time={warm_up * 1000:.0f}ms", f"--log-file={folder}/requests.tsv"]
        if scenario.protocol == "http/1.1":
            command.append("--h1")
        if scenario.tls:
            command += [f"--tls13-ciphers={SUITE}", f"--groups={CURVE}"]
        if scenario.upload:
            body = folder / "body"
            # As gRPC has it: not compressed, the length, the message.
            message = b"u" * (scenario.upload - 5)
            body.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
            command.append(f"--data={body}")
        if scenario.upstream == "h2c":
            command += ["-Hcontent-type: application/grpc", "-Hte: trailers"]
        scheme = "https" if scenario.tls else "http"
        return [*command, f"--connect-to=127.0.0.1:{port}", f"{scheme}://{host_name(0)}{scenario.path}"]

    def found(self, said, options, folder: Path):
        # What failed includes other statuses than 2xx and 3xx, errors and time-outs. Its line of statuses counts heads, not
        # answers, so at the ends of the window that is another number.
        counts = {name: int(count) for count, name in re.findall(r"(\d+) (succeeded|failed)\b", said)}
        if len(counts) < 2:
            raise RuntimeError(f"h2load failed: {said.strip()[-500:]}")
        # A request's start, its status, and its microseconds.
        rows = (line.split("\t") for line in (folder / "requests.tsv").read_text().splitlines())
        latencies = sorted(int(row[2]) for row in rows if len(row) > 2)
        return Found(counts["succeeded"], options.seconds, counts["failed"], percentile(latencies, 0.5), percentile(latencies, 0.99))


class Own:
    """A mode of our own, in bench/load."""

    started = "started\n"
    ended = "}\n"

    def __init__(self, mode):
        self.mode = mode

    def command(self, scenario, port, options, _):
        command = [LOAD, self.mode, *target(port), "--connections", scenario.connections]
        command += ["--seconds", options.seconds, "--warm-up", options.warm_up]
        if scenario.resumed:
            command += ["--resume", "yes"]
        if scenario.upload:
            command += ["--size", scenario.upload]
        return [str(word) for word in command]

    def found(self, said, *_):
        (line,) = (line for line in said.splitlines() if line.startswith("{"))
        told = json.loads(line)
        if told["requests"] == 0:
            raise RuntimeError(f"nothing was answered: {told['first_error'] or 'no reason is known'}")
        return Found(told["requests"], told["seconds"], told["errors"], told["p50"], told["p99"])


# By the kind of the scenario.
WINDOWED = {"h2load": H2load(), "leave": H2load(), "handshake": Own("handshake"), "echo": Own("echo")}


def target(port, path="/small"):
    return ["--target", f"127.0.0.1:{port}", "--path", path, "--host", host_name(0)]


def spoken(scenario):
    """The flags of our load generator for a scenario's listener."""
    flags = ["--tls", "yes"] if scenario.tls else []
    return [*flags, "--protocol", "h2"] if scenario.protocol == "h2" else flags


def percentile(latencies, part):
    """Of a sorted list, in which nothing may be."""
    return latencies[min(int(len(latencies) * part), len(latencies) - 1)] if latencies else 0
