//! Sessions that are resumed, and those that must not be.

use rustls::HandshakeKind;
use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::version::{TLS12, TLS13};

use super::*;

/// A store that offers each session to every name, as no honest client does.
#[derive(Debug)]
struct Careless(ClientSessionMemoryCache);

fn every() -> ServerName<'static> {
    ServerName::try_from("every.test").unwrap()
}

impl ClientSessionStore for Careless {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(every(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&every())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(every(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&every())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&every());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(every(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&every())
    }
}

fn careless(mut config: ClientConfig) -> Arc<ClientConfig> {
    let store = Arc::new(Careless(ClientSessionMemoryCache::new(64)));
    config.resumption = Resumption::store(store);
    Arc::new(config)
}

fn kind(stream: &Stream) -> Option<HandshakeKind> {
    let Stream::Tls(stream) = stream else {
        panic!("not a session")
    };
    stream.look(|connection| connection.handshake_kind())
}

/// Connects, and takes the tickets that come.
async fn connect(
    acceptor: &Acceptor,
    config: &Arc<ClientConfig>,
    name: &'static str,
) -> (Option<HandshakeKind>, TlsFacts) {
    let (theirs, ours) = agree(acceptor, config, name).await;
    let ((theirs, _), (ours, facts)) = (theirs.unwrap(), ours.unwrap());
    assert!(theirs.is_quiet(true), "tickets are no news");
    assert_eq!(kind(&theirs), kind(&ours));
    (kind(&ours), facts)
}

fn wild() -> Certificate {
    self_signed(&["a.wild.test", "b.wild.test"]).unwrap()
}

#[tokio::test]
async fn a_session_is_resumed_for_its_own_name_only() {
    for version in [&TLS13, &TLS12] {
        let certificate = wild();
        let config = careless(client_of(&[version], slice(&certificate), None));
        let acceptor = acceptor(offer(), &[certificate]);
        let mut kinds = Vec::new();
        for name in ["a.wild.test", "a.wild.test", "b.wild.test", "b.wild.test"] {
            kinds.push(connect(&acceptor, &config, name).await.0.unwrap());
        }
        let expected = [
            HandshakeKind::Full,
            HandshakeKind::Resumed,
            HandshakeKind::Full,
            HandshakeKind::Resumed,
        ];
        assert_eq!(kinds, expected, "{:?}", version.version);
    }
}

#[tokio::test]
async fn a_session_outlives_a_swap_of_certificates_and_reaches_other_listeners() {
    let (old, new) = (edge(), edge());
    let config = careless(client(&[old.clone(), new.clone()]));
    let offer = offer();
    let store = Arc::new(CertificateStore::new(offer.clone(), slice(&old)).unwrap());
    let first = Acceptor::new(Arc::clone(&store));
    let full = connect(&first, &config, "edge.test").await.0;
    assert_eq!(full, Some(HandshakeKind::Full));
    store.replace(slice(&new)).unwrap();
    let resumed = connect(&first, &config, "edge.test").await;
    assert_eq!(resumed.0, Some(HandshakeKind::Resumed));
    assert!(resumed.1.covers("edge.test"));
    let other = acceptor(offer, slice(&new));
    let resumed = connect(&other, &config, "edge.test").await.0;
    assert_eq!(resumed, Some(HandshakeKind::Resumed));
}

/// A resumed session would not show whether the certificate has expired since.
#[tokio::test]
async fn clients_with_certificates_never_resume() {
    let authority = Authority::new("clients");
    let offer = offer();
    let verifying = Offer {
        clients: Some((authority.roots(), true)),
        ..offer.clone()
    };
    for version in [&TLS13, &TLS12] {
        let certificate = edge();
        let (plain, verifying) = (
            acceptor(offer.clone(), slice(&certificate)),
            acceptor(verifying.clone(), slice(&certificate)),
        );
        let identity = Some(authority.issue("client 1"));
        let config = careless(client_of(&[version], slice(&certificate), identity));
        for _ in 0..2 {
            let (kind, facts) = connect(&verifying, &config, "edge.test").await;
            assert_eq!(kind, Some(HandshakeKind::Full), "{:?}", version.version);
            assert!(facts.session.client.is_some());
        }
        // A session of a listener that asks for nothing is none for one that does.
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            assert_eq!(connect(&plain, &config, "edge.test").await.0, Some(kind));
        }
        let (kind, facts) = connect(&verifying, &config, "edge.test").await;
        assert_eq!(kind, Some(HandshakeKind::Full));
        assert!(facts.session.client.is_some());
    }
}
