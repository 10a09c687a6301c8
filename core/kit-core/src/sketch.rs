//! What is kept of a document while two kits are compared (`kit.verbs.diff.documents`).

use std::collections::HashSet;

use crate::bson::fields::{Fields, Place, PlaceId};
use crate::bson::run::Run;
use crate::bson::value::{STRING, Value};
use crate::cut::{appended_at, without};
use crate::leaves::{Digest, push_hex, sha256};
use crate::linkset::shape;
use crate::names::Names;
use crate::{Doubt, Sure};

/// Type byte of a date.
const DATETIME: u8 = 9;

/// Bytes of a name up to which it is kept as it is.
const MAX_NAME: usize = 160;

/// Characters of an `_id` that are shown.
const MAX_SHOWN: usize = 200;

/// The moment of what has none.
const NO_MOMENT: i64 = i64::MIN;

/// Where a format says that an advisory was withdrawn, and the values that say so, in lower case; None for any.
pub type Withdrawal = (Place, Option<HashSet<String>>);

/// Where observations keep what they are about.
#[derive(Debug)]
pub struct Observed {
    /// Whose it is.
    pub tenant: Place,
    /// Who published the advisory.
    pub vendor: Place,
    /// The advisory's identifier.
    pub upstream_id: Place,
    /// When it was received.
    pub moments: Place,
    /// Whether its publisher took it back.
    pub withdrawn: Vec<Withdrawal>,
}

/// What an observation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advisory {
    /// Whose it is; empty where it does not say.
    pub tenant: String,
    /// Who published the advisory.
    pub vendor: String,
    /// The advisory's identifier.
    pub upstream_id: String,
    /// When it was received, in milliseconds.
    pub moment: i64,
    /// Whether its publisher took it back.
    pub is_withdrawn: bool,
    /// Whether it has the element, whatever that is.
    pub has_raw_linkset: bool,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sketch {
    /// Digest of the `_id`, type included.
    pub identity: Digest,
    /// Digest of the document.
    pub digest: Digest,
    /// The `_id` as a person would write it.
    pub name: String,
    /// What an observation is about.
    pub advisory: Option<Advisory>,
    /// Of a document whose last element is a projection: the digest without it, and how many elements it has.
    pub appended: Option<(Digest, usize)>,
}

/// Sketch the documents of a run; None for each that is the reference's.
///
/// # Errors
/// Names are not such that documents of them can be read here.
pub fn sketch(run: Run, names: &Names, observed: Option<&Observed>) -> Sure<Vec<Option<Sketch>>> {
    names.check()?;
    let mut fields = Fields::default();
    let id = fields.add(&vec![vec!["_id".to_owned()]])?;
    let raw_linkset = fields.add(&vec![vec![names.raw_linkset.clone()]])?;
    let about = observed.map(|observed| About::new(&mut fields, observed)).transpose()?;
    let mut one = |document| -> Sure<Sketch> {
        fields.open(document)?;
        let id = fields.find_any(id)?.ok_or(Doubt)?;
        let present = fields.find_any(raw_linkset)?;
        let mut advisory = about.as_ref().map_or(Ok(None), |about| about.read(&mut fields))?;
        if let Some(advisory) = &mut advisory {
            advisory.has_raw_linkset = present.is_some();
        }
        Ok(Sketch {
            identity: sha256(&[&[id.kind], id.bytes]),
            digest: sha256(&[document]),
            name: shown(id)?,
            advisory,
            appended: present.map_or(Ok(None), |present| appended(document, present, names))?,
        })
    };
    Ok(run.documents().map(|(_, document)| one(document).ok()).collect())
}

/// Those places, looked for.
struct About<'n> {
    tenant: PlaceId,
    vendor: PlaceId,
    upstream_id: PlaceId,
    moments: PlaceId,
    withdrawn: Vec<(PlaceId, Option<&'n HashSet<String>>)>,
}

