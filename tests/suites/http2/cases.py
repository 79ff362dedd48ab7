"""What a case is: bytes to send and things to wait for, in order.

A step is bytes, a function of the connection that gives bytes, or an expectation: a function of the connection that
waits and raises `Unexpected`. As in h2spec, a stream error may be escalated to a connection error with the same code
(RFC 9113 section 5.4.2), and closing the connection without a word counts as a connection error (section 5.4.1: GOAWAY
is a SHOULD).
"""

from dataclasses import dataclass, field

from .connection import CLOSED, NOTHING, Connection, Frame, Unexpected
from .frames import (
    ACK,
    DATA,
    END_STREAM,
    ERRORS,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    PADDED,
    PING,
    RST_STREAM,
    SETTINGS,
    TYPES,
    WHOLE,
    WITH_PRIORITY,
    frame,
    named,
    priority_fields,
)

# Sections of RFC 7540, by which h2spec names its cases, that are others in RFC 9113.
RFC_9113 = {
    "3.5": "3.4",
    "5.3.1": "5.3.1 (deprecated)",
    "8.1.2.1": "8.3",
    "8.1.2.2": "8.2.2",
    "8.1.2.3": "8.3.1",
    "8.1.2.6": "8.1.1",
    "8.1.2": "8.2",
    "8.2": "8.4",
}


@dataclass(frozen=True)
class Case:
    """`name` is h2spec's: part, section, number."""

    name: str
    title: str
    steps: list = field(hash=False)
    handshake: bool = True

    def section(self):
        part, section, _ = self.name.split("/")
        if part == "generic":
            return ""
        return f"RFC 7541 {section}" if part == "hpack" else f"RFC 9113 {RFC_9113.get(section, section)}"

    def run(self, target):
        """Nothing if all went as the case wants, else why not and what was sent and received."""
        connection = Connection(target)
        try:
            with connection:
                if self.handshake:
                    connection.handshake()
                    connection.log.clear()
                for step in self.steps:
                    step = step(connection) if callable(step) else step
                    if step is not None:
                        connection.send(step)
        except (Unexpected, OSError) as failure:
            return f"{failure}", connection.log
        return None


def request(stream=1, method="GET", extra=(), flags=WHOLE, only=None, before=b"", after=b"", pad=None, weight=None):
    """HEADERS with a request. `before` and `after` are put around its field block; `weight` is priority fields."""

    def bytes_of(connection):
        payload = before + connection.request(method, extra, only) + after
        more = 0
        if weight is not None:
            payload, more = weight + payload, more | WITH_PRIORITY
        if pad is not None:
            payload, more = bytes([pad]) + payload + bytes(pad), more | PADDED
        return frame(HEADERS, flags | more, stream, payload)

    return bytes_of


def weighted(depends_on=0, exclusive=False, weight=255):
    return priority_fields(depends_on, exclusive, weight)


def wait(connection, wanted, passes):
    """Reads until an event `passes`, and gives it."""
    last = NOTHING
    while True:
        event = connection.event()
        if passes(event):
            return event
        if event in (CLOSED, NOTHING):
            seen = last if event == NOTHING and last != NOTHING else event
            raise Unexpected(f"wanted {wanted}; the last that came: {seen}")
        last = event


def is_frame(event, kind, stream=None, flags=0):
    return (
        isinstance(event, Frame)
        and event.kind == kind
        and stream in (None, event.stream)
        and event.flags & flags == flags
    )


def connection_error(*codes):
    wanted = " or ".join(f"GOAWAY {named(ERRORS, code)}" for code in codes) + ", or the end of the connection"

    def waits(connection):
        wait(connection, wanted, lambda event: event == CLOSED or is_frame(event, GOAWAY) and event.code() in codes)

    return waits


def stream_error(*codes):
    wanted = (
        " or ".join(f"RST_STREAM or GOAWAY {named(ERRORS, code)}" for code in codes) + ", or the end of the connection"
    )

    def waits(connection):
        kinds = (GOAWAY, RST_STREAM)
        wait(
            connection,
            wanted,
            lambda event: event == CLOSED or isinstance(event, Frame) and event.kind in kinds and event.code() in codes,
        )

    return waits


def exactly(kind, code, stream=None):
    """That frame with that code; the end of the connection will not do."""

    def waits(connection):
        wanted = f"{TYPES[kind]} {named(ERRORS, code)}"
        wait(connection, wanted, lambda event: is_frame(event, kind, stream) and event.code() == code)

    return waits


def a_frame(kind, stream=None):
    """The next frame of that kind is one of that stream, if one is named."""
    wanted = TYPES[kind] + ("" if stream is None else f" of stream {stream}")

    def waits(connection):
        event = wait(connection, wanted, lambda event: is_frame(event, kind))
        if stream not in (None, event.stream):
            raise Unexpected(f"wanted {wanted}; came: {event}")

    return waits


def response(stream=1):
    return a_frame(HEADERS, stream)


def data_of(length):
    """The next DATA frame has that length: that is all that the window has room for."""

    def waits(connection):
        event = wait(connection, f"DATA of length {length}", lambda event: is_frame(event, DATA))
        if len(event.payload) != length:
            raise Unexpected(f"wanted DATA of length {length}; came: {event}")

    return waits


def settings_ack(connection):
    event = wait(connection, "SETTINGS with ACK", lambda event: is_frame(event, SETTINGS))
    if not event.flags & ACK:
        raise Unexpected(f"wanted SETTINGS with ACK; came: {event}")


def is_answer(event, payload):
    return is_frame(event, PING, 0, ACK) and event.payload == payload


def ping_ack(payload=bytes(8)):
    """The next PING is the answer to that one."""

    def waits(connection):
        event = wait(connection, f"PING with ACK and {payload!r}", lambda event: is_frame(event, PING))
        if not is_answer(event, payload):
            raise Unexpected(f"wanted PING with ACK and {payload!r}; came: {event} {event.payload!r}")

    return waits


def ping_ack_or_end(payload=bytes(8)):
    def waits(connection):
        wanted = f"PING with ACK and {payload!r}, or the end of the connection"
        wait(connection, wanted, lambda event: event == CLOSED or is_answer(event, payload))

    return waits


def stream_end(connection):
    """The whole response, after which the stream is closed."""
    wait(
        connection,
        "the end of the stream",
        lambda event: (
            is_frame(event, DATA, flags=END_STREAM)
            or is_frame(event, HEADERS, flags=END_STREAM)
            or is_frame(event, RST_STREAM)
            and event.code() == NO_ERROR
        ),
    )


def end(connection):
    wait(connection, "the end of the connection", lambda event: event == CLOSED)


def first_is_settings(connection):
    event = connection.event()
    if not is_frame(event, SETTINGS) or event.flags & ACK:
        raise Unexpected(f"wanted SETTINGS without ACK as the first frame; came: {event}")
