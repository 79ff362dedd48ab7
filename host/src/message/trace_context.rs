//! Which trace a request belongs to: W3C Trace Context, level 1.

use super::{Fields, syntax};

/// The field that names a trace and a span of it.
pub const TRACEPARENT: &str = "traceparent";
/// The field in which tracing systems keep what else they know.
pub const TRACESTATE: &str = "tracestate";

/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// Members of a `tracestate` (section 3.3.1.1).
const MEMBERS: usize = 32;
/// Bytes of a key, and of a value (sections 3.3.1.3.1 and 3.3.1.3.2).
const LONGEST: usize = 256;
/// Bytes of a key before and behind its `@`.
const TENANT: usize = 241;
const SYSTEM: usize = 14;
/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

/// A span of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never 0.
    pub trace: u128,
    /// The span; never 0.
    pub span: u64,
    /// Whether the caller records it.
    pub sampled: bool,
}

impl TraceContext {
    /// The span that these fields name. `None` if there is none, several, or one that is not as
    /// the specification wants it: a new trace begins then.
    pub fn read(fields: &Fields) -> Option<Self> {
        let mut all = fields.values(TRACEPARENT);
        let value = all.next().filter(|_| all.next().is_none())?;
        Self::parse(value)
    }

    /// Reads a value strictly (section 3.2): digits in lower case, no id of zeros, and nothing
    /// behind the flags. A later version may have more there, behind a dash.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let version = digits(&known[..2])?;
        let is_whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        if !is_whole || [2, 35, 52].iter().any(|at| known[*at] != b'-') {
            return None;
        }
        let trace = digits(&known[3..35])?;
        let span = u64::try_from(digits(&known[36..52])?).ok()?;
        let flags = u8::try_from(digits(&known[53..])?).ok()?;
        (trace != 0 && span != 0).then_some(Self {
            trace,
            span,
            sampled: flags & SAMPLED != 0,
        })
    }

    /// As a field has it, of version 00. Flags that this version does not know are not passed on.
    pub fn value(&self) -> [u8; LENGTH] {
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_digits(self.trace, &mut value[3..35]);
        write_digits(u128::from(self.span), &mut value[36..52]);
        write_digits(u128::from(self.sampled), &mut value[53..]);
        value
    }
}

/// Writes an id into this many digits.
pub fn write_digits(id: u128, to: &mut [u8]) {
    let mut left = id;
    for digit in to.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(left & 0xf) as usize];
        left >>= 4;
    }
}

/// Up to 32 hexadecimal digits in lower case.
fn digits(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0u128, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// Whether the `tracestate` of these fields is as section 3.3 wants it; if not, all of it is to be
/// removed.
pub fn has_good_state(fields: &Fields) -> bool {
    let mut keys: [&[u8]; MEMBERS] = [b""; MEMBERS];
    let members = fields
        .values(TRACESTATE)
        .flat_map(|v| v.split(|b| *b == b','));
    let members = members
        .map(syntax::trim)
        .filter(|member| !member.is_empty());
    for (count, member) in members.enumerate() {
        let Some(at) = member.iter().position(|b| *b == b'=') else {
            return false;
        };
        let (key, value) = (&member[..at], &member[at + 1..]);
        let is_new = count < MEMBERS && !keys[..count].contains(&key);
        if !is_new || !is_key(key) || !is_state(value) {
            return false;
        }
        keys[count] = key;
    }
    true
}

fn is_key(key: &[u8]) -> bool {
    let is_good = |b: &u8| {
        b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'*' | b'/')
    };
    let begins = |part: &[u8]| part.first().is_some_and(u8::is_ascii_lowercase);
    let Some(at) = key.iter().position(|b| *b == b'@') else {
        return key.len() <= LONGEST && begins(key) && key.iter().all(is_good);
    };
    let (tenant, system) = (&key[..at], &key[at + 1..]);
    let has_tenant = begins(tenant) || tenant.first().is_some_and(u8::is_ascii_digit);
    has_tenant
        && tenant.len() <= TENANT
        && begins(system)
        && system.len() <= SYSTEM
        && tenant.iter().chain(system).all(is_good)
}

