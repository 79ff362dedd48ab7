"""WebSocket through the proxy: byte-exact both ways, and closed as it was closed."""

from outcome import Result, Suite
from peers import Behind, running


def packages(tls):
    def run(context):
        # It is there only if the suite is run.
        from websockets.exceptions import WebSocketException
        from ws.cases import CASES, Client, Wrong
        from ws.server import serving

        with serving() as (port, server), running(context.peer, context.folder, Behind(port)) as ports:
            client = Client(ports.tls if tls else ports.plain, tls, server)
            expected = (Wrong, OSError, TimeoutError, WebSocketException)
            return [result(case, client, expected) for case in CASES]

    return run


def raw(tls):
    def run(context):
        from ws.cases import Wrong
        from ws.raw import CASES, Raw, listening

        with listening() as listener:
            with running(context.peer, context.folder, Behind(listener.getsockname()[1])) as ports:
                client = Raw(ports.tls if tls else ports.plain, tls, listener)
                return [result(case, client, (Wrong, OSError, TimeoutError)) for case in CASES]

    return run


def chromium(tls):
    def run(context):
        from ws.chromium import PAGE, browser, results
        from ws.server import serving

        browser()
        with serving(PAGE.read_bytes()) as (port, server), running(context.peer, context.folder, Behind(port)) as ports:
            url = f"https://localhost:{ports.tls}/page" if tls else f"http://localhost:{ports.plain}/page"
            return results(context.folder, url, server)

    return run


def result(case, client, expected):
    try:
        case(client)
    except expected as failure:
        return Result(case.__name__, f"{type(failure).__name__}: {failure}")
    return Result(case.__name__)


MODULES = {"websockets": "websockets (PyPI: `pip install websockets`)"}
SUITES = [
    Suite("websocket", "websocket", "Python's websockets on both sides", packages(tls=False), MODULES),
    Suite("websocket-tls", "websocket", "Python's websockets on both sides, wss to ws", packages(tls=True), MODULES),
    Suite("websocket-raw", "websocket", "upgrades byte by byte", raw(tls=False), MODULES),
    Suite("websocket-raw-tls", "websocket", "upgrades byte by byte, over TLS", raw(tls=True), MODULES),
    Suite("websocket-chromium", "chromium", "Chromium without a window, ws", chromium(tls=False), MODULES),
    Suite(
        "websocket-chromium-tls",
        "chromium",
        "Chromium without a window, the page by h2 and wss",
        chromium(tls=True),
        MODULES,
    ),
]
