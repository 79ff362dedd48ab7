"""The cases, by the names of gRPC's "Interoperability Test Case Descriptions", and some for what a proxy adds."""

import queue

import grpc

from .server import CASE, INITIAL, PATIENCE, TRAILING

REQUESTS, RESPONSES = (27_182, 8, 1_828, 45_904), (31_415, 9, 2_653, 58_979)
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"


class Wrong(Exception):
    """A call went otherwise than the case wants."""


class Client:
    """The stubs and the messages."""

    def __init__(self, channel, messages, services):
        self.messages = messages
        self.stub, self.unimplemented = services.TestServiceStub(channel), services.UnimplementedServiceStub(channel)
        self.witness = services.WitnessStub(channel)

    def payload(self, size):
        return self.messages.Payload(body=bytes(size))

    def outputs(self, *sizes, body=0, interval_us=0):
        parameters = [self.messages.ResponseParameters(size=size, interval_us=interval_us) for size in sizes]
        return self.messages.StreamingOutputCallRequest(response_parameters=parameters, payload=self.payload(body))

    def duplex(self, **more):
        """A bidirectional call: the call, and a queue of requests that None ends."""
        requests = queue.SimpleQueue()
        return self.stub.FullDuplexCall(
            iter(requests.get, None), timeout=more.pop("timeout", PATIENCE), **more
        ), requests

    def server_ended(self, case):
        """Waits until the call that named this case has ended at the server; gives the seconds of its deadline."""
        ended = self.witness.Ended(self.messages.EndedRequest(case=case), timeout=PATIENCE)
        return ended.left if ended.HasField("left") else None


def same(what, got, wanted):
    if got != wanted:
        raise Wrong(f"{what}: wanted {wanted!r}, came {got!r}")


def fails_with(call, code, details=None):
    """The call, a function, ends with that status."""
    try:
        answer = call()
    except grpc.RpcError as error:
        same("the status", error.code(), code)
        if details is not None:
            same("the message", error.details(), details)
        return error
    raise Wrong(f"wanted {code}, came an answer of {answer.ByteSize()} bytes")


def empty_unary(client):
    same("the answer", client.stub.EmptyCall(client.messages.Empty(), timeout=PATIENCE).ByteSize(), 0)


def large_unary(client):
    request = client.messages.SimpleRequest(response_size=314_159, payload=client.payload(271_828))
    same("the size", len(client.stub.UnaryCall(request, timeout=PATIENCE).payload.body), 314_159)


def client_compressed_unary(client):
    """Only for a server that sees whether a message is compressed."""

    def call(compressed, expected):
        request = client.messages.SimpleRequest(response_size=314_159, payload=client.payload(271_828))
        request.expect_compressed.value = expected
        compression = grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression
        return client.stub.UnaryCall(request, compression=compression, timeout=PATIENCE)

    fails_with(lambda: call(False, True), grpc.StatusCode.INVALID_ARGUMENT)
    same("the size", len(call(True, True).payload.body), 314_159)
    same("the size", len(call(False, False).payload.body), 314_159)


def compressed_unary(client):
    """`client_compressed_unary`, as far as any server goes."""
    request = client.messages.SimpleRequest(response_size=314_159, payload=client.payload(271_828))
    for compression in (grpc.Compression.Gzip, grpc.Compression.NoCompression):
        answer = client.stub.UnaryCall(request, compression=compression, timeout=PATIENCE)
        same("the size", len(answer.payload.body), 314_159)


def server_compressed_unary(client):
    """grpcio does not say whether a message was compressed."""
    for compressed in (True, False):
        request = client.messages.SimpleRequest(response_size=314_159, payload=client.payload(271_828))
        request.response_compressed.value = compressed
        same("the size", len(client.stub.UnaryCall(request, timeout=PATIENCE).payload.body), 314_159)


def client_streaming(client):
    requests = [client.messages.StreamingInputCallRequest(payload=client.payload(size)) for size in REQUESTS]
    same(
        "the sum",
        client.stub.StreamingInputCall(iter(requests), timeout=PATIENCE).aggregated_payload_size,
        sum(REQUESTS),
    )


def client_compressed_streaming(client):
    """Only for a server that sees whether a message is compressed. The description mixes compressed messages and
    others in one call, which grpcio can't send."""

    def call(compressed, expected, sizes):
        requests = [client.messages.StreamingInputCallRequest(payload=client.payload(size)) for size in sizes]
        for request in requests:
            request.expect_compressed.value = expected
        compression = grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression
        return client.stub.StreamingInputCall(iter(requests), compression=compression, timeout=PATIENCE)

    fails_with(lambda: call(False, True, [27_182]), grpc.StatusCode.INVALID_ARGUMENT)
    for compressed in (True, False):
        answer = call(compressed, compressed, [27_182, 45_904])
        same("the sum", answer.aggregated_payload_size, 27_182 + 45_904)


def server_streaming(client):
    answers = client.stub.StreamingOutputCall(client.outputs(*RESPONSES), timeout=PATIENCE)
    same("the sizes", [len(answer.payload.body) for answer in answers], list(RESPONSES))


def server_compressed_streaming(client):
    """grpcio does not say whether a message was compressed."""
    request = client.outputs(31_415, 92_653)
    for parameters, compressed in zip(request.response_parameters, (True, False)):
        parameters.compressed.value = compressed
    answers = client.stub.StreamingOutputCall(request, timeout=PATIENCE)
    same("the sizes", [len(answer.payload.body) for answer in answers], [31_415, 92_653])


def ping_pong(client):
    call, requests = client.duplex()
    for size, body in zip(RESPONSES, REQUESTS):
        requests.put(client.outputs(size, body=body))
        same("the size", len(next(call).payload.body), size)
    requests.put(None)
    same("after the last", next(call, None), None)
    same("the status", call.code(), grpc.StatusCode.OK)


