//! What stands beside another configuration: the lists of its files, and what the admin API has
//! changed of pools that stay.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::task::spawn_blocking;

use super::ControlPlane;
use crate::app::backend_files;
use crate::config::{Config, Pool, parse_backends, write_backends};
use crate::upstream::{Discovery, Origin, Overlay};

/// What differs from what stands beside the configuration of now.
#[derive(Debug, Default)]
pub(in crate::app::control) struct NextBackends {
    overlays: BTreeMap<(String, Origin), Overlay>,
    /// The files that were read, by the names of their pools.
    read: Vec<(String, PathBuf, usize)>,
}

impl NextBackends {
    /// These pools with the backends that they get from elsewhere, so that their names are asked.
    pub(in crate::app::control) fn pools(&self, pools: &[Pool]) -> Vec<Pool> {
        let mut pools = pools.to_vec();
        for ((name, _), overlay) in &self.overlays {
            for pool in pools.iter_mut().filter(|pool| pool.name == *name) {
                pool.backends.extend(overlay.added.iter().cloned());
            }
        }
        pools
    }

    /// What is known, as if this configuration ran.
    pub(in crate::app::control) fn apart(&self, discovery: &Discovery) -> Discovery {
        discovery.apart(&self.overlays)
    }
}

impl ControlPlane {
    /// Reads the files that the configuration of now does not name in the same way.
    ///
    /// # Errors
    ///
    /// Every mistake: one that is named anew must be right, since there is no list before it.
    pub(in crate::app::control) async fn next_backends(
        &self,
        config: &Config,
        former: &Config,
    ) -> Result<NextBackends, Vec<String>> {
        let (mut next, mut errors) = (NextBackends::default(), Vec::new());
        for pool in &config.pools {
            let was = former.pools.iter().find(|was| was.name == pool.name);
            let is_reached_the_same =
                was.is_some_and(|was| (&was.tls, was.protocol) == (&pool.tls, pool.protocol));
            if !(is_reached_the_same && was.is_some_and(|was| was.file == pool.file)) {
                errors.extend(next.read_file(pool).await.err());
            }
            if !is_reached_the_same {
                errors.extend(self.read_again(&mut next, was, pool).err());
            }
        }
        match errors.is_empty() {
            true => Ok(next),
            false => Err(errors),
        }
    }

    /// What the admin API has added to a pool, which is reached in another way now.
    fn read_again(
        &self,
        next: &mut NextBackends,
        was: Option<&Pool>,
        pool: &Pool,
    ) -> Result<(), String> {
        let key = (pool.name.clone(), Origin::Api);
        // What left begins anew.
        let Some(was) = was else {
            next.overlays.insert(key, Overlay::default());
            return Ok(());
        };
        let mut overlay = self.discovery().overlay_of(&pool.name, Origin::Api);
        let written = write_backends(&overlay.added, was).to_string();
        let read = parse_backends("what the admin API has added", &written, pool);
        let (added, _) = read.map_err(|errors| format!("pool {:?}: {errors}", pool.name))?;
        overlay.added = added;
        next.overlays.insert(key, overlay);
        Ok(())
    }

    /// Follows what stands beside a configuration that is about to be published. Whether that
    /// changes what the admin API has changed.
    pub(in crate::app::control) fn follow_backends(
        &self,
        config: &Config,
        next: NextBackends,
    ) -> bool {
        let discovery = self.discovery();
        let former = discovery.overlays(Origin::Api);
        for ((pool, origin), overlay) in next.overlays {
            discovery.overlay(&pool, origin, overlay);
        }
        for (pool, path, count) in next.read {
            self.backend_files.note(&pool, &path, Ok(count));
        }
        self.backend_files.keep(config);
        let stays = |name: &str| config.pools.iter().any(|pool| pool.name == name);
        for origin in [Origin::File, Origin::Api] {
            let all = discovery.overlays(origin).into_keys();
            for gone in all.filter(|name| !stays(name)) {
                discovery.overlay(&gone, origin, Overlay::default());
            }
        }
        discovery.overlays(Origin::Api) != former
    }
}

impl NextBackends {
    async fn read_file(&mut self, pool: &Pool) -> Result<(), String> {
        let mut overlay = Overlay::default();
        if let Some(path) = pool.file.clone() {
            let (reading, of_pool) = (path.clone(), pool.clone());
            let read = spawn_blocking(move || backend_files::read(&reading, &of_pool)).await;
            let read = read.map_err(|e| e.to_string())?;
            let named = |unusable: backend_files::Unusable| {
                format!("pool {:?}: `file`: {}", pool.name, unusable.reason())
            };
            overlay.added = read.map_err(named)?;
            let count = overlay.added.len();
            self.read.push((pool.name.clone(), path, count));
        }
        let key = (pool.name.clone(), Origin::File);
        self.overlays.insert(key, overlay);
        Ok(())
    }
}
