//! Routes of connections that are passed on.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{HostPattern, Layer4, Layer4Match, Route, TcpForward};

/// By what a connection shows of itself, the place of its route in the table.
#[derive(Debug, Default)]
pub(super) struct Layer4Table {
    exact: HashMap<Box<str>, usize>,
    /// By what follows the first label, with its leading dot.
    wildcard: HashMap<Box<str>, usize>,
    any: Option<usize>,
    listeners: HashMap<Arc<TcpForward>, usize>,
}

impl Layer4Table {
    pub(super) fn add(&mut self, route: &Route, layer4: &Layer4, index: usize) {
        match (&layer4.takes, &route.host) {
            (Layer4Match::Listener(forward), _) => {
                self.listeners.insert(Arc::clone(forward), index);
            }
            (Layer4Match::ServerName, HostPattern::Exact(host)) => {
                self.exact.insert(host.as_str().into(), index);
            }
            (Layer4Match::ServerName, HostPattern::Suffix(suffix)) => {
                self.wildcard.insert(suffix.as_str().into(), index);
            }
            (Layer4Match::ServerName, HostPattern::Any) => self.any = Some(index),
        }
    }

    pub(super) fn has_names(&self) -> bool {
        self.any.is_some() || !self.exact.is_empty() || !self.wildcard.is_empty()
    }

    /// A wildcard stands for one label, as in the certificates that backends will show.
    pub(super) fn of_name(&self, name: Option<&str>) -> Option<usize> {
        let named = name.and_then(|name| {
            let exact = self.exact.get(name);
            let wildcard = || {
                let dot = name.find('.').filter(|dot| *dot > 0)?;
                self.wildcard.get(&name[dot..])
            };
            exact.or_else(wildcard).copied()
        });
        named.or(self.any)
    }

    pub(super) fn of_listener(&self, tcp: &TcpForward) -> Option<usize> {
        self.listeners.get(tcp).copied()
    }
}
