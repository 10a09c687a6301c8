//! `rawLinkset`: what each source says it is, and the element that holds it.

pub mod csaf;
pub mod cve;
pub mod element;
pub mod ghsa;
pub mod osv;
pub mod pointers;
pub mod projection;
pub mod shape;
pub mod snapshot;
pub mod table;

use crate::bson::level::Level;
use crate::bson::value::Value;
use crate::{Doubt, Sure};
use projection::Projection;
use table::{Format, TABLES};

/// Reads raw documents of the four formats, one after the other.
#[derive(Debug)]
pub struct Extractors<'a> {
    /// The uppermost level of each format, in the order of [`TABLES`]; its last mark is that of an envelope.
    levels: Vec<Level<'a>>,
    projection: Projection<'a>,
}

impl<'a> Extractors<'a> {
    /// Read documents that are no envelopes, which have a member called `envelope`.
    #[must_use]
    pub fn new(envelope: &str) -> Self {
        let level = |table: &&table::Table| {
            let names = table.needs.names().into_iter().chain(table.members.iter().copied());
            let mut level = Level::new(names.map(<[u8]>::to_vec));
            level.want(envelope.as_bytes());
            level
        };
        Self { levels: TABLES.iter().map(level).collect(), projection: Projection::default() }
    }

    /// Project the raw document `raw`.
    ///
    /// # Errors
    /// It is not plainly of the format, or the reference skips a value of it.
    pub fn extract(&mut self, format: Format, raw: Value<'a>) -> Sure<&Projection<'a>> {
        let level = self.levels.get_mut(format as usize).ok_or(Doubt)?;
        level.walk(&raw.document()?)?;
        self.projection.clear();
        match format {
            Format::Osv => osv::extract(level, &mut self.projection)?,
            Format::Csaf => csaf::extract(level, &mut self.projection)?,
            Format::Cve => cve::extract(level, &mut self.projection)?,
            Format::Ghsa => ghsa::extract(level, &mut self.projection)?,
        }
        Ok(&self.projection)
    }
}

/// Return what may be null instead of a list or an object: that is an absent one.
fn present(value: Option<Value>) -> Option<Value> {
    value.filter(|value| value.kind != crate::bson::value::NULL)
}
