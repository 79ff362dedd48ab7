//! Which custom sections of a core module its component keeps. `guest-policies/pack` compiles this
//! file too, so it needs nothing but the standard library.

/// The magic number and the version.
const HEADER: usize = 8;
/// The id of a custom section.
const CUSTOM: u8 = 0;
/// The parts of the section `name` that are kept: the module's name and those of functions.
const MODULE: u8 = 0;
const FUNCTIONS: u8 = 1;

/// The module without what nothing reads once it is a component: debug information, which is most
/// of a build with `-g`, and the names of everything but of the functions that are `named`, which a
/// fault names. `None` if it is no whole module.
pub(super) fn slimmed(module: &[u8], named: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let mut reader = Reader(module);
    let mut kept = reader.take(HEADER)?.to_vec();
    while !reader.0.is_empty() {
        let (id, content) = (reader.byte()?, reader.sized()?);
        let mut inside = Reader(content);
        match id {
            CUSTOM => match inside.sized()? {
                b"name" => {
                    let names = [b"\x04name".as_slice(), &names(inside, &named)?].concat();
                    put(&mut kept, id, &names);
                }
                name if name.starts_with(b".debug") => {}
                _ => put(&mut kept, id, content),
            },
            _ => put(&mut kept, id, content),
        }
    }
    Some(kept)
}

/// The content of a section `name`.
fn names(mut reader: Reader<'_>, named: &impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    while !reader.0.is_empty() {
        match (reader.byte()?, reader.sized()?) {
            (MODULE, content) => put(&mut kept, MODULE, content),
            (FUNCTIONS, content) => put(&mut kept, FUNCTIONS, &functions(Reader(content), named)?),
            _ => {}
        }
    }
    Some(kept)
}

fn functions(mut reader: Reader<'_>, named: &impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let (mut count, mut kept) = (0, Vec::new());
    for _ in 0..reader.number()? {
        let (index, name) = (reader.number()?, reader.sized()?);
        if str::from_utf8(name).is_ok_and(named) {
            count += 1;
            put_number(&mut kept, index);
            put_number(&mut kept, name.len() as u32);
            kept.extend_from_slice(name);
        }
    }
    let mut whole = Vec::new();
    put_number(&mut whole, count);
    whole.extend(kept);
    Some(whole)
}

fn put(into: &mut Vec<u8>, id: u8, content: &[u8]) {
    into.push(id);
    put_number(into, content.len() as u32);
    into.extend_from_slice(content);
}

/// LEB128.
fn put_number(into: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// What has not been read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// LEB128, of at most 32 bits.
    fn number(&mut self) -> Option<u32> {
        let mut number = 0_u64;
        for at in 0..5 {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                return u32::try_from(number).ok();
            }
        }
        None
    }

    /// Bytes with their number before them.
    fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(sections: &[(u8, &[u8])]) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        for (id, content) in sections {
            put(&mut module, *id, content);
        }
        module
    }

    #[test]
    fn debug_information_and_names_that_are_never_shown_go() {
        let long = [b"\x06author".as_slice(), &[b'x'; 300]].concat();
        let given = module(&[
            (1, b"types"),
            (0, b"\x0b.debug_infomuch"),
            (
                0,
                // The module, the functions 3 and 200, locals.
                b"\x04name\x00\x02\x01m\x01\x0c\x02\x03\x03own\xc8\x01\x03std\x02\x01\x00",
            ),
            (0, &long),
        ]);
        let expected = module(&[
            (1, b"types"),
            (0, b"\x04name\x00\x02\x01m\x01\x06\x01\x03\x03own"),
            (0, &long),
        ]);
        let own = |name: &str| name != "std";
        assert_eq!(slimmed(&given, own), Some(expected.clone()));
        assert_eq!(slimmed(&expected, own), Some(expected));
    }

    #[test]
    fn what_is_no_whole_module_is_left_to_those_that_say_why() {
        let whole = module(&[(0, b"\x04name\x01\x06\x01\x03\x03own")]);
        assert!(slimmed(&whole, |_| true).is_some());
        for end in 0..whole.len() {
            if end != HEADER {
                assert_eq!(slimmed(&whole[..end], |_| true), None, "{end}");
            }
        }
        let endless = [&whole[..HEADER], b"\x00\xff\xff\xff\xff\xff\xff\xff"].concat();
        assert_eq!(slimmed(&endless, |_| true), None);
        let count = module(&[(0, b"\x04name\x01\x05\xff\xff\xff\xff\x0f")]);
        assert_eq!(slimmed(&count, |_| true), None);
    }
}
