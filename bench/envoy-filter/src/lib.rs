//! Does in Envoy what a policy does in Waypost: chooses a random backend for each request and sets
//! one field.
//!
//! A proxy-wasm filter can't choose a host of a cluster. What it can do is to name an address in a
//! field that an `ORIGINAL_DST` cluster with `use_http_header` reads. The addresses come from the
//! plugin's configuration, one a line.

use std::cell::Cell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Plugin::default()));
}}

/// One in each VM.
#[derive(Default)]
struct Plugin {
    backends: Rc<[String]>,
    /// The state of a xorshift generator; proxy-wasm offers no randomness.
    state: Rc<Cell<u64>>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _: usize) -> bool {
        let text = self.get_plugin_configuration().unwrap_or_default();
        self.backends = String::from_utf8_lossy(&text)
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let now = self
            .get_current_time()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        // Zero would stay zero.
        self.state
            .set(u64::try_from(now.as_nanos()).unwrap_or(1) | 1);
        !self.backends.is_empty()
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Exchange {
            backends: Rc::clone(&self.backends),
            state: Rc::clone(&self.state),
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One for each request.
struct Exchange {
    backends: Rc<[String]>,
    state: Rc<Cell<u64>>,
}

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let mut bits = self.state.get();
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        self.state.set(bits);
        // The upper half times the bound: as even as it needs to be, without a division.
        let chosen = ((bits >> 32) * self.backends.len() as u64) >> 32;
        if let Some(backend) = self.backends.get(chosen as usize) {
            self.set_http_request_header("x-envoy-original-dst-host", Some(backend));
        }
        self.set_http_request_header("x-bench", Some("policy"));
        Action::Continue
    }
}
