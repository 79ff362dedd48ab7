//! Header fields in one arena: parsing, editing and writing a head allocate nothing once the
//! buffers are warm.

use super::names;
use super::syntax::{MAX_NAME, TOKEN_LOWER, lower_name};

/// A list of header fields in order, repeated names included. Names are kept in lower case, and on
/// demand as they were spelled as well.
#[derive(Debug, Default, Clone)]
pub struct Fields {
    /// Names and values; only ever grows while a message lives, so that a [`Checkpoint`] is a
    /// length.
    arena: Vec<u8>,
    entries: Vec<Entry>,
    /// Before each name in the arena stands how it was spelled, which has the same length.
    spelled: bool,
    /// Names are written as they were spelled.
    as_spelled: bool,
    /// The names that policies have set, appended or removed.
    edited: Edited,
}

/// Names of fields that policies have edited. Trailers don't come round that.
#[derive(Debug, Default, Clone)]
pub struct Edited {
    /// Each with an LF behind it, which no name has.
    names: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u32,
    name_len: u16,
    value_len: u32,
}

/// A state of [`Fields`] to go back to.
#[derive(Debug)]
pub struct Checkpoint {
    arena_len: usize,
    edited_len: usize,
    entries: Vec<Entry>,
}

/// A name that may become a field's.
#[derive(Debug, Clone, Copy)]
pub struct Draft {
    start: usize,
}

