//! The configuration that replaces an nginx server is one that the proxy takes.

use rcgen::generate_simple_self_signed;

use crate::fixtures::{Scratch, repository, waypost};

#[test]
fn the_configuration_that_replaces_an_nginx_server_is_accepted() {
    let folder = Scratch::new();
    let page = std::fs::read_to_string(repository().join("docs/from-nginx.md")).unwrap();
    let block = page.split("```toml\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let place = format!("{}/", folder.path().display());
    let written = block.replace("/etc/waypost/", &place);
    assert_ne!(written, block, "the page names files of a certificate");
    let certified = generate_simple_self_signed(["example.com".to_owned()]).unwrap();
    let (certificate, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    folder.write("example.pem", certificate);
    folder.write("example.key", key);
    folder.write("waypost.toml", written);
    let exit = waypost(["check", "--config", "waypost.toml"], folder.path());
    assert_eq!(exit.code, Some(0), "{exit:?}");
}
