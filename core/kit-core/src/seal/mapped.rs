//! The mapped values of one document: which there are, where they are, and what each one is (`kit/encryption/mapped.py`).

use std::collections::HashMap;
use std::fmt::Write;

use crate::bson::fields::{Fields, PlaceId};
use crate::bson::value::{ARRAY, DOCUMENT, NULL, STRING, Value};
use crate::seal::envelope::{Envelope, Form, Look};
use crate::seal::names::{Map, Path};
use crate::seal::replace::{Spot, offset};
use crate::{Doubt, Sure};

const UNDEFINED: u8 = 6;
const OBJECT_ID: u8 = 7;
const INT32: u8 = 16;
const INT64: u8 = 18;

/// What becomes of a document as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its mapped values are looked at.
    Selected,
    /// It is of another product, or of a partition that was not asked for.
    NotSelected,
    /// Its owner's documents stay plain.
    SkippedOwner,
}

/// One document, as far as it can be judged without its mapped values.
#[derive(Debug, Clone, Copy)]
pub struct Mapped<'a> {
    /// What becomes of it.
    pub standing: Standing,
    /// The number of its partition.
    pub partition: usize,
    /// Its owner; empty unless it is selected.
    pub owner: &'a str,
    /// Its `_id`; of use only if it is selected.
    pub identity: Value<'a>,
}

/// What a mapped value is.
#[derive(Debug, Clone, Copy)]
pub enum State<'a> {
    /// To be sealed.
    Plain(Value<'a>),
    /// Sealed; whether it opens is another matter.
    Envelope(Value<'a>, Envelope<'a>),
    /// Null.
    Null,
    /// Not there.
    Missing,
}

/// Where one mapped field is.
struct FieldPlace {
    value: PlaceId,
    /// Of each level above it: the document, and what makes one look like an envelope.
    above: Vec<(PlaceId, [PlaceId; 4])>,
    /// Bytes of the type and the name before the value.
    head: usize,
}

