//! A whole run of documents at once: of each nothing is made but the bytes that it gains.
//!
//! What `RawLinkset.apply` and `RawLinkset.gather` do with one document after the other. A document that is not plainly an
//! observation with one source of its `rawLinkset` is handed back, by its number.

use std::collections::{HashMap, HashSet};

use crate::agreement::Agreement;
use crate::bson::fields::{Fields, PlaceId};
use crate::bson::run::Run;
use crate::bson::value::{DOCUMENT, STRING, Value, size};
use crate::bson::walk::Elements;
use crate::keys::{Key, KeyPlaces};
use crate::linkset::Extractors;
use crate::linkset::element;
use crate::linkset::projection::Projection;
use crate::linkset::shape;
use crate::linkset::snapshot;
use crate::linkset::table::Format;
use crate::names::{Names, Places};
use crate::splice;
use crate::{Doubt, Sure};

/// Says which format a stated name is, if its documents may be read here.
pub type FormatOf<'f> = &'f dyn Fn(&str) -> Option<Format>;

/// What a run of observations is asked about.
pub struct Observations<'a, 'n> {
    /// The documents.
    pub run: Run<'a>,
    /// All names.
    pub names: &'n Names,
    /// Where observations keep what is looked for.
    pub places: &'n Places,
    /// Only observations of these tenants; None for all.
    pub tenants: Option<&'n HashSet<String>>,
}

/// By what an observation is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// The reference knows.
    Doubt,
    /// By nothing: it needs no source, or lacks a part of the key.
    Nothing,
    /// By this key.
    Key(Key),
}

/// What the kit has for an observation besides its own content.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    /// Nothing.
    Nothing,
    /// This finished element, of the source of that number.
    Element(usize, &'a [u8]),
    /// Something that the reference must judge.
    Doubt,
}

/// Documents of one tenant, by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// The tenant; empty where a document has none.
    pub tenant: String,
    /// They had both projections.
    pub present: usize,
    /// They were not asked for.
    pub not_selected: usize,
    /// They gained it from their own content.
    pub from_content: usize,
    /// They gained it from the source of that number.
    pub from_source: Vec<usize>,
}

/// A document that is the reference's to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alone {
    /// Its number in the run.
    pub number: usize,
    /// Where it begins in the body.
    pub offset: usize,
}

/// What became of a run.
#[derive(Debug, Default)]
pub struct Rewritten {
    /// The documents as they are now; those that are the reference's, as they were. None if none changed.
    pub body: Option<Vec<u8>>,
    /// Whether each changed: a byte, 0 or 1.
    pub touched: Vec<u8>,
    /// What they add up to.
    pub tallies: Vec<Tally>,
    /// Those that are the reference's.
    pub alone: Vec<Alone>,
}

/// Return by what each observation is looked up.
///
/// # Errors
/// The names are not such that documents of them can be read here.
pub fn keys(asked: &Observations, database: &str) -> Sure<Vec<Sought>> {
    let mut reader = Reader::new(asked)?;
    let places = KeyPlaces::add(&mut reader.fields, asked.places)?;
    let mut tenants = Tenants::new(asked.tenants, 0);
    let mut sought = |document| -> Sure<Sought> {
        reader.fields.open(document)?;
        let tenant = tenants.of(&mut reader)?;
        if reader.present()?.is_some() || !tenants.is_selected(tenant) {
            return Ok(Sought::Nothing);
        }
        Ok(places.key(&mut reader.fields, database.as_bytes())?.map_or(Sought::Nothing, Sought::Key))
    };
    Ok(asked.run.documents().map(|(_, document)| sought(document).unwrap_or(Sought::Doubt)).collect())
}

