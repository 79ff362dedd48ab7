//! The stores of policies for the process that replaces this one, as late as possible.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek};
use std::sync::Arc;

use super::memory;
use crate::app::control::{ControlPlane, Managed};
use crate::policy::StoredEntry;

/// The stores of policies by name.
type Stores = Vec<(String, Vec<StoredEntry>)>;

impl ControlPlane {
    /// The entries of all stores as they are now, as a file in memory; `None` if there are none.
    pub(in crate::app) fn carry_stores(&self) -> io::Result<Option<File>> {
        let all = self.managed();
        let stored = |policy: &Arc<Managed>| {
            let entries = self.engine.stored(&policy.name);
            (!entries.is_empty()).then(|| (policy.name.clone(), entries))
        };
        let stores: Stores = all.iter().filter_map(stored).collect();
        if stores.is_empty() {
            return Ok(None);
        }
        let mut file = memory()?;
        serde_json::to_writer(BufWriter::new(&mut file), &stores)?;
        Ok(Some(file))
    }

    /// Adds the entries that another process has had in its stores.
    ///
    /// # Errors
    ///
    /// They can't be read.
    pub(in crate::app) fn restore_stores(&self, mut file: File) -> io::Result<()> {
        file.rewind()?;
        let stores: Stores = serde_json::from_reader(BufReader::new(file))?;
        for (name, entries) in stores {
            self.engine.restore(&name, entries);
        }
        Ok(())
    }
}
