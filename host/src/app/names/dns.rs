//! Look-ups by a resolver of the proxy's own, which knows times to live and SRV.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{self, NameServerConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::rr::{self, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};

use super::SOCKETS;
use super::answer::Answer;
use crate::config::{AddressFamily, ResolverConfig};
use crate::upstream::{Family, Name, Outcome, Record, Target};

/// Requests that one server may have at the same time: more than there are look-ups, which are what
/// is limited.
const ACTIVE: usize = 1_024;

pub(super) struct Resolver {
    settings: ResolverConfig,
    inner: TokioResolver,
    hosts: Arc<Hosts>,
    timeout: Duration,
    /// The system's files as they were read.
    files: Files,
}

type Files = [Option<(SystemTime, u64)>; 2];

impl Resolver {
    pub(super) fn new(settings: &ResolverConfig) -> Result<Self, String> {
        let files = files();
        let (config, mut options) = system(settings);
        if let Some(timeout) = settings.timeout {
            options.timeout = timeout;
        }
        if let Some(attempts) = settings.attempts {
            options.attempts = attempts;
        }
        // What is known is kept by the caller, who asks when it is time to.
        options.cache_size = 0;
        // It would shorten them before it is seen whether they can be meant.
        let longest = Duration::from_secs(u32::MAX.into());
        (options.positive_max_ttl, options.negative_max_ttl) = (Some(longest), Some(longest));
        options.max_active_requests = ACTIVE;
        options.num_concurrent_reqs = SOCKETS;
        let timeout = options.timeout;
        let provider = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(config, provider).with_options(options);
        let mut inner = builder
            .build()
            .map_err(|e| format!("names can't be looked up: {e}"))?;
        let hosts = Arc::new(Hosts::from_system().unwrap_or_default());
        inner.set_hosts(Arc::clone(&hosts));
        Ok(Self {
            settings: settings.clone(),
            inner,
            hosts,
            timeout,
            files,
        })
    }

    pub(super) fn settings(&self) -> &ResolverConfig {
        &self.settings
    }

    /// Whether the system's files are still those that were read.
    pub(super) fn is_current(&self) -> bool {
        self.files == files()
    }

    pub(super) fn families(&self, name: &Name) -> &'static [Family] {
        match (name, self.settings.family) {
            (Name::Srv(_), _) => &[Family::Any],
            (Name::Host(_), AddressFamily::Both) => &[Family::Ipv4, Family::Ipv6],
            (Name::Host(_), AddressFamily::Ipv4) => &[Family::Ipv4],
            (Name::Host(_), AddressFamily::Ipv6) => &[Family::Ipv6],
        }
    }

    pub(super) async fn look_up(&self, name: &Name, family: Family) -> Answer {
        let kind = match (name, family) {
            (Name::Srv(_), _) => RecordType::SRV,
            (Name::Host(_), Family::Ipv6) => RecordType::AAAA,
            (Name::Host(_), _) => RecordType::A,
        };
        if self.is_in_hosts_otherwise(name, kind) {
            let reason = format!("the hosts file has the name without {kind}");
            return absent(reason, None);
        }
        // As it is written: read as a name of IDNA, one with an underscore would be none.
        let asked = match rr::Name::from_ascii(name.text()) {
            Ok(asked) => asked,
            Err(error) => return Answer::failed(format!("it is no name of DNS: {error}")),
        };
        match self.inner.lookup(asked, kind).await {
            Ok(lookup) => self.found(&lookup, kind),
            Err(error) => self.failed(&error, kind),
        }
    }

    /// Whether the hosts file has other addresses of a name: as for the C library, it then has all.
    fn is_in_hosts_otherwise(&self, name: &Name, kind: RecordType) -> bool {
        let Ok(asked) = rr::Name::from_ascii(name.text()) else {
            return false;
        };
        let has = |kind| {
            let query = hickory_resolver::proto::op::Query::query(asked.clone(), kind);
            self.hosts.lookup_static_host(&query).is_some()
        };
        match kind {
            RecordType::A => has(RecordType::AAAA) && !has(RecordType::A),
            RecordType::AAAA => has(RecordType::A) && !has(RecordType::AAAA),
            _ => false,
        }
    }

    fn found(&self, lookup: &Lookup, kind: RecordType) -> Answer {
        let chain = chain(lookup);
        let of_name = lookup.answers().iter();
        let of_name = of_name.filter(|record| chain.contains(&&record.name));
        let records: Vec<Record> = of_name
            .clone()
            .filter(|record| record.record_type() == kind)
            .filter_map(|record| read(&record.data))
            .collect();
        if records.is_empty() {
            return absent(no_record(kind), None);
        }
        let ttl = of_name.map(|record| seconds(record.ttl)).min().unwrap_or(0);
        Answer {
            outcome: Outcome::Found {
                records,
                ttl: Duration::from_secs(ttl.into()),
            },
            absent_for: None,
        }
    }

    fn failed(&self, error: &NetError, kind: RecordType) -> Answer {
        let reason = match error {
            NetError::Dns(DnsError::NoRecordsFound(NoRecords { negative_ttl, .. })) => {
                let reason = match error.is_nx_domain() {
                    true => "the name does not exist (NXDOMAIN)".to_owned(),
                    false => no_record(kind),
                };
                let valid = negative_ttl.map(|ttl| Duration::from_secs(seconds(ttl).into()));
                return absent(reason, valid);
            }
            NetError::Dns(DnsError::ResponseCode(code)) => {
                format!("the name server answered with an error ({code})")
            }
            NetError::Timeout => {
                format!("no name server answered within {:?}", self.timeout)
            }
            NetError::NoConnections => "no name server can be reached".to_owned(),
            NetError::Truncated => "the answer is cut off, also over TCP".to_owned(),
            other => format!("the look-up failed: {other}"),
        };
        Answer::failed(reason)
    }
}