/// Give each observation its `rawLinkset`.
///
/// # Errors
/// As [`keys`]; or `found` is not about these documents.
pub fn rewrite<'a>(
    asked: &Observations<'a, '_>,
    found: Option<&[Found<'a>]>,
    sources: usize,
    format_of: FormatOf,
) -> Sure<Rewritten> {
    if found.is_some_and(|found| found.len() != asked.run.len()) {
        return Err(Doubt);
    }
    let mut writer = Writer::new(asked, sources, format_of)?;
    let mut result = Rewritten { touched: vec![0; asked.run.len()], ..Rewritten::default() };
    let data = asked.run.data();
    // What is gained is mostly less than a fifth; a smaller one is grown, and copied, on the way.
    let mut body = Vec::with_capacity(data.len() + data.len() / 4);
    let mut kept = 0; // what is before is in the body
    for (number, (start, document)) in asked.run.documents().enumerate() {
        let source = found.map_or(Found::Nothing, |found| found.get(number).copied().unwrap_or(Found::Doubt));
        let length = body.len();
        let before = data.get(kept..start).ok_or(Doubt)?;
        match writer.write(document, source, before, &mut body) {
            Ok(false) => {}
            Ok(true) => {
                if let Some(touched) = result.touched.get_mut(number) {
                    *touched = 1;
                }
                kept = start + document.len();
            }
            Err(Doubt) => {
                body.truncate(length);
                result.alone.push(Alone { number, offset: length + start - kept });
            }
        }
    }
    if kept > 0 {
        body.extend_from_slice(data.get(kept..).ok_or(Doubt)?);
        result.body = Some(body);
    }
    result.tallies = writer.tenants.tallies;
    Ok(result)
}

/// A key, and the finished element that is found by it.
pub type Pair = (Key, Vec<u8>);

/// What documents give to the lookup: from their linkset, or from a raw document.
pub enum Gathered<'f> {
    /// Copied from the linkset.
    Linksets,
    /// Extracted from the raw document by its format.
    Payloads(FormatOf<'f>),
}

/// Return the key and the finished element of each document; None where the reference must say, which includes all that
/// have no key.
///
/// # Errors
/// As [`keys`].
pub fn gather(
    run: Run,
    names: &Names,
    places: &Places,
    database: &str,
    gathered: &Gathered,
) -> Sure<Vec<Option<Pair>>> {
    names.check()?;
    let mut fields = Fields::default();
    let keys = KeyPlaces::add(&mut fields, places)?;
    let (linkset, identifiers) = (fields.add(&places.linkset)?, fields.add(&places.identifiers)?);
    let mut content = Content::new(&mut fields, names, places)?;
    let mut projection = Projection::default();
    let mut pair = |document| -> Sure<Pair> {
        fields.open(document)?;
        let key = keys.key(&mut fields, database.as_bytes())?.ok_or(Doubt)?;
        let mut element = Vec::new();
        match gathered {
            Gathered::Linksets => {
                let linkset = fields.find(linkset)?.filter(|value| value.kind == DOCUMENT).ok_or(Doubt)?;
                let identifiers = fields.find(identifiers)?.filter(|value| value.kind == DOCUMENT);
                snapshot::read(linkset, identifiers, names, &mut projection)?;
                element::write(&mut element, &projection, names)?;
            }
            Gathered::Payloads(format_of) => {
                element::write(&mut element, content.read(&mut fields, *format_of)?, names)?;
            }
        }
        Ok((key, element))
    };
    Ok(run.documents().map(|(_, document)| pair(document).ok()).collect())
}

/// Reads the fields of observations.
struct Reader<'a> {
    fields: Fields<'a>,
    tenant: PlaceId,
    present: PlaceId,
}

impl<'a> Reader<'a> {
    fn new(asked: &Observations<'a, '_>) -> Sure<Self> {
        asked.names.check()?;
        let mut fields = Fields::default();
        let tenant = fields.add(&asked.places.tenant)?;
        let present = fields.add(&vec![vec![asked.names.raw_linkset.clone()]])?;
        Ok(Self { fields, tenant, present })
    }

