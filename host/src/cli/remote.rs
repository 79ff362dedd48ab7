//! Flags of the commands that talk to a running proxy.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::{ConfigError, ConfigErrors, Place};
use crate::config::AdminAddress;

/// The proxy, how it is reached, and how its answer is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Remote {
    /// The proxy, and how it is reached.
    #[command(flatten)]
    pub reach: Reach,
    /// Print the proxy's answer as JSON, for scripts.
    #[arg(long, global = true)]
    pub json: bool,
}

/// A proxy, and how it is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Reach {
    /// The proxy's admin listener: HOST:PORT or http://HOST:PORT (also WAYPOST_ADMIN_LISTEN;
    /// default 127.0.0.1:9090).
    #[arg(long, global = true, value_name = "ADDR", value_parser = str::parse::<AdminAddress>)]
    pub admin: Option<AdminAddress>,
    /// A file that holds the admin token (also WAYPOST_ADMIN_TOKEN, the token itself).
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl Reach {
    /// The admin listener: the flag, else `WAYPOST_ADMIN_LISTEN`, else 127.0.0.1:9090.
    pub fn address(
        &self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<AdminAddress, ConfigErrors> {
        if let Some(address) = &self.admin {
            return Ok(address.clone());
        }
        let set = environment("WAYPOST_ADMIN_LISTEN").filter(|set| !set.is_empty());
        let text = set.map_or_else(
            || AdminAddress::DEFAULT.to_owned(),
            |set| set.to_string_lossy().into_owned(),
        );
        let message = match text.trim() {
            "off" => {
                "is \"off\": that proxy has no admin listener; name one with --admin".to_owned()
            }
            text => match text.parse() {
                Ok(address) => return Ok(address),
                Err(message) => message,
            },
        };
        Err(ConfigErrors::from(ConfigError {
            place: Place::Environment("WAYPOST_ADMIN_LISTEN"),
            message,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_beats_the_environment_and_that_the_default() {
        let environment = |value: &'static str| {
            move |name: &str| (name == "WAYPOST_ADMIN_LISTEN").then(|| value.into())
        };
        let none = Reach::default();
        assert_eq!(
            none.address(|_| None).unwrap().to_string(),
            AdminAddress::DEFAULT
        );
        assert_eq!(
            none.address(environment("")).unwrap().to_string(),
            AdminAddress::DEFAULT
        );
        assert_eq!(
            none.address(environment("0.0.0.0:7")).unwrap().to_string(),
            "127.0.0.1:7"
        );
        let flag = Reach {
            admin: Some("a:8".parse().unwrap()),
            ..Reach::default()
        };
        assert_eq!(flag.address(environment("b:7")).unwrap().to_string(), "a:8");
        for (set, hint) in [("off", "no admin listener"), ("nonsense", "no port")] {
            let error = none.address(environment(set)).unwrap_err().to_string();
            assert!(
                error.contains("WAYPOST_ADMIN_LISTEN") && error.contains(hint),
                "{error}"
            );
        }
    }
}
