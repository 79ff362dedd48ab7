//! Bytes in JSON.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units;

/// Bytes that are text most of the time: a JSON string where they are UTF-8, else `{"hex": "..."}`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Octets(pub Vec<u8>);

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl From<&[u8]> for Octets {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_octets::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        as_octets::deserialize(deserializer).map(Self)
    }
}

/// Bytes as [`Octets`] writes them.
pub(super) mod as_octets {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("hex", &units::hex(bytes))?;
        map.end()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_any(Bytes)
    }

    /// The same where there may be none.
    pub(crate) mod optional {
        use super::*;

        #[allow(clippy::ref_option, reason = "what serde calls")]
        pub(crate) fn serialize<S: Serializer>(
            bytes: &Option<Vec<u8>>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match bytes {
                Some(bytes) => as_octets::serialize(bytes, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Vec<u8>>, D::Error> {
            Ok(Option::<Octets>::deserialize(deserializer)?.map(|octets| octets.0))
        }
    }
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or {\"hex\": \"...\"}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        Ok(text.as_bytes().to_vec())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Vec<u8>, M::Error> {
        let Some((key, digits)) = map.next_entry::<String, String>()? else {
            return Err(de::Error::custom("the key `hex` is missing"));
        };
        if key != "hex" || map.next_key::<String>()?.is_some() {
            return Err(de::Error::custom("bytes have the one key `hex`"));
        }
        units::parse_hex(&digits)
            .ok_or_else(|| de::Error::custom("`hex` holds pairs of hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_where_they_can_be_and_nothing_is_lost() {
        let shown = |bytes: &[u8]| serde_json::to_string(&Octets::from(bytes)).unwrap();
        assert_eq!(shown(b"a\"\xc3\xa4"), "\"a\\\"\u{e4}\"");
        assert_eq!(shown(b"a\xff"), r#"{"hex":"61ff"}"#);
        for bytes in [
            &b""[..],
            b"x",
            b"\0\x01",
            b"\xff\xfe",
            "\u{1f980}".as_bytes(),
        ] {
            assert_eq!(
                serde_json::from_str::<Octets>(&shown(bytes)).unwrap().0,
                bytes
            );
        }
        for bad in [
            r#"{"hex":"f"}"#,
            r#"{"hex":"zz"}"#,
            r#"{"hex":"\u00e4"}"#,
            r#"{"a":"00"}"#,
            "{}",
            "1",
            "null",
        ] {
            assert!(serde_json::from_str::<Octets>(bad).is_err(), "{bad}");
        }
    }
}
