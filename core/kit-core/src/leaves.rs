//! The leaves that documents give to the Merkle tree of their collection (`kit.documents.identity`).

use sha2::{Digest as _, Sha256};

use crate::Sure;
use crate::bson::run::Run;
use crate::bson::value::{STRING, Value, body};
use crate::bson::walk::Elements;

/// A SHA-256.
pub type Digest = [u8; DIGEST];

/// Bytes of a digest.
const DIGEST: usize = 32;

/// Return the SHA-256 of parts that follow each other.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut state = Sha256::new();
    for part in parts {
        state.update(part);
    }
    state.finalize().into()
}

/// Return the first value called `_id`; None where there is none before the first fault.
///
/// # Errors
/// The document is not of its length.
pub fn identity(document: &[u8]) -> Sure<Option<Value<'_>>> {
    let mut elements = Elements::of(body(document)?);
    while let Ok(Some(element)) = elements.next_element() {
        if element.name == b"_id" {
            return Ok(Some(element.value));
        }
    }
    Ok(None)
}

/// Collects leaves, and sorts them.
#[derive(Debug, Default)]
pub struct Leaves(Vec<(Vec<u8>, Digest)>);

impl Leaves {
    /// Add the leaf of a document, which is given in parts; `whole` is one with the same first `_id`.
    ///
    /// # Errors
    /// The document is not of its length.
    pub fn add(&mut self, whole: &[u8], parts: &[&[u8]]) -> Sure<()> {
        let key = match identity(whole)? {
            // Without the length before it a text sorts as its bytes do.
            Some(Value { kind: kind @ (STRING | 13 | 14), bytes: [_, _, _, _, text @ .., _] }) => {
                [&[kind], text].concat()
            }
            Some(value) => [&[value.kind], value.bytes].concat(),
            None => Vec::new(),
        };
        let leaf = sha256(&[&[0], &key, &sha256(parts)]);
        self.0.push((key, leaf));
        Ok(())
    }

    /// Return the leaves as sorted lines: key and hash in hex.
    #[must_use]
    pub fn lines(mut self) -> Vec<u8> {
        self.0.sort_unstable();
        let mut lines = Vec::with_capacity(self.0.iter().map(|(key, _)| 2 * (key.len() + DIGEST + 1)).sum());
        for (key, leaf) in &self.0 {
            push_hex(&mut lines, key);
            lines.push(b' ');
            push_hex(&mut lines, leaf);
            lines.push(b'\n');
        }
        lines
    }
}

/// Return the leaves of a run as sorted lines.
///
/// # Errors
/// A document is not of its length.
pub fn of_run(run: Run<'_>) -> Sure<Vec<u8>> {
    let mut leaves = Leaves::default();
    for (_, document) in run.documents() {
        leaves.add(document, &[document])?;
    }
    Ok(leaves.lines())
}

/// Append bytes as hex digits.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sha_256() {
        let mut hex = Vec::new();
        push_hex(&mut hex, &sha256(&[b"a", b"bc"]));
        assert_eq!(hex, b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn lines_are_in_the_order_of_keys() {
        let mut leaves = Leaves::default();
        for document in [b"\x10\0\0\0\x02_id\0\x02\0\0\0b\0\0", b"\x10\0\0\0\x02_id\0\x02\0\0\0a\0\0"] {
            leaves.add(document, &[document]).unwrap();
        }
        let lines = leaves.lines();
        assert!(lines.starts_with(b"0261 ") && lines.len() == 2 * 70);
    }
}