impl Fields {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all fields and keeps the buffers.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
        self.edited.names.clear();
    }

    /// Bytes of memory that it holds, filled or not.
    pub fn capacity(&self) -> usize {
        self.arena.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Forgets all fields. Of those that come from now on the spelling is kept, or not; if it is,
    /// they are written so.
    pub fn keep_spelling(&mut self, keep: bool) {
        self.clear();
        (self.spelled, self.as_spelled) = (keep, keep);
    }

    /// Whether names are written as they were spelled, where that was kept.
    pub fn write_spelling(&mut self, write: bool) {
        self.as_spelled = self.spelled && write;
    }

    /// Whether names are written as they were spelled.
    pub fn writes_spelling(&self) -> bool {
        self.as_spelled
    }

    /// How many fields there are, repeated ones counted each time.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of the first field of this name. `name` is compared without case.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.entries
            .iter()
            .find(|e| self.is_named(e, name.as_bytes()))
            .map(|e| self.value(e))
    }

    /// Whether there is a field of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// The values of all fields of this name, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.entries
            .iter()
            .filter(move |e| self.is_named(e, name.as_bytes()))
            .map(|e| self.value(e))
    }

    /// All fields in order: name (lower case) and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|e| (self.name(e), self.value(e)))
    }

    /// Adds a field after those that are there. The caller has validated both; the name is lowered
    /// here.
    pub fn append(&mut self, name: &[u8], value: &[u8]) {
        self.append_parts(name, &[value]);
    }

    /// Adds a field whose value is the parts joined.
    pub fn append_parts(&mut self, name: &[u8], value: &[&[u8]]) {
        if self.spelled {
            let at = self.arena.len();
            self.arena.extend_from_slice(name);
            // Fields that are added here or by a policy should look like the others.
            if !name.iter().any(u8::is_ascii_uppercase) {
                capitalise(&mut self.arena[at..]);
            }
        }
        let start = self.arena.len();
        self.arena.extend_from_slice(name);
        self.arena[start..].make_ascii_lowercase();
        self.complete(start, value);
    }

    /// The same for a name that is in lower case.
    pub fn append_lowered(&mut self, name: &'static str, value: &[&[u8]]) {
        debug_assert!(!name.bytes().any(|b| b.is_ascii_uppercase()));
        if self.spelled {
            return self.append_parts(name.as_bytes(), value);
        }
        let start = self.arena.len();
        self.arena.extend_from_slice(name.as_bytes());
        self.complete(start, value);
    }

    /// Adds the value of the field whose name begins there.
    #[inline]
    fn complete(&mut self, start: usize, value: &[&[u8]]) {
        let value_start = self.arena.len();
        for part in value {
            self.arena.extend_from_slice(part);
        }
        self.entries.push(Entry {
            start: start as u32,
            name_len: (value_start - start) as u16,
            value_len: (self.arena.len() - value_start) as u32,
        });
    }

    /// Puts the name that a line begins with where a field's name stands, in lower case, if it is
    /// an ordinary one with a colon behind it. `None` says nothing against the line.
    #[inline]
    pub fn draft_of(&mut self, line: &[u8]) -> Option<Draft> {
        let start = self.arena.len();
        let (mut at, mut found) = (0, false);
        while let Some(eight) = line.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let (count, lowered) = lower_name(eight);
            self.arena.extend_from_slice(&lowered);
            at += count;
            if count < 8 {
                found = eight[count] == b':' && at > 0 && at <= MAX_NAME;
                break;
            }
            if at > MAX_NAME {
                break;
            }
        }
        if found && self.spelled {
            self.arena.truncate(start);
            return self.draft(&line[..at]);
        }
        self.arena.truncate(if found { start + at } else { start });
        found.then_some(Draft { start })
    }

    /// Puts a name where a field's name stands, in lower case; `None` if it is not a token (RFC
    /// 9110 section 5.6.2).
    #[inline]
    pub fn draft(&mut self, name: &[u8]) -> Option<Draft> {
        if self.spelled {
            self.arena.extend_from_slice(name);
        }
        let start = self.arena.len();
        let mut token = true;
        self.arena.extend(name.iter().map(|b| {
            let lowered = TOKEN_LOWER[usize::from(*b)];
            token &= lowered != 0;
            lowered
        }));
        if !token {
            self.discard(Draft { start });
        }
        token.then_some(Draft { start })
    }

    /// The name of a draft.
    #[inline]
    pub fn drafted(&self, draft: Draft) -> &[u8] {
        &self.arena[draft.start..]
    }

    /// Makes a field of a draft.
    #[inline]
    pub fn keep(&mut self, draft: Draft, value: &[u8]) {
        let Draft { start } = draft;
        let name_len = self.arena.len() - start;
        self.arena.extend_from_slice(value);
        self.entries.push(Entry {
            start: start as u32,
            name_len: name_len as u16,
            value_len: value.len() as u32,
        });
    }

    /// Forgets a draft.
    #[inline]
    pub fn discard(&mut self, draft: Draft) {
        let Draft { start } = draft;
        let spelling = if self.spelled {
            self.arena.len() - start
        } else {
            0
        };
        self.arena.truncate(start - spelling);
    }

    /// Replaces all fields of this name by one.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.append(name, value);
    }

    /// Removes all fields of this name. Returns whether there were any.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let arena = &self.arena;
        let before = self.entries.len();
        self.entries.retain(|e| !named(arena, e, name));
        self.entries.len() != before
    }

    /// Removes all fields of this name but the last. Returns whether there is one.
    pub fn keep_last(&mut self, name: &[u8]) -> bool {
        let Some(last) = self.entries.iter().rposition(|e| self.is_named(e, name)) else {
            return false;
        };
        if self.entries[..last].iter().any(|e| self.is_named(e, name)) {
            let (arena, mut at) = (&self.arena, 0);
            self.entries.retain(|e| {
                at += 1;
                at > last || !named(arena, e, name)
            });
        }
        true
    }

    /// Keeps the fields for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let arena = &self.arena;
        self.entries.retain(|e| {
            let name_end = e.start as usize + e.name_len as usize;
            keep(
                &arena[e.start as usize..name_end],
                &arena[name_end..name_end + e.value_len as usize],
            )
        });
    }

    /// Notes that a policy edits the fields of this name.
    pub fn note_edit(&mut self, name: &[u8]) {
        self.edited.names.extend_from_slice(name);
        self.edited.names.push(b'\n');
    }

    /// The names that policies have edited.
    pub fn edited(&self) -> &Edited {
        &self.edited
    }

    /// The state to go back to if what follows has to be undone. Allocates: for the rare path only.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            arena_len: self.arena.len(),
            edited_len: self.edited.names.len(),
            entries: self.entries.clone(),
        }
    }

    /// Goes back to a state of these same fields.
    pub fn restore(&mut self, to: Checkpoint) {
        self.arena.truncate(to.arena_len);
        self.edited.names.truncate(to.edited_len);
        self.entries = to.entries;
    }

    /// Writes every field as `name: value CRLF`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        for e in &self.entries {
            let length = e.name_len as usize;
            let name = e.start as usize - if self.as_spelled { length } else { 0 };
            out.extend_from_slice(&self.arena[name..name + length]);
            out.extend_from_slice(b": ");
            out.extend_from_slice(self.value(e));
            out.extend_from_slice(b"\r\n");
        }
    }

    fn is_named(&self, e: &Entry, name: &[u8]) -> bool {
        named(&self.arena, e, name)
    }

    fn name(&self, e: &Entry) -> &[u8] {
        &self.arena[e.start as usize..][..e.name_len as usize]
    }

    fn value(&self, e: &Entry) -> &[u8] {
        &self.arena[e.start as usize + e.name_len as usize..][..e.value_len as usize]
    }
}

