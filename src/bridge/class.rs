//! The two classes of messages.

use crate::protocol::Priority;
use std::fmt;
use std::ops::{Index, IndexMut};

/// A class of messages, each sent in the order of its IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The priorities from `--urgent` on.
    Urgent,
    /// All others.
    Rest,
}

impl Class {
    /// Both, the urgent one first.
    pub const ALL: [Self; 2] = [Self::Urgent, Self::Rest];

    /// The class of that priority, if the urgent ones begin with `urgent_from`.
    pub fn of(priority: Priority, urgent_from: Priority) -> Self {
        if priority >= urgent_from { Self::Urgent } else { Self::Rest }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Urgent => "urgent",
            Self::Rest => "rest",
        })
    }
}

/// One `T` for each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerClass<T>([T; 2]);

impl<T> PerClass<T> {
    /// The results of `make` for each class.
    pub fn new(make: impl FnMut(Class) -> T) -> Self {
        Self(Class::ALL.map(make))
    }

    /// These two values.
    #[cfg(test)]
    pub const fn of(urgent: T, rest: T) -> Self {
        Self([urgent, rest])
    }

    /// Both values.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl<T> Index<Class> for PerClass<T> {
    type Output = T;

    fn index(&self, class: Class) -> &T {
        &self.0[class as usize]
    }
}

impl<T> IndexMut<Class> for PerClass<T> {
    fn index_mut(&mut self, class: Class) -> &mut T {
        &mut self.0[class as usize]
    }
}
