//! From JSON to values with their places.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::findings::{Findings, Place};
use super::tree::{Node, Value};

/// Values of one text; each takes some hundred bytes.
const MOST: usize = 200_000;

/// Parses JSON; a syntax error is noted with its line. Other places are JSON pointers.
pub(crate) fn parse_json(file: &Arc<str>, text: &str, findings: &mut Findings) -> Option<Node> {
    let left = Cell::new(MOST);
    let whole = At {
        file,
        pointer: String::new(),
        left: &left,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = whole
        .deserialize(&mut reader)
        .and_then(|node| reader.end().map(|()| node));
    let error = match read {
        Ok(node) => return Some(node),
        Err(error) => error,
    };
    let place = Place::File {
        file: Arc::clone(file),
        line: error.line(),
        column: error.column(),
        key: String::new(),
    };
    let said = error.to_string();
    // The place says it already.
    let said = said.split(" at line ").next().unwrap_or_default();
    let message = match text.trim().is_empty() {
        true => "is empty; write a list, such as [\"10.0.0.1:80\"]".to_owned(),
        false => format!("not JSON: {said}"),
    };
    findings.error(&place, message);
    None
}

/// Where a value stands.
struct At<'a> {
    file: &'a Arc<str>,
    pointer: String,
    /// Values that may still come.
    left: &'a Cell<usize>,
}

impl At<'_> {
    fn below(&self, token: impl fmt::Display) -> At<'_> {
        At {
            pointer: format!("{}/{token}", self.pointer),
            ..*self
        }
    }

    fn node(&self, value: Value) -> Node {
        Node {
            place: Place::Json {
                file: Arc::clone(self.file),
                pointer: self.pointer.clone(),
            },
            value,
        }
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(D::Error::custom(format!("more than {MOST} values")));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(self.node(Value::Other("null")))
    }

    fn visit_bool<E>(self, b: bool) -> Result<Node, E> {
        Ok(self.node(Value::Boolean(b)))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Node, E> {
        Ok(self.node(Value::Integer(n)))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Node, E> {
        let large = Value::Other("an integer of more than 64 bits");
        Ok(self.node(i64::try_from(n).map_or(large, Value::Integer)))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Node, E> {
        Ok(self.node(Value::Float(x)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(self.node(Value::String(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = all.next_element_seed(self.below(nodes.len()))? {
            nodes.push(node);
        }
        Ok(self.node(Value::List(nodes)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Node, A::Error> {
        let (mut entries, mut known) = (Vec::new(), HashSet::new());
        while let Some(key) = all.next_key::<String>()? {
            if !known.insert(key.clone()) {
                return Err(A::Error::custom(format!("{key:?} is written twice")));
            }
            // RFC 6901 section 3.
            let token = key.replace('~', "~0").replace('/', "~1");
            let node = all.next_value_seed(self.below(super::brief(&token)))?;
            entries.push((key, node));
        }
        Ok(self.node(Value::Table(entries)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> String {
        let mut findings = Findings::default();
        let node = parse_json(&"b.json".into(), text, &mut findings);
        assert!(node.is_none());
        findings.into_errors().to_string()
    }

    #[test]
    fn values_have_pointers_and_mistakes_have_lines() {
        let mut findings = Findings::default();
        let text = "{\"a\": [1, {\"x/y\": null}],\n \"b\": 1.5}";
        let node = parse_json(&"b.json".into(), text, &mut findings).unwrap();
        let mut section = node.section(&mut findings).unwrap();
        let all = section.take("a").unwrap().list(&mut findings).unwrap();
        let places: Vec<String> = all.iter().map(|node| node.place.to_string()).collect();
        assert_eq!(places, ["b.json, /a/0", "b.json, /a/1"]);
        let second = all.into_iter().nth(1).unwrap().section(&mut findings);
        let (_, null) = second.unwrap().into_entries().remove(0);
        assert!(null.string(&mut findings).is_none());
        let errors = findings.into_errors().to_string();
        assert_eq!(
            errors,
            "b.json, /a/1/x~1y: is null; write a string in quotes"
        );

        assert!(mistakes("").contains("is empty"));
        assert!(mistakes(" \n").contains("is empty"));
        let cut = mistakes("[\"10.0.0.1:80\",\n");
        assert!(
            cut.starts_with("b.json, line 2, column 0: not JSON: EOF"),
            "{cut}"
        );
        assert!(mistakes("[1] 2").contains("trailing"));
        assert!(mistakes("{\"a\": 1, \"a\": 2}").contains("\"a\" is written twice"));
        assert!(mistakes(&"[".repeat(5_000)).contains("recursion"));
        let many = format!("[{}1]", "1,".repeat(MOST));
        assert!(mistakes(&many).contains("more than 200000 values"));
    }
}
