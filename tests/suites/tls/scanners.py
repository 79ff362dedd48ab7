"""testssl.sh and sslyze: each of their checks is a case, and a finding is a failure."""

import json
import re
import subprocess

from outcome import Result

# Of one scanner.
PATIENCE = 400
# testssl.sh: protocols, categories of ciphers, forward secrecy, preference and defaults, known vulnerabilities.
SECTIONS = ["-p", "-s", "-f", "-P", "-S", "-U"]


def testssl(context, port, authority):
    found = context.folder / "testssl.json"
    command = [
        "testssl",
        "--quiet",
        "--color",
        "0",
        "--warnings",
        "off",
        "--nodns",
        "none",
        "--ip",
        "127.0.0.1",
        "--add-ca",
        str(authority),
        "--jsonfile",
        str(found),
        *SECTIONS,
        f"localhost:{port}",
    ]
    said = ran(command, context.folder)
    if not found.exists():
        raise RuntimeError(f"testssl.sh wrote nothing: {said[-500:]}")
    # What it says of itself and of the time that it took is no check.
    checks = [
        entry
        for entry in json.loads(found.read_text())
        if entry["id"] not in ("scanTime", "engine_problem", "scanProblem")
    ]
    if len(checks) < 50:
        raise RuntimeError(f"testssl.sh made {len(checks)} checks only: {said[-500:]}")
    return [
        Result(check["id"], "" if check["severity"] in ("OK", "INFO") else f"{check['severity']}: {check['finding']}")
        for check in checks
    ]


def sslyze(context, port, authority):
    found = context.folder / "sslyze.json"
    command = [
        "sslyze",
        f"--json_out={found}",
        "--mozilla_config=intermediate",
        f"--certinfo_ca_file={authority}",
        "--early_data",
        "--resum",
        f"localhost:{port}",
    ]
    said = ran(command, context.folder)
    if not found.exists():
        raise RuntimeError(f"sslyze wrote nothing: {said[-500:]}")
    scans = json.loads(found.read_text())["server_scan_results"][0]["scan_result"]
    if scans is None:
        raise RuntimeError(f"sslyze scanned nothing: {said[-500:]}")
    results = [Result(name, finding(name, scan)) for name, scan in scans.items() if scan["status"] != "NOT_SCHEDULED"]
    # The comparison with Mozilla's configuration is only in what it prints.
    compliance = said.partition("COMPLIANCE AGAINST")[2]
    if not compliance:
        raise RuntimeError(f"sslyze compared nothing with Mozilla's configuration: {said[-500:]}")
    issues = dict(re.findall(r"^\s+\* (\w+): (.*)$", compliance, re.MULTILINE))
    if not issues and "OK - Compliant" not in compliance:
        raise RuntimeError(f"the comparison with Mozilla's configuration was not understood: {compliance[-500:]}")
    mozilla = [Result(f"mozilla-{name}", why) for name, why in issues.items()]
    return [*results, *mozilla] if mozilla else [*results, Result("mozilla-intermediate")]


# By the key of sslyze's JSON: what its result must be.
WANTED = {
    "tls_compression": {"supports_compression": False},
    "tls_1_3_early_data": {"supports_early_data": False},
    "openssl_ccs_injection": {"is_vulnerable_to_ccs_injection": False},
    "tls_fallback_scsv": {"supports_fallback_scsv": True},
    "heartbleed": {"is_vulnerable_to_heartbleed": False},
    "session_renegotiation": {
        "supports_secure_renegotiation": True,
        "is_vulnerable_to_client_renegotiation_dos": False,
    },
    "session_resumption": {"tls_ticket_resumption_result": "FULLY_SUPPORTED"},
    "elliptic_curves": {"supports_ecdh_key_exchange": True},
    "tls_extended_master_secret": {"supports_ems_extension": True},
    "tls_1_2_cipher_suites": {"is_tls_version_supported": True},
    "tls_1_3_cipher_suites": {"is_tls_version_supported": True},
    **{
        f"{version}_cipher_suites": {"is_tls_version_supported": False}
        for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")
    },
}


def finding(name, scan):
    """Nothing, or what is not as it should be."""
    if scan["status"] != "COMPLETED":
        return f"the check did not complete: {scan['error_reason']} {scan['error_trace'] or ''}"
    result = scan["result"]
    if name == "robot" and not result["robot_result"].startswith("NOT_VULNERABLE"):
        return result["robot_result"]
    wrong = [f"{key} is {result[key]}" for key, value in WANTED.get(name, {}).items() if result[key] != value]
    return ", ".join(wrong)


def ran(command, folder):
    """What it printed. Its exit code only counts its findings."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{command[0]} did not end within {PATIENCE} s") from None
    return done.stdout + done.stderr
