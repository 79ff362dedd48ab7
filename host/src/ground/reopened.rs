//! What becomes of a file that is opened anew, for those who want to know.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// The end that waits for it.
#[derive(Debug)]
pub struct Reopening {
    /// The file, as a sentence begins with it.
    what: String,
    result: Receiver<io::Result<()>>,
}

/// The end of the thread that does it.
pub type Reopened = SyncSender<io::Result<()>>;

impl Reopening {
    /// Both ends.
    pub fn new(what: String) -> (Reopened, Self) {
        let (reopened, result) = sync_channel(1);
        (reopened, Self { what, result })
    }

    /// Waits until the thread has come to it.
    ///
    /// # Errors
    ///
    /// A sentence that names the file.
    pub fn wait(self, limit: Duration) -> Result<(), String> {
        let what = self.what;
        match self.result.recv_timeout(limit) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(format!("{what} can't be opened again: {e}")),
            Err(RecvTimeoutError::Timeout) => Err(format!(
                "{what} was not opened again within {limit:?}: its disk or its reader is slow"
            )),
            Err(RecvTimeoutError::Disconnected) => Err(format!(
                "{what} can't be opened again: its thread has ended"
            )),
        }
    }
}
