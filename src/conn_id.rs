//! The ID of a connection, and tables and sets with an entry for each connection.

use crate::limits::{CLIENT_WORDS, CLIENTS};
use crate::sync::Bitmap;
use core::fmt::{self, Display};
use core::ops::{Index, IndexMut, Range};

/// The ID of a connection: an index below [`CLIENTS`]. The next connection may get the same ID once nothing of the
/// former one is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u16);

const _: () = assert!(CLIENTS <= u16::MAX as usize + 1, "an index has 16 bits");

impl ConnId {
    /// The first ID.
    pub const FIRST: Self = Self(0);

    /// The ID with that index.
    ///
    /// # Panics
    /// If the index is [`CLIENTS`] or more.
    pub const fn new(index: usize) -> Self {
        assert!(index < CLIENTS);
        Self(index as u16)
    }

    /// The index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All IDs, in increasing order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + Clone {
        Self::range(0..CLIENTS)
    }

    /// The IDs with indices in that range, in increasing order.
    ///
    /// # Panics
    /// If the range ends above [`CLIENTS`].
    pub fn range(indices: Range<usize>) -> impl DoubleEndedIterator<Item = Self> + Clone {
        assert!(indices.end <= CLIENTS);
        indices.map(Self::new)
    }
}

impl Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

/// One `T` for each connection.
pub struct PerConn<T>(pub [T; CLIENTS]);

impl<T> Index<ConnId> for PerConn<T> {
    type Output = T;

    fn index(&self, conn: ConnId) -> &T {
        &self.0[conn.index()]
    }
}

impl<T> IndexMut<ConnId> for PerConn<T> {
    fn index_mut(&mut self, conn: ConnId) -> &mut T {
        &mut self.0[conn.index()]
    }
}

/// A set of connections that threads share without a lock.
pub struct ConnSet(Bitmap<CLIENT_WORDS>);

impl ConnSet {
    /// The empty set.
    #[cfg(not(loom))]
    #[expect(clippy::new_without_default, reason = "it is made once for each purpose")]
    pub const fn new() -> Self {
        Self(Bitmap::new())
    }

    /// Adds a connection; true: it was not in the set. The thread that takes it out sees what the caller did before.
    pub fn insert(&self, conn: ConnId) -> bool {
        self.0.insert(conn.index())
    }

    /// Removes a connection; true: it was in the set.
    pub fn remove(&self, conn: ConnId) -> bool {
        self.0.remove(conn.index())
    }

    /// Whether a connection is in the set.
    pub fn contains(&self, conn: ConnId) -> bool {
        self.0.contains(conn.index())
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Calls `each` with each connection in the set, in increasing order.
    pub fn for_each(&self, mut each: impl FnMut(ConnId)) {
        self.0.for_each(|index| each(ConnId::new(index)));
    }

    /// Removes all connections with indices in that range, and calls `each` with each of them, in increasing order.
    pub fn drain(&self, indices: Range<usize>, mut each: impl FnMut(ConnId)) {
        self.0.drain(indices.start, indices.end, |index| each(ConnId::new(index)));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn set_has_what_was_inserted() {
        let set = ConnSet::new();
        let (first, last) = (ConnId::FIRST, ConnId::new(CLIENTS - 1));
        assert!(set.insert(last) && set.insert(first) && !set.insert(first));
        let mut found = std::vec::Vec::new();
        set.for_each(|conn| found.push(conn));
        assert_eq!(found, [first, last]);
        assert!(set.remove(first) && !set.contains(first) && set.contains(last));
        found.clear();
        set.drain(0..CLIENTS, |conn| found.push(conn));
        assert_eq!(found, [last]);
        assert!(set.is_empty());
    }

    #[test]
    fn table_has_an_entry_for_each_connection() {
        let mut table = PerConn([0; CLIENTS]);
        for (value, conn) in ConnId::all().enumerate() {
            table[conn] = value;
        }
        assert!(ConnId::all().rev().all(|conn| table[conn] == conn.index()));
    }
}
