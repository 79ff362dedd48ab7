//! What a hook is told to do: the values of one request field, after those of the settings.

use crate::hooks::Request;

/// `NAME` or `NAME=ARGUMENT`.
pub struct Action {
    pub name: String,
    pub argument: String,
}

impl Action {
    pub fn parse(text: &str) -> Self {
        let (name, argument) = text.split_once('=').unwrap_or((text, ""));
        Action {
            name: name.to_owned(),
            argument: argument.to_owned(),
        }
    }

    /// The argument as a number; 0 if it is none.
    pub fn number(&self) -> u64 {
        self.argument.parse().unwrap_or(0)
    }

    /// The argument as `NAME:VALUE`, the percent-encoding of both undone.
    pub fn field(&self) -> (String, Vec<u8>) {
        let (name, value) = self
            .argument
            .split_once(':')
            .unwrap_or((&self.argument, ""));
        (
            String::from_utf8_lossy(&decode(name)).into_owned(),
            decode(value),
        )
    }
}

/// The actions for one hook: `always` from the settings, then the fields `x-probe-HOOK` of the
/// request.
pub fn actions(request: &Request, hook: &str, always: &[String]) -> Vec<Action> {
    let asked = request.header_values(&format!("x-probe-{hook}"));
    let asked = asked
        .iter()
        .map(|value| String::from_utf8_lossy(value).into_owned());
    always
        .iter()
        .cloned()
        .chain(asked)
        .map(|text| Action::parse(&text))
        .collect()
}

fn decode(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        let escaped = match rest {
            [high, low, ..] if *byte == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            decoded.push((high << 4) | low);
            rest = &rest[2..];
        } else {
            decoded.push(*byte);
        }
    }
    decoded
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}
