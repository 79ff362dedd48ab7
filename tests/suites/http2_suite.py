"""HTTP/2: the cases of h2spec, over h2c and over TLS."""

from concurrent.futures import ThreadPoolExecutor

from backend import backend
from http2 import CASES
from http2.connection import Target
from outcome import Result, Suite
from peers import Behind, running

# Cases wait for each other's backend at most; more at once would only make a busy machine late.
AT_ONCE = 4


def over(listener):
    def run(context):
        with backend() as port, running(context.peer, context.folder, Behind(port)) as ports:
            target = Target(getattr(ports, listener), listener == "tls", context.patience)
            with ThreadPoolExecutor(AT_ONCE) as pool:
                return list(pool.map(lambda case: result(case, target), CASES))

    return run


def result(case, target):
    failure = case.run(target)
    title = f"{case.title} ({case.section()})" if case.section() else case.title
    if failure is None:
        return Result(case.name, title=title)
    why, log = failure
    return Result(case.name, why, tuple(log), title)


SUITES = [
    Suite("http2-h2c", "http2", "h2spec's 147 cases, by prior knowledge", over("h2c")),
    Suite("http2-plain", "http2", "the same at a listener that speaks HTTP/1.1 as well", over("plain")),
    Suite("http2-tls", "http2", "the same over TLS with ALPN", over("tls")),
]
