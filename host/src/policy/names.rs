//! Names of a guest's functions, as messages show them. The guest chose them, so everything here
//! takes bounded time and memory.

use std::fmt::Write as _;

use wasmtime::WasmBacktrace;

use super::glue::is_glue;
use super::lines::Bounded;

/// Guest functions that a message names.
const NAMED_FRAMES: usize = 4;
/// The most bytes of a name that are shown.
const SHOWN: usize = 200;
/// A name longer than this is shown without demangling: a few hundred bytes can expand to
/// gigabytes.
const MANGLED: usize = 2048;

/// The innermost guest functions that the policy's author may know, as ` in a < b`; nothing if the
/// component has no names of functions.
pub(super) fn guest_functions(backtrace: &WasmBacktrace) -> String {
    let names = backtrace.frames().iter().filter_map(|f| f.func_name());
    known_functions(names)
}

/// Whether a fault may name a function that is called this in the component.
#[cfg(feature = "authoring")]
pub(super) fn is_shown(name: &str) -> bool {
    !is_glue(&function_name(name))
}

fn known_functions<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let known = names.map(function_name).filter(|name| !is_glue(name));
    let mut text = String::new();
    for name in known.take(NAMED_FRAMES) {
        text.push_str(if text.is_empty() { " in " } else { " < " });
        text.push_str(&name);
    }
    text
}

/// A function's name: demangled if it is one of Rust's (C++ has no demangler with a bound), cut,
/// and printable.
fn function_name(name: &str) -> String {
    let mut shown = Bounded::new(SHOWN);
    // The writer stops the demangler when there is no room left. `#` leaves out the hash of a
    // crate.
    let _ = match rustc_demangle::try_demangle(name) {
        Ok(demangled) if name.len() <= MANGLED => write!(shown, "{demangled:#}"),
        _ => shown.write_str(name),
    };
    shown.into_text()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn rusts_names_are_demangled_without_the_hashes_of_crates() {
        for (mangled, shown) in [
            (
                "_RNvNtCsg7lIMd2gTD5_5probe3act12spin_forever",
                "probe::act::spin_forever",
            ),
            (
                "_ZN5probe3act12spin_forever17h05af221e174051e9E",
                "probe::act::spin_forever",
            ),
            ("cabi_realloc", "cabi_realloc"),
            (
                "waypost:policy/selection@0.1.0#select",
                "waypost:policy/selection@0.1.0#select",
            ),
            // C++'s and Swift's stay as they are.
            (
                "_ZNSt6vectorIiSaIiEE9push_backERKi",
                "_ZNSt6vectorIiSaIiEE9push_backERKi",
            ),
            ("$s4main3FooV3baryyF", "$s4main3FooV3baryyF"),
        ] {
            assert_eq!(function_name(mangled), shown);
        }
    }

    #[test]
    fn functions_of_the_library_and_of_tools_are_left_out() {
        let names = [
            "abort",
            "_ZN3std7process5abort17h05af221e174051e9E",
            "_RNvNtCsg7lIMd2gTD5_4core9panicking9panic_fmt",
            "_RNvCsg7lIMd2gTD5_7___rustc17rust_begin_unwind",
            "_RNvNtCsg7lIMd2gTD5_5probe3act12spin_forever",
            "<p::_::Component as p::exports::waypost::policy::selection::Guest>::select",
            "waypost:policy/selection@0.1.0#select",
            "main",
            "waypost.panicked",
            "debug.panicExtra__func_17",
            "debug.FullPanic((function 'panicked')).outOfBounds",
            "hooks.exported(policy).select",
            "debug.wait",
        ];
        let known = known_functions(names.into_iter());
        assert_eq!(known, " in probe::act::spin_forever < main < debug.wait");
        assert_eq!(known_functions(names.into_iter().take(3)), "");
        assert_eq!(known_functions(["a"; 9].into_iter()), " in a < a < a < a");
    }

    #[test]
    fn no_name_takes_long_or_much_room() {
        // Each level of these expands to twice the one before.
        let cpp = |levels: usize| {
            let mut name = String::from("_Z1fP1aS_");
            (0..levels).for_each(|at| {
                name.push_str(&format!(
                    "PFS{0}_S{0}_E",
                    if at == 0 {
                        String::new()
                    } else {
                        (at - 1).to_string()
                    }
                ))
            });
            name
        };
        let rust = |levels: usize| {
            // A tuple of the tuple before, twice, by its place in the name.
            let mut name = String::from("_RINvC1a1b");
            let mut last = name.len() - 2;
            name.push('j');
            for _ in 0..levels {
                let here = name.len() - 2;
                name.push_str(&format!("TB{0}_B{0}_E", base62(last)));
                last = here;
            }
            name + "E"
        };
        let dots = format!("_RNv{}C1a1b", "Nv".repeat(900));
        let names = [
            cpp(20),
            cpp(60),
            rust(5),
            rust(30),
            rust(120),
            dots,
            "_R".repeat(50_000),
            "a".repeat(100_000),
            format!("_ZN{}E", "1a".repeat(1_000)),
            format!("_ZN{}E", "1a".repeat(40_000)),
            format!("_RNvC{}1a1b", "0".repeat(400)),
            "_RYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYYY".to_owned(),
        ];
        for name in names {
            let start = Instant::now();
            let shown = function_name(&name);
            assert!(shown.len() <= SHOWN && !shown.is_empty(), "{shown}");
            // It takes microseconds; one that is not stopped takes seconds or all of the memory.
            assert!(start.elapsed() < Duration::from_secs(5), "{name}");
        }
    }

    fn base62(number: usize) -> String {
        // Zero is nothing, one is 0.
        let Some(mut number) = number.checked_sub(1) else {
            return String::new();
        };
        let digits = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut text = Vec::new();
        loop {
            text.insert(0, digits[number % 62]);
            number /= 62;
            if number == 0 {
                return String::from_utf8(text).unwrap();
            }
        }
    }

    #[test]
    fn a_name_is_one_printable_line() {
        assert_eq!(
            function_name("a\x1b[2J\n\u{202e}b\u{2028}"),
            "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}"
        );
    }
}