    fn present(&mut self) -> Sure<Option<Value<'a>>> {
        self.fields.find_any(self.present)
    }
}

/// The tenants of a run.
struct Tenants<'a, 'n> {
    selected: Option<&'n HashSet<String>>,
    sources: usize,
    tallies: Vec<Tally>,
    are_selected: Vec<bool>,
    numbers: HashMap<&'a [u8], usize>,
    latest: Option<(&'a [u8], usize)>,
}

impl<'a, 'n> Tenants<'a, 'n> {
    fn new(selected: Option<&'n HashSet<String>>, sources: usize) -> Self {
        let (tallies, are_selected) = (Vec::new(), Vec::new());
        Self { selected, sources, tallies, are_selected, numbers: HashMap::new(), latest: None }
    }

    /// Return the number of the open document's tenant.
    fn of(&mut self, reader: &mut Reader<'a>) -> Sure<usize> {
        let name = match reader.fields.find(reader.tenant)?.filter(|value| value.kind == STRING) {
            Some(value) => {
                if let (Some(raw), Some((latest, number))) = (value.raw_text(), self.latest) {
                    if raw == latest && value.bytes.last() == Some(&0) {
                        return Ok(number);
                    }
                }
                value.text()?
            }
            None => b"",
        };
        let known = self.numbers.get(name).copied();
        let number = match known {
            Some(number) => number,
            None => self.add(name)?,
        };
        self.latest = Some((name, number));
        Ok(number)
    }

    fn add(&mut self, name: &'a [u8]) -> Sure<usize> {
        let tenant = String::from_utf8(name.to_vec()).map_err(|_| Doubt)?;
        self.are_selected.push(self.selected.is_none_or(|selected| selected.contains(&tenant)));
        self.tallies.push(Tally { tenant, from_source: vec![0; self.sources], ..Tally::default() });
        self.numbers.insert(name, self.tallies.len() - 1);
        Ok(self.tallies.len() - 1)
    }

    fn is_selected(&self, number: usize) -> bool {
        self.are_selected.get(number).copied().unwrap_or(false)
    }

    fn count(&mut self, number: usize, counter: impl FnOnce(&mut Tally) -> Option<&mut usize>) {
        if let Some(counter) = self.tallies.get_mut(number).and_then(counter) {
            *counter += 1;
        }
    }
}

/// The documents' own content.
struct Content<'a> {
    format: PlaceId,
    raw: PlaceId,
    extractors: Extractors<'a>,
    formats: HashMap<&'a [u8], Option<Format>>,
}

impl<'a> Content<'a> {
    fn new(fields: &mut Fields<'a>, names: &Names, places: &Places) -> Sure<Self> {
        let (format, raw) = (fields.add(&places.format)?, fields.add(&places.raw)?);
        Ok(Self { format, raw, extractors: Extractors::new(&names.envelope), formats: HashMap::new() })
    }

    /// Project the raw document of the open one.
    fn read(&mut self, fields: &mut Fields<'a>, format_of: FormatOf) -> Sure<&Projection<'a>> {
        let raw = fields.find(self.raw)?.ok_or(Doubt)?;
        let name = fields.find(self.format)?.ok_or(Doubt)?.text()?;
        let format = if let Some(&format) = self.formats.get(name) {
            format
        } else {
            let format = format_of(std::str::from_utf8(name).map_err(|_| Doubt)?);
            self.formats.insert(name, format);
            format
        };
        self.extractors.extract(format.ok_or(Doubt)?, raw)
    }
}

/// Gives observations their element, one after the other.
struct Writer<'a, 'n, 'f> {
    reader: Reader<'a>,
    linkset: PlaceId,
    canonical: PlaceId,
    content: Content<'a>,
    tenants: Tenants<'a, 'n>,
    agreement: Agreement<'a>,
    looked_up: Projection<'a>,
    names: &'n Names,
    format_of: FormatOf<'f>,
}

