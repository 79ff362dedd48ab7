"""The server of the cases, and a witness that says how their calls ended, which a client can't see."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
# The name of the case, by which the witness finds its call again.
CASE = "x-case"
# The longest that a call may take.
PATIENCE = 20


class Service:
    """`ended` has, for each case that a call named, the seconds of its deadline that were left at first."""

    def __init__(self, messages):
        self.messages = messages
        self.ended, self.changed = {}, threading.Condition()

    def began(self, context):
        """Echoes the metadata that cases ask for; gives what is set at the end of the call."""
        sent, left = dict(context.invocation_metadata()), context.time_remaining()
        if CASE in sent:
            context.add_callback(lambda: self.end(sent[CASE], left))
        if INITIAL in sent:
            context.send_initial_metadata([(INITIAL, sent[INITIAL])])
        if TRAILING in sent:
            context.set_trailing_metadata([(TRAILING, sent[TRAILING])])
        over = threading.Event()
        # False if it is over already.
        if not context.add_callback(over.set):
            over.set()
        return over

    def end(self, case, left):
        with self.changed:
            self.ended[case] = left
            self.changed.notify_all()

    def Ended(self, request, context):
        with self.changed:
            if not self.changed.wait_for(lambda: request.case in self.ended, PATIENCE):
                context.abort(grpc.StatusCode.NOT_FOUND, f"no call of {request.case} has ended")
            return self.messages.EndedResponse(left=self.ended[request.case])

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
        if request.response_compressed.value:
            context.set_compression(grpc.Compression.Gzip)
        return self.messages.SimpleResponse(payload=self.payload(request.response_size))

    def StreamingOutputCall(self, request, context):
        over = self.began(context)
        if any(parameters.compressed.value for parameters in request.response_parameters):
            context.set_compression(grpc.Compression.Gzip)
        for parameters, response in zip(request.response_parameters, self.outputs(request, over)):
            if not parameters.compressed.value:
                context.disable_next_message_compression()
            yield response

    def StreamingInputCall(self, requests, context):
        self.began(context)
        total = sum(len(request.payload.body) for request in requests)
        return self.messages.StreamingInputCallResponse(aggregated_payload_size=total)

    def FullDuplexCall(self, requests, context):
        over = self.began(context)
        for request in requests:
            self.status(request, context)
            yield from self.outputs(request, over)

    def outputs(self, request, over):
        for parameters in request.response_parameters:
            if over.wait(parameters.interval_us / 1e6):
                return
            yield self.messages.StreamingOutputCallResponse(payload=self.payload(parameters.size))


@contextlib.contextmanager
def serving(messages, identity=None):
    """A server on a free port, by prior knowledge or with a key and a certificate; gives the port."""
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
        witness = {"Ended": grpc.unary_unary_rpc_method_handler(
            service.Ended, messages.EndedRequest.FromString, messages.EndedResponse.SerializeToString
        )}
        server.add_generic_rpc_handlers([
            grpc.method_handlers_generic_handler("grpc.testing.TestService", handlers),
            grpc.method_handlers_generic_handler("grpc.testing.Witness", witness),
        ])
        if identity:
            port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([identity]))
        else:
            port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait()
