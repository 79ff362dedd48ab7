//! What was deployed to this process by hand, for the process that replaces it: components that the
//! configuration does not name, and trials. It goes over in a file in memory.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use serde::{Deserialize, Serialize};

use super::{ControlPlane, Managed};
use crate::admin::{ChangeError, Deployment};
use crate::policy::{MAX_COMPONENT, Mode, Stickiness, StoredEntry, Trial, WHOLE, digest};
use crate::rollout::Kept;

/// The version of the file's layout.
const VERSION: u32 = 1;
/// The longest table.
const LONGEST: u64 = 16 << 20;

/// The table, which stands before the components.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Table {
    version: u32,
    policies: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    /// The digest of the component that the configuration named.
    configured: Option<String>,
    last_generation: u64,
    /// Only if the configuration does not name it and the state directory has not got it.
    active: Option<Component>,
    trial: Option<(Component, Role)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Component {
    generation: u64,
    source: String,
    digest: String,
    length: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Role {
    Shadow { percent: f64 },
    CanaryByClient { percent: f64 },
    CanaryByRequest { percent: f64 },
}

impl Role {
    fn of(trial: &Trial) -> Self {
        let percent = f64::from(trial.share()) * 100.0 / f64::from(WHOLE);
        match trial.mode {
            Mode::Shadow => Self::Shadow { percent },
            Mode::Canary(Stickiness::Client) => Self::CanaryByClient { percent },
            Mode::Canary(Stickiness::Request) => Self::CanaryByRequest { percent },
        }
    }

    fn deployment(self) -> Deployment {
        match self {
            Self::Shadow { percent } => Deployment::Shadow { percent },
            Self::CanaryByClient { percent } => Deployment::Canary {
                percent,
                by: Stickiness::Client,
            },
            Self::CanaryByRequest { percent } => Deployment::Canary {
                percent,
                by: Stickiness::Request,
            },
        }
    }
}

/// What a process before this one had deployed.
#[derive(Debug, Default)]
pub(in crate::app) struct Carried(Vec<CarriedPolicy>);

#[derive(Debug)]
struct CarriedPolicy {
    name: String,
    last_generation: u64,
    active: Option<Kept>,
    trial: Option<CarriedTrial>,
}

#[derive(Debug)]
struct CarriedTrial {
    component: Arc<[u8]>,
    source: String,
    role: Role,
}

impl Carried {
    /// Reads what another process has written.
    ///
    /// # Errors
    ///
    /// It is not whole, of another version, or a component is not the one that its digest says.
    pub(in crate::app) fn read(mut file: File) -> io::Result<Self> {
        file.rewind()?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST {
            return Err(damaged("its table is too long"));
        }
        let mut text = Vec::new();
        Read::by_ref(&mut file)
            .take(length)
            .read_to_end(&mut text)?;
        let table: Table = serde_json::from_slice(&text)?;
        if table.version != VERSION {
            return Err(damaged("it has another version"));
        }
        let mut all = Vec::with_capacity(table.policies.len());
        for entry in table.policies {
            all.push(entry.read(&mut file)?);
        }
        Ok(Self(all))
    }

    /// Takes what was active under this name.
    pub(super) fn active(&mut self, name: &str) -> Option<Kept> {
        let entry = self.0.iter_mut().find(|entry| entry.name == name)?;
        entry.active.take()
    }

    /// The highest generation number under this name, the one on trial left out.
    pub(super) fn last_generation(&self, name: &str) -> Option<u64> {
        let entry = self.0.iter().find(|entry| entry.name == name)?;
        Some(entry.last_generation)
    }
}

impl Entry {
    /// Reads its components, in their order.
    fn read(self, file: &mut File) -> io::Result<CarriedPolicy> {
        let active = match self.active {
            None => None,
            Some(active) => Some(Kept {
                component: active.read(file)?,
                generation: active.generation,
                last_generation: self.last_generation,
                source: active.source,
                configured: self.configured,
            }),
        };
        let trial = match self.trial {
            None => None,
            Some((component, role)) => Some(CarriedTrial {
                component: component.read(file)?,
                source: component.source,
                role,
            }),
        };
        Ok(CarriedPolicy {
            name: self.name,
            last_generation: self.last_generation,
            active,
            trial,
        })
    }
}

impl Component {
    fn read(&self, file: &mut File) -> io::Result<Arc<[u8]>> {
        if self.length > MAX_COMPONENT as u64 || self.generation == 0 {
            return Err(damaged("a component is too large or has no number"));
        }
        let mut bytes = Vec::new();
        file.take(self.length).read_to_end(&mut bytes)?;
        match digest(&bytes) == self.digest {
            true => Ok(bytes.into()),
            false => Err(damaged("a component is another one")),
        }
    }
}

impl ControlPlane {
    /// From now on nothing can be deployed by hand, promoted or rolled back, and no backend changed
    /// by hand: another process is about to have what there was so far. `false` ends that.
    pub(in crate::app) fn hold_deployments(&self, held: bool) {
        self.held.store(held, SeqCst);
    }

    /// An error while deployments are held.
    pub(super) fn may_deploy(&self) -> Result<(), ChangeError> {
        match self.held.load(SeqCst) {
            false => Ok(()),
            true => Err(ChangeError::Unavailable(
                "another process is about to take over (an upgrade); try again when it has"
                    .to_owned(),
            )),
        }
    }

    /// What was deployed, as a file in memory; `None` if nothing was. Changes that are under way
    /// are waited for.
    pub(in crate::app) async fn carry(&self) -> io::Result<Option<File>> {
        let (mut table, mut components) = (Table::default(), Vec::new());
        // A change of backends that is under way is on disk before the other process reads it.
        drop(self.changing_backends.lock().await);
        for policy in self.managed() {
            let _one_at_a_time = policy.changing.lock().await;
            if let Some((entry, bytes)) = self.entry(&policy) {
                table.policies.push(entry);
                components.extend(bytes);
            }
        }
        if table.policies.is_empty() {
            return Ok(None);
        }
        table.version = VERSION;
        let write = move || {
            let mut file = memory()?;
            let text = serde_json::to_vec(&table)?;
            file.write_all(&(text.len() as u64).to_le_bytes())?;
            file.write_all(&text)?;
            for component in components {
                file.write_all(&component)?;
            }
            Ok(Some(file))
        };
        tokio::task::spawn_blocking(write).await?
    }

    /// What is to be carried of one policy; `None` if that is nothing.
    fn entry(&self, policy: &Managed) -> Option<(Entry, Vec<Arc<[u8]>>)> {
        let state = policy.state();
        let mut components = Vec::new();
        let mut component = |number: u64| {
            let (_, bytes) = state.components.iter().find(|(of, _)| *of == number)?;
            components.push(Arc::clone(bytes));
            let entry = state.history.entry(number);
            Some(Component {
                generation: number,
                source: entry.map(|entry| entry.source.clone()).unwrap_or_default(),
                digest: digest(bytes),
                length: bytes.len() as u64,
            })
        };
        let active = state.history.active().filter(|_| self.state_dir.is_none());
        let active = active.and_then(|active| component(active.number()));
        let trial = state.history.trial().and_then(|trial| {
            let component = component(trial.generation.number())?;
            Some((component, Role::of(trial)))
        });
        if active.is_none() && trial.is_none() {
            return None;
        }
        // The generation on trial is deployed again, and gets the next number.
        let last = state.history.last_number();
        let is_last = trial
            .as_ref()
            .is_some_and(|(trial, _)| trial.generation == last);
        let entry = Entry {
            name: policy.name.clone(),
            configured: state.configured.clone(),
            last_generation: last - u64::from(is_last),
            active,
            trial,
        };
        Some((entry, components))
    }

    /// Begins again the trials that another process had. One that can't begin is left out: the
    /// active generation decides then.
    pub(in crate::app) async fn resume_trials(self: &Arc<Self>) {
        let carried = {
            let mut carried = self.carried();
            std::mem::take(&mut carried.0)
        };
        for CarriedPolicy { name, trial, .. } in carried {
            let (Some(trial), Ok(policy)) = (trial, self.named(&name)) else {
                continue;
            };
            let CarriedTrial {
                component,
                source,
                role,
            } = trial;
            let how = role.deployment();
            let resumed = self.deploy(&policy, component.to_vec(), source, how).await;
            if let Err(e) = resumed {
                tracing::error!(policy = name, "the trial does not go on: {e}");
            }
        }
    }
}

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

#[cfg(target_os = "linux")]
fn memory() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(memfd_create("waypost-policies", MemfdFlags::CLOEXEC)?.into())
}