impl<'a, 'n, 'f> Writer<'a, 'n, 'f> {
    fn new(asked: &Observations<'a, 'n>, sources: usize, format_of: FormatOf<'f>) -> Sure<Self> {
        let mut reader = Reader::new(asked)?;
        let linkset = reader.fields.add(&asked.places.linkset)?;
        let canonical = reader.fields.add(&vec![vec![asked.names.linkset.clone()]])?;
        let content = Content::new(&mut reader.fields, asked.names, asked.places)?;
        Ok(Self {
            reader,
            linkset,
            canonical,
            content,
            tenants: Tenants::new(asked.tenants, sources),
            agreement: Agreement::default(),
            looked_up: Projection::default(),
            names: asked.names,
            format_of,
        })
    }

    /// Append a document with its element, and `before` ahead of it, to `body`; false if it gains none.
    fn write(&mut self, document: &'a [u8], source: Found<'a>, before: &[u8], body: &mut Vec<u8>) -> Sure<bool> {
        self.reader.fields.open(document)?;
        let tenant = self.tenants.of(&mut self.reader)?;
        if let Some(present) = self.reader.present()? {
            // Whatever is no projection is named by the reference, document by document.
            shape::check(present, self.names)?;
            shape::check_linkset(self.reader.fields.find_any(self.canonical)?)?;
            self.tenants.count(tenant, |tally| Some(&mut tally.present));
            return Ok(false);
        }
        if !self.tenants.is_selected(tenant) {
            self.tenants.count(tenant, |tally| Some(&mut tally.not_selected));
            return Ok(false);
        }
        shape::check_linkset(self.reader.fields.find_any(self.canonical)?)?;
        let linkset = self.reader.fields.find(self.linkset)?.filter(|value| value.kind == DOCUMENT);
        match source {
            Found::Doubt => return Err(Doubt),
            Found::Element(number, element) => {
                let value = only_value(element, &self.names.raw_linkset)?;
                if let Some(linkset) = linkset {
                    snapshot::read(value, None, self.names, &mut self.looked_up)?;
                    self.agreement.check(&self.looked_up, linkset, self.names)?;
                }
                body.extend_from_slice(before);
                splice::append(body, document, |out| {
                    out.extend_from_slice(element);
                    Ok(())
                })?;
                self.tenants.count(tenant, |tally| tally.from_source.get_mut(number));
            }
            Found::Nothing => {
                let projection = self.content.read(&mut self.reader.fields, self.format_of)?;
                if let Some(linkset) = linkset {
                    self.agreement.check(projection, linkset, self.names)?;
                }
                body.extend_from_slice(before);
                splice::append(body, document, |out| element::write(out, projection, self.names))?;
                self.tenants.count(tenant, |tally| Some(&mut tally.from_content));
            }
        }
        Ok(true)
    }
}

