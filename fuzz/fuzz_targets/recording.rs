//! A recording as `waypost policy replay` takes it: each line is read, passed over, or the end of
//! it with a sentence.
//!
//! A panic, a hang, and a sentence that nobody can read are findings.

#![no_main]

use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use waypost::recording::{Next, Reader};

/// A sentence with a part of what was found, at most.
const LONGEST: usize = 2_000;

fuzz_target!(|bytes: &[u8]| {
    // Removed at once: whatever ends the process, nothing is left behind.
    let path = std::env::temp_dir().join(format!("waypost-fuzz-{}.jsonl", std::process::id()));
    let mut file = std::fs::File::create(&path).expect("a file");
    std::fs::remove_file(&path).expect("a file that was made");
    file.write_all(bytes).expect("room for it");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    for lenient in [false, true] {
        let mut reader = Reader::open(&path, lenient).expect("it can be opened");
        // Each turn takes a line at least.
        for _ in 0..=bytes.len() {
            let told = match reader.next() {
                Ok(Next::End) => break,
                Ok(Next::Line(line)) => {
                    let written =
                        serde_json::to_string(&line).expect("what was read can be written");
                    serde_json::from_str::<waypost::recording::Line>(&written)
                        .expect("and read again");
                    continue;
                }
                Ok(Next::PassedOver { reason, .. }) => reason,
                Err(error) => error.to_string(),
            };
            assert!(
                told.len() < LONGEST && !told.chars().any(char::is_control),
                "{told:?}"
            );
            if !lenient {
                break;
            }
        }
        let (read, all) = reader.progress();
        assert!(read <= all && all == bytes.len() as u64);
    }
});
