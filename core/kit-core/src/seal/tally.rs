//! What the documents of a run add up to.

use crate::seal::cipher::Digest;
use crate::seal::mapped::Reader;

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// Values in it were sealed or opened.
    Changed,
    /// It was selected, and nothing in it was sealed or opened.
    Unchanged,
    /// Its owner's documents stay plain.
    SkippedOwner,
    /// It was not asked for.
    NotSelected,
}

/// What a value of a selected document was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Sealed or opened.
    Changed,
    /// An envelope that stays.
    Envelope,
    /// Null.
    Null,
    /// Not there.
    Missing,
    /// Plaintext that stays, and is not counted.
    Plain,
}

/// Documents of one partition, and the values of each field of the selected ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The partition; empty where a document has none.
    pub partition: String,
    /// Documents by what became of them, in the order of [`Became`].
    pub documents: [usize; 4],
    /// Of each field its values by what they were, in the order of [`Outcome`].
    pub fields: Vec<[usize; 4]>,
}

/// The sum of the digests of some values, and how many they are (schemas/envelope.md, "Value digest").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many values.
    pub values: usize,
    /// The sum without its modulus, little-endian.
    total: [u64; 5],
}

impl Sum {
    /// Add the digest of one value.
    pub fn add(&mut self, digest: &Digest) {
        self.values += 1;
        let mut carry = 0;
        let mut words = digest.rchunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_be_bytes));
        for word in &mut self.total {
            let (sum, over) = word.overflowing_add(words.next().unwrap_or(0));
            let (sum, again) = sum.overflowing_add(carry);
            (*word, carry) = (sum, u64::from(over) + u64::from(again));
        }
    }

    /// Return the sum as bytes, big-endian.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.total.iter().rev().flat_map(|word| word.to_be_bytes()).collect()
    }
}

/// The tallies of a run, by the number of the partition.
#[derive(Debug, Default)]
pub struct Tallies {
    tallies: Vec<Tally>,
    fields: usize,
}

impl Tallies {
    /// Count documents with that many fields.
    #[must_use]
    pub fn new(fields: usize) -> Self {
        Self { tallies: Vec::new(), fields }
    }

    /// Return the tally of a partition.
    pub fn of(&mut self, number: usize, reader: &Reader) -> Option<&mut Tally> {
        while self.tallies.len() <= number {
            let partition = reader.partition_name(self.tallies.len()).to_owned();
            self.tallies.push(Tally { partition, documents: [0; 4], fields: vec![[0; 4]; self.fields] });
        }
        self.tallies.get_mut(number)
    }

    /// Return all.
    #[must_use]
    pub fn all(self) -> Vec<Tally> {
        self.tallies
    }
}

impl Tally {
    /// Count a document.
    pub fn count(&mut self, became: Became) {
        if let Some(documents) = self.documents.get_mut(became as usize) {
            *documents += 1;
        }
    }

    /// Count a selected document by what its values were.
    pub fn count_values(&mut self, outcomes: &[Outcome]) {
        let is_changed = outcomes.contains(&Outcome::Changed);
        self.count(if is_changed { Became::Changed } else { Became::Unchanged });
        for (values, outcome) in self.fields.iter_mut().zip(outcomes) {
            if let Some(values) = values.get_mut(*outcome as usize) {
                *values += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_carries_into_every_word() {
        let mut sum = Sum::default();
        sum.add(&[0xff; 32]);
        sum.add(&[0xff; 32]);
        let expected = [[0, 0, 0, 0, 0, 0, 0, 1].as_slice(), &[0xff; 31], &[0xfe]].concat();
        assert_eq!((sum.values, sum.bytes()), (2, expected));
    }
}
