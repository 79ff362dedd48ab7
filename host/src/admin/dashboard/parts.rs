//! What sections are made of.

use maud::{Markup, html};

use super::view::View;
use crate::admin::live::Moment;
use crate::units::number;

/// What a section is made from.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub moment: &'a Moment<'a>,
    pub view: &'a View,
    /// What a form must bring to be obeyed.
    pub csrf: &'a str,
}

/// How something is. Each has a sign, so that colour alone says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    /// Not known, or on purpose.
    Quiet,
    /// Look at it.
    Warn,
    Bad,
}

/// A state in a word, with its sign.
pub(super) fn state(tone: Tone, word: &str) -> Markup {
    let (class, sign) = match tone {
        Tone::Good => ("state good", "\u{25cf}"),
        Tone::Quiet => ("state quiet", "\u{25cb}"),
        Tone::Warn => ("state warn", "\u{25b2}"),
        Tone::Bad => ("state bad", "\u{2716}"),
    };
    html! { span class=(class) { span aria-hidden="true" { (sign) } " " (word) } }
}

/// The head of a column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    Text(&'static str),
    Number(&'static str),
}

/// A table that can be scrolled sideways, also by keyboard.
pub(super) fn table(caption: &str, head: &[Column], rows: &[Markup]) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead {
                    tr {
                        @for column in head {
                            @match column {
                                Column::Text(name) => { th.text scope="col" { (name) } }
                                Column::Number(name) => { th scope="col" { (name) } }
                            }
                        }
                    }
                }
                tbody { @for row in rows { (row) } }
            }
        }
    }
}

/// That there is more than is shown.
pub(super) fn more(hidden: usize, what: &str) -> Markup {
    html! {
        @if hidden > 0 {
            p { (number(hidden as u64)) " more " (what) " not shown: use the filter." }
        }
    }
}

/// Nothing to show: because there is nothing, or because of the filter.
pub(super) fn none(view: &View, what: &str) -> Markup {
    html! {
        p.dim {
            @if view.find.is_empty() { "There are no " (what) "." }
            @else { "No " (what) " match the filter." }
        }
    }
}

/// A button that changes something, as a form of its own.
pub(super) fn button(
    shown: &Shown<'_>,
    label: &str,
    what: &str,
    fields: &[(&str, &str)],
) -> Markup {
    html! {
        form.act method="post" action="/page/act" data-key=(format!("{label} {what}")) {
            input type="hidden" name="csrf" value=(shown.csrf);
            @if !shown.view.find.is_empty() {
                input type="hidden" name="find" value=(shown.view.find);
            }
            @for (name, value) in fields {
                input type="hidden" name=(name) value=(value);
            }
            button type="submit" aria-label=(format!("{label} {what}")) { (label) }
        }
    }
}
