"""The proxies of bench/living, each as a careful operator would set it up for backends that fail."""

import json

from envoy import Envoy, configuration
from peer import Setup
from peers import Haproxy, Nginx, nginx
from waypost import Waypost


class NginxThatRetries(Nginx):
    def command(self, setup: Setup):
        servers = "\n".join(f"server {backend} max_fails=3 fail_timeout=10s;" for backend in setup.backends)
        return nginx(setup.folder, setup.workers, f"""
            proxy_http_version 1.1;
            proxy_connect_timeout 1s;
            proxy_read_timeout 10s;
            proxy_next_upstream error timeout http_503;
            proxy_set_header Connection "";
            upstream pool {{ random; {servers} keepalive 64; }}
            server {{ listen 127.0.0.1:{setup.port}; location / {{ proxy_pass http://pool; }} }}""")


class HaproxyThatRetries(Haproxy):
    def command(self, setup: Setup):
        servers = "\n".join(
            f"    server s{at} {backend} check inter 1s observe layer7 error-limit 3 on-error mark-down"
            for at, backend in enumerate(setup.backends)
        )
        config = setup.folder / "haproxy.cfg"
        config.write_text(f"""
global
    nbthread {setup.workers}
defaults
    mode http
    timeout client 60s
    timeout server 10s
    timeout connect 1s
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response 503
    http-reuse always
frontend front
    bind 127.0.0.1:{setup.port} backlog 4096
    default_backend pool
backend pool
    balance leastconn
    http-request disable-l7-retry if METH_POST
{servers}
""")
        return ["haproxy", "-q", "-db", "-f", str(config)], {}


class EnvoyThatRetries(Envoy):
    def command(self, setup: Setup):
        cluster = {
            **self.cluster(setup),
            "lb_policy": "LEAST_REQUEST",
            "connect_timeout": "1s",
            "outlier_detection": {"consecutive_5xx": 5, "interval": "1s", "base_ejection_time": "10s"},
        }
        told = configuration(setup, cluster, [])
        told["static_resources"]["clusters"][0]["connect_timeout"] = "1s"
        manager = told["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        for host in manager["route_config"]["virtual_hosts"]:
            gets, posts = ({
                "match": {"prefix": "/", "headers": [{"name": ":method", "string_match": {"exact": "POST"}, "invert_match": inverted}]},
                "route": {
                    "cluster": "pool", "timeout": "10s",
                    "retry_policy": {
                        "retry_on": on, "num_retries": 3,
                        "retry_host_predicate": [{
                            "name": "envoy.retry_host_predicates.previous_hosts",
                            "typed_config": {
                                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                            },
                        }],
                    },
                },
            } for inverted, on in [(True, "connect-failure,reset,refused-stream,gateway-error"), (False, "connect-failure,refused-stream")])
            host["routes"] = [gets, posts]
        config = setup.folder / "envoy.json"
        config.write_text(json.dumps(told))
        command = ["envoy", "-c", str(config), "--concurrency", str(setup.workers), "--log-level", "error"]
        return [*command, "--use-dynamic-base-id", "--disable-hot-restart"], {}


class WaypostThatHedges(Waypost):
    """`pool`: more keys of the pool."""

    def __init__(self, name, told, policies, pool=""):
        super().__init__(name, told, policies)
        self.pool = pool

    def routes(self, setup):
        return super().routes(setup) + "\n" + self.pool + "\n[timeouts]\nconnect = \"1s\"\nresponse = \"10s\"\n"


PEERS = [
    WaypostThatHedges("waypost", "defaults, the `random` component", ["random"]),
    WaypostThatHedges("waypost-least-loaded", "defaults, the component `least-loaded`", ["least-loaded"]),
    WaypostThatHedges("waypost-hedge", "`random`, and `hedge = { after = \"p95\" }`", ["random"], 'hedge = { after = "p95" }'),
    NginxThatRetries(), HaproxyThatRetries(), EnvoyThatRetries(),
]