/// Nothing is passed there.
#[cfg(not(target_os = "linux"))]
fn memory() -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(policies: Vec<Entry>, version: u32, components: &[u8]) -> File {
        let mut file = memory().unwrap();
        let text = serde_json::to_vec(&Table { version, policies }).unwrap();
        file.write_all(&(text.len() as u64).to_le_bytes()).unwrap();
        file.write_all(&text).unwrap();
        file.write_all(components).unwrap();
        file
    }

    fn entry(digest: &str) -> Entry {
        let component = |length| Component {
            generation: 2,
            source: "PUT".to_owned(),
            digest: digest.to_owned(),
            length,
        };
        Entry {
            name: "a".to_owned(),
            configured: None,
            last_generation: 2,
            active: Some(component(3)),
            trial: None,
        }
    }

    #[test]
    fn what_is_damaged_is_not_taken() {
        let good = digest(b"abc");
        let mut carried = Carried::read(file(vec![entry(&good)], VERSION, b"abc")).unwrap();
        let active = carried.active("a").unwrap();
        assert_eq!((&*active.component, active.generation), (&b"abc"[..], 2));
        assert!(carried.active("a").is_none() && carried.active("b").is_none());
        for damaged in [
            file(vec![entry(&good)], VERSION, b"abd"),
            file(vec![entry(&good)], VERSION, b"ab"),
            file(vec![entry(&good)], VERSION + 1, b"abc"),
            memory().unwrap(),
        ] {
            assert!(Carried::read(damaged).is_err());
        }
        let mut long = memory().unwrap();
        long.write_all(&u64::MAX.to_le_bytes()).unwrap();
        assert!(Carried::read(long).is_err());
    }
}
