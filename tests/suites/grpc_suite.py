"""gRPC's interoperability cases through the proxy, by Python's grpcio and by tonic, each as client and as server."""

import contextlib
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from outcome import Result, Suite, Unavailable
from peers import REPOSITORY, Behind, certificate, running
from processes import Process, free_ports

HERE = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")).absolute()
TONIC = TARGET / "suites/tonic/debug/tonic-peer"
# Longer than all cases take by far, each of which has its own patience.
PATIENCE = 120
# Cases that not every server can do: grpcio's does not see whether a message is compressed, and tonic's compresses
# all messages of a stream or none.
ONLY = {
    "client_compressed_unary": "tonic",
    "client_compressed_streaming": "tonic",
    "server_compressed_streaming": "grpcio",
}
# Cases that are run with something else behind the proxy.
OTHERWISE = {"backend_is_gone", "calls_while_connections_age"}
# The peers are started while calls run, and that is no news.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


@dataclass(frozen=True)
class Way:
    """Whether TLS is on the client's side of the proxy, and on the backend's."""

    down: bool
    up: bool


WAYS = {"h2c": Way(False, False), "tls": Way(True, True), "tls-h2c": Way(True, False)}


def over(client, server, way):
    def run(context):
        if context.peer is None and way.down != way.up:
            raise Unavailable("without a proxy both sides are one")
        folder = context.folder / "backend"
        folder.mkdir()
        certificate(folder, "ecdsa")
        identity = (folder / "ecdsa.pem", folder / "ecdsa.key") if way.up else None
        authority = folder / "ca.pem" if way.up else None
        modules = compiled(folder) if "grpcio" in (client, server) else None
        ask = {"grpcio": Grpcio, "tonic": Tonic}[client](context.folder, modules, way.down)
        results = []
        with {"grpcio": by_grpcio, "tonic": by_tonic}[server](folder, modules, identity) as port:
            with running(context.peer, context.folder, Behind(port, True, authority), ["ecdsa"]) as ports:
                names = [name for name in ask.names() if ONLY.get(name, server) == server]
                results += ask.results(ports, names)
        if context.peer is None:
            return results
        if client == server == "tonic":
            with by_tonic(folder, None, identity, "aging") as port:
                with running(context.peer, context.folder, Behind(port, True, authority), ["ecdsa"]) as ports:
                    results += ask.results(ports, ["calls_while_connections_age"])
        # Its own answer is a status of gRPC.
        (nobody,) = free_ports(1)
        with running(context.peer, context.folder, Behind(nobody, True, authority), ["ecdsa"]) as ports:
            return [*results, *ask.results(ports, ["backend_is_gone"])]

    return run


@contextlib.contextmanager
def by_grpcio(_, modules, identity):
    """grpcio's server; gives its port."""
    # It is there only if the suite is run.
    from grpc_interop.server import serving

    if identity:
        pem, key = identity
        identity = (key.read_bytes(), pem.read_bytes())
    with serving(modules[0], identity) as port:
        yield port


@contextlib.contextmanager
def by_tonic(folder, _, identity, how="server"):
    """tonic's server; gives its port."""
    flags = ["--identity", *map(str, identity)] if identity else []
    with Process([str(TONIC), how, *flags], None, folder) as process:
        yield process.line(PATIENCE)["port"]


class Grpcio:
    def __init__(self, _, modules, tls):
        self.modules, self.tls = modules, tls

    def names(self):
        from grpc_interop.cases import CASES

        return [name for name in CASES if name not in OTHERWISE]

    def results(self, ports, names):
        """Each case on a connection of its own."""
        from grpc_interop.cases import CASES, Client

        results = []
        for name in names:
            with self.channel(ports) as opened:
                results.append(self.result(name, CASES[name], Client(opened, *self.modules)))
        return results

    @contextlib.contextmanager
    def channel(self, ports):
        import grpc

        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.enable_http_proxy", 0),
        ]
        if self.tls:
            credentials = grpc.ssl_channel_credentials(ports.authority.read_bytes())
            options.append(("grpc.ssl_target_name_override", "localhost"))
            opened = grpc.secure_channel(f"127.0.0.1:{ports.tls}", credentials, options)
        else:
            opened = grpc.insecure_channel(f"127.0.0.1:{ports.h2c}", options)
        with opened:
            yield opened

    def result(self, name, case, client):
        from grpc import RpcError
        from grpc_interop.cases import Wrong

        try:
            case(client)
        except Wrong as wrong:
            return Result(name, str(wrong))
        except RpcError as error:
            return Result(name, f"the call failed: {error.code()} {error.details()!r}")
        return Result(name)


class Tonic:
    def __init__(self, folder, _, tls):
        self.folder, self.tls = folder / "client", tls
        self.folder.mkdir()

    def names(self):
        return [name for name in self.said("cases") if name not in OTHERWISE]

    def results(self, ports, names):
        """A line for each: its name, and why it failed."""
        if self.tls:
            where = [f"https://localhost:{ports.tls}", "--authority", str(ports.authority)]
        else:
            where = [f"http://localhost:{ports.h2c}"]
        said = self.said("client", *where, *names)
        why = dict(line.split("\t", 1) for line in said if "\t" in line)
        other = " ".join(line for line in said if "\t" not in line)
        return [Result(name, why.get(name, f"the client did not come to it: {other}")) for name in names]

    def said(self, *arguments):
        with Process([str(TONIC), *arguments], None, self.folder) as process:
            if not process.ends_within(PATIENCE):
                raise RuntimeError(f"the client by tonic did not end within {PATIENCE} s")
            return process.log.read_text(encoding="utf-8", errors="replace").splitlines()


def compiled(folder):
    """The modules of messages and stubs, made from the proto file."""
    from grpc_tools import protoc

    folder = folder / "python"
    folder.mkdir()
    flags = [f"--proto_path={HERE / 'grpc_interop'}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if protoc.main(["protoc", *flags, "test.proto"]) != 0:
        raise RuntimeError("grpc_tools could not compile grpc_interop/test.proto")
    with on_the_path(folder):
        for name in ("test_pb2", "test_pb2_grpc"):
            sys.modules.pop(name, None)
        # Registered once: a second import would define the same messages again.
        return importlib.import_module("test_pb2"), importlib.import_module("test_pb2_grpc")


@contextlib.contextmanager
def on_the_path(folder):
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


MODULES = {
    "grpc": "grpcio (PyPI: `pip install grpcio grpcio-tools`)",
    "grpc_tools": "grpcio-tools (PyPI: `pip install grpcio grpcio-tools`)",
}
COMMANDS = {str(TONIC): "tonic (`tests/suites/run --build`)"}
ABOUT = {"h2c": "h2c on both sides", "tls": "TLS on both sides", "tls-h2c": "TLS to h2c"}


def suite(client, server, way):
    pair = client if client == server else f"{client}-{server}"
    about = f"gRPC's interoperability cases, {client} to {server}, {ABOUT[way]}"
    modules = MODULES if "grpcio" in (client, server) else {}
    commands = COMMANDS if "tonic" in (client, server) else {}
    return Suite(f"grpc-{pair}-{way}", "grpc", about, over(client, server, WAYS[way]), modules, commands)


SUITES = [
    suite(client, server, way)
    for client in ("grpcio", "tonic")
    for server in ("grpcio", "tonic")
    for way in WAYS
    # The same code as in the other two, once more for one pair.
    if way != "tls-h2c" or client == server == "grpcio"
]