/// The member was trimmed, so its value does not end with a blank.
fn is_state(value: &[u8]) -> bool {
    let is_good = |b: &u8| matches!(b, b' '..=b'~') && !matches!(b, b',' | b'=');
    !value.is_empty() && value.len() <= LONGEST && value.iter().all(is_good)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends by a panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn fields(name: &str, values: &[&str]) -> Fields {
        let mut fields = Fields::new();
        for value in values {
            fields.append(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn a_traceparent_is_read_as_the_specification_says() {
        let read = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(read.trace, 0x4bf92f3577b34da6a3ce929d0e0e4736);
        assert_eq!((read.span, read.sampled), (0x00f067aa0ba902b7, true));
        assert_eq!(read.value(), GOOD.as_bytes());
        let with = |at: std::ops::Range<usize>, text: &str| {
            let mut value = GOOD.to_owned();
            value.replace_range(at, text);
            TraceContext::parse(value.as_bytes())
        };
        for (flags, sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
            let read = with(53..55, flags).unwrap();
            assert_eq!(read.sampled, sampled, "{flags}");
            let written = if sampled { "01" } else { "00" };
            assert!(read.value().ends_with(written.as_bytes()), "{flags}");
        }
        // Versions to come.
        for good in [with(0..2, "cc"), with(0..2, "01"), with(55..55, "")] {
            assert_eq!(good, Some(read));
        }
        let longer = format!("cc{}-what-is-new", &GOOD[2..]);
        assert_eq!(TraceContext::parse(longer.as_bytes()), Some(read));
        for (at, bad) in [
            (0..2, "ff"),
            (0..2, "0G"),
            (0..2, "0"),
            (2..3, "_"),
            (3..35, "00000000000000000000000000000000"),
            (3..35, "4BF92F3577B34DA6A3CE929D0E0E4736"),
            (3..4, " "),
            (35..36, " "),
            (36..52, "0000000000000000"),
            (36..52, "00F067AA0BA902B7"),
            (52..53, "."),
            (53..55, "1"),
            (53..55, "0A"),
            (55..55, "-"),
            (55..55, " "),
            (55..55, "-more"),
            (0..0, " "),
        ] {
            assert_eq!(with(at.clone(), bad), None, "{bad:?} at {at:?}");
        }
        for longer in ["cc01", "cc.more", "cc more"] {
            let value = format!("cc{}{}", &GOOD[2..], &longer[2..]);
            assert_eq!(TraceContext::parse(value.as_bytes()), None, "{value}");
        }
        assert_eq!(TraceContext::parse(b""), None);
        assert_eq!(TraceContext::read(&fields(TRACEPARENT, &[])), None);
        assert_eq!(
            TraceContext::read(&fields(TRACEPARENT, &[GOOD])),
            Some(read)
        );
        let twice = fields(TRACEPARENT, &[GOOD, GOOD]);
        assert_eq!(TraceContext::read(&twice), None);
    }

    #[test]
    fn a_tracestate_is_good_as_a_whole_or_not_at_all() {
        let many = |n: usize| {
            (0..n)
                .map(|n| format!("k{n}=v"))
                .collect::<Vec<_>>()
                .join(",")
        };
        let long = |key: usize, value: usize| format!("{}={}", "k".repeat(key), "v".repeat(value));
        for good in [
            "",
            "rojo=00f067aa0ba902b7",
            "rojo=1,congo=t61rcWkgMzE",
            " a=1 ,\t, b=2 ",
            "a_-*/9=!<>~\"",
            "9t@system=x y",
            "a=1;b",
            &many(32),
            &long(256, 256),
        ] {
            assert!(has_good_state(&fields(TRACESTATE, &[good])), "{good:?}");
        }
        for bad in [
            "a",
            "=1",
            "a=",
            "A=1",
            "9=1",
            "a=1=2",
            "a=1,a=2",
            "@s=1",
            "t@=1",
            "t@9=1",
            "t@s@s=1",
            "a=\u{e9}",
            &format!("t@{}=1", "s".repeat(15)),
            &format!("{}@s=1", "t".repeat(242)),
            &many(33),
            &long(257, 1),
            &long(1, 257),
        ] {
            assert!(!has_good_state(&fields(TRACESTATE, &[bad])), "{bad:?}");
        }
        let twice = fields(TRACESTATE, &["a=1", "a=2"]);
        assert!(!has_good_state(&twice), "in two fields");
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_in_one_way(
            value in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[ -~]{0,9})?"
        ) {
            if let Some(read) = TraceContext::parse(value.as_bytes()) {
                prop_assert!(!value.starts_with("ff"));
                prop_assert_eq!(&read.value()[3..52], &value.as_bytes()[3..52]);
                prop_assert_eq!(TraceContext::parse(&read.value()), Some(read));
            }
        }

        #[test]
        fn no_bytes_are_too_strange(
            value in proptest::collection::vec(any::<u8>(), 0..80),
            at in 0..GOOD.len(),
            byte in any::<u8>(),
        ) {
            TraceContext::parse(&value);
            let mut changed = GOOD.as_bytes().to_vec();
            changed[at] = byte;
            if let Some(read) = TraceContext::parse(&changed) {
                prop_assert!(byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || byte == b'-');
                prop_assert!(read.trace != 0 && read.span != 0);
            }
            let mut fields = Fields::new();
            fields.append(TRACESTATE.as_bytes(), &value);
            has_good_state(&fields);
        }
    }
}
