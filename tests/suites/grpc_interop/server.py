"""The server of the cases. It remembers how each call ended, which is what a client can't see."""

import contextlib
import queue
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
# The name of the case, by which its calls are found again.
CASE = "x-case"


class Service:
    """`ended` has, for each call, the case that it named and the seconds of its deadline that were left at first."""

    def __init__(self, messages):
        self.messages = messages
        self.ended = queue.SimpleQueue()

    def began(self, context):
        """Echoes the metadata that cases ask for."""
        sent, left = dict(context.invocation_metadata()), context.time_remaining()
        context.add_callback(lambda: self.ended.put((sent.get(CASE), left)))
        if INITIAL in sent:
            context.send_initial_metadata([(INITIAL, sent[INITIAL])])
        if TRAILING in sent:
            context.set_trailing_metadata([(TRAILING, sent[TRAILING])])

    def status(self, request, context):
        if request.HasField("response_status"):
            status = request.response_status
            codes = {code.value[0]: code for code in grpc.StatusCode}
            context.abort(codes[status.code], status.message)

    def payload(self, size):
        return self.messages.Payload(body=bytes(size))

    def EmptyCall(self, request, context):
        self.began(context)
        return self.messages.Empty()

    def UnaryCall(self, request, context):
        self.began(context)
        self.status(request, context)
        return self.messages.SimpleResponse(payload=self.payload(request.response_size))

    def StreamingOutputCall(self, request, context):
        self.began(context)
        yield from self.outputs(request)

    def StreamingInputCall(self, requests, context):
        self.began(context)
        total = sum(len(request.payload.body) for request in requests)
        return self.messages.StreamingInputCallResponse(aggregated_payload_size=total)

    def FullDuplexCall(self, requests, context):
        self.began(context)
        for request in requests:
            self.status(request, context)
            yield from self.outputs(request)

    def outputs(self, request):
        for parameters in request.response_parameters:
            time.sleep(parameters.interval_us / 1e6)
            yield self.messages.StreamingOutputCallResponse(payload=self.payload(parameters.size))


@contextlib.contextmanager
def serving(messages, services):
    """A server on a free port, by prior knowledge; gives the port and what it remembers."""
    service = Service(messages)
    with ThreadPoolExecutor(32) as pool:
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)])
        # A method that is not there is answered UNIMPLEMENTED by grpcio itself.
        methods = {
            "EmptyCall": (grpc.unary_unary_rpc_method_handler, messages.Empty, messages.Empty),
            "UnaryCall": (grpc.unary_unary_rpc_method_handler, messages.SimpleRequest, messages.SimpleResponse),
            "StreamingOutputCall": (
                grpc.unary_stream_rpc_method_handler,
                messages.StreamingOutputCallRequest,
                messages.StreamingOutputCallResponse,
            ),
            "StreamingInputCall": (
                grpc.stream_unary_rpc_method_handler,
                messages.StreamingInputCallRequest,
                messages.StreamingInputCallResponse,
            ),
            "FullDuplexCall": (
                grpc.stream_stream_rpc_method_handler,
                messages.StreamingOutputCallRequest,
                messages.StreamingOutputCallResponse,
            ),
        }
        handlers = {
            name: handler(getattr(service, name), asked.FromString, answered.SerializeToString)
            for name, (handler, asked, answered) in methods.items()
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.testing.TestService", handlers)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port, service
        finally:
            server.stop(0).wait()
