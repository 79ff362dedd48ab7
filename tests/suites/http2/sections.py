"""h2spec's part "http2": section by section of the RFC, mostly what must be refused and how."""

from .cases import (
    Case,
    a_frame,
    connection_error,
    data_of,
    end,
    exactly,
    first_is_settings,
    ping_ack,
    ping_ack_or_end,
    request,
    response,
    settings_ack,
    stream_end,
    stream_error,
    weighted,
)
from .connection import Unexpected
from .frames import (
    ACK,
    COMPRESSION_ERROR,
    DATA,
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WHOLE,
    WINDOW_UPDATE,
    block,
    continuation,
    data,
    frame,
    goaway,
    literal,
    ping,
    priority,
    rst_stream,
    settings,
    window_update,
)

GET = request()
# A POST whose body is to follow, and a request whose fields are.
POST = request(method="POST", flags=END_HEADERS)
OPEN = request(flags=END_HEADERS)
UNFINISHED = request(flags=0)
UNFINISHED_WHOLE = request(flags=END_STREAM)
FILLER = block([("x-dummy0", "x" * 4000)])
UNKNOWN_FRAME = frame(0x16, 0, 0, bytes(8))
MOST = 2**31 - 1

broken = connection_error(PROTOCOL_ERROR)
malformed = stream_error(PROTOCOL_ERROR)
too_late = stream_error(STREAM_CLOSED)


def window(size):
    return settings((INITIAL_WINDOW_SIZE, size))


def largest_data(more):
    return lambda connection: data(1, b"x" * (connection.max_frame() + more))


def too_large_head(connection):
    return request(after=literal("x-dummy0", "x" * connection.max_frame()))(connection)


def more_streams_than_allowed(connection):
    if MAX_CONCURRENT_STREAMS not in connection.settings:
        raise Unexpected("the server allows any number of streams at once")
    most = connection.settings[MAX_CONCURRENT_STREAMS]
    return b"".join(request(1 + 2 * at)(connection) for at in range(most + 1))


def pad_beyond_the_head(connection):
    fields = connection.request()
    return frame(HEADERS, WHOLE | PADDED, 1, bytes([len(fields) + 1]) + fields)


def promise(connection):
    return frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\3" + connection.request())


def refused_fields(name, title, *extra, method="GET"):
    return Case(name, title, [request(method=method, extra=extra), malformed])


def lacking(name, title, *only):
    return Case(name, title, [request(only=only), malformed])


