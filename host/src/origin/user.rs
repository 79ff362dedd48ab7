//! `POST /createUser`: what does the client want the new user to be called?

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use serde_json::{Value, json};

use super::answer::{Answer, send};
use super::content::Content;

/// Far more than a name needs, in bytes.
const BODY: usize = 64 * 1024;
/// In characters.
const NAME: usize = 256;
/// How long the body may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers 201 with the user, or an error that says what is wrong with the body. The media type is
/// ignored: people who post JSON by hand rarely set it.
///
/// `id` is called only for a user that is made.
pub(super) async fn create<B>(body: &mut B, origin: &str, id: impl FnOnce() -> u64) -> Answer
where
    B: Body + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Before the first read, for that would ask a client that waits for "100 Continue" to send all
    // of it.
    if body.size_hint().lower() > BODY as u64 {
        return too_large();
    }
    let read = Limited::new(body, BODY).collect();
    let body = match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return too_large(),
        Ok(Err(error)) => {
            return closing(refusal(
                StatusCode::BAD_REQUEST,
                &format!("The body could not be read: {error}."),
            ));
        }
        Err(_) => {
            return closing(refusal(
                StatusCode::REQUEST_TIMEOUT,
                "The body did not arrive in time.",
            ));
        }
    };
    match name(&body) {
        Ok(name) => answer(
            StatusCode::CREATED,
            &json!({ "id": id(), "Nombre": name, "origin": origin }),
        ),
        Err(told) => refusal(StatusCode::BAD_REQUEST, &told),
    }
}

/// The name in the body, or a sentence that says why there is none.
fn name(body: &[u8]) -> Result<String, String> {
    let example = r#"for example {"Nombre": "Ada"}"#;
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| format!("The body is not JSON ({error}); send {example}."))?;
    let Value::Object(fields) = value else {
        return Err(format!(
            "The body is JSON, but not an object; send {example}."
        ));
    };
    let Some(value) = fields.get("Nombre") else {
        return Err(format!("The field \"Nombre\" is missing; send {example}."));
    };
    let Value::String(name) = value else {
        return Err(format!(
            "The field \"Nombre\" must be a string; send {example}."
        ));
    };
    let name = name.trim();
    if name.is_empty() {
        return Err(format!("The field \"Nombre\" is empty; send {example}."));
    }
    if name.chars().count() > NAME {
        return Err(format!(
            "The field \"Nombre\" is longer than {NAME} characters."
        ));
    }
    Ok(name.to_owned())
}

fn too_large() -> Answer {
    let told = format!("The body is too large; a user takes {BODY} bytes at most.");
    closing(refusal(StatusCode::PAYLOAD_TOO_LARGE, &told))
}

fn refusal(status: StatusCode, told: &str) -> Answer {
    answer(status, &json!({ "error": told }))
}

fn answer(status: StatusCode, value: &Value) -> Answer {
    send(
        status,
        "application/json",
        Content::whole(Bytes::from(format!("{value}\n"))),
    )
}

/// The rest of the body is not read, so the connection can't carry another request.
fn closing(mut answer: Answer) -> Answer {
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_kept() {
        assert_eq!(
            name(br#"{"Nombre": " Jos\u00e9 ", "Edad": 3}"#).unwrap(),
            "José"
        );
        assert_eq!(
            name(format!(r#"{{"Nombre": "{}"}}"#, "ñ".repeat(NAME)).as_bytes())
                .unwrap()
                .chars()
                .count(),
            NAME
        );
    }

    #[test]
    fn each_fault_has_its_sentence() {
        let long = format!(r#"{{"Nombre": "{}"}}"#, "x".repeat(NAME + 1));
        for (body, told) in [
            ("", "not JSON"),
            ("Nombre=Ada", "not JSON"),
            (r#"{"Nombre": "Ada""#, "not JSON"),
            (r#"["Ada"]"#, "not an object"),
            (r#"{"nombre": "Ada"}"#, "missing"),
            (r#"{"Nombre": 7}"#, "must be a string"),
            (r#"{"Nombre": null}"#, "must be a string"),
            (r#"{"Nombre": "  "}"#, "empty"),
            (long.as_str(), "longer than"),
        ] {
            let sentence = name(body.as_bytes()).unwrap_err();
            assert!(sentence.contains(told), "{body}: {sentence}");
        }
        assert!(
            name(b"{\"Nombre\": \"\xff\"}")
                .unwrap_err()
                .contains("not JSON")
        );
        assert!(
            name("[".repeat(10_000).as_bytes())
                .unwrap_err()
                .contains("not JSON")
        );
    }
}
