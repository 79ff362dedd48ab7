//! Keys that are nginx's, Caddy's or HAProxy's, and what stands in their place.

use super::misplaced;

/// The words of others, with `_` between their parts, and what is written here.
const WORDS: &[(&[&str], &str)] = &[
    // Servers and listeners.
    (
        &[
            "server",
            "servers",
            "frontend",
            "frontends",
            "virtual_hosts",
            "route_config",
            "filter_chains",
        ],
        "write `[[listeners]]` for where clients connect, and `[[routes]]` with `host` for names",
    ),
    (
        &["server_name", "server_names"],
        "write `host` in a route: a name, \"*.example.com\", \"*\" or a list",
    ),
    (
        &["default_server"],
        "write a route with host = \"*\", which takes what no other host does",
    ),
    (&["bind"], "write `listen`, or `address` in `[[listeners]]`"),
    (
        &[
            "ssl_certificate",
            "ssl_certificate_key",
            "ssl",
            "https",
            "crt",
        ],
        "write tls = { certificates = [{ certificate = \"a.pem\", key = \"a.key\" }] } in \
         `[[listeners]]`",
    ),
    (
        &["ssl_protocols", "ssl_ciphers", "ssl_prefer_server_ciphers"],
        "TLS 1.2 and 1.3 with safe suites are all there is; `min-version` of a listener's `tls` \
         can be \"1.3\"",
    ),
    (
        &["http2", "http3", "quic"],
        "HTTP/2 is on, as `protocols` of `[[listeners]]` says, and there is no HTTP/3",
    ),
    // Routes.
    (
        &["location", "locations", "handle", "handle_path", "route"],
        "write `[[routes]]` with `path`, once for each",
    ),
    (
        &["routers", "middlewares", "entrypoints", "services"],
        "write `[[listeners]]`, `[[routes]]` and `[pools.NAME]`",
    ),
    (
        &[
            "proxy_pass",
            "grpc_pass",
            "reverse_proxy",
            "use_backend",
            "default_backend",
        ],
        "write `pool` in a route: the name of a section `[pools.NAME]` with `backends`",
    ),
    (
        &["fastcgi_pass", "uwsgi_pass", "scgi_pass", "php_fastcgi"],
        "backends speak HTTP only",
    ),
    (
        &["return", "redir", "abort"],
        "write respond = { status = 403 } or redirect = \"https://www.example.com{path}\" in a \
         route",
    ),
    (
        &["allow", "deny", "satisfy", "geo"],
        "nothing decides by a client's address but a policy: write one, and name it in `policies`",
    ),
    (
        &[
            "root",
            "alias",
            "index",
            "try_files",
            "file_server",
            "autoindex",
        ],
        "no files are served but the one of respond = { file = \"page.html\" }",
    ),
    (
        &[
            "error_page",
            "handle_errors",
            "errorfile",
            "proxy_intercept_errors",
        ],
        "answers are the backends', and refusals a sentence; the hook `local-response` of a policy \
         can change those",
    ),
    (
        &[
            "gzip",
            "gzip_types",
            "gzip_min_length",
            "gzip_comp_level",
            "brotli",
            "encode",
        ],
        "write compress = true in a route, or a table with `types`, `least` and `level`",
    ),
    (
        &[
            "add_header",
            "more_set_headers",
            "proxy_hide_header",
            "header_down",
            "response_headers_to_add",
        ],
        "write response-headers = { set = { x-name = \"value\" } } in a route, with `remove` for \
         those that are to go",
    ),
    (
        &[
            "proxy_set_header",
            "header_up",
            "proxy_pass_request_headers",
            "request_headers_to_add",
        ],
        "write request-headers = { set = { x-name = \"value\" } } in a route, and `host-rewrite` for \
         the host",
    ),
    (&["proxy_redirect"], "write `location-rewrite` in a route"),
    (
        &["hsts", "strict_transport_security"],
        "write response-headers = { set = { strict-transport-security = \"max-age=31536000\" } } \
         in a route",
    ),
    (
        &["domains"],
        "write `host` in a route: a name, \"*.example.com\", \"*\" or a list",
    ),
    (
        &["prefix_rewrite", "regex_rewrite"],
        "write `rewrite` in a route",
    ),
    (
        &["weighted_clusters"],
        "write `pools` with weights in a route",
    ),
    (
        &["direct_response"],
        "write respond = { status = 403, body = \"...\" } in a route",
    ),
    (
        &["limit_except"],
        "write `methods` in a route, and a second one with respond = { status = 403 }",
    ),
    (&["split_clients"], "write `pools` with weights in a route"),
    (
        &["map", "if", "set", "acl", "lua_code"],
        "write conditions of routes (`headers`, `query`, `methods`), or a policy",
    ),
    (
        &["limit_req", "limit_req_zone", "rate_limit"],
        "name the built-in policy \"rate-limit\" in `policies`, before \"random\"",
    ),
    (
        &["limit_conn", "limit_conn_zone"],
        "write `connections-per-client` in `[limits]`, or `max-connections` in a pool",
    ),
    (
        &[
            "auth_basic",
            "auth_basic_user_file",
            "auth_request",
            "basic_auth",
            "basicauth",
            "forward_auth",
        ],
        "a policy can refuse requests; passwords are for `[forward]` only",
    ),
    (
        &["proxy_cache", "proxy_cache_path", "expires", "cache"],
        "nothing is cached; `response-headers` of a route can say how long others may",
    ),
    // Pools.
    (
        &["upstream", "upstreams", "backend", "cluster", "clusters"],
        "write `[pools.NAME]` with `backends`",
    ),
    (
        &[
            "balance",
            "lb_policy",
            "least_conn",
            "ip_hash",
            "sticky",
            "load_balancer",
        ],
        "write `policies` in a route: \"random\", \"least-loaded\" or \"sticky\" as the last one",
    ),
    (
        &["backup"],
        "there are no spare backends; a policy can prefer some, by their `labels`",
    ),
    (
        &["down"],
        "write weight = 0, or say `waypost backends down` to a proxy that runs",
    ),
    (
        &["load_assignment", "lb_endpoints", "endpoints"],
        "write `backends` in `[pools.NAME]`",
    ),
    (
        &["outlier_detection", "circuit_breakers"],
        "write `max-failures` and `ejection` in a pool, and `max-connections` and `max-requests` \
         for limits",
    ),
    (&["max_conns"], "write `max-connections` in a pool"),
    (
        &["maxconn"],
        "write `connections` in `[limits]`, or `max-connections` in a pool",
    ),
    (&["max_fails"], "write `max-failures` in a pool"),
    (
        &[
            "proxy_next_upstream",
            "proxy_next_upstream_tries",
            "retries",
            "redispatch",
        ],
        "write `attempts` in a pool, or a table `retry = { attempts = 3 }` in a pool or a route, \
         with `on` for the reasons",
    ),
    (
        &[
            "health_check",
            "healthcheck",
            "health_uri",
            "httpchk",
            "option_httpchk",
        ],
        "write health = { path = \"/healthz\" } in a pool",
    ),
    (
        &["keepalive"],
        "write `max-idle` in a pool for connections to backends; those of clients are kept for \
         `idle` of `[timeouts]`",
    ),
    (
        &["proxy_http_version", "grpc"],
        "write protocol = \"h2c\" in a pool for HTTP/2; connections are kept without it too",
    ),
    (
        &[
            "proxy_ssl_verify",
            "proxy_ssl_name",
            "proxy_ssl_server_name",
            "proxy_ssl_certificate",
            "proxy_ssl_certificate_key",
            "proxy_ssl_trusted_certificate",
        ],
        "write tls = true in a pool, or a table with `ca`, `server-name` and `client-certificate`",
    ),
    // Limits and time-outs.
    (
        &["client_max_body_size", "request_body", "max_body_size"],
        "write `body-bytes` in `[limits]` or in a route, such as \"10MiB\"",
    ),
    (
        &["large_client_header_buffers", "client_header_buffer_size"],
        "write `header-bytes`, `header-count` and `request-line` in `[limits]`",
    ),
    (
        &[
            "client_body_buffer_size",
            "proxy_buffering",
            "proxy_request_buffering",
            "proxy_buffers",
            "proxy_buffer_size",
        ],
        "bodies are streamed both ways; a whole one is read first only with `request-buffering`",
    ),
    (
        &["keepalive_requests"],
        "write `requests-per-connection` in `[limits]`",
    ),
    (&["keepalive_timeout"], "write `idle` in `[timeouts]`"),
    (
        &["client_header_timeout"],
        "write `header-read` in `[timeouts]`",
    ),
    (
        &["client_body_timeout"],
        "write `body-read` in `[timeouts]`, or in `timeouts` of a route",
    ),
    (&["send_timeout"], "write `send` in `[timeouts]`"),
    (
        &[
            "proxy_read_timeout",
            "proxy_send_timeout",
            "grpc_read_timeout",
        ],
        "write `response` in `[timeouts]`, or in `timeouts` of a route",
    ),
    (
        &["proxy_connect_timeout", "grpc_connect_timeout"],
        "write `connect` in `[timeouts]`, or in `timeouts` of a route",
    ),
    (
        &["timeout"],
        "write `response` in `[timeouts]`, or timeouts = { response = \"15s\" } in a route",
    ),
    (
        &["connect_timeout"],
        "write `connect` in `[timeouts]`, or in `timeouts` of a route",
    ),
    (
        &["idle_timeout", "stream_idle_timeout"],
        "write `idle` in `[timeouts]` for connections of clients, and `response` for backends",
    ),
    (&["worker_connections"], "write `connections` in `[limits]`"),
    // The process.
    (
        &["worker_processes", "nbthread"],
        "write `workers`, or nothing for one per core",
    ),
    (
        &["include", "import"],
        "a configuration is one file; `file` of a pool is one with backends",
    ),
    (
        &["http", "events", "stream", "global", "defaults"],
        "write what is in it at the top of the file; connections that are passed on are routes \
         with `passthrough` and listeners with `tcp`",
    ),
    (&["access_log_path"], "write `path` in `[access-log]`"),
    (
        &["stub_status", "metrics", "prometheus", "status_zone"],
        "`GET /metrics` and `GET /stats` of the admin listener are always there",
    ),
    (
        &[
            "set_real_ip_from",
            "real_ip_header",
            "real_ip_recursive",
            "trusted_proxies",
        ],
        "write trusted = [\"10.0.0.0/8\"] in `[forwarded]`",
    ),
    (
        &["error_log", "log_level"],
        "write `--log warn` or set WAYPOST_LOG",
    ),
    (
        &["log_format"],
        "write `format` in `[access-log]`: \"json\", \"common\", \"combined\", or a template such as \
         \"{client} {status} {target}\"",
    ),
    (&["pid"], "write `pid-file`"),
    (
        &["user", "group", "chroot", "daemon"],
        "start the proxy as its user, for example by systemd, which can let it use port 80",
    ),
];

