//! `Accept-Encoding` (RFC 9110 section 12.5.3).

use crate::config::Coding;
use crate::message::{Fields, syntax};

/// How much a client likes something, in thousandths; 0 is not at all.
type Weight = u16;

/// What a client says of codings.
#[derive(Debug, Default)]
struct Accepted {
    named: [Option<Weight>; Coding::ALL.len()],
    identity: Option<Weight>,
    /// `*`: of those that are not named.
    others: Option<Weight>,
}

/// The coding that the client likes most, the first of these if it likes several so; `None` if it
/// wants none of them, or likes the content as it is better.
pub(super) fn choose(request: &Fields, encodings: &[(Coding, u32)]) -> Option<(Coding, u32)> {
    let mut accepted = Accepted::default();
    for value in request.values("accept-encoding") {
        syntax::list(value).for_each(|member| accepted.note(member));
    }
    let as_it_is = accepted.identity.or(accepted.others).unwrap_or(0);
    let mut best: Option<(Weight, (Coding, u32))> = None;
    for of in encodings {
        let weight = accepted.of(of.0);
        if weight > best.map_or(0, |(most, _)| most) {
            best = Some((weight, *of));
        }
    }
    best.filter(|(weight, _)| *weight >= as_it_is)
        .map(|(_, of)| of)
}

impl Accepted {
    fn of(&self, coding: Coding) -> Weight {
        self.named[coding as usize].or(self.others).unwrap_or(0)
    }

    fn note(&mut self, member: &[u8]) {
        let mut parts = member.split(|b| *b == b';').map(syntax::trim);
        let name = parts.next().unwrap_or_default();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let place = if is("*") {
            &mut self.others
        } else if is("identity") {
            &mut self.identity
        } else if is("x-gzip") {
            &mut self.named[Coding::Gzip as usize]
        } else if let Some(coding) = Coding::ALL.into_iter().find(|coding| is(coding.name())) {
            &mut self.named[coding as usize]
        } else {
            return;
        };
        let weight = parts.next().map_or(1_000, weight);
        // Of two that contradict each other, the one that promises less.
        *place = Some(place.map_or(weight, |before| before.min(weight)));
    }
}

/// A weight; 0 if it is none (RFC 9110 section 12.4.2).
fn weight(parameter: &[u8]) -> Weight {
    let (b"q=" | b"Q=", value) = parameter.split_at(parameter.len().min(2)) else {
        return 0;
    };
    let (whole, rest) = value.split_at(value.len().min(1));
    let digits = match rest {
        [] => &[][..],
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return 0,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let thousandths = (0..3).fold(0, |sum, at| {
        sum * 10 + digits.get(at).map_or(0, |digit| Weight::from(digit - b'0'))
    });
    match whole {
        b"0" => thousandths,
        b"1" if thousandths == 0 => 1_000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(lines: &[&str], codings: &[Coding]) -> Option<Coding> {
        let mut request = Fields::new();
        let lines = lines.iter();
        lines.for_each(|line| request.append(b"accept-encoding", line.as_bytes()));
        let encodings: Vec<_> = codings.iter().map(|coding| (*coding, 1)).collect();
        choose(&request, &encodings).map(|(coding, _)| coding)
    }

    #[test]
    fn what_the_client_likes_most_is_chosen_and_then_what_the_route_prefers() {
        use Coding::{Br, Gzip, Zstd};
        for (lines, coding) in [
            (&[][..], None),
            (&[""], None),
            (&["gzip, deflate, br, zstd"], Some(Zstd)),
            (&["gzip", "br"], Some(Br)),
            (&["GZIP"], Some(Gzip)),
            (&["x-gzip"], Some(Gzip)),
            (&["deflate, compress"], None),
            (&["gzip;q=1.0, br;q=0.5"], Some(Gzip)),
            (&["gzip ; q=0.2 , br;Q=0.201"], Some(Br)),
            (&["gzip;q=0"], None),
            (&["gzip;q=0.000, br;q=0.001"], Some(Br)),
            (&["*"], Some(Zstd)),
            (&["*;q=0"], None),
            (&["zstd;q=0, *"], Some(Br)),
            (&["gzip;q=0.1, *;q=0"], Some(Gzip)),
            (&["identity, gzip;q=0.5"], None),
            (&["identity;q=0.5, gzip;q=0.5"], Some(Gzip)),
            (&["identity;q=0"], None),
            (&["identity;q=0, gzip"], Some(Gzip)),
            (&["gzip;q=1.5"], None),
            (&["gzip;q=0.1234"], None),
            (&["gzip;q="], None),
            (&["gzip;q"], None),
            (&["gzip;level=1"], None),
            (&["gzip;q=0, gzip"], None),
            (&[",, gzip ,"], Some(Gzip)),
        ] {
            assert_eq!(chosen(lines, &Coding::ALL), coding, "{lines:?}");
        }
        assert_eq!(chosen(&["br, gzip"], &[Gzip, Br]), Some(Gzip));
        assert_eq!(chosen(&["br, zstd;q=0.1"], &[Gzip, Zstd]), Some(Zstd));
        assert_eq!(chosen(&["gzip;q=0.1, *;q=0.5"], &[Gzip]), None);
    }
}
