//! BSON where it lies: frames, one level at a time, and whole values (<https://bsonspec.org/spec.html>).

pub mod bounds;
pub mod fields;
pub mod level;
pub mod run;
pub mod sound;
pub mod value;
pub mod walk;
