//! A run: whole documents, back to back, and where each ends.

use crate::{Doubt, Sure};

/// Whole documents that follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    data: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Run<'a> {
    /// Frame the documents of `data`, which end at `ends`.
    ///
    /// # Errors
    /// The ends are not in order, or the last is not that of the data.
    pub fn new(data: &'a [u8], ends: &'a [usize]) -> Sure<Self> {
        if ends.last().copied().unwrap_or(0) == data.len() && ends.is_sorted() {
            Ok(Self { data, ends })
        } else {
            Err(Doubt)
        }
    }

    /// Return the bytes of all documents.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Return how many documents there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Return the documents, each with its offset.
    pub fn documents(&self) -> impl Iterator<Item = (usize, &'a [u8])> {
        let data = self.data;
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends).map(move |(start, &end)| (start, data.get(start..end).unwrap_or_default()))
    }
}
