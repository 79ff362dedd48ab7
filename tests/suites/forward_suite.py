"""What people point at a forward proxy: curl, wget, Python's requests and Chromium, to servers of the suite's own."""

from outcome import Result, Suite, Unavailable


def suite(client):
    def run(context):
        # It is there only if the suite is run.
        from forward.cases import CASES
        from forward.servers import world
        from ws.chromium import browser

        if context.peer is None or context.peer.name != "waypost":
            raise Unavailable("it is waypost's configuration that says where clients may go")
        if client == "chromium":
            browser()
        with world(context.peer, context.folder) as made:
            return [result(name, case, made) for name, case in CASES[client]]

    return run


def result(name, case, made):
    try:
        case(made)
    except Exception as failure:  # noqa: BLE001 - a client may fail in any way, and the other cases are run
        return Result(name, f"{type(failure).__name__}: {failure}")
    return Result(name)


OPENSSL = {"openssl": "openssl (Debian: `apt install openssl`)"}
REQUESTS = {"requests": "requests (PyPI: `pip install requests`)"}
WEBSOCKETS = {"websockets": "websockets (PyPI: `pip install websockets`)"}
ABOUT = "through a forward proxy, with and without TLS to it, a password, and leave"
SUITES = [
    Suite(
        "forward-curl", "forward", f"curl {ABOUT}", suite("curl"), {}, {**OPENSSL, "curl": "curl (`apt install curl`)"}
    ),
    Suite(
        "forward-wget", "forward", f"wget {ABOUT}", suite("wget"), {}, {**OPENSSL, "wget": "wget (`apt install wget`)"}
    ),
    Suite("forward-requests", "forward", f"Python's requests {ABOUT}", suite("requests"), REQUESTS, OPENSSL),
    Suite("forward-chromium", "forward", f"Chromium {ABOUT}", suite("chromium"), WEBSOCKETS, OPENSSL),
]
