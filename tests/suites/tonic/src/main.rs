//! gRPC's interoperability cases by tonic, as server and as client.
//!
//! ```text
//! tonic-peer server|aging [--identity CERTIFICATE.pem KEY.pem]
//!     prints {"port": N} and serves until it is killed; an aging one sends each connection GOAWAY
//!     after a fifth of a second, and takes 8 streams on one
//! tonic-peer client ORIGIN [--authority CA.pem] CASE...
//!     prints a line for each case: its name, a tab, and why it failed, if it did
//! tonic-peer cases
//!     prints their names
//! ```

mod cases;
mod client;
mod flags;
mod messages;
mod server;

use std::process::ExitCode;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [how @ ("server" | "aging")] => server::serve(how == "aging", None).await,
        [how @ ("server" | "aging"), "--identity", certificate, key] => {
            server::serve(how == "aging", Some((certificate, key))).await
        }
        ["client", origin, "--authority", authority, ref cases @ ..] => {
            client::ask(origin, Some(authority), cases).await
        }
        ["client", origin, ref cases @ ..] => client::ask(origin, None, cases).await,
        ["cases"] => {
            cases::NAMES.iter().for_each(|name| println!("{name}"));
            Ok(())
        }
        _ => Err("it is `server`, `aging`, `client` or `cases`; see src/main.rs".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tonic-peer: {failure}");
            ExitCode::FAILURE
        }
    }
}
