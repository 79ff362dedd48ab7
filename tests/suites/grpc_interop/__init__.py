"""gRPC's interoperability cases, with Python's grpcio as client and as server."""
