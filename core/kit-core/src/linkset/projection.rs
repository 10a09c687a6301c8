//! The value of one `rawLinkset`: texts of the source where they lie, in its order.

use crate::Sure;
use crate::bson::value::Value;
use crate::linkset::pointers::Pointers;

/// One link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Where it leads.
    pub url: &'a [u8],
    /// What it is, if the source says so.
    pub kind: Option<&'a [u8]>,
    /// Who named it, if the source says so.
    pub source: Option<&'a [u8]>,
}

/// One tie to another advisory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relationship<'a> {
    /// What it is.
    pub kind: Option<&'a [u8]>,
    /// Where it comes from.
    pub source: Option<&'a [u8]>,
    /// Where it leads.
    pub target: Option<&'a [u8]>,
}

/// One `rawLinkset` without notes; used again for one document after the other.
#[derive(Debug, Default)]
pub struct Projection<'a> {
    /// Identifiers.
    pub aliases: Vec<&'a [u8]>,
    /// Package URLs.
    pub purls: Vec<&'a [u8]>,
    /// CPEs.
    pub cpes: Vec<&'a [u8]>,
    /// Links.
    pub references: Vec<Reference<'a>>,
    /// Scopes; None where the source has none.
    pub scopes: Option<Vec<&'a [u8]>>,
    /// Ties; None where the source has none.
    pub relationships: Option<Vec<Relationship<'a>>>,
    /// Where the values were: pointers of aliases, purls, CPEs and references.
    pub pointers: [Pointers; 4],
}

impl<'a> Projection<'a> {
    /// Start again.
    pub fn clear(&mut self) {
        self.aliases.clear();
        self.purls.clear();
        self.cpes.clear();
        self.references.clear();
        self.scopes = None;
        self.relationships = None;
        self.pointers.iter_mut().for_each(Pointers::clear);
    }

    /// Take an identifier.
    ///
    /// # Errors
    /// It is no string.
    pub fn take_alias(&mut self, value: Value<'a>, pointer: impl FnOnce(&mut Pointers)) -> Sure<()> {
        self.aliases.push(value.text()?);
        pointer(&mut self.pointers[0]);
        Ok(())
    }

    /// Take a package URL.
    ///
    /// # Errors
    /// It is no string.
    pub fn take_purl(&mut self, value: Value<'a>, pointer: impl FnOnce(&mut Pointers)) -> Sure<()> {
        self.purls.push(value.text()?);
        pointer(&mut self.pointers[1]);
        Ok(())
    }

    /// Take a CPE.
    ///
    /// # Errors
    /// It is no string.
    pub fn take_cpe(&mut self, value: Value<'a>, pointer: impl FnOnce(&mut Pointers)) -> Sure<()> {
        self.cpes.push(value.text()?);
        pointer(&mut self.pointers[2]);
        Ok(())
    }

    /// Take a link.
    pub fn take_reference(&mut self, reference: Reference<'a>, pointer: impl FnOnce(&mut Pointers)) {
        self.references.push(reference);
        pointer(&mut self.pointers[3]);
    }

    /// Take every string of a list as an identifier, with the pointers of its items.
    ///
    /// # Errors
    /// It is no list of strings.
    pub fn take_aliases(&mut self, list: Option<Value<'a>>, pointer: &[u8]) -> Sure<()> {
        let Some(list) = list else { return Ok(()) };
        let mut items = list.array()?;
        while let Some((index, item)) = items.next_item()? {
            self.take_alias(item, |pointers| pointers.push_item(pointer, index, b""))?;
        }
        Ok(())
    }

    /// Take every string of a list as a package URL.
    ///
    /// # Errors
    /// As [`Projection::take_aliases`].
    pub fn take_purls(&mut self, list: Option<Value<'a>>, pointer: &[u8]) -> Sure<()> {
        let Some(list) = list else { return Ok(()) };
        let mut items = list.array()?;
        while let Some((index, item)) = items.next_item()? {
            self.take_purl(item, |pointers| pointers.push_item(pointer, index, b""))?;
        }
        Ok(())
    }

    /// Take every string of a list as a CPE.
    ///
    /// # Errors
    /// As [`Projection::take_aliases`].
    pub fn take_cpes(&mut self, list: Option<Value<'a>>, pointer: &[u8]) -> Sure<()> {
        let Some(list) = list else { return Ok(()) };
        let mut items = list.array()?;
        while let Some((index, item)) = items.next_item()? {
            self.take_cpe(item, |pointers| pointers.push_item(pointer, index, b""))?;
        }
        Ok(())
    }
}
