//! The backends, and what a policy keeps about each pool.

/// A group of interchangeable backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// What [`Attempt::pool`](crate::Attempt) and [`Request::pool`](crate::Request::pool) call it.
    pub id: u32,
    /// What the operator calls it: the name in `[pools]`, or the host in `[hosts]`.
    pub name: String,
    /// Grows with each change of the list.
    pub generation: u64,
}

/// One backend. Its index in the list is its name in every other call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// IP address and port, such as `10.0.0.1:80` or `[2001:db8::1]:80`.
    pub address: String,
    /// The weight that the operator gave, 1 if none.
    pub weight: u32,
    /// Free labels from the configuration, such as `zone` = `a`.
    pub labels: Vec<(String, String)>,
}

impl Backend {
    /// A backend of weight 1 without labels.
    pub fn new(address: &str) -> Self {
        Backend {
            address: address.to_owned(),
            weight: 1,
            labels: Vec::new(),
        }
    }

    /// With this weight.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// With this label.
    #[must_use]
    pub fn with_label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What a policy keeps for each pool, by the pool's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pools<T> {
    /// Sorted by id. They are few, and looked for in every request.
    entries: Vec<(u32, T)>,
}

impl<T> Default for Pools<T> {
    fn default() -> Self {
        Pools {
            entries: Vec::new(),
        }
    }
}

impl<T> Pools<T> {
    /// What was kept for this pool.
    #[inline]
    pub fn at(&self, pool: u32) -> Option<&T> {
        self.entries
            .get(self.place(pool))
            .filter(|(id, _)| *id == pool)
            .map(|(_, value)| value)
    }

    /// What was kept for this pool, to be changed.
    #[inline]
    pub fn at_mut(&mut self, pool: u32) -> Option<&mut T> {
        let place = self.place(pool);
        self.entries
            .get_mut(place)
            .filter(|(id, _)| *id == pool)
            .map(|(_, value)| value)
    }

    /// Keeps this for the pool, in place of anything earlier.
    pub fn keep(&mut self, pool: u32, value: T) {
        let place = self.place(pool);
        match self.entries.get_mut(place) {
            Some((id, kept)) if *id == pool => *kept = value,
            _ => self.entries.insert(place, (pool, value)),
        }
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries.iter().map(|(id, value)| (*id, value))
    }

    /// Where this pool is, or would be. The host counts pools from 0, so the first look nearly
    /// always finds it.
    #[inline]
    fn place(&self, pool: u32) -> usize {
        match self.entries.get(pool as usize) {
            Some((id, _)) if *id == pool => pool as usize,
            _ => self.search(pool),
        }
    }

    #[cold]
    fn search(&self, pool: u32) -> usize {
        self.entries.partition_point(|(id, _)| *id < pool)
    }
}

/// The backends of a pool by the value of one of their labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    entries: Vec<(String, Vec<u32>)>,
}

impl Groups {
    /// Groups backends by this label; those without it are in none.
    pub fn by_label(backends: &[Backend], label: &str) -> Self {
        let mut groups = Groups::default();
        for (backend, told) in (0..).zip(backends) {
            let Some(value) = told.label(label) else {
                continue;
            };
            match groups.entries.iter_mut().find(|(name, _)| name == value) {
                Some((_, members)) => members.push(backend),
                None => groups.entries.push((value.to_owned(), vec![backend])),
            }
        }
        groups
    }

    /// The backends whose label has this value; none if no backend has.
    pub fn named(&self, value: &str) -> &[u32] {
        self.entries
            .iter()
            .find(|(name, _)| name == value)
            .map(|(_, members)| members.as_slice())
            .unwrap_or_default()
    }

    /// The values of the label, in the order in which backends first have them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_kept_by_id() {
        let mut pools = Pools::default();
        for (id, value) in [(7, "b"), (2, "a"), (9, "c"), (7, "d")] {
            pools.keep(id, value);
        }
        assert_eq!(
            pools.iter().collect::<Vec<_>>(),
            [(2, &"a"), (7, &"d"), (9, &"c")]
        );
        assert_eq!(
            (pools.at(7), pools.at(3), pools.at(10)),
            (Some(&"d"), None, None)
        );
        assert_eq!(pools.at_mut(2), Some(&mut "a"));
    }

    #[test]
    fn groups_hold_who_has_the_label() {
        let zone = |zone: &str| Backend::new("10.0.0.1:80").with_label("zone", zone);
        let groups = Groups::by_label(
            &[zone("b"), Backend::new("10.0.0.2:80"), zone("a"), zone("b")],
            "zone",
        );
        assert_eq!(groups.names().collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(
            (groups.named("b"), groups.named("c")),
            (&[0, 3][..], &[][..])
        );
    }
}
