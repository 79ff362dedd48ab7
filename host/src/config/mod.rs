//! Config: what does the operator want?
//!
//! Two layers: the file as written (`file`, from the tree of `document`), and its validated
//! meaning ([`Config`], built by `resolve`), in which every name is resolved and every value
//! checked. Called by `cli` and `app` before anything starts. Every error names its key and line,
//! and all errors are reported together. This room opens no socket, resolves no host name and loads
//! no component.

mod acme;
mod adaptive;
mod admin_address;
mod answers;
mod authority;
mod backend;
mod backend_list;
mod called;
mod compression;
mod conditions;
mod cors;
mod defaults;
mod doubtful;
mod edits;
mod field_value;
mod file;
mod foreign;
mod forward;
mod forwarded;
mod h2_limits;
mod host;
mod judged;
mod layer4;
mod listeners;
mod location_entry;
mod location_rewrite;
mod log_format;
mod matches;
mod meaning;
mod mirror;
mod misplaced;
mod passthrough;
mod pattern;
mod pool_health;
mod pool_tls;
mod pools;
mod reach;
mod record;
mod redirect;
mod request_id;
mod resolve;
mod resolver;
mod respond;
mod retry;
mod retry_policy;
mod rewrite;
mod rights;
mod route_entry;
mod sections;
mod shadowed;
mod sources;
mod targets;
mod template;
#[cfg(test)]
mod tests;
mod timeouts;
mod tracing;
mod traffic;
mod trusted;
mod unmeant;
mod upgrade;
mod values;
mod variables;
mod written;

use std::path::Path;

pub use adaptive::AdaptiveRequests;
pub use admin_address::AdminAddress;
pub use answers::{FixedResponse, RouteAnswer, RouteRedirect};
pub use authority::{Acme, AcmeChallenge, ExternalAccount, without_query};
pub use backend::{can_be_reached, parse_backend};
pub use backend_list::{MAX_BACKENDS, list_of_one, parse_backends, write_backends};
pub use called::{AcceptTraces, RequestIds, TraceExport, Tracing};
pub use compression::{Coding, Compression, MediaTypes};
pub use conditions::{Conditions, PathMatch, ValueMatch, names_secret};
pub use edits::{Cors, CorsList, FieldEdits, HostRewrite, OriginMatch, Rewrite, RouteEdits};
pub use field_value::{Fact, FieldPiece, FieldTemplate, FieldValue, NOT_OF_TEXT};
pub use forward::{Destinations, ForwardProxy, ProxyAuthentication};
pub use h2_limits::H2Limits;
pub use host::{HostPattern, normalise_host};
pub use judged::{Ejection, PoolHealth, Probe, ProbeKind};
pub use layer4::{Layer4, Layer4Match, ProxyHeader, TcpForward};
pub use listeners::{
    CertificateFiles, Certificates, ClientCertificates, ListenAddress, Listener, ListenerTls,
    Protocols, TlsVersion,
};
pub use location_rewrite::LocationRewrite;
pub use log_format::{LogFact, LogFormat, LogPiece};
pub use meaning::*;
pub use mirror::Mirror;
pub use pattern::Pattern;
pub use reach::{
    AddressFamily, Backend, BackendKind, KeyPairFiles, PoolProtocol, PoolTls, ResolverConfig,
};
pub use retry_policy::{HedgeAfter, RetryBudget, RetryOn, RetryPolicy};
pub use rights::TargetRights;
pub use sections::BUILTIN_POLICIES;
pub use sources::{FileSource, MAX_FILE_BYTES, Overrides, Sources};
pub use template::{NOT_OF_PATHS, Parts, Template};
pub use timeouts::Timeouts;
pub use traffic::{RouteTarget, Traffic};
pub use trusted::TrustedPeers;
pub use values::{parse_isolation, parse_listen};
pub use written::WrittenAt;

pub(crate) use rights::target_rights;
pub(crate) use sections::{
    COMPILE_MEMORY, COMPILE_TIME, duration as duration_within, store as store_limits,
};

use crate::document::Findings;
pub use crate::document::{ConfigError, ConfigErrors, ConfigWarning, Place};

use sources::Layer;

impl Config {
    /// Reads and validates. Flags override the environment, which overrides the file. Without a
    /// file every key has its default.
    pub fn load(sources: Sources) -> Result<Self, ConfigErrors> {
        let mut findings = Findings::with_foreign(foreign::advice);
        let environment = sources.environment.read(Layer::Environment, &mut findings);
        let flags = sources.flags.read(Layer::Flags, &mut findings);
        let no_file = FileSource::Text {
            name: String::new(),
            text: String::new(),
            base: Default::default(),
        };
        let (name, text, base) = sources.file.unwrap_or(no_file).open()?;
        let Some(file) = file::read(&name, &text, &base, &mut findings) else {
            return Err(findings.into_errors());
        };
        let mut config = resolve::resolve(file, environment, flags, &mut findings);
        config.resolver.strict |= sources.strict;
        config.warnings = findings.conclude()?;
        Ok(config)
    }

    /// The pools, by their indices, that a policy may be asked about: those of its routes, and
    /// those of the forward proxy.
    pub fn pools_of(&self, policy: usize) -> Vec<usize> {
        let routes = self
            .routes
            .iter()
            .filter(|route| route.policies.contains(&policy));
        let forward = self
            .forward
            .iter()
            .filter(|proxy| proxy.policies.contains(&policy));
        let of_forward = forward.flat_map(|proxy| proxy.pools.iter().map(|to| to.pool));
        let of_routes = routes.flat_map(|route| route.traffic.pools());
        let mut pools: Vec<usize> = of_routes.chain(of_forward).collect();
        pools.sort_unstable();
        pools.dedup();
        pools
    }

    /// In front of a sentence about a file of this listener: where that is named.
    pub fn named_by(&self, listener: &Listener, file: &Path) -> String {
        let all = self.listeners.iter();
        let at = all
            .take_while(|other| other.address != listener.address)
            .count();
        let found = self.written.file_of_listener(at, file);
        found.map_or_else(String::new, |place| format!("{place}: "))
    }

    /// In front of a sentence about this file: where it is named.
    pub fn named_at(&self, file: &Path) -> String {
        let found = self.written.file(file);
        found.map_or_else(String::new, |place| format!("{place}: "))
    }

    /// Reads and validates a text; paths in it are relative to `base`.
    pub fn from_toml(text: &str, base: &Path) -> Result<Self, ConfigErrors> {
        let file = FileSource::Text {
            name: "waypost.toml".to_owned(),
            text: text.to_owned(),
            base: base.to_owned(),
        };
        Self::load(Sources {
            file: Some(file),
            ..Sources::default()
        })
    }
}
