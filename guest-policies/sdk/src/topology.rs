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
        Backend { address: address.to_owned(), weight: 1, labels: Vec::new() }
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
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
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
        Pools { entries: Vec::new() }
    }
}

impl<T> Pools<T> {
    /// What was kept for this pool.
    pub fn at(&self, pool: u32) -> Option<&T> {
        let at = self.entries.partition_point(|(id, _)| *id < pool);
        self.entries.get(at).filter(|(id, _)| *id == pool).map(|(_, value)| value)
    }

    /// What was kept for this pool, to be changed.
    pub fn at_mut(&mut self, pool: u32) -> Option<&mut T> {
        let at = self.entries.partition_point(|(id, _)| *id < pool);
        self.entries.get_mut(at).filter(|(id, _)| *id == pool).map(|(_, value)| value)
    }

    /// Keeps this for the pool, in place of anything earlier.
    pub fn keep(&mut self, pool: u32, value: T) {
        let at = self.entries.partition_point(|(id, _)| *id < pool);
        match self.entries.get_mut(at) {
            Some((id, kept)) if *id == pool => *kept = value,
            _ => self.entries.insert(at, (pool, value)),
        }
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries.iter().map(|(id, value)| (*id, value))
    }
}
