//! The draws, clock readings and store answers of one call, to be kept and replayed.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::store::Told;

/// The tape of one call as it is recorded: see `docs/recording.md`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    #[serde(with = "hexadecimal")]
    pub(super) seed: u64,
    /// When the call began, in nanoseconds of the monotonic clock.
    pub(super) monotonic_nanoseconds: u64,
    /// When the call began, in milliseconds since 1970.
    pub(super) unix_milliseconds: u64,
    #[serde(default, skip_serializing_if = "Readings::are_none")]
    pub(super) readings: Readings,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) store: Vec<Told>,
}

/// What clocks showed, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Readings {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub monotonic: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unix: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wasi_monotonic: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wasi_wall: Vec<u64>,
}

/// Bytes that are text most of the time: a JSON string where they are UTF-8, else `{"hex": "..."}`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Octets(pub Vec<u8>);

impl Recorded {
    /// When the call began, by the monotonic clock.
    pub fn monotonic_nanoseconds(&self) -> u64 {
        self.monotonic_nanoseconds
    }

    /// When the call began, in milliseconds since 1970; 0 if it was never made.
    pub fn unix_milliseconds(&self) -> u64 {
        self.unix_milliseconds
    }

    /// Lets keys and values of the store be changed, to redact a recording.
    pub fn change_texts(&mut self, change: &mut dyn FnMut(&mut Vec<u8>)) {
        self.store
            .iter_mut()
            .for_each(|told| told.change_texts(change));
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let Readings {
            monotonic,
            unix,
            wasi_monotonic,
            wasi_wall,
        } = &self.readings;
        let readings: usize = [monotonic, unix, wasi_monotonic, wasi_wall]
            .iter()
            .map(|r| r.len() * 8)
            .sum();
        readings + self.store.iter().map(Told::weight).sum::<usize>()
    }
}

impl Readings {
    fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

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
        octets::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        octets::deserialize(deserializer).map(Self)
    }
}

/// Bytes as [`Octets`] writes them.
pub(super) mod octets {
    use super::*;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return serializer.serialize_str(text);
        }
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("hex", &hex)?;
        map.end()
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_any(Bytes)
    }

    /// The same where there may be none.
    pub mod optional {
        use super::*;

        #[allow(clippy::ref_option, reason = "what serde calls")]
        pub fn serialize<S: Serializer>(
            bytes: &Option<Vec<u8>>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match bytes {
                Some(bytes) => octets::serialize(bytes, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(
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
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        let pairs = digits.as_bytes().chunks(2);
        let bytes = pairs.map(|pair| match pair {
            [high, low] => Some((digit(*high)? << 4) | digit(*low)?),
            _ => None,
        });
        bytes
            .collect::<Option<_>>()
            .ok_or_else(|| de::Error::custom("`hex` holds pairs of hexadecimal digits"))
    }
}

/// 16 digits: not every reader of JSON takes a number of 64 bits as it is.
mod hexadecimal {
    use super::*;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
    pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{number:016x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let digits = String::deserialize(deserializer)?;
        u64::from_str_radix(&digits, 16)
            .map_err(|_| de::Error::custom(format!("{digits:?} is not a hexadecimal number")))
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