def empty_stream(client):
    call, requests = client.duplex()
    requests.put(None)
    same("the answers", list(call), [])
    same("the status", call.code(), grpc.StatusCode.OK)


def cancel_after_begin(client):
    requests = queue.SimpleQueue()
    call = client.stub.StreamingInputCall.future(iter(requests.get, None), timeout=PATIENCE)
    call.cancel()
    same("the status", call.code(), grpc.StatusCode.CANCELLED)
    requests.put(None)


def cancel_after_first_response(client):
    call, requests = client.duplex(metadata=[(CASE, "cancel_after_first_response")])
    requests.put(client.outputs(RESPONSES[0], body=REQUESTS[0]))
    same("the size", len(next(call).payload.body), RESPONSES[0])
    call.cancel()
    fails_with(lambda: next(call), grpc.StatusCode.CANCELLED)
    requests.put(None)
    # Beyond the description: the cancellation has to come through the proxy.
    client.server_ended("cancel_after_first_response")


def timeout_on_sleeping_server(client):
    call, requests = client.duplex(timeout=0.001)
    requests.put(client.outputs(8, body=27_182, interval_us=50_000))
    fails_with(lambda: next(call), grpc.StatusCode.DEADLINE_EXCEEDED)
    requests.put(None)


def status_code_and_message(client):
    status = client.messages.EchoStatus(code=2, message="test status message")
    request = client.messages.SimpleRequest(response_status=status)
    fails_with(lambda: client.stub.UnaryCall(request, timeout=PATIENCE), grpc.StatusCode.UNKNOWN, status.message)
    call, requests = client.duplex()
    requests.put(client.messages.StreamingOutputCallRequest(response_status=status))
    requests.put(None)
    fails_with(lambda: next(call), grpc.StatusCode.UNKNOWN, status.message)


def special_status_message(client):
    request = client.messages.SimpleRequest(response_status=client.messages.EchoStatus(code=2, message=SPECIAL))
    fails_with(lambda: client.stub.UnaryCall(request, timeout=PATIENCE), grpc.StatusCode.UNKNOWN, SPECIAL)


def unimplemented_method(client):
    call = client.stub.UnimplementedCall
    fails_with(lambda: call(client.messages.Empty(), timeout=PATIENCE), grpc.StatusCode.UNIMPLEMENTED)


def unimplemented_service(client):
    call = client.unimplemented.UnimplementedCall
    fails_with(lambda: call(client.messages.Empty(), timeout=PATIENCE), grpc.StatusCode.UNIMPLEMENTED)


def custom_metadata(client):
    metadata = [(INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab")]

    def echoed(call):
        same("the initial metadata", dict(call.initial_metadata()).get(INITIAL), metadata[0][1])
        same("the trailing metadata", dict(call.trailing_metadata()).get(TRAILING), metadata[1][1])

    request = client.messages.SimpleRequest(response_size=314_159, payload=client.payload(271_828))
    answer, call = client.stub.UnaryCall.with_call(request, metadata=metadata, timeout=PATIENCE)
    same("the size", len(answer.payload.body), 314_159)
    echoed(call)
    call, requests = client.duplex(metadata=metadata)
    requests.put(client.outputs(314_159, body=271_828))
    same("the size", len(next(call).payload.body), 314_159)
    requests.put(None)
    same("after the last", next(call, None), None)
    echoed(call)


def deadline_reaches_the_server(client):
    client.stub.EmptyCall(client.messages.Empty(), timeout=15, metadata=[(CASE, "deadline")])
    left = client.server_ended("deadline")
    # grpcio rounds up to a tenth of a second.
    if left is None or not 5 < left < 16:
        raise Wrong(f"the server saw a deadline of {left} s, and the client's is 15 s")


def cancel_reaches_the_server(client):
    """The server stops a stream of a minute when its client goes."""
    request = client.outputs(*[8] * 600, interval_us=100_000)
    call = client.stub.StreamingOutputCall(request, timeout=60, metadata=[(CASE, "cancel")])
    next(call)
    call.cancel()
    client.server_ended("cancel")


def long_streams_at_once(client):
    """8 streams of 2 MiB each way share a connection."""
    calls = [client.duplex() for _ in range(8)]
    for at in range(32):
        for _, requests in calls:
            requests.put(client.outputs(65_536, body=65_536))
            if at == 31:
                requests.put(None)
    for call, _ in calls:
        same("the bytes", sum(len(answer.payload.body) for answer in call), 32 * 65_536)


def many_calls_in_sequence(client):
    for size in range(200):
        request = client.messages.SimpleRequest(response_size=size, payload=client.payload(size))
        same("the size", len(client.stub.UnaryCall(request, timeout=PATIENCE).payload.body), size)


def backend_is_gone(client):
    """Beyond the description, where nothing serves behind the proxy: its own answer is a status of gRPC."""
    fails_with(lambda: client.stub.EmptyCall(client.messages.Empty(), timeout=PATIENCE), grpc.StatusCode.UNAVAILABLE)


ALL = [
    empty_unary,
    large_unary,
    client_compressed_unary,
    compressed_unary,
    server_compressed_unary,
    client_streaming,
    client_compressed_streaming,
    server_streaming,
    server_compressed_streaming,
    ping_pong,
    empty_stream,
    cancel_after_begin,
    cancel_after_first_response,
    timeout_on_sleeping_server,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
    custom_metadata,
    deadline_reaches_the_server,
    cancel_reaches_the_server,
    long_streams_at_once,
    many_calls_in_sequence,
    backend_is_gone,
]
CASES = {case.__name__: case for case in ALL}