/// Tables of a pool, whose keys are few and of another kind.
const BELOW_POOLS: [&str; 6] = ["budget", "ejection", "health", "hedge", "retry", "tls"];

/// What others call the backends of a pool, where they name no section.
const OF_BACKENDS: [&str; 5] = ["hosts", "server", "servers", "targets", "upstreams"];

/// What is written in place of this key of another proxy, or in this place. `path` has it with its
/// sections.
pub(super) fn advice(path: &str, key: &str) -> Option<&'static str> {
    let section = path.strip_suffix(key).unwrap_or(path).trim_end_matches('.');
    if let Some(advice) = misplaced::advice(key) {
        return Some(advice);
    }
    let last = section.rsplit('.').next().unwrap_or_default();
    let is_of_pool = section.starts_with("pools.") && !BELOW_POOLS.contains(&last);
    if !is_of_pool && !matches!(section, "" | "limits" | "listeners" | "routes" | "timeouts") {
        return None;
    }
    let key = key.to_ascii_lowercase().replace('-', "_");
    if is_of_pool && OF_BACKENDS.contains(&key.as_str()) {
        return Some("write `backends`: an address, or a list of them");
    }
    let found = WORDS
        .iter()
        .find(|(words, _)| words.contains(&key.as_str()));
    found.map(|(_, advice)| *advice)
}
