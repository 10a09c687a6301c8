//! BSON where it lies: frames, one level at a time, and whole values (<https://bsonspec.org/spec.html>).

pub mod bounds;
pub mod fields;
pub mod level;
pub mod run;
pub mod sound;
pub mod valid;
pub mod value;
pub mod walk;

/// Return a number that the elements in a stretch of documents are not above: each has a NUL of its own.
///
/// If `exactly`, only NULs that follow another byte count, which those of numbers and binary values mostly do not.
#[must_use]
pub fn max_elements(bytes: &[u8], exactly: bool) -> usize {
    let Some((_, behind)) = bytes.split_first().filter(|_| exactly) else {
        return bytes.chunks(255).map(|chunk| sum(chunk.iter().map(|&byte| byte == 0))).sum();
    };
    let pairs = bytes.chunks(255).zip(behind.chunks(255));
    pairs.map(|(one, next)| sum(one.iter().zip(next).map(|(&one, &next)| one != 0 && next == 0))).sum()
}

/// Add up at most 255 flags: sums of bytes are what a machine makes many of at once.
fn sum(flags: impl Iterator<Item = bool>) -> usize {
    usize::from(flags.map(u8::from).sum::<u8>())
}

/// Return a document of so many levels.
#[cfg(test)]
pub(crate) fn nested(levels: usize) -> Vec<u8> {
    let mut inner = vec![5, 0, 0, 0, 0];
    for _ in 1..levels {
        let size = u32::try_from(inner.len() + 8).unwrap();
        inner = [&size.to_le_bytes(), b"\x03a\0".as_slice(), &inner, b"\0"].concat();
    }
    inner
}
