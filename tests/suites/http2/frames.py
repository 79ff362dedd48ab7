"""Frames of HTTP/2 (RFC 9113 section 4) and field blocks (RFC 7541) as bytes, right or wrong as a case wants them."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
TYPES = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
]
# Flags. END_STREAM is ACK for SETTINGS and PING.
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20
WHOLE = END_STREAM | END_HEADERS

ERRORS = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
]
NO_ERROR, PROTOCOL_ERROR = 0, 1
FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 3, 5, 6, 7, 8, 9

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)
DEFAULT_WINDOW, DEFAULT_FRAME, DEFAULT_TABLE = 65_535, 16_384, 4_096


def frame(kind, flags, stream, payload=b"", length=None):
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def data(stream, payload=b"test", flags=END_STREAM):
    return frame(DATA, flags, stream, payload)


def settings(*pairs, flags=0):
    return frame(SETTINGS, flags, 0, b"".join(struct.pack(">HI", name, value) for name, value in pairs))


def ping(payload=bytes(8), flags=0, stream=0):
    return frame(PING, flags, stream, payload)


def priority(stream, depends_on=0, exclusive=False, weight=255):
    return frame(PRIORITY, 0, stream, priority_fields(depends_on, exclusive, weight))


def priority_fields(depends_on=0, exclusive=False, weight=255):
    return struct.pack(">IB", depends_on | (0x8000_0000 if exclusive else 0), weight)


def rst_stream(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def goaway(code=NO_ERROR, last_stream=0, text=b"", stream=0):
    return frame(GOAWAY, 0, stream, struct.pack(">II", last_stream, code) + text)


def continuation(stream, block, flags=END_HEADERS):
    return frame(CONTINUATION, flags, stream, block)


def integer(value, prefix, first=0):
    """RFC 7541 section 5.1: `first` has the bits before the prefix."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(0x80 | value & 0x7F)
        value >>= 7
    return bytes([*out, value])


def literal(name, value):
    """A literal field without indexing, a new name, no Huffman code (RFC 7541 section 6.2.2)."""
    name, value = name.encode(), value.encode()
    return b"\x00" + integer(len(name), 7) + name + integer(len(value), 7) + value


def block(fields):
    return b"".join(literal(name, value) for name, value in fields)


def table_size(value):
    return integer(value, 5, 0x20)


def named(names, number):
    return names[number] if number < len(names) else f"0x{number:x}"


def described(kind, flags, stream, payload, length=None):
    """A frame as a line of a report."""
    length = len(payload) if length is None else length
    about = ""
    if kind == RST_STREAM and len(payload) == 4:
        about = " " + named(ERRORS, struct.unpack(">I", payload)[0])
    elif kind == GOAWAY and len(payload) >= 8:
        last, code = struct.unpack(">II", payload[:8])
        about = f" {named(ERRORS, code)} last={last}" + (f" {payload[8:40]!r}" if payload[8:] else "")
    elif kind == HEADERS and stream and payload:
        about = f" :status={status(payload)}" if status(payload) else ""
    return f"{named(TYPES, kind)}(stream={stream} flags=0x{flags:x} length={length}){about}"


def status(payload):
    """The status of a response whose field block begins with it, as encoders write it."""
    static = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
    if payload[0] in static:
        return static[payload[0]]
    if payload[0] in (0x08, 0x48, 0x18) and payload[1:2] == b"\x03":
        return payload[2:5].decode("latin-1")
    return None
