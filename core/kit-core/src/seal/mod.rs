//! Sealing of mapped values (`kit/encryption`, `kit/transforms/encrypt_fields`; schemas/envelope.md).
//!
//! Names, paths, places and keys are handed over with each run; nothing is kept between runs, and every copy of a key is
//! overwritten when it is dropped. A value, envelope or document that is not plainly what it should be is the reference's.

pub mod cipher;
pub mod envelope;
pub mod mapped;
pub mod names;
pub mod replace;
pub mod run;
pub mod tally;