/// Reads the documents of one collection, one after the other.
pub struct Reader<'a, 'n> {
    map: &'n Map,
    form: Form<'n>,
    fields: Fields<'a>,
    identity: PlaceId,
    product: Option<(PlaceId, &'n str)>,
    partition: PlaceId,
    owner: PlaceId,
    places: Vec<FieldPlace>,
    document: &'a [u8],
    partitions: Vec<Partition>,
    by_name: HashMap<String, usize>,
    by_key: HashMap<(u8, &'a [u8]), usize>,
    latest: Option<(u8, &'a [u8], usize)>,
}

struct Partition {
    name: String,
    is_asked_for: bool,
}

impl<'a, 'n> Reader<'a, 'n> {
    /// Read by `map`.
    ///
    /// # Errors
    /// A path of it is not one that documents can be looked into by.
    pub fn new(map: &'n Map) -> Sure<Self> {
        let mut fields = Fields::default();
        let mut add = |path: &[String]| fields.add(&vec![path.to_vec()]);
        let identity = add(std::slice::from_ref(&map.identity))?;
        let product = match &map.product {
            Some((name, wanted)) => Some((add(std::slice::from_ref(name))?, wanted.as_str())),
            None => None,
        };
        let (partition, owner) = (add(&map.partition)?, add(&map.owner)?);
        let places = map.fields.iter().map(|path| place(path, map, &mut add)).collect::<Sure<_>>()?;
        Ok(Self {
            map,
            form: Form::new(map),
            fields,
            identity,
            product,
            partition,
            owner,
            places,
            document: &[],
            partitions: Vec::new(),
            by_name: HashMap::new(),
            by_key: HashMap::new(),
            latest: None,
        })
    }

    /// Return the name of a partition; empty for none.
    #[must_use]
    pub fn partition_name(&self, number: usize) -> &str {
        self.partitions.get(number).map_or("", |partition| &partition.name)
    }

    /// Judge a document as a whole, and look into it from now on.
    ///
    /// # Errors
    /// It is malformed at a level that had to be looked at, has no partition key, owner or identity where one must be, or
    /// one of a type that is none.
    pub fn read(&mut self, document: &'a [u8]) -> Sure<Mapped<'a>> {
        self.document = document;
        self.fields.open(document)?;
        let key = self.fields.find(self.partition)?.filter(|value| value.kind != UNDEFINED);
        let partition = self.partition(key)?;
        let nothing = Value { kind: NULL, bytes: &[] };
        let mut mapped = Mapped { standing: Standing::NotSelected, partition, owner: "", identity: nothing };
        if let Some((place, wanted)) = self.product {
            let product = self.fields.find(place)?.filter(|value| value.kind == STRING);
            if product.map(Value::text).transpose()? != Some(wanted.as_bytes()) {
                return Ok(mapped);
            }
        }
        if key.is_none() {
            return Err(Doubt);
        }
        if !self.partitions.get(partition).is_some_and(|partition| partition.is_asked_for) {
            return Ok(mapped);
        }
        let owner = self.fields.find(self.owner)?.ok_or(Doubt)?.text()?;
        let owner = std::str::from_utf8(owner).map_err(|_| Doubt)?;
        if owner.is_empty() || owner.contains('\0') {
            return Err(Doubt);
        }
        mapped.standing = if self.map.skipped.contains(owner) {
            Standing::SkippedOwner
        } else {
            mapped.owner = owner;
            mapped.identity = self.fields.find_any(self.identity)?.ok_or(Doubt)?;
            Standing::Selected
        };
        Ok(mapped)
    }

    /// Look the field of that number up.
    ///
    /// # Errors
    /// A level on the way is malformed, an array or an envelope; or it ends at what looks like one and is not.
    pub fn value(&mut self, number: usize) -> Sure<State<'a>> {
        let place = self.places.get(number).ok_or(Doubt)?;
        for (level, look) in &place.above {
            match self.fields.find_any(*level)? {
                Some(value) if value.kind == DOCUMENT => {}
                Some(value) if value.kind == ARRAY => return Err(Doubt),
                _ => return Ok(State::Missing),
            }
            let mut has = |place: PlaceId| Ok(self.fields.find_any(place)?.is_some());
            let [mark, ciphertext, iv, tag] = *look;
            if has(mark)? || has(ciphertext)? && has(iv)? && has(tag)? {
                return Err(Doubt);
            }
        }
        let Some(value) = self.fields.find_any(place.value)? else { return Ok(State::Missing) };
        match value.kind {
            NULL => Ok(State::Null),
            DOCUMENT => Ok(match self.form.look(value)? {
                Look::Plain => State::Plain(value),
                Look::Envelope(envelope) => State::Envelope(value, envelope),
            }),
            _ => Ok(State::Plain(value)),
        }
    }

    /// Return where the value of the field of that number is in the document that is looked into.
    ///
    /// # Errors
    /// As [`Reader::value`], whose value it is.
    pub fn spot(&mut self, number: usize, value: Value<'a>) -> Sure<Spot> {
        let place = self.places.get(number).ok_or(Doubt)?;
        let mut enclosing = Vec::with_capacity(place.above.len());
        for (level, _) in &place.above {
            enclosing.push(offset(self.document, self.fields.find_any(*level)?.ok_or(Doubt)?.bytes)?);
        }
        let at = offset(self.document, value.bytes)?;
        let start = at.checked_sub(place.head).ok_or(Doubt)?;
        Ok(Spot { enclosing, start, value: at, end: at + value.bytes.len() })
    }

    /// Return the number of the partition of that key.
    fn partition(&mut self, key: Option<Value<'a>>) -> Sure<usize> {
        let (kind, bytes) = key.map_or((NULL, [].as_slice()), |key| (key.kind, key.bytes));
        if let Some((_, _, number)) = self.latest.filter(|latest| (latest.0, latest.1) == (kind, bytes)) {
            return Ok(number);
        }
        let known = self.by_key.get(&(kind, bytes)).copied();
        let number = match known {
            Some(number) => number,
            None => self.add(kind, bytes, key)?,
        };
        self.latest = Some((kind, bytes, number));
        Ok(number)
    }

    fn add(&mut self, kind: u8, bytes: &'a [u8], key: Option<Value<'a>>) -> Sure<usize> {
        let name = key.map(text_of).transpose()?.unwrap_or_default();
        let known = self.by_name.get(&name).copied();
        let number = known.unwrap_or_else(|| {
            let is_asked_for = self.map.partitions.as_ref().is_none_or(|partitions| partitions.contains(&name));
            self.by_name.insert(name.clone(), self.partitions.len());
            self.partitions.push(Partition { name, is_asked_for });
            self.partitions.len() - 1
        });
        self.by_key.insert((kind, bytes), number);
        Ok(number)
    }
}

/// Return a partition key as text.
fn text_of(key: Value) -> Sure<String> {
    match (key.kind, key.bytes) {
        (STRING, _) => String::from_utf8(key.text()?.to_vec()).map_err(|_| Doubt),
        (OBJECT_ID, bytes) => Ok(bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })),
        (INT32, bytes) => bytes.try_into().map(|bytes| i32::from_le_bytes(bytes).to_string()).map_err(|_| Doubt),
        (INT64, bytes) => bytes.try_into().map(|bytes| i64::from_le_bytes(bytes).to_string()).map_err(|_| Doubt),
        _ => Err(Doubt),
    }
}

fn place(path: &Path, map: &Map, add: &mut dyn FnMut(&[String]) -> Sure<PlaceId>) -> Sure<FieldPlace> {
    let mut above = Vec::new();
    for depth in 1..path.len() {
        let level = path.get(..depth).ok_or(Doubt)?;
        let mut inside = |name: &String| add(&[level, std::slice::from_ref(name)].concat());
        let names = &map.names;
        let look = [inside(&names.mark)?, inside(&names.ciphertext)?, inside(&names.iv)?, inside(&names.tag)?];
        above.push((add(level)?, look));
    }
    Ok(FieldPlace { value: add(path)?, above, head: path.last().ok_or(Doubt)?.len() + 2 })
}
