"""tlsfuzzer's scripts: each of their conversations is a case."""

import os
import re
import subprocess
import sys
from pathlib import Path

from outcome import Result, Unavailable

LAUNCH = Path(__file__).resolve().parent / "launch.py"
# Of one script.
PATIENCE = 240
# What the conversations of TLS 1.2 use: the proxy has no suites without forward secrecy, and none with CBC.
SUITE = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
TLS_1_2 = ["-C", SUITE]

# Those that apply to a server with an RSA certificate and without client certificates, external PSKs, FFDHE or
# renegotiation. `-n` bounds how many of its generated conversations a script picks by chance.
SCRIPTS = [
    # The record layer.
    ("tls13-record-layer-limits", []),
    ("tls13-record-padding", []),
    ("tls13-zero-content-type", []),
    ("tls13-zero-length-data", []),
    ("tls13-empty-alert", []),
    ("tls13-unencrypted-alert", []),
    ("tls13-finished-plaintext", []),
    ("zero-length-data", TLS_1_2),
    ("record-layer-fragmentation", TLS_1_2),
    ("invalid-content-type", TLS_1_2),
    ("fuzzed-ciphertext", [*TLS_1_2, "-n", "60"]),
    ("aes-gcm-nonces", TLS_1_2),
    # What a ClientHello may be.
    ("tls13-legacy-version", []),
    ("tls13-version-negotiation", ["-C", SUITE, "-n", "60"]),
    ("tls13-shuffled-extentions", []),
    ("tls13-large-number-of-extensions", []),
    ("tls13-invalid-ciphers", []),
    ("tls13-nociphers", []),
    ("tls13-keyshare-omitted", []),
    ("tls13-unrecognised-groups", []),
    ("tls13-no-unknown-groups", ["-n", "60"]),
    ("tls13-obsolete-curves", ["--relaxed", "-a", "handshake_failure"]),
    ("tls13-signature-algorithms", ["-n", "40"]),
    ("tls13-pkcs-signature", []),
    ("tls13-rsa-signatures", []),
    ("tls13-0rtt-garbage", []),
    ("client-hello-max-size", ["-d"]),
    ("large-hello", ["-d", "-n", "40"]),
    ("invalid-client-hello", []),
    ("invalid-client-hello-w-record-overflow", TLS_1_2),
    ("truncating-of-client-hello", TLS_1_2),
    ("invalid-compression-methods", TLS_1_2),
    ("invalid-server-name-extension", ["-d"]),
    ("large-number-of-extensions", ["-d"]),
    ("version-numbers", TLS_1_2),
    ("sslv2hello-protocol", ["-d"]),
    ("point-extension", TLS_1_2),
    ("no-mlkem-in-old-tls", TLS_1_2),
    ("fallback-scsv", ["-d", "--tls-1.3", "--min-support", "TLSv1.2"]),
    ("downgrade-protection", ["-d", "--server-max-protocol=TLSv1.3"]),
    ("x25519", ["--no-default-group"]),
    # The order of messages.
    ("tls13-conversation", []),
    ("tls13-ccs", []),
    ("tls13-multiple-ccs-messages", []),
    ("tls13-finished", ["-n", "20"]),
    ("tls13-hrr", []),
    ("tls13-ecdhe-curves", []),
    ("tls13-crfg-curves", []),
    ("tls13-mlkem", ["-n", "20", "--kems", "x25519mlkem768"]),
    ("tls13-symetric-ciphers", ["-n", "20"]),
    ("tls13-serverhello-random", ["--repeat", "5"]),
    ("conversation", TLS_1_2),
    ("ccs", TLS_1_2),
    ("early-application-data", TLS_1_2),
    ("interleaved-CKE-with-CCS", TLS_1_2),
    ("hello-request-by-client", TLS_1_2),
    ("message-skipping", ["-d"]),
    ("chacha20", ["--extra-exts"]),
    ("ecdhe-rsa-key-exchange-with-bad-messages", TLS_1_2),
    ("cve-2004-0079", TLS_1_2),
    ("cve-2016-6309", TLS_1_2),
    ("cve-2016-7054", ["-C", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"]),
    ("connection-abort", [*TLS_1_2, "-n", "20"]),
    ("tls13-connection-abort", ["-n", "20"]),
    # Renegotiation, heartbeats, and updates of keys.
    ("renegotiation-disabled", TLS_1_2),
    ("no-heartbeat", ["-d"]),
    ("tls13-keyupdate", ["-n", "30"]),
    ("tls13-keyupdate-from-server", []),
    # ALPN and tickets.
    ("alpn-negotiation", ["-d"]),
    ("session-ticket-resumption", ["-d"]),
    ("resumption-with-wrong-ciphers", ["-d"]),
    ("tls13-session-resumption", ["-d", "--tls1.2-cipher", SUITE]),
    # It offers no way to resume, so it gets no ticket.
    ("tls13-count-tickets", ["-t", "0"]),
    ("extended-master-secret-extension", ["-d"]),
]


def conversations(port):
    """The results of all scripts, one by one."""
    folder = checkout()
    for script, flags in SCRIPTS:
        yield from ran(folder, script, flags, port)


def checkout():
    target = Path(os.environ.get("CARGO_TARGET_DIR", Path(__file__).resolve().parents[3] / "target"))
    folder = Path(os.environ.get("TLSFUZZER", target / "suites" / "tlsfuzzer"))
    if not (folder / "scripts" / "test-conversation.py").is_file():
        raise Unavailable(
            "tlsfuzzer is in no registry: clone the GitHub repository tlsfuzzer/tlsfuzzer to target/suites/tlsfuzzer,"
            " or name a clone by TLSFUZZER"
        )
    return folder


def ran(folder, script, flags, port):
    command = [sys.executable, str(LAUNCH), f"scripts/test-{script}.py", "-h", "localhost", "-p", str(port), *flags]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return [Result(f"{script}: (all)", f"it did not end within {PATIENCE} s")]
    results = read(script, done.stdout)
    if not results:
        return counted(script, done.stdout + done.stderr)
    return results


def counted(script, said):
    """What a script that prints no conversations says at its end: how many passed, and the names of the others."""
    passed = re.search(r"^PASS: (\d+)$", said, re.MULTILINE)
    failed = [name for name in re.findall(r"^\t'(.+)'$", said.partition("FAILED:")[2], re.MULTILINE)]
    if passed is None or int(passed[1]) + len(failed) == 0:
        return [Result(f"{script}: (all)", "it had no conversation", tuple(said.splitlines()[-5:]))]
    results = [Result(f"{script}: (passed {at})") for at in range(int(passed[1]))]
    return [*results, *[Result(f"{script}: {name}", "it failed; run the script to see why") for name in failed]]


def read(script, said):
    """Each conversation prints `NAME ...`, then `OK` or what went wrong."""
    results, name, lines = [], None, []
    for line in [*said.splitlines(), "Test end"]:
        begins = re.fullmatch(r"(.+) \.\.\.", line)
        if begins or line == "Test end":
            if name is not None:
                results.append(judged(f"{script}: {name}", lines))
            if line == "Test end":
                return results
            name, lines = begins[1], []
        elif line.strip():
            lines.append(line)
    return results


def judged(case, lines):
    # `OK-expected failure` is one as well.
    if any(line.startswith("OK") for line in lines):
        return Result(case)
    errors = [line for line in lines if re.match(r"\w*(Error|Exception|Alert|timeout|Timeout)", line)]
    return Result(case, (errors or lines or ["it said nothing"])[-1][:300])
