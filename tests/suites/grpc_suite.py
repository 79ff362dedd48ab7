"""gRPC's interoperability cases through the proxy, by Python's grpcio on both sides."""

import contextlib
import importlib
import os
import sys
from pathlib import Path

from outcome import Result, Suite
from peers import Behind, running

HERE = Path(__file__).resolve().parent
# The peers are started while calls run, and that is no news.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def over(tls):
    def run(context):
        messages, services = compiled(context.folder)
        # grpcio is there only if the suite is run.
        from grpc_interop.cases import CASES, Client
        from grpc_interop.server import serving

        with serving(messages, services) as (port, service):
            with running(context.peer, context.folder, Behind(port, h2c=True)) as ports:
                results = []
                for case in CASES:
                    with channel(context, ports, port, tls) as opened:
                        results.append(result(case, Client(opened, messages, services, service)))
        return [*results, gone(context, messages, services, tls)]

    return run


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


@contextlib.contextmanager
def channel(context, ports, behind, tls):
    """A connection of its own."""
    import grpc

    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_http_proxy", 0),
    ]
    if tls:
        authority = (context.folder / f"{context.peer.name}-{behind}" / "ca.pem").read_bytes()
        credentials = grpc.ssl_channel_credentials(authority)
        options.append(("grpc.ssl_target_name_override", "localhost"))
        opened = grpc.secure_channel(f"127.0.0.1:{ports.tls}", credentials, options)
    else:
        opened = grpc.insecure_channel(f"127.0.0.1:{ports.h2c}", options)
    with opened:
        yield opened


def result(case, client):
    from grpc import RpcError
    from grpc_interop.cases import Wrong

    try:
        case(client)
    except Wrong as wrong:
        return Result(case.__name__, str(wrong))
    except RpcError as error:
        return Result(case.__name__, f"the call failed: {error.code()} {error.details()!r}")
    return Result(case.__name__)


def gone(context, messages, services, tls):
    """A backend that is not there: the proxy's own answer is a status of gRPC."""
    import grpc
    from grpc_interop.cases import PATIENCE, Client, fails_with
    from processes import free_ports

    (nobody,) = free_ports(1)

    def backend_is_gone(client):
        fails_with(
            lambda: client.stub.EmptyCall(client.messages.Empty(), timeout=PATIENCE), grpc.StatusCode.UNAVAILABLE
        )

    with running(context.peer, context.folder, Behind(nobody, h2c=True)) as ports:
        with channel(context, ports, nobody, tls) as opened:
            return result(backend_is_gone, Client(opened, messages, services, None))


MODULES = {
    "grpc": "grpcio (PyPI: `pip install grpcio grpcio-tools`)",
    "grpc_tools": "grpcio-tools (PyPI: `pip install grpcio grpcio-tools`)",
}
SUITES = [
    Suite("grpc-h2c", "grpc", "gRPC's interoperability cases with grpcio, h2c to h2c", over(tls=False), MODULES),
    Suite("grpc-tls", "grpc", "gRPC's interoperability cases with grpcio, TLS to h2c", over(tls=True), MODULES),
]
