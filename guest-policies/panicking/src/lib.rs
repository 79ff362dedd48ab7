//! Panics in the ways in which a policy in Rust does, as the field `x-panic` of a request says, and
//! while it is configured if its settings are not empty. Tests of the proxy find the lines by the
//! comments at their ends.

#![allow(clippy::panic, clippy::unwrap_used, reason = "it is there to panic")]

use waypost_policy::{Settings, prelude::*};

struct Panicking {
    backends: Vec<Backend>,
}

impl Configure for Panicking {
    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.json() != "{}" {
            panic!("these settings: {}", settings.json()); // configure
        }
        Ok(Panicking {
            backends: Vec::new(),
        })
    }
}

impl Topology for Panicking {
    fn backends_changed(&mut self, _pool: &Pool, backends: &[Backend]) {
        self.backends = backends.to_vec();
    }
}

impl Select for Panicking {
    fn select(&mut self, request: &Request, _attempt: &Attempt) -> Decision {
        match request.header_text("x-panic").as_deref() {
            None => Decision::Backend(0),
            Some("index") => Decision::Backend(self.weight_of(7)),
            Some("unwrap") => Decision::Backend(request.path().parse().unwrap()), // unwrap
            // Text that pretends to be another line of the log, and more of it than is shown.
            Some("hostile") => panic!("a\n\x1b[2Jb{}", "c".repeat(5000)), // hostile
            Some(other) => panic!("{other}"),                             // other
        }
    }
}

impl Panicking {
    #[inline(never)]
    fn weight_of(&self, backend: usize) -> u32 {
        self.backends[backend].weight // index
    }
}

waypost_policy::export!(Panicking: Configure, Topology, Select);
