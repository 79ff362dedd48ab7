//! Clients that speak HTTP/2, in front of backends that speak HTTP/1.1.

mod bodies;
mod ends;
mod floods;
mod framing;
mod refused;
mod requests;
mod tls;
mod tunnels;