impl<'n> About<'n> {
    fn new(fields: &mut Fields, observed: &'n Observed) -> Sure<Self> {
        Ok(Self {
            tenant: fields.add(&observed.tenant)?,
            vendor: fields.add(&observed.vendor)?,
            upstream_id: fields.add(&observed.upstream_id)?,
            moments: fields.add(&observed.moments)?,
            withdrawn: observed
                .withdrawn
                .iter()
                .map(|(place, values)| Ok((fields.add(place)?, values.as_ref())))
                .collect::<Sure<_>>()?,
        })
    }

    fn read(&self, fields: &mut Fields) -> Sure<Option<Advisory>> {
        let mut text = |place| fields.find(place)?.filter(|value| value.kind == STRING).map(name_of).transpose();
        let (vendor, upstream_id) = (text(self.vendor)?, text(self.upstream_id)?);
        let (Some(vendor), Some(upstream_id)) = (vendor, upstream_id) else { return Ok(None) };
        let tenant = text(self.tenant)?.unwrap_or_default();
        let moment = match fields.find(self.moments)? {
            Some(Value { kind: DATETIME, bytes }) => i64::from_le_bytes(*bytes.first_chunk().ok_or(Doubt)?),
            _ => NO_MOMENT,
        };
        let is_withdrawn = self.is_withdrawn(fields)?;
        Ok(Some(Advisory { tenant, vendor, upstream_id, moment, is_withdrawn, has_raw_linkset: false }))
    }

    fn is_withdrawn(&self, fields: &mut Fields) -> Sure<bool> {
        for (place, values) in &self.withdrawn {
            let Some(value) = fields.find(*place)? else { continue };
            let says = match (value.kind, values) {
                (DATETIME, None) => true,
                (STRING, None) => !value.text()?.is_empty(),
                (STRING, Some(values)) => {
                    // To fold the case of others is the reference's.
                    let text = std::str::from_utf8(value.text()?).ok().filter(|text| text.is_ascii()).ok_or(Doubt)?;
                    values.contains(&text.to_ascii_lowercase())
                }
                _ => false,
            };
            if says {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Return a name that is short enough to be kept as it is.
fn name_of(value: Value) -> Sure<String> {
    let text = value.text()?;
    if text.len() > MAX_NAME {
        return Err(Doubt);
    }
    String::from_utf8(text.to_vec()).map_err(|_| Doubt)
}

/// Return an `_id` as a person would write it, if it is of a usual kind.
fn shown(id: Value) -> Sure<String> {
    match (id.kind, id.bytes) {
        (STRING, _) => {
            let text = std::str::from_utf8(id.text()?).map_err(|_| Doubt)?;
            let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            text.get(..text.len().min(MAX_SHOWN)).filter(|_| is_plain).map(str::to_owned).ok_or(Doubt)
        }
        (7, bytes) => {
            let mut digits = Vec::new();
            push_hex(&mut digits, bytes);
            String::from_utf8(digits).map_err(|_| Doubt)
        }
        (16, [a, b, c, d]) => Ok(i32::from_le_bytes([*a, *b, *c, *d]).to_string()),
        (18, bytes) => Ok(i64::from_le_bytes(*bytes.first_chunk().ok_or(Doubt)?).to_string()),
        _ => Err(Doubt),
    }
}

/// Return the digest of a document without its last element, if that is a projection, and its number of elements.
fn appended(document: &[u8], present: Value, names: &Names) -> Sure<Option<(Digest, usize)>> {
    let Some(at) = appended_at(document, names.raw_linkset.as_bytes())? else { return Ok(None) };
    // Whether a strange one is a projection all the same, the reference knows.
    shape::check(present, names)?;
    let (mut elements, mut count) = (present.document()?, 0);
    while elements.next_element()?.is_some() {
        count += 1;
    }
    let (length, inside, nul) = without(document, at)?;
    Ok(Some((sha256(&[&length, inside, &nul]), count)))
}