impl Edited {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Removes fields that policies have edited, in whatever spelling, from trailers.
    pub fn keep_out_of(&self, trailers: &mut Fields) {
        if self.names.is_empty() || trailers.is_empty() {
            return;
        }
        let edited = |name: &[u8]| {
            self.names
                .split(|b| *b == b'\n')
                .any(|edited| names::alike(edited, name))
        };
        trailers.retain(|name, _| !edited(name));
    }
}

/// `content-length` becomes `Content-Length`.
pub fn capitalise(name: &mut [u8]) {
    let mut first = true;
    for byte in name {
        if first {
            byte.make_ascii_uppercase();
        }
        first = *byte == b'-';
    }
}

fn named(arena: &[u8], e: &Entry, name: &[u8]) -> bool {
    e.name_len as usize == name.len()
        && arena[e.start as usize..][..name.len()].eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &Fields) -> String {
        let mut out = Vec::new();
        fields.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn some(fields: &mut Fields) {
        let draft = fields.draft(b"X-mIxEd").unwrap();
        fields.keep(draft, b"1");
        let dropped = fields.draft(b"Dropped").unwrap();
        assert_eq!(fields.drafted(dropped), b"dropped");
        fields.discard(dropped);
        assert!(fields.draft(b"no token").is_none());
        fields.append(b"x-forwarded-for", b"2");
        fields.append_parts(b"X-Of-a-Policy", &[b"3", b"4"]);
    }

    #[test]
    fn a_name_is_drafted_from_its_line_as_by_itself() {
        let long = format!("{}: 12\r\n\r\n", "n".repeat(MAX_NAME));
        let longer = format!("{}: 12\r\n\r\n", "n".repeat(MAX_NAME + 1));
        let ordinary = ["Accept: 1\r\n", "x-A9: 1\r\n", "Eightxxx: 123456", &long];
        let others = [
            ": 12345678",
            "under_score: 1",
            "space : 12345",
            "a: b",
            &longer,
            "",
        ];
        for spelled in [false, true] {
            let mut fields = Fields::new();
            fields.keep_spelling(spelled);
            for line in ordinary {
                let draft = fields.draft_of(line.as_bytes()).unwrap();
                let name = line.split(':').next().unwrap();
                assert_eq!(fields.drafted(draft), name.to_lowercase().as_bytes());
                fields.keep(draft, b"1");
                let name = if spelled {
                    name.to_owned()
                } else {
                    name.to_lowercase()
                };
                assert!(written(&fields).ends_with(&format!("{name}: 1\r\n")));
            }
            let before = written(&fields);
            for line in others {
                assert!(fields.draft_of(line.as_bytes()).is_none(), "{line}");
            }
            fields.append_lowered("via", &[b"1", b"2"]);
            let via = if spelled { "Via" } else { "via" };
            assert_eq!(written(&fields), format!("{before}{via}: 12\r\n"));
        }
    }

    #[test]
    fn names_are_written_as_they_were_spelled_where_that_is_kept() {
        let mut fields = Fields::new();
        some(&mut fields);
        let lower = "x-mixed: 1\r\nx-forwarded-for: 2\r\nx-of-a-policy: 34\r\n";
        assert_eq!(written(&fields), lower);
        fields.write_spelling(true);
        assert_eq!(written(&fields), lower, "it was not kept");
        fields.keep_spelling(true);
        assert!(fields.is_empty() && fields.writes_spelling());
        some(&mut fields);
        assert_eq!(
            written(&fields),
            "X-mIxEd: 1\r\nX-Forwarded-For: 2\r\nX-Of-a-Policy: 34\r\n"
        );
        let names: Vec<&[u8]> = fields.iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [&b"x-mixed"[..], b"x-forwarded-for", b"x-of-a-policy"],
            "for everyone else they are lower"
        );
        assert_eq!(fields.first("X-Mixed"), Some(&b"1"[..]));
        let before = fields.checkpoint();
        fields.set(b"x-mixed", b"5");
        assert!(fields.remove(b"x-of-a-policy"));
        assert_eq!(written(&fields), "X-Forwarded-For: 2\r\nX-Mixed: 5\r\n");
        fields.restore(before);
        assert_eq!(
            written(&fields.clone()),
            "X-mIxEd: 1\r\nX-Forwarded-For: 2\r\nX-Of-a-Policy: 34\r\n"
        );
        fields.write_spelling(false);
        assert_eq!(written(&fields), lower);
        fields.keep_spelling(false);
        some(&mut fields);
        assert_eq!(written(&fields), lower);
    }
}
