//! What was said of backends that left.

use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::upstream::{AdminState, Edit, Family, Name, Origin, Outcome, Overlay, Record};

const CONFIG: &str = "workers = 1\n[[routes]]\nhost = \"*\"\npool = \"web\"\npolicies = []\n\
                      [pools.web]\nbackends = [\"a.test:80\", \"127.0.0.1:9\"]";

/// A name server has said this of the only name.
async fn answered(control: &Arc<ControlPlane>, addresses: &[&str]) {
    let address = |text: &&str| Record::Address(text.parse().unwrap());
    let outcome = match addresses.is_empty() {
        true => Outcome::Failed("it is silent".to_owned()),
        false => Outcome::Found {
            records: addresses.iter().map(address).collect(),
            ttl: Duration::from_secs(1),
        },
    };
    let (name, now) = (Name::Host("a.test".to_owned()), SystemTime::now());
    control
        .discovery()
        .note(&name, Family::Ipv4, outcome, (now, now));
    control.follow_discovery().await.unwrap();
}

#[tokio::test]
async fn what_was_said_of_an_address_goes_some_time_after_the_address() {
    let control = started(&config(CONFIG)).await;
    let said = Edit {
        weight: None,
        state: Some(AdminState::Draining),
    };
    let addresses = ["10.0.0.1:80", "127.0.0.1:9", "a.test:80"];
    let overlay = Overlay {
        added: Vec::new(),
        edits: addresses.map(|a| (a.to_owned(), said)).into(),
    };
    control.discovery().overlay("web", Origin::Api, overlay);
    let edits = || {
        let overlay = control.discovery().overlay_of("web", Origin::Api);
        overlay.edits.into_keys().collect::<Vec<_>>()
    };
    let begin = Instant::now();
    let at = |minutes: u64| begin + Duration::from_secs(minutes * 60);
    // While nothing is known of the name, the address may be one of its own.
    answered(&control, &[]).await;
    for minutes in [0, 20] {
        control.forget_left(at(minutes)).await;
        assert_eq!(edits(), addresses);
    }
    answered(&control, &["10.0.0.1", "10.0.0.2"]).await;
    control.forget_left(at(40)).await;
    answered(&control, &["10.0.0.2"]).await;
    control.forget_left(at(60)).await;
    // It is back within its time.
    answered(&control, &["10.0.0.1"]).await;
    control.forget_left(at(65)).await;
    answered(&control, &["10.0.0.2"]).await;
    for minutes in [70, 79] {
        control.forget_left(at(minutes)).await;
        assert_eq!(edits(), addresses);
    }
    control.forget_left(at(80)).await;
    assert_eq!(edits(), addresses[1..]);
}
