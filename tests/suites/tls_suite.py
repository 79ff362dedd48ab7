"""TLS: what scanners find, and what tlsfuzzer's conversations see."""

from backend import backend
from outcome import Suite
from peers import Behind, running
from tls import fuzzer, scanners


def scanned(scanner):
    def run(context):
        with backend() as port, running(context.peer, context.folder, Behind(port)) as ports:
            return scanner(context, ports.tls, ports.authority)

    return run


def fuzzed(context):
    fuzzer.checkout()
    with backend() as port, running(context.peer, context.folder, Behind(port), ["rsa"]) as ports:
        yield from fuzzer.conversations(ports.tls)


TESTSSL = {
    "testssl": "testssl.sh (Debian: `apt install testssl.sh`)",
    "dig": "dig (Debian: `apt install dnsutils`)",
    "hexdump": "hexdump (Debian: `apt install bsdextrautils`)",
}
SUITES = [
    Suite("tls-testssl", "testssl", "testssl.sh's findings", scanned(scanners.testssl), commands=TESTSSL),
    Suite(
        "tls-sslyze",
        "sslyze",
        "sslyze's findings, with Mozilla's intermediate configuration",
        scanned(scanners.sslyze),
        commands={"sslyze": "sslyze (PyPI: `pip install sslyze`)"},
    ),
    Suite(
        "tls-tlsfuzzer",
        "tlsfuzzer",
        "tlsfuzzer's conversations",
        fuzzed,
        {"tlslite": "tlslite-ng 0.9 (PyPI: `pip install --pre tlslite-ng`)"},
    ),
]
