//! Lets in only clients whose address is in a list of networks, and refuses single ones of them.
//!
//! Use it for what only offices, partners or your own machines may reach. The longest network that
//! holds the client's address decides, so an address can be denied within a network that is allowed
//! and the other way round; a client in none of them gets 403. Behind another proxy, name that one
//! in `[forwarded] trusted`: otherwise its own address is looked up and not the client's. Write
//! `on-failure = 503` into the policy's section, so that a fault lets nobody in.
//!
//! ```toml
//! [policies.office.settings]
//! allow = ["192.0.2.0/24", "2001:db8::/32"]
//! deny = ["192.0.2.66"]
//! status = 404                        # 403 if left out; 404 does not say that there is something
//! ```

use serde::Deserialize;
use waypost_policy::{Network, Networks, prelude::*};

struct AllowList {
    networks: Networks<bool>,
    status: u16,
    refused: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
    #[serde(default = "forbidden")]
    status: u16,
}

fn forbidden() -> u16 {
    403
}

impl Configure for AllowList {
    fn configure(settings: Settings) -> Result<Self, String> {
        let options: Options = settings.parse()?;
        if !(400..500).contains(&options.status) {
            return Err("status: has to be from 400 to 499".to_owned());
        }
        let mut networks = Networks::default();
        for (key, listed, allowed) in [
            ("allow", &options.allow, true),
            ("deny", &options.deny, false),
        ] {
            for text in listed {
                let network: Network = text.parse().map_err(|why| format!("{key}: {why}"))?;
                if networks.insert(network, allowed).is_some() {
                    return Err(format!("{key}: \"{text}\" is there twice"));
                }
            }
        }
        let (status, refused) = (options.status, Counter::define("refused")?);
        Ok(AllowList {
            networks,
            status,
            refused,
        })
    }
}

impl EditRequest for AllowList {
    fn edit_request(&mut self, request: &Request, _: &mut Headers) -> Result<(), Response> {
        let address = request.client_address().parse().ok();
        if address.and_then(|address| self.networks.longest(address)) == Some(&true) {
            return Ok(());
        }
        self.refused.count();
        let refusal = Response::new(self.status).field("cache-control", "no-store");
        Err(refusal.text("There is nothing here for this client.\n"))
    }
}

waypost_policy::export!(AllowList: Configure, EditRequest);

#[cfg(test)]
mod tests {
    use waypost_policy::testing::{self, Host};

    use super::*;

    #[test]
    fn the_longest_network_decides_and_all_others_are_refused() {
        let host = Host::new();
        let settings = r#"{"allow": ["192.0.2.0/24", "2001:db8::/32", "198.51.100.9"],
            "deny": ["192.0.2.64/26", "198.51.100.0/24"]}"#;
        let mut policy = host.load::<AllowList>(settings).unwrap();
        for (client, passes) in [
            ("192.0.2.1", true),
            ("192.0.2.65", false),
            ("::ffff:192.0.2.1", true),
            ("198.51.100.9", true),
            ("198.51.100.8", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("unix", false),
        ] {
            let answer = policy.edit_request(&mut testing::get("/").client(client));
            assert_eq!(answer.is_ok(), passes, "{client}");
            assert!(answer.is_ok() || answer.unwrap_err().status == 403);
        }
        assert_eq!(host.counted("refused"), 4);
    }

    #[test]
    fn mistakes_name_their_key() {
        for (settings, expected) in [
            (r#"{"allow": ["192.0.2.1/24"]}"#, "allow: "),
            (r#"{"allow": [], "deny": ["a"]}"#, "deny: "),
            (
                r#"{"allow": ["::/0"], "deny": ["::/0"]}"#,
                "deny: \"::/0\" is there twice",
            ),
            (r#"{"allow": [], "status": 200}"#, "status: "),
            ("{}", "settings: missing field `allow`"),
        ] {
            let error = Host::new().load::<AllowList>(settings).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
