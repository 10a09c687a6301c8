//! Puts other values in the places of values of a document: the lengths around them change, and nothing else.

use crate::splice;
use crate::{Doubt, Sure};

/// A place in a document.
#[derive(Debug, Clone, Default)]
pub struct Spot {
    /// Where each document around the value begins, below the document itself.
    pub enclosing: Vec<usize>,
    /// Where the element begins.
    pub start: usize,
    /// Where the value begins.
    pub value: usize,
    /// Where it ends.
    pub end: usize,
}

/// Return where `part`, which lies in `document`, begins.
///
/// # Errors
/// It lies elsewhere.
pub fn offset(document: &[u8], part: &[u8]) -> Sure<usize> {
    let at = part.as_ptr().addr().checked_sub(document.as_ptr().addr()).ok_or(Doubt)?;
    if at + part.len() <= document.len() { Ok(at) } else { Err(Doubt) }
}

/// Appends one document to a body, value by value, by rising offset.
#[derive(Debug)]
pub struct Replacing<'a, 'b> {
    document: &'a [u8],
    out: &'b mut Vec<u8>,
    /// Where the document begins in `out`.
    begin: usize,
    /// What is before is in `out`.
    kept: usize,
    /// What is now in `out` minus what was read for it.
    grown: isize,
    /// Where a document around a value begins in `out`, where it began, and by how much it grows.
    around: Vec<(usize, usize, isize)>,
}

impl<'a, 'b> Replacing<'a, 'b> {
    /// Begin with `document`.
    pub fn new(document: &'a [u8], out: &'b mut Vec<u8>) -> Self {
        let begin = out.len();
        Self { document, out, begin, kept: 0, grown: 0, around: vec![(begin, 0, 0)] }
    }

    /// Put what `value` writes, of type `kind`, in the place of the value at `spot`.
    ///
    /// # Errors
    /// `value` has doubts, or the spot is not behind the one before.
    pub fn put<F>(&mut self, spot: &Spot, kind: u8, value: F) -> Sure<()>
    where
        F: FnOnce(&mut Vec<u8>) -> Sure<()>,
    {
        self.out.extend_from_slice(self.document.get(self.kept..spot.start).ok_or(Doubt)?);
        self.out.push(kind);
        self.out.extend_from_slice(self.document.get(spot.start + 1..spot.value).ok_or(Doubt)?);
        let before = self.out.len();
        value(self.out)?;
        let grown = signed(self.out.len() - before)? - signed(spot.end - spot.value)?;
        for start in std::iter::once(&0).chain(&spot.enclosing) {
            if let Some((_, _, growth)) = self.around.iter_mut().find(|(_, known, _)| known == start) {
                *growth += grown;
            } else {
                // What was put before is before this document, since it holds none of that.
                let at = signed(self.begin + start)? + self.grown;
                self.around.push((usize::try_from(at).map_err(|_| Doubt)?, *start, grown));
            }
        }
        self.grown += grown;
        self.kept = spot.end;
        Ok(())
    }

    /// Append the rest, and set the lengths.
    ///
    /// # Errors
    /// A document is longer than a length can say.
    pub fn finish(self) -> Sure<()> {
        self.out.extend_from_slice(self.document.get(self.kept..).ok_or(Doubt)?);
        for (at, start, grown) in self.around {
            let length = self.document.get(start..).and_then(|rest| rest.first_chunk()).ok_or(Doubt)?;
            let length = signed(usize::try_from(i32::from_le_bytes(*length)).map_err(|_| Doubt)?)? + grown;
            let length = splice::length(usize::try_from(length).map_err(|_| Doubt)?)?;
            self.out.get_mut(at..at + length.len()).ok_or(Doubt)?.copy_from_slice(&length);
        }
        Ok(())
    }
}

fn signed(size: usize) -> Sure<isize> {
    isize::try_from(size).map_err(|_| Doubt)
}
