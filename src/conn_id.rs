//! The index of a connection, and the tables that have one entry for each.

use crate::limits::{CLIENT_WORDS, CLIENTS};
use crate::sync::Bitmap;
use core::fmt::{self, Display};
use core::ops::{Index, IndexMut, Range};

/// Which connection: its index, below [`CLIENTS`]. It is free for the next one once nothing of the former is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u16);

const _: () = assert!(CLIENTS <= u16::MAX as usize + 1, "an index is 16 bits");

impl ConnId {
    /// The first one.
    pub const FIRST: Self = Self(0);

    /// The one with that index.
    ///
    /// # Panics
    /// If there is no such index.
    pub const fn new(index: usize) -> Self {
        assert!(index < CLIENTS);
        Self(index as u16)
    }

    /// Its index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All of them, rising.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + Clone {
        Self::range(0..CLIENTS)
    }

    /// Those with indices in that range, rising.
    ///
    /// # Panics
    /// If it goes beyond the last index.
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

    /// Puts one in; true: it was not there. What the caller did before is seen by whichever thread takes it out.
    pub fn insert(&self, conn: ConnId) -> bool {
        self.0.insert(conn.index())
    }

    /// Takes one out; true: it was there.
    pub fn remove(&self, conn: ConnId) -> bool {
        self.0.remove(conn.index())
    }

    /// Whether one is in it.
    pub fn contains(&self, conn: ConnId) -> bool {
        self.0.contains(conn.index())
    }

    /// Whether it is the empty set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Calls `each` with all that are in it, rising.
    pub fn for_each(&self, mut each: impl FnMut(ConnId)) {
        self.0.for_each(|index| each(ConnId::new(index)));
    }

    /// Takes out all with indices in that range, and calls `each` with them, rising.
    pub fn drain(&self, indices: Range<usize>, mut each: impl FnMut(ConnId)) {
        self.0.drain(indices.start, indices.end, |index| each(ConnId::new(index)));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_back_what_was_put_in() {
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
    fn a_table_has_an_entry_for_each() {
        let mut table = PerConn([0; CLIENTS]);
        for (value, conn) in ConnId::all().enumerate() {
            table[conn] = value;
        }
        assert!(ConnId::all().rev().all(|conn| table[conn] == conn.index()));
    }
}
