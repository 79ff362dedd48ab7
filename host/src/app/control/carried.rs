//! What was deployed to this process by hand, for the process that replaces it: components that the
//! configuration does not name, trials, and what could be rolled back to. It goes over in a file in
//! memory.

mod gather;
mod stores;

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::admin::Deployment;
use crate::policy::{MAX_COMPONENT, Mode, Stickiness, Trial, WHOLE, digest};
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
    /// The generation that decided before. Its bytes come after those of all entries; without
    /// any, the configuration names it.
    #[serde(default)]
    previous: Option<Component>,
    /// The number and the digest of the generation that decides, also if the configuration names
    /// it.
    #[serde(default)]
    deciding: Option<(u64, String)>,
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
    previous: Option<CarriedPrevious>,
    deciding: Option<(u64, String)>,
}

#[derive(Debug)]
struct CarriedPrevious {
    generation: u64,
    source: String,
    digest: String,
    component: Option<Arc<[u8]>>,
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
        for mut entry in table.policies {
            let previous = entry.previous.take();
            all.push((entry.read(&mut file)?, previous));
        }
        for (policy, previous) in &mut all {
            let read = previous.take().map(|previous| previous.last(&mut file));
            policy.previous = read.transpose()?;
        }
        Ok(Self(all.into_iter().map(|(policy, _)| policy).collect()))
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

    /// The number of the generation that decided under this name, if this is its digest.
    pub(super) fn number(&self, name: &str, digest: &str) -> Option<u64> {
        let entry = self.0.iter().find(|entry| entry.name == name)?;
        let (number, of) = entry.deciding.as_ref()?;
        (of == digest).then_some(*number)
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
            previous: None,
            deciding: self.deciding,
        })
    }
}

impl Component {
    fn last(self, file: &mut File) -> io::Result<CarriedPrevious> {
        let has_bytes = self.length > 0;
        let component = has_bytes.then(|| self.read(file)).transpose()?;
        Ok(CarriedPrevious {
            generation: self.generation,
            source: self.source,
            digest: self.digest,
            component,
        })
    }

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

#[cfg(target_os = "linux")]
pub(super) fn memory() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(memfd_create("waypost-policies", MemfdFlags::CLOEXEC)?.into())
}

/// Nothing is passed there.
#[cfg(not(target_os = "linux"))]
pub(super) fn memory() -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

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
            source: "mine.wasm".to_owned(),
            digest: digest.to_owned(),
            length,
        };
        Entry {
            name: "a".to_owned(),
            configured: None,
            last_generation: 2,
            active: Some(component(3)),
            trial: None,
            previous: None,
            deciding: None,
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
