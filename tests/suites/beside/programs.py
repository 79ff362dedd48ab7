"""How each program of docs/side-by-side.md is started with one of its blocks."""

import re

NGINX = """
daemon off; pid nginx.pid; error_log error.log; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path .; proxy_temp_path .; fastcgi_temp_path .; uwsgi_temp_path .; scgi_temp_path .;
{}
}}
"""


def command(program, configuration, folder, port, pools, binary):
    """Writes the configuration, with ports that are free in the place of those of the page."""
    text = substituted(program, configuration, port, pools)
    name = {"nginx": "nginx.conf", "caddy": "Caddyfile", "envoy": "envoy.yaml", "waypost": "waypost.toml"}[program]
    path = folder / name
    path.write_text(text)
    return {
        "nginx": ["nginx", "-p", str(folder), "-e", "error.log", "-c", name],
        "caddy": ["caddy", "run", "--config", str(path), "--adapter", "caddyfile"],
        "envoy": ["envoy", "-c", str(path), "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id",
                  "--disable-hot-restart"],
        "waypost": [str(binary), "run", "--config", str(path)],
    }[program]


def substituted(program, text, port, pools):
    numbers = {"app": 9001, "beta": 9002}
    for name, number in numbers.items():
        text = text.replace(f"{name}:{number}", f"127.0.0.1:{pools[name].port}")
        text = text.replace(f"address: {name}, port_value: {number}", f"address: 127.0.0.1, port_value: {pools[name].port}")
    if program == "nginx":
        return NGINX.format(text.replace("listen 80;", f"listen 127.0.0.1:{port};"))
    if program == "caddy":
        # Without its page of administration and its files in the home folder.
        return "{\n\tadmin off\n\tpersist_config off\n}\n" + text.replace("example.com:80 {", f"example.com:{port} {{")
    if program == "envoy":
        return re.sub(r"address: 0\.0\.0\.0, port_value: 80\b", f"address: 127.0.0.1, port_value: {port}", text)
    return text.replace('"0.0.0.0:80"', f'"127.0.0.1:{port}"') + '\n[admin]\nlisten = "off"\n'
