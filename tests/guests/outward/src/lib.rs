//! Tries every way out of the sandbox that WASI knows, and tells how far it got: `x-reached` in
//! each response.

#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({
    path: ["../../../wit", "wasi"],
    inline: "
        package tests:outward;

        world outward {
            include waypost:policy/imports@0.1.0;
            import wasi:cli/environment@0.2.0;
            import wasi:filesystem/preopens@0.2.0;
            import wasi:sockets/instance-network@0.2.0;
            import wasi:sockets/ip-name-lookup@0.2.0;
            import wasi:sockets/tcp-create-socket@0.2.0;
            import wasi:sockets/udp-create-socket@0.2.0;
            export waypost:policy/response-headers@0.1.0;
        }
    ",
    generate_all,
});

use exports::waypost::policy::response_headers::{self, Headers, Request, Response};
use wasi::{
    cli::environment,
    filesystem::preopens,
    sockets::{
        instance_network::instance_network,
        ip_name_lookup::resolve_addresses,
        network::{ErrorCode, IpAddressFamily},
        tcp_create_socket::create_tcp_socket,
        udp_create_socket::create_udp_socket,
    },
};

struct Outward;

impl response_headers::Guest for Outward {
    fn edit_response(
        _request: &Request,
        _status: u16,
        _backend: u32,
        headers: &Headers,
    ) -> Result<(), Response> {
        let families = [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6];
        let tcp = families.map(|family| outcome(create_tcp_socket(family)));
        let udp = families.map(|family| outcome(create_udp_socket(family)));
        let network = instance_network();
        let names = ["localhost", "example.com", "127.0.0.1"]
            .map(|name| outcome(resolve_addresses(&network, name)));
        let reached = format!(
            "tcp {} udp {} names {} directories {} variables {} arguments {} folder {}",
            tcp.join(","),
            udp.join(","),
            names.join(","),
            preopens::get_directories().len(),
            environment::get_environment().len(),
            environment::get_arguments().len(),
            environment::initial_cwd().unwrap_or("none".to_owned()),
        );
        // A refused edit would show as a missing field.
        let _ = headers.set("x-reached", reached.as_bytes());
        Ok(())
    }
}

fn outcome<T>(result: Result<T, ErrorCode>) -> &'static str {
    match result {
        Ok(_) => "open",
        Err(ErrorCode::AccessDenied) => "denied",
        Err(_) => "failed",
    }
}

export!(Outward);
