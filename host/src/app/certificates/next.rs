//! The certificates of another configuration: what did not change is served as before.

use std::sync::Arc;

use super::{ListenerCertificates, Served};
use crate::config::{Certificates, Config, Listener, ListenerTls};
use crate::net::tls::Tickets;

impl ListenerCertificates {
    /// The same for another configuration of the same process. Listeners that did not change keep
    /// what they serve.
    pub(in crate::app) fn next(&self, config: &Config) -> Result<Self, Vec<String>> {
        let encrypted: Vec<_> = config
            .listeners
            .iter()
            .enumerate()
            .filter_map(|(number, listener)| Some((number, listener, listener.tls.as_ref()?)))
            .collect();
        let tickets = match &self.tickets {
            None if encrypted.is_empty() => return Ok(Self::default()),
            None => Tickets::new().map_err(|e| vec![format!("TLS can't be used: {e}")])?,
            Some(tickets) => tickets.clone(),
        };
        let mut this = Self {
            ordered: self.next_ordered(config).map_err(|e| vec![e])?,
            acme: config.acme.clone(),
            challenges: self.challenges.clone(),
            tickets: Some(tickets.clone()),
            ..Self::default()
        };
        this.http_challenges = this.asked_by_http(config, self);
        let mut errors = Vec::new();
        for (number, listener, tls) in encrypted {
            if tls.certificates == Certificates::None {
                this.bare.push(number);
                continue;
            }
            let served = match self.kept(listener, tls, &this) {
                Some(kept) => Ok(Arc::clone(kept)),
                None => this.served(config, (listener, tls), &tickets).map(Arc::new),
            };
            match served {
                Ok(served) => {
                    this.listeners.push(served);
                    this.positions.push(number);
                }
                Err(reasons) => errors.extend(reasons),
            }
        }
        match errors.is_empty() {
            true => Ok(this),
            false => Err(errors),
        }
    }

    /// What this listener is served with, if it and what is ordered for it are the same.
    fn kept(&self, listener: &Listener, tls: &ListenerTls, next: &Self) -> Option<&Arc<Served>> {
        let ordered = |of: &Self| of.ordered.iter().find(|o| o.is_for(&tls.acme)).cloned();
        let is_same = match (ordered(self), ordered(next)) {
            (None, None) => true,
            (Some(before), Some(now)) => Arc::ptr_eq(&before, &now),
            _ => false,
        };
        let mut all = self.listeners.iter();
        all.find(|served| is_same && served.listener == *listener)
    }

    /// Whether a listener, by its positions in two configurations, is served in the same way.
    pub(in crate::app) fn is_as_before(&self, position: usize, next: &Self, there: usize) -> bool {
        let challenges = self.http_challenges.is_some() == next.http_challenges.is_some();
        let served = match (self.at(position), next.at(there)) {
            (None, None) => true,
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            _ => false,
        };
        challenges && served
    }

    /// Whether all is served and ordered as it is with these.
    pub(in crate::app) fn is_same(&self, other: &Self) -> bool {
        fn same<T>(these: &[Arc<T>], others: &[Arc<T>]) -> bool {
            let mut pairs = these.iter().zip(others);
            these.len() == others.len() && pairs.all(|(a, b)| Arc::ptr_eq(a, b))
        }
        same(&self.listeners, &other.listeners)
            && same(&self.ordered, &other.ordered)
            && self.positions == other.positions
            && self.bare == other.bare
            && self.acme == other.acme
    }

    pub(super) fn at(&self, position: usize) -> Option<&Arc<Served>> {
        let mut all = self.positions.iter().zip(&self.listeners);
        all.find_map(|(at, served)| (*at == position).then_some(served))
    }
}