STARTING = [
    Case(
        "http2/3.5/1",
        "a client connection preface",
        [PREFACE, window(DEFAULT_WINDOW), first_is_settings],
        handshake=False,
    ),
    Case(
        "http2/3.5/2", "an invalid connection preface", [b"INVALID CONNECTION PREFACE\r\n\r\n", broken], handshake=False
    ),
]
FRAMES = [
    Case("http2/4.1/1", "a frame of an unknown type", [UNKNOWN_FRAME, ping(), ping_ack()]),
    Case("http2/4.1/2", "a frame with an undefined flag", [ping(flags=0x16), a_frame(PING)]),
    Case("http2/4.1/3", "a frame with the reserved bit", [ping(flags=0x16, stream=0x8000_0000), a_frame(PING)]),
    Case("http2/4.2/1", "DATA of 2^14 octets", [POST, largest_data(0), response()]),
    Case(
        "http2/4.2/2",
        "DATA that exceeds SETTINGS_MAX_FRAME_SIZE",
        [POST, largest_data(1), stream_error(FRAME_SIZE_ERROR)],
    ),
    Case(
        "http2/4.2/3",
        "HEADERS that exceed SETTINGS_MAX_FRAME_SIZE",
        [too_large_head, connection_error(FRAME_SIZE_ERROR)],
    ),
    Case(
        "http2/4.3/1",
        "an invalid field block",
        [frame(HEADERS, WHOLE, 1, b"\x40"), connection_error(COMPRESSION_ERROR)],
    ),
    Case("http2/4.3/2", "PRIORITY within a field block", [UNFINISHED, priority(1), continuation(1, FILLER), broken]),
    Case(
        "http2/4.3/3",
        "HEADERS of another stream within a field block",
        [UNFINISHED, request(3), continuation(1, FILLER), broken],
    ),
]
STATES = [
    Case("http2/5.1/1", "idle: DATA", [data(1), stream_error(PROTOCOL_ERROR, STREAM_CLOSED)]),
    Case("http2/5.1/2", "idle: RST_STREAM", [rst_stream(1), broken]),
    Case("http2/5.1/3", "idle: WINDOW_UPDATE", [window_update(1, 100), broken]),
    Case("http2/5.1/4", "idle: CONTINUATION", [lambda connection: continuation(1, connection.request()), broken]),
    Case("http2/5.1/5", "half-closed (remote): DATA", [GET, data(1), too_late]),
    Case("http2/5.1/6", "half-closed (remote): HEADERS", [GET, GET, too_late]),
    Case(
        "http2/5.1/7",
        "half-closed (remote): CONTINUATION",
        [GET, lambda connection: continuation(1, connection.request()), stream_error(STREAM_CLOSED, PROTOCOL_ERROR)],
    ),
    Case("http2/5.1/8", "closed by RST_STREAM: DATA", [OPEN, rst_stream(1), data(1), too_late]),
    Case("http2/5.1/9", "closed by RST_STREAM: HEADERS", [OPEN, rst_stream(1), GET, too_late]),
    Case(
        "http2/5.1/10",
        "closed by RST_STREAM: CONTINUATION",
        [OPEN, rst_stream(1), continuation(1, FILLER), stream_error(STREAM_CLOSED, PROTOCOL_ERROR)],
    ),
    Case("http2/5.1/11", "closed: DATA", [GET, stream_end, data(1), too_late]),
    Case("http2/5.1/12", "closed: HEADERS", [GET, stream_end, GET, connection_error(STREAM_CLOSED)]),
    Case(
        "http2/5.1/13",
        "closed: CONTINUATION",
        [GET, stream_end, continuation(1, FILLER), connection_error(STREAM_CLOSED, PROTOCOL_ERROR)],
    ),
    Case("http2/5.1.1/1", "an even stream number", [request(2), broken]),
    Case("http2/5.1.1/2", "a stream number below the one before", [request(5), request(3), broken]),
    Case(
        "http2/5.1.2/1",
        "more streams than SETTINGS_MAX_CONCURRENT_STREAMS",
        [window(0), more_streams_than_allowed, stream_error(PROTOCOL_ERROR, REFUSED_STREAM)],
    ),
    Case("http2/5.3.1/1", "HEADERS that depend on themselves", [request(weight=weighted(1)), malformed]),
    Case("http2/5.3.1/2", "PRIORITY that depends on itself", [priority(1, depends_on=1), malformed]),
    Case("http2/5.4.1/1", "an invalid PING: the connection ends", [ping(stream=3), end]),
    Case("http2/5.4.1/2", "an invalid PING: GOAWAY comes first", [ping(stream=3), a_frame(GOAWAY)]),
    Case("http2/5.5/1", "an unknown extension frame", [UNKNOWN_FRAME, ping(), ping_ack()]),
    Case("http2/5.5/2", "an unknown extension frame within a field block", [UNFINISHED_WHOLE, UNKNOWN_FRAME, broken]),
]
DEFINITIONS = [
    Case("http2/6.1/1", "DATA on stream 0", [data(0), broken]),
    Case(
        "http2/6.1/2",
        "DATA on a stream that is not open or half-closed (local)",
        [request(method="POST"), data(1), too_late],
    ),
    Case(
        "http2/6.1/3",
        "DATA with an invalid pad length",
        [
            request(method="POST", flags=END_HEADERS, extra=[("content-length", "4")]),
            frame(DATA, END_STREAM | PADDED, 1, b"\x06test"),
            broken,
        ],
    ),
    Case(
        "http2/6.2/1",
        "HEADERS without END_HEADERS, then PRIORITY",
        [UNFINISHED, priority(1), continuation(1, FILLER), broken],
    ),
    Case(
        "http2/6.2/2",
        "HEADERS without END_HEADERS, then HEADERS of another stream",
        [UNFINISHED, request(3), continuation(1, FILLER), broken],
    ),
    Case("http2/6.2/3", "HEADERS on stream 0", [request(0), broken]),
    Case("http2/6.2/4", "HEADERS with an invalid pad length", [pad_beyond_the_head, malformed]),
    Case("http2/6.3/1", "PRIORITY on stream 0", [priority(0), broken]),
    Case(
        "http2/6.3/2",
        "PRIORITY of a length other than 5",
        [GET, frame(PRIORITY, 0, 1, b"\x80\0\0\1"), stream_error(FRAME_SIZE_ERROR)],
    ),
    Case("http2/6.4/1", "RST_STREAM on stream 0", [rst_stream(0), broken]),
    Case("http2/6.4/2", "RST_STREAM on an idle stream", [rst_stream(1), broken]),
    Case(
        "http2/6.4/3",
        "RST_STREAM of a length other than 4",
        [GET, frame(RST_STREAM, 0, 1, bytes(3)), stream_error(FRAME_SIZE_ERROR)],
    ),
    Case(
        "http2/6.5/1",
        "SETTINGS with ACK and a payload",
        [frame(SETTINGS, ACK, 0, b"\0"), connection_error(FRAME_SIZE_ERROR)],
    ),
    Case("http2/6.5/2", "SETTINGS on a stream", [frame(SETTINGS, 0, 1, b"\0\3\0\0\0\x64"), broken]),
    Case(
        "http2/6.5/3",
        "SETTINGS of a length that is no multiple of 6",
        [frame(SETTINGS, 0, 0, b"\0\3\0"), stream_error(PROTOCOL_ERROR, FRAME_SIZE_ERROR)],
    ),
    Case("http2/6.5.2/1", "SETTINGS_ENABLE_PUSH of 2", [settings((ENABLE_PUSH, 2)), broken]),
    Case(
        "http2/6.5.2/2",
        "SETTINGS_INITIAL_WINDOW_SIZE above the largest window",
        [window(MOST + 1), connection_error(FLOW_CONTROL_ERROR)],
    ),
    Case(
        "http2/6.5.2/3", "SETTINGS_MAX_FRAME_SIZE below the initial value", [settings((MAX_FRAME_SIZE, 16_383)), broken]
    ),
    Case("http2/6.5.2/4", "SETTINGS_MAX_FRAME_SIZE above the largest", [settings((MAX_FRAME_SIZE, 2**24)), broken]),
    Case("http2/6.5.2/5", "SETTINGS with an unknown identifier", [settings((0xFF, 1)), ping(), ping_ack()]),
    Case(
        "http2/6.5.3/1",
        "SETTINGS_INITIAL_WINDOW_SIZE twice in a frame: the later counts",
        [settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)), settings_ack, GET, data_of(1)],
    ),
    Case("http2/6.5.3/2", "SETTINGS are acknowledged", [settings((ENABLE_PUSH, 0)), settings_ack]),
    Case("http2/6.7/1", "PING", [ping(b"suites\0\0"), ping_ack(b"suites\0\0")]),
    Case(
        "http2/6.7/2",
        "PING with ACK is not answered",
        [ping(b"unwanted", ACK), ping(b"suites\0\0"), ping_ack(b"suites\0\0")],
    ),
    Case("http2/6.7/3", "PING on a stream", [ping(stream=1), broken]),
    Case("http2/6.7/4", "PING of a length other than 8", [ping(bytes(6)), connection_error(FRAME_SIZE_ERROR)]),
    Case("http2/6.8/1", "GOAWAY on a stream", [goaway(stream=1), broken]),
    Case("http2/6.9/1", "WINDOW_UPDATE by 0", [window_update(0, 0), broken]),
    Case("http2/6.9/2", "WINDOW_UPDATE by 0 on a stream", [OPEN, window_update(1, 0), malformed]),
    Case(
        "http2/6.9/3",
        "WINDOW_UPDATE of a length other than 4",
        [frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), connection_error(FRAME_SIZE_ERROR)],
    ),
    Case("http2/6.9.1/1", "a window of 1", [window(1), settings_ack, GET, data_of(1)]),
    Case(
        "http2/6.9.1/2",
        "a window of the connection above 2^31-1",
        [window_update(0, MOST), window_update(0, MOST), exactly(GOAWAY, FLOW_CONTROL_ERROR)],
    ),
    Case(
        "http2/6.9.1/3",
        "a window of a stream above 2^31-1",
        [OPEN, window_update(1, MOST), window_update(1, MOST), exactly(RST_STREAM, FLOW_CONTROL_ERROR, 1)],
    ),
    Case(
        "http2/6.9.2/1",
        "SETTINGS_INITIAL_WINDOW_SIZE changes after HEADERS",
        [window(0), settings_ack, GET, window(1), data_of(1)],
    ),
    Case(
        "http2/6.9.2/2",
        "a window that becomes negative",
        [window(3), settings_ack, GET, a_frame(DATA), window(2), settings_ack, window_update(1, 2), data_of(1)],
    ),
    Case(
        "http2/6.9.2/3",
        "SETTINGS_INITIAL_WINDOW_SIZE above the largest",
        [window(MOST + 1), connection_error(FLOW_CONTROL_ERROR)],
    ),
    Case(
        "http2/6.10/1",
        "several CONTINUATION frames",
        [UNFINISHED_WHOLE, continuation(1, FILLER, 0), continuation(1, FILLER), response()],
    ),
    Case(
        "http2/6.10/2",
        "CONTINUATION without END_HEADERS, then DATA",
        [request(method="POST", flags=0), continuation(1, FILLER, 0), data(1), broken],
    ),
    Case("http2/6.10/3", "CONTINUATION on stream 0", [UNFINISHED_WHOLE, continuation(0, FILLER), broken]),
    Case("http2/6.10/4", "CONTINUATION after HEADERS with END_HEADERS", [GET, continuation(1, FILLER), broken]),
    Case(
        "http2/6.10/5",
        "CONTINUATION after CONTINUATION with END_HEADERS",
        [UNFINISHED_WHOLE, continuation(1, FILLER), continuation(1, FILLER), broken],
    ),
    Case(
        "http2/6.10/6",
        "CONTINUATION after DATA",
        [request(method="POST", flags=0), data(1), continuation(1, FILLER, 0), continuation(0, FILLER), broken],
    ),
    Case(
        "http2/7/1",
        "GOAWAY with an unknown error code",
        [goaway(0xFF), ping(b"suites\0\0"), ping_ack_or_end(b"suites\0\0")],
    ),
    Case("http2/7/2", "RST_STREAM with an unknown error code", [POST, rst_stream(1, 0xFF), ping(), ping_ack_or_end()]),
]
MESSAGES = [
    Case(
        "http2/8.1/1",
        "a second HEADERS without END_STREAM",
        [POST, data(1, flags=0), frame(HEADERS, END_HEADERS, 1, block([("x-test", "ok")])), malformed],
    ),
    refused_fields("http2/8.1.2/1", "a field name in capitals", ("X-TEST", "ok")),
    refused_fields("http2/8.1.2.1/1", "an unknown pseudo-field", (":test", "ok")),
    refused_fields("http2/8.1.2.1/2", "a pseudo-field of responses", (":status", "200")),
    Case(
        "http2/8.1.2.1/3",
        "a pseudo-field among the trailers",
        [
            POST,
            data(1, flags=0),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, block([(":method", "POST")])),
            malformed,
        ],
    ),
    Case("http2/8.1.2.1/4", "a pseudo-field after a field", [request(before=literal("x-test", "ok")), malformed]),
    refused_fields("http2/8.1.2.2/1", "a field of the connection", ("connection", "keep-alive")),
    refused_fields("http2/8.1.2.2/2", "TE other than trailers", ("trailers", "test"), ("te", "trailers, deflate")),
    Case(
        "http2/8.1.2.3/1",
        "an empty :path",
        [request(only=(":method", ":scheme", ":authority"), before=literal(":path", "")), malformed],
    ),
    lacking("http2/8.1.2.3/2", "no :method", ":scheme", ":path", ":authority"),
    lacking("http2/8.1.2.3/3", "no :scheme", ":method", ":path", ":authority"),
    lacking("http2/8.1.2.3/4", "no :path", ":method", ":scheme", ":authority"),
    refused_fields("http2/8.1.2.3/5", ":method twice", (":method", "GET")),
    Case("http2/8.1.2.3/6", ":scheme twice", [lambda c: request(extra=[c.target.fields()[1]])(c), malformed]),
    refused_fields("http2/8.1.2.3/7", ":path twice", (":path", "/")),
    Case(
        "http2/8.1.2.6/1",
        "a content-length that is not the length of DATA",
        [request(method="POST", flags=END_HEADERS, extra=[("content-length", "1")]), data(1), malformed],
    ),
    Case(
        "http2/8.1.2.6/2",
        "a content-length that is not the length of several DATA",
        [
            request(method="POST", flags=END_HEADERS, extra=[("content-length", "1")]),
            data(1, flags=0),
            data(1),
            malformed,
        ],
    ),
    Case("http2/8.2/1", "PUSH_PROMISE", [promise, broken]),
]
SECTIONS = [*STARTING, *FRAMES, *STATES, *DEFINITIONS, *MESSAGES]
