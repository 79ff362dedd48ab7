"""h2spec's part "generic": what every server has to take."""

from .cases import (
    Case,
    a_frame,
    first_is_settings,
    ping_ack,
    ping_ack_or_end,
    request,
    response,
    settings_ack,
    stream_end,
    weighted,
)
from .frames import (
    DATA,
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    PADDED,
    PREFACE,
    WHOLE,
    block,
    continuation,
    data,
    frame,
    goaway,
    ping,
    priority,
    rst_stream,
    settings,
    table_size,
    window_update,
)

NO_WINDOW = settings((INITIAL_WINDOW_SIZE, 0))
OPEN = request(method="POST", flags=END_HEADERS)
ALL_SETTINGS = settings(
    (HEADER_TABLE_SIZE, 4096),
    (ENABLE_PUSH, 1),
    (MAX_CONCURRENT_STREAMS, 100),
    (INITIAL_WINDOW_SIZE, 65535),
    (MAX_FRAME_SIZE, 16384),
    (MAX_HEADER_LIST_SIZE, 100),
)


def continued(*cuts):
    """The field block of a GET, cut at some places into HEADERS and CONTINUATION frames."""

    def bytes_of(connection):
        whole = connection.request()
        ends = [*cuts, len(whole)]
        out, at = frame(HEADERS, END_STREAM, 1, whole[: ends[0]]), ends[0]
        for upto in ends[1:]:
            out += continuation(1, whole[at:upto], END_HEADERS if upto == len(whole) else 0)
            at = upto
        return out

    return bytes_of


def represented(name, title, representation):
    """A GET with one more field that is written in this way."""
    return Case(name, title, [request(after=bytes.fromhex(representation)), response()])


GENERIC = [
    Case(
        "generic/1/1",
        "a client connection preface",
        [PREFACE, settings((INITIAL_WINDOW_SIZE, DEFAULT_WINDOW)), first_is_settings],
        handshake=False,
    ),
    Case("generic/2/1", "PRIORITY on an idle stream", [priority(1), ping(), ping_ack()]),
    Case(
        "generic/2/2",
        "WINDOW_UPDATE on a half-closed (remote) stream",
        [NO_WINDOW, request(), window_update(1, 1), a_frame(DATA)],
    ),
    Case(
        "generic/2/3",
        "PRIORITY on a half-closed (remote) stream",
        [NO_WINDOW, request(), priority(1), window_update(1, 1), a_frame(DATA)],
    ),
    Case(
        "generic/2/4",
        "RST_STREAM on a half-closed (remote) stream",
        [request(), rst_stream(1), ping(), ping_ack_or_end()],
    ),
    Case("generic/2/5", "PRIORITY on a closed stream", [request(), stream_end, priority(1), ping(), ping_ack()]),
    Case("generic/3.1/1", "a DATA frame", [OPEN, data(1), response()]),
    Case("generic/3.1/2", "several DATA frames", [OPEN, data(1, flags=0), data(1), response()]),
    Case(
        "generic/3.1/3",
        "a DATA frame with padding",
        [OPEN, frame(DATA, END_STREAM | PADDED, 1, b"\x05test" + bytes(5)), response()],
    ),
    Case("generic/3.2/1", "a HEADERS frame", [request(), response()]),
    Case("generic/3.2/2", "a HEADERS frame with padding", [request(pad=8), response()]),
    Case("generic/3.2/3", "a HEADERS frame with priority", [request(weight=weighted()), response()]),
    Case("generic/3.3/1", "PRIORITY with weight 1", [priority(1, weight=0), request(), response()]),
    Case("generic/3.3/2", "PRIORITY with weight 256", [priority(1), request(), response()]),
    Case("generic/3.3/3", "PRIORITY with a dependency", [priority(3, depends_on=1, weight=0), request(), response()]),
    Case("generic/3.3/4", "PRIORITY, exclusive", [priority(1, exclusive=True, weight=0), request(), response()]),
    Case(
        "generic/3.3/5",
        "PRIORITY for an idle stream, then HEADERS for a lower one",
        [priority(3), request(), response()],
    ),
    Case("generic/3.4/1", "RST_STREAM", [request(flags=END_HEADERS), rst_stream(1), ping(), ping_ack_or_end()]),
    Case("generic/3.5/1", "SETTINGS", [ALL_SETTINGS, settings_ack]),
    Case("generic/3.7/1", "PING", [ping(b"suites\0\0"), ping_ack(b"suites\0\0")]),
    Case("generic/3.8/1", "GOAWAY", [goaway(text=b"suites"), ping(b"suites\0\0"), ping_ack_or_end(b"suites\0\0")]),
    Case("generic/3.9/1", "WINDOW_UPDATE of the connection", [window_update(0, 1), ping(), ping_ack()]),
    Case("generic/3.9/2", "WINDOW_UPDATE of a stream", [request(), window_update(1, 1), response()]),
    Case("generic/3.10/1", "a CONTINUATION frame", [continued(5), response()]),
    Case("generic/3.10/2", "several CONTINUATION frames", [continued(5, 10), response()]),
    Case("generic/4/1", "GET", [request(), response()]),
    Case("generic/4/2", "HEAD", [request(method="HEAD"), response()]),
    Case("generic/4/3", "POST", [OPEN, data(1), response()]),
    Case(
        "generic/4/4",
        "POST with trailers",
        [
            request(method="POST", flags=END_HEADERS, extra=[("trailer", "x-test")]),
            data(1, flags=0),
            frame(HEADERS, WHOLE, 1, block([("x-test", "ok")])),
            response(),
        ],
    ),
    represented("generic/5/1", "an indexed field (user-agent, empty)", "ba"),
    represented("generic/5/2", "incremental indexing, indexed name, Huffman", "7a 849c48aca4"),
    represented("generic/5/3", "incremental indexing, indexed name", "7a 06683273706563"),
    represented("generic/5/4", "incremental indexing, new name", "40 06782d74657374 06683273706563"),
    represented("generic/5/5", "incremental indexing, new name, Huffman", "40 85f2b24a84ff 849c48aca4"),
    represented("generic/5/6", "without indexing, indexed name", "0f2b 06683273706563"),
    represented("generic/5/7", "without indexing, indexed name, Huffman", "0f2b 849c48aca4"),
    represented("generic/5/8", "without indexing, new name", "00 06782d74657374 06683273706563"),
    represented("generic/5/9", "without indexing, new name, Huffman", "00 85f2b24a84ff 849c48aca4"),
    represented("generic/5/10", "never indexed, indexed name", "1f2b 06683273706563"),
    represented("generic/5/11", "never indexed, indexed name, Huffman", "1f2b 849c48aca4"),
    represented("generic/5/12", "never indexed, new name", "10 06782d74657374 06683273706563"),
    represented("generic/5/13", "never indexed, new name, Huffman", "10 85f2b24a84ff 849c48aca4"),
    Case("generic/5/14", "a dynamic table size update", [request(before=table_size(128)), response()]),
    Case(
        "generic/5/15",
        "several dynamic table size updates",
        [request(before=table_size(128) + table_size(4096)), response()],
    ),
]
