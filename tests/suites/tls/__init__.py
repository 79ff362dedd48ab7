"""What scanners and fuzzers of TLS say of the proxy's listener."""
