//! What a check reports as damaged.

use crate::counted::Counted;
use crate::journal::names::NAMES;
use crate::journal::segment::Identity;
use std::fmt::{self, Display};

/// A place in the journal that is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The index of the file.
    pub segment: usize,
    /// What is damaged.
    pub what: What,
}

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The file is missing.
    Missing,
    /// The file has another length than the others.
    Length {
        /// Its length, in bytes.
        is: u64,
        /// The length of the others.
        should: u32,
    },
    /// Neither copy of the header is whole, so nothing in the file can be read.
    Header,
    /// One copy of the header is damaged.
    OneHeader,
    /// The file belongs to that journal; `None`: to one of version 1, which has no identity.
    Foreign(Option<Identity>),
    /// The file is a copy of that segment's file.
    Copy(usize),
    /// Bytes that were records.
    Bytes {
        /// The offset of the first one.
        offset: u32,
        /// Their number.
        bytes: u32,
    },
    /// The same at the end of the newest segment.
    Tail {
        /// The offset of the first one.
        offset: u32,
        /// Their number.
        bytes: u32,
    },
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: damaged: ", NAMES[self.segment])?;
        match self.what {
            What::Missing => f.write_str("the file is missing"),
            What::Length { is, should } => write!(f, "{} long instead of {should}", Counted(is, "byte")),
            What::Header => f.write_str("no whole header, so nothing in it can be read"),
            What::OneHeader => f.write_str("one of its two headers; the other is whole"),
            What::Foreign(Some(identity)) => {
                write!(f, "it is a file of another journal, {identity}, and is not read")
            }
            What::Foreign(None) => f.write_str("it is a file of another journal, and is not read"),
            What::Copy(original) => {
                let original = NAMES[original];
                write!(f, "it is a copy of {original}, and is not read; what it held before is lost")
            }
            What::Bytes { offset, bytes } => {
                write!(f, "{} at offset {offset}", Counted(bytes.into(), "byte"))
            }
            What::Tail { offset, bytes } => {
                let bytes = Counted(bytes.into(), "byte");
                write!(f, "{bytes} at offset {offset}, the last that were written: a power cut does that")
            }
        }
    }
}
