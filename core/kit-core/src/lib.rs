//! What looks into the documents of an Offline Kit: bytes in, bytes out.
//!
//! The readable specification is the plain Python beside it (`kit/transforms/raw_linkset`, `kit/documents`). One law: what
//! is returned is, byte for byte, what that gives; and wherever a document is not plainly what its format says, faults
//! included, the answer is [`Doubt`] ("not me") and the reference decides. So nothing here skips a value, refuses a format
//! or words an error. Names of stored documents are handed over at each call; only those that an upstream standard fixes
//! are spelled here, once, in the table of each format.
//!
//! No files, no clock, no threads, no state between calls.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod agreement;
pub mod bson;
pub mod census;
pub mod copies;
pub mod coverage;
pub mod cut;
pub mod delta;
pub mod importing;
pub mod json;
pub mod keys;
pub mod leaves;
pub mod linkset;
pub mod names;
pub mod proof;
pub mod run;
pub mod seal;
pub mod sketch;
pub mod splice;

/// Not plainly what it should be: the reference decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt;

/// A result, or "not me".
pub type Sure<T> = Result<T, Doubt>;