/// Return the value of `element`, which must be one whole document called `name`.
fn only_value<'a>(element: &'a [u8], name: &str) -> Sure<Value<'a>> {
    let mut elements = Elements::of(element);
    let only = elements.next_element()?.ok_or(Doubt)?;
    if !elements.is_at_end()
        || only.name != name.as_bytes()
        || size(DOCUMENT, only.value.bytes)? != only.value.bytes.len()
    {
        return Err(Doubt);
    }
    only.value.document()?;
    Ok(only.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
        [&[kind], name.as_bytes(), b"\0", value].concat()
    }

    fn text(value: &str) -> Vec<u8> {
        [&u32::try_from(value.len() + 1).unwrap().to_le_bytes(), value.as_bytes(), b"\0"].concat()
    }

    fn document(elements: &[Vec<u8>]) -> Vec<u8> {
        let body = elements.concat();
        [&u32::try_from(body.len() + 5).unwrap().to_le_bytes(), body.as_slice(), b"\0"].concat()
    }

    fn observation(id: &str) -> Vec<u8> {
        let raw = document(&[element(2, "id", &text(id))]);
        let content = document(&[element(2, "format", &text("osv")), element(3, "raw", &raw)]);
        let lists = [element(4, "a", &document(&[element(2, "0", &text(id))]))];
        let linkset = element(3, "linkset", &document(&lists));
        document(&[element(2, "tenant", &text("t")), element(3, "content", &content), linkset])
    }

    fn names() -> Names {
        Names {
            linkset: "linkset".into(),
            raw_linkset: "raw_linkset".into(),
            aliases: "a".into(),
            purls: "p".into(),
            cpes: "c".into(),
            references: "r".into(),
            scopes: "s".into(),
            relationships: "t".into(),
            reconciled_from: "f".into(),
            reconciled_from_spellings: vec!["f".into()],
            notes: "n".into(),
            kind: "kind".into(),
            url: "url".into(),
            source: "source".into(),
            target: "target".into(),
            envelope: "envelope".into(),
        }
    }

    fn place(path: &str) -> crate::bson::fields::Place {
        vec![path.split('.').map(String::from).collect()]
    }

    fn rewritten(documents: &[Vec<u8>]) -> Rewritten {
        let mut end = 0;
        let ends: Vec<usize> = documents
            .iter()
            .map(|document| {
                end += document.len();
                end
            })
            .collect();
        let data = documents.concat();
        let places = Places {
            tenant: place("tenant"),
            vendor: place("source.vendor"),
            upstream_id: place("upstream.id"),
            content_hash: place("upstream.hash"),
            format: place("content.format"),
            raw: place("content.raw"),
            linkset: place("linkset"),
            identifiers: place("identifiers"),
        };
        let run = Run::new(&data, &ends).unwrap();
        let asked = Observations { run, names: &names(), places: &places, tenants: None };
        rewrite(&asked, None, 0, &|name| (name == "osv").then_some(Format::Osv)).unwrap()
    }

    #[test]
    fn a_document_gains_the_element_under_the_names_that_were_handed_over() {
        let gained = [
            element(4, "a", &document(&[element(2, "0", &text("X"))])),
            element(4, "p", &document(&[])),
            element(4, "c", &document(&[])),
            element(4, "r", &document(&[])),
            element(4, "f", &document(&[element(2, "0", &text("/id"))])),
            element(3, "n", &document(&[])),
        ];
        let before = observation("X");
        let mut after = before[4..before.len() - 1].to_vec();
        after.extend(element(3, "raw_linkset", &document(&gained)));
        assert_eq!(rewritten(&[before]).body.unwrap(), document(&[after]));
    }

    #[test]
    fn a_document_in_doubt_is_handed_back_by_number_and_place() {
        let (plain, odd) = (observation("X"), document(&[element(2, "tenant", b"\x02\0\0\0\xff\0")]));
        let result = rewritten(&[odd.clone(), plain.clone(), odd.clone(), plain.clone()]);
        let body = result.body.unwrap();
        let second = odd.len() + (body.len() - 2 * odd.len()) / 2;
        assert_eq!(result.alone, [Alone { number: 0, offset: 0 }, Alone { number: 2, offset: second }]);
        assert_eq!(&body[second..second + odd.len()], odd);
        assert_eq!(result.touched, [0, 1, 0, 1]);
        assert_eq!(result.tallies.iter().map(|tally| tally.from_content).sum::<usize>(), 2);
    }

    #[test]
    fn no_changed_byte_ends_in_a_panic() {
        let plain = observation("X");
        for at in 0..plain.len() {
            for byte in [0, 1, 2, 3, 4, 5, 10, 127, 255] {
                let mut spoiled = plain.clone();
                spoiled[at] = byte;
                let result = rewritten(&[plain.clone(), spoiled, plain.clone()]);
                assert_eq!((result.touched[0], result.touched[2]), (1, 1));
            }
        }
    }
}
