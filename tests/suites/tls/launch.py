"""Runs a script of tlsfuzzer. Where it names a suite with CBC, and any with ECDHE would do, it gets one in use."""

import runpy
import sys
from pathlib import Path

from tlslite.constants import CipherSuite

CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA = CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA = CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
CipherSuite.TLS_DHE_RSA_WITH_AES_128_CBC_SHA = CipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    # What the script itself would put there.
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
