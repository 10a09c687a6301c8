//! Whose documents a run holds and, of observations, which projections they have (`kit.transforms.coverage.tally`).

use std::collections::HashMap;

use crate::bson::level::Level;
use crate::bson::run::Run;
use crate::bson::value::{DOCUMENT, NULL, STRING, Value, body};
use crate::bson::walk::Elements;
use crate::cut::ends_when_appended;
use crate::linkset::shape;
use crate::names::Names;
use crate::{Doubt, Sure};

/// Documents of one tenant; of others than observations only the first count is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Covered {
    /// The tenant; empty where a document has none.
    pub tenant: String,
    /// How many there are.
    pub documents: usize,
    /// Those without the element.
    pub missing: usize,
    /// Those where it is null.
    pub null: usize,
    /// Those where it is neither null nor a document.
    pub other_type: usize,
}

/// What documents are counted by.
#[derive(Debug)]
pub struct Counted {
    /// The name of the tenant.
    pub tenant: String,
    /// The names of both projections.
    pub names: Names,
    /// Whether they are observations.
    pub observed: bool,
}

/// Counts documents, one after the other.
pub struct Counting<'a, 'n> {
    level: Level<'a>,
    names: &'n Names,
    observed: bool,
    covered: Vec<Covered>,
    numbers: HashMap<&'a [u8], usize>,
    alone: Vec<usize>,
}

impl<'a, 'n> Counting<'a, 'n> {
    /// Begin to count.
    ///
    /// # Errors
    /// Documents of these names cannot be told apart.
    pub fn new(by: &'n Counted) -> Sure<Self> {
        by.names.check()?;
        let wanted = [&by.tenant, &by.names.raw_linkset, &by.names.linkset];
        if wanted.iter().skip(1).any(|name| **name == by.tenant) {
            return Err(Doubt);
        }
        Ok(Self {
            level: Level::new(wanted.map(|name| name.as_bytes().to_vec())),
            names: &by.names,
            observed: by.observed,
            covered: Vec::new(),
            numbers: HashMap::new(),
            alone: Vec::new(),
        })
    }

    /// Count a document; one that is not plainly of one kind is noted by its number.
    pub fn count(&mut self, number: usize, document: &'a [u8]) {
        if self.count_plain(document).is_err() {
            self.alone.push(number);
        }
    }

    /// Return the counts, and the numbers of the documents that the reference must count.
    #[must_use]
    pub fn finish(self) -> Counts {
        (self.covered, self.alone)
    }

    fn count_plain(&mut self, document: &'a [u8]) -> Sure<()> {
        self.level.walk(&Elements::of(body(document)?))?;
        let tenant = match self.level.mark(0).filter(|value| value.kind == STRING) {
            Some(value) => value.text()?,
            None => b"",
        };
        let (raw, linkset) = (self.level.mark(1), self.level.mark(2));
        let raw = raw.filter(|_| self.observed);
        if let Some(value) = raw.filter(|value| value.kind == DOCUMENT) {
            // Which other shape it is, the reference says.
            shape::check(value, self.names)?;
            shape::check_linkset(linkset)?;
        }
        let number = self.number_of(tenant);
        let covered = self.covered.get_mut(number).ok_or(Doubt)?;
        covered.documents += 1;
        match raw {
            None => covered.missing += 1,
            Some(Value { kind: NULL, .. }) => covered.null += 1,
            Some(Value { kind: DOCUMENT, .. }) => {}
            Some(_) => covered.other_type += 1,
        }
        Ok(())
    }

    fn number_of(&mut self, tenant: &'a [u8]) -> usize {
        let next = self.covered.len();
        let number = *self.numbers.entry(tenant).or_insert(next);
        if number == next {
            self.covered.push(Covered { tenant: String::from_utf8_lossy(tenant).into_owned(), ..Covered::default() });
        }
        number
    }
}

/// The counts, and the numbers of the documents that the reference must count.
pub type Counts = (Vec<Covered>, Vec<usize>);

/// Count the documents of a run.
///
/// # Errors
/// As [`Counting::new`].
pub fn count(run: Run, by: &Counted) -> Sure<Counts> {
    let mut counting = Counting::new(by)?;
    for (number, (_, document)) in run.documents().enumerate() {
        counting.count(number, document);
    }
    Ok(counting.finish())
}

/// Count documents that are those of a run, some with the element appended; return where each ends, too.
///
/// # Errors
/// As [`count`] and [`ends_when_appended`].
pub fn count_appended(before: Run, after: &[u8], touched: &[u8], by: &Counted) -> Sure<(Counts, Vec<usize>)> {
    let ends = ends_when_appended(before, after, touched, by.names.raw_linkset.as_bytes())?;
    Ok((count(Run::new(after, &ends)?, by)?, ends))
}