/// The versions of the system's files. Asking for them takes microseconds.
fn files() -> Files {
    ["/etc/resolv.conf", "/etc/hosts"].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

/// The system's name servers and options; or others, with its search domains.
fn system(settings: &ResolverConfig) -> (config::ResolverConfig, ResolverOpts) {
    let read = system_conf::read_system_conf();
    let is_needed = settings.servers.is_empty();
    let (mut config, options) = read.unwrap_or_else(|e| {
        if is_needed {
            tracing::warn!(
                "/etc/resolv.conf can't be used: {e}; the name server on this machine is asked"
            );
        }
        let local = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
        let config = config::ResolverConfig::from_parts(None, Vec::new(), vec![local]);
        (config, ResolverOpts::default())
    });
    if !config.search().is_empty() {
        // Else the domain of the machine's own name would be tried as well.
        let (_, search, servers) = config.into_parts();
        config = config::ResolverConfig::from_parts(None, search, servers);
    }
    if !is_needed {
        let (domain, search, _) = config.into_parts();
        let servers = settings.servers.iter().map(|at| server(*at)).collect();
        config = config::ResolverConfig::from_parts(domain, search, servers);
    }
    (config, options)
}

fn server(at: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(at.ip());
    for connection in &mut server.connections {
        connection.port = at.port();
    }
    server
}

/// A time to live. One with its highest bit set counts as 0 (RFC 2181 section 8).
fn seconds(ttl: u32) -> u32 {
    match i32::try_from(ttl) {
        Ok(_) => ttl,
        Err(_) => 0,
    }
}

/// The name that was asked for, and those that it is an alias of. Other records are none of its
/// own, whichever server sent them.
fn chain(lookup: &Lookup) -> Vec<&rr::Name> {
    let mut chain = vec![lookup.query().name()];
    let mut at = 0;
    while let Some(name) = chain.get(at).copied() {
        for record in lookup.answers() {
            if let RData::CNAME(alias) = &record.data
                && record.name == *name
                && !chain.contains(&&alias.0)
            {
                chain.push(&alias.0);
            }
        }
        at += 1;
    }
    chain
}

fn read(data: &RData) -> Option<Record> {
    match data {
        RData::A(address) => Some(Record::Address(IpAddr::V4(address.0))),
        RData::AAAA(address) => Some(Record::Address(IpAddr::V6(address.0))),
        // A target of `.` says that there is no such service (RFC 2782).
        RData::SRV(service) if !service.target.is_root() => Some(Record::Target(Target {
            priority: service.priority,
            host: service.target.to_ascii().to_ascii_lowercase().into(),
            port: service.port,
            weight: service.weight,
        })),
        _ => None,
    }
}

fn no_record(kind: RecordType) -> String {
    format!("the name has no {kind} record (NODATA)")
}

fn absent(reason: String, absent_for: Option<Duration>) -> Answer {
    Answer {
        outcome: Outcome::Absent(reason),
        absent_for,
    }
}
