//! The actions on the store, which any hook can do. What came of each is text.

use crate::{
    action::Action,
    hooks::waypost::policy::store::{self, StoreError},
};

/// Does `action` if it is one of these.
pub fn any(action: &Action) -> Option<String> {
    let mut parts = action.argument.split(':');
    let mut part = || parts.next().unwrap_or("");
    let key = part();
    let done = match action.name.as_str() {
        "store-get" => store::get(key).map_or("none".to_owned(), |value| {
            String::from_utf8_lossy(&value).into_owned()
        }),
        "store-set" => told(
            store::set(key, part().as_bytes(), number(part()) as u64).map(|()| "ok".to_owned()),
        ),
        "store-remove" => store::remove(key).to_string(),
        "store-cas" => {
            let (expected, value) = (part(), part());
            let expected = (expected != "none").then_some(expected.as_bytes());
            told(
                store::compare_and_set(key, expected, value.as_bytes(), number(part()) as u64)
                    .map(|set| set.to_string()),
            )
        }
        "store-increment" => told(
            store::increment(key, number(part()), number(part()) as u64).map(|n| n.to_string()),
        ),
        "store-decrement" => {
            let by = part().parse().unwrap_or(0);
            told(store::decrement(key, by, number(part()) as u64).map(|n| n.to_string()))
        }
        "store-counter" => store::counter(key).map_or("none".to_owned(), |count| count.to_string()),
        "store-fill" => {
            let (size, count) = (number(part()) as usize, number(part()));
            let value = vec![b'x'; size];
            let stored = (0..count)
                .filter(|n| store::set(&format!("{key}{n}"), &value, 0).is_ok())
                .count();
            stored.to_string()
        }
        "store-flood" => flood(),
        "store-long-key" => {
            told(store::set(&"k".repeat(number(key) as usize), b"", 0).map(|()| "ok".to_owned()))
        }
        _ => return None,
    };
    Some(done)
}

/// New values and new counters without end: only the deadline stops it.
fn flood() -> ! {
    let value = vec![b'x'; 4096];
    for n in 0_u64.. {
        let _ = store::set(&n.to_string(), &value, n % 3);
        let _ = store::increment(&n.to_string(), 1, n % 2);
    }
    std::arch::wasm32::unreachable()
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or(0)
}

fn told(result: Result<String, StoreError>) -> String {
    result.unwrap_or_else(|error| error.name().to_owned())
}
