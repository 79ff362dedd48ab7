//! When is an answer there in full?

use crate::Failure;

/// No peer has a longer head here.
const MAX_HEAD: usize = 64 * 1024;

/// An answer as it comes in.
#[derive(Default)]
pub struct Answer {
    head: Vec<u8>,
    /// Bytes of the body that are still to come, once the head is there.
    rest: Option<usize>,
}

impl Answer {
    /// Takes what was read; whether the answer is there in full.
    pub fn take(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        let rest = match self.rest {
            Some(rest) => rest
                .checked_sub(bytes.len())
                .ok_or("more than the answer came")?,
            None => {
                self.head.extend_from_slice(bytes);
                let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
                    return if self.head.len() > MAX_HEAD {
                        Err("a head without end".into())
                    } else {
                        Ok(false)
                    };
                };
                let body = self.head.len() - end - 4;
                length(&self.head[..end])?
                    .checked_sub(body)
                    .ok_or("more than the answer came")?
            }
        };
        self.rest = Some(rest);
        Ok(rest == 0)
    }
}

/// The body's length, if the answer is one of success.
fn length(head: &[u8]) -> Result<usize, Failure> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .unwrap_or_default();
    if !status.starts_with('2') {
        return Err(format!("status {status}").into());
    }
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Ok(length
        .ok_or("an answer without Content-Length")?
        .1
        .trim()
        .parse()?)
}
