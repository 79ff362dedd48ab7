//! `POST /upgrade`.

use std::path::PathBuf;

use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::reply::{self, Reply};
use super::shared::Shared;
use super::upgrade::UpgradeError;

/// Answers once the other process serves, or can't.
pub(super) async fn upgrade(shared: &Shared, query: Option<&str>) -> Reply {
    let binary = match binary(query.unwrap_or_default()) {
        Ok(binary) => binary,
        Err(sentence) => return reply::error(StatusCode::BAD_REQUEST, &sentence),
    };
    // Without a token every user of this machine could have a program of theirs run as the proxy's
    // user.
    if binary.is_some() && !shared.guard.has_token() {
        let sentence = "another binary may be named only where the admin listener has a token; set \
                        one in [admin], or put the new binary in the place of the old one";
        return reply::error(StatusCode::FORBIDDEN, sentence);
    }
    match shared.control.upgrade(binary).await {
        Ok(upgraded) => reply::json(StatusCode::OK, &upgraded),
        Err(UpgradeError::Refused(reason)) => {
            let errors: Vec<&str> = reason.lines().collect();
            let answer = json!({ "error": reason, "errors": errors });
            reply::json(StatusCode::UNPROCESSABLE_ENTITY, &answer)
        }
        Err(UpgradeError::Busy) => {
            let sentence = "another upgrade is under way; wait for its end";
            reply::error(StatusCode::CONFLICT, sentence)
        }
        Err(UpgradeError::Unavailable(sentence)) => {
            reply::error(StatusCode::SERVICE_UNAVAILABLE, &sentence)
        }
    }
}

/// The file that the query names.
fn binary(query: &str) -> Result<Option<PathBuf>, String> {
    if query.is_empty() {
        return Ok(None);
    }
    let named = query.strip_prefix("binary=").filter(|n| !n.contains('&'));
    let Some(named) = named else {
        return Err("the only parameter of /upgrade is `binary`, a path".to_owned());
    };
    let path = percent_decode_str(named).collect::<Vec<u8>>();
    match String::from_utf8(path) {
        Ok(path) if path.starts_with('/') && !path.contains(char::is_control) => {
            Ok(Some(path.into()))
        }
        _ => Err(
            "`binary` of /upgrade is an absolute path, in UTF-8, without control characters"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_is_an_absolute_path() {
        assert_eq!(binary(""), Ok(None));
        let named = binary("binary=%2Fopt%2Fway%20post").unwrap();
        assert_eq!(named, Some(PathBuf::from("/opt/way post")));
        for wrong in [
            "binary",
            "binary=",
            "binary=waypost",
            "file=/a",
            "binary=/a&b",
            "binary=/%ff",
            "binary=/a%0Ab",
        ] {
            assert!(binary(wrong).is_err(), "{wrong}");
        }
    }
}
