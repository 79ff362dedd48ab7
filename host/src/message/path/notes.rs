//! Notes about a path, taken while its normal form is made.

/// Constructs in a path that servers read differently, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathNotes(pub(super) u16);

impl PathNotes {
    pub(super) const SLASH: u16 = 1;
    pub(super) const BACKSLASH: u16 = 1 << 1;
    pub(super) const PARAMETER: u16 = 1 << 2;
    pub(super) const NUL: u16 = 1 << 3;
    pub(super) const OVERLONG: u16 = 1 << 4;
    pub(super) const TWICE: u16 = 1 << 5;
    /// `%5C`: a server that reads a backslash as a slash may not read this as one.
    pub(super) const ENCODED_BACKSLASH: u16 = 1 << 6;
    /// Those for which a server may find other segments than the normal form has.
    pub(super) const AMBIGUOUS: u16 = (1 << 7) - 1;
    /// A dot segment with parameters: `..;`.
    pub(super) const DOT_PARAMETER: u16 = 1 << 7;
    pub(super) const CONTROL: u16 = 1 << 8;
    pub(super) const PERCENT: u16 = 1 << 9;
    pub(super) const ABOVE_ROOT: u16 = 1 << 10;
    pub(super) const EMPTY_BEFORE_DOTS: u16 = 1 << 11;
    /// A `..` segment: some servers hold the path against their rules before they resolve it.
    pub(super) const DOTS: u16 = 1 << 12;
    /// More than one slash at the beginning, or behind dot segments that lead there: where a URL is
    /// expected, an authority follows.
    pub(super) const LEADING: u16 = 1 << 13;

    pub(super) fn note(&mut self, bit: u16) {
        self.0 |= bit;
    }

    pub(super) fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }

    /// Whether servers may find other segments in it than the normal form has.
    pub fn is_ambiguous(self) -> bool {
        self.has(Self::AMBIGUOUS | Self::EMPTY_BEFORE_DOTS | Self::DOTS | Self::LEADING)
    }

    /// The fault of a path where only paths are accepted that all servers read alike.
    pub fn fault(self) -> Option<&'static str> {
        const FAULTS: [(u16, &str); 10] = [
            (
                PathNotes::PERCENT,
                "a percent sign that two hexadecimal digits don't follow",
            ),
            (PathNotes::NUL, "an encoded NUL"),
            (PathNotes::CONTROL, "an encoded control character"),
            (PathNotes::SLASH, "an encoded slash"),
            (
                PathNotes::BACKSLASH | PathNotes::ENCODED_BACKSLASH,
                "a backslash",
            ),
            (PathNotes::DOT_PARAMETER, "a dot segment with a `;`"),
            (PathNotes::OVERLONG, "overlong UTF-8"),
            (PathNotes::TWICE, "a character that is encoded twice"),
            (
                PathNotes::ABOVE_ROOT,
                "`..` segments that lead above the root",
            ),
            (
                PathNotes::EMPTY_BEFORE_DOTS,
                "an empty segment before a `..`",
            ),
        ];
        FAULTS
            .iter()
            .find(|(bit, _)| self.has(*bit))
            .map(|(_, fault)| *fault)
    }
}
