//! One level of many documents that mostly have the same names: those of the latest are remembered, not looked up.

use crate::bson::value::Value;
use crate::bson::walk::{Elements, is_extension};
use crate::{Doubt, Sure};

/// Walks one level; law: what it marks is what `kit.documents.index` finds, and what that refuses is a [`Doubt`].
///
/// That no name is there twice was seen when the names were learnt, and is so as long as a document has the same ones in
/// their order. To compare names is faster than to make tables of them.
#[derive(Debug)]
pub struct Level<'a> {
    wanted: Vec<Vec<u8>>,
    marks: Vec<Option<Value<'a>>>,
    /// The names of the latest document with their NUL, and which of `wanted` each is.
    learnt: Vec<(Vec<u8>, Option<usize>)>,
    has_others: bool,
}

impl<'a> Level<'a> {
    /// Mark the elements of these names.
    pub fn new<I: IntoIterator<Item = Vec<u8>>>(wanted: I) -> Self {
        let wanted: Vec<Vec<u8>> = wanted.into_iter().collect();
        let marks = vec![None; wanted.len()];
        Self { wanted, marks, learnt: Vec::new(), has_others: false }
    }

    /// Return which mark `name` has, a new one if it was not wanted yet.
    pub fn want(&mut self, name: &[u8]) -> usize {
        self.wanted.iter().position(|wanted| wanted == name).unwrap_or_else(|| {
            self.wanted.push(name.to_vec());
            self.marks.push(None);
            self.learnt.clear();
            self.wanted.len() - 1
        })
    }

    /// Mark what is wanted of a document.
    ///
    /// # Errors
    /// The level is malformed, or repeats a name.
    pub fn walk(&mut self, elements: &Elements<'a>) -> Sure<()> {
        if !self.follow(elements.clone())? {
            self.learn(elements.clone())?;
            if !self.follow(elements.clone())? {
                return Err(Doubt);
            }
        }
        Ok(())
    }

    /// Mark nothing: the document has no such level.
    pub fn clear(&mut self) {
        self.marks.fill(None);
    }

    /// Return a mark.
    #[must_use]
    pub fn mark(&self, number: usize) -> Option<Value<'a>> {
        self.marks.get(number).copied().flatten()
    }

    /// Return the first marks, in the order in which they were wanted.
    ///
    /// # Errors
    /// There are fewer.
    pub fn marks<const N: usize>(&self) -> Sure<[Option<Value<'a>>; N]> {
        self.marks.first_chunk().copied().ok_or(Doubt)
    }

    /// Whether the latest document has a name that is neither wanted nor one of extensions.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.has_others
    }

    /// Walk by the remembered names; false if these are others.
    fn follow(&mut self, mut elements: Elements<'a>) -> Sure<bool> {
        self.marks.fill(None);
        for (name, wanted) in &self.learnt {
            let Some(value) = elements.next_called(name)? else { return Ok(false) };
            if let Some(mark) = wanted.and_then(|wanted| self.marks.get_mut(wanted)) {
                *mark = Some(value);
            }
        }
        Ok(elements.is_at_end())
    }

    fn learn(&mut self, mut elements: Elements<'a>) -> Sure<()> {
        self.learnt.clear();
        self.has_others = false;
        let mut names = Vec::new();
        while let Some(element) = elements.next_element()? {
            let wanted = self.wanted.iter().position(|wanted| wanted == element.name);
            self.has_others |= wanted.is_none() && !is_extension(element.name);
            names.push(element.name);
            self.learnt.push(([element.name, b"\0"].concat(), wanted));
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            self.learnt.clear();
            return Err(Doubt);
        }
        Ok(())
    }
}
