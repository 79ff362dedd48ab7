//! As much of PromQL as it takes to see which metrics and labels an expression names. A line of
//! `/metrics` is such an expression too.

/// A metric with the conditions in braces.
pub(super) struct Selector {
    pub(super) metric: String,
    pub(super) matchers: Vec<Matcher>,
}

/// `label="value"`, or with another operator.
pub(super) struct Matcher {
    pub(super) label: String,
    pub(super) value: String,
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    /// What stood between quotation marks, as it was written there.
    Quoted(String),
    /// One character, or all of an operator that compares.
    Sign(String),
}

/// What groups, and what matches the labels of two sides.
const GROUPING: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// The beginnings of names: those of the process are the same for all programs.
pub(super) const BEGINNINGS: [&str; 2] = ["waypost_", "process_"];

/// The metrics of Waypost that the expression asks for.
pub(super) fn selectors(expression: &str) -> Vec<Selector> {
    let tokens = tokens(expression);
    let mut found = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        if BEGINNINGS.iter().any(|b| word.starts_with(b)) {
            found.push(Selector {
                metric: word.clone(),
                matchers: matchers(&tokens[n + 1..]),
            });
        }
    }
    found
}

/// The labels in the lists behind `by`, `on` and their like.
pub(super) fn grouped(expression: &str) -> Vec<String> {
    let tokens = tokens(expression);
    let lists = tokens.windows(2).enumerate().filter(|(_, pair)| {
        let grouping = matches!(&pair[0], Token::Word(w) if GROUPING.contains(&w.as_str()));
        grouping && is_sign(&pair[1], "(")
    });
    let labels = lists.flat_map(|(n, _)| {
        let list = tokens[n + 2..].iter();
        list.take_while(|token| !is_sign(token, ")"))
    });
    words(labels).collect()
}

/// The names behind a sign such as `$labels.`, as in templates.
pub(super) fn after(text: &str, sign: &str) -> Vec<String> {
    let rests = text.split(sign).skip(1).map(str::trim_start);
    let named = |rest: &str| rest[..run(rest, is_of_word)].to_owned();
    rests.map(named).collect()
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn words<'a>(tokens: impl Iterator<Item = &'a Token>) -> impl Iterator<Item = String> {
    tokens.filter_map(|token| match token {
        Token::Word(word) => Some(word.clone()),
        _ => None,
    })
}

fn is_sign(token: &Token, sign: &str) -> bool {
    matches!(token, Token::Sign(s) if s == sign)
}

/// Those in the braces that begin here, if they do.
fn matchers(tokens: &[Token]) -> Vec<Matcher> {
    if !tokens.first().is_some_and(|first| is_sign(first, "{")) {
        return Vec::new();
    }
    let inside: Vec<_> = tokens[1..]
        .iter()
        .take_while(|token| !is_sign(token, "}"))
        .collect();
    let each = inside.split(|token| is_sign(token, ","));
    each.filter(|matcher| !matcher.is_empty())
        .map(|matcher| match matcher {
            [Token::Word(label), Token::Sign(_), Token::Quoted(value)] => Matcher {
                label: label.clone(),
                value: value.clone(),
            },
            other => panic!("{other:?} is no matcher"),
        })
        .collect()
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => quoted(rest),
            'a'..='z' | 'A'..='Z' | '_' => run(rest, is_of_word),
            '=' | '!' | '~' | '<' | '>' => run(rest, |c| "=!~<>".contains(c)),
            other => other.len_utf8(),
        };
        let (token, further) = rest.split_at(length);
        match first {
            '"' => tokens.push(Token::Quoted(token[1..length - 1].to_owned())),
            'a'..='z' | 'A'..='Z' | '_' => tokens.push(Token::Word(token.to_owned())),
            other if other.is_whitespace() => {}
            _ => tokens.push(Token::Sign(token.to_owned())),
        }
        rest = further;
    }
    tokens
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// How long the string is that begins here, with both quotation marks.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    let end = text[1..].char_indices().find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    let (end, _) = end.unwrap_or_else(|| panic!("a string does not end: {text}"));
    end + 2
}

#[test]
fn an_expression_is_taken_apart() {
    let expression = "sum by (job, pool) (rate(waypost_x_total{a=\"1,}\\\"\", b=~\"c|d\"}[5m])) \
                      / on (pool) group_left waypost_y > 0.5";
    let found: Vec<_> = selectors(expression)
        .into_iter()
        .map(|s| {
            let matchers = s.matchers.into_iter().map(|m| (m.label, m.value));
            (s.metric, matchers.collect::<Vec<_>>())
        })
        .collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let first = vec![pair("a", "1,}\\\""), pair("b", "c|d")];
    assert_eq!(
        found,
        [
            ("waypost_x_total".to_owned(), first),
            ("waypost_y".to_owned(), Vec::new())
        ]
    );
    assert_eq!(grouped(expression), ["job", "pool", "pool"]);
    assert_eq!(
        after("{{ $labels.pool }} of {{ $labels.job }}", "$labels."),
        ["pool", "job"]
    );
    assert_eq!(after("{{pool}} {{ policy }}", "{{"), ["pool", "policy"]);
}
