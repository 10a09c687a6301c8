//! The envelope: the subdocument in the place of a sealed value (schemas/envelope.md, "Members").

use base64::engine::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::bson::value::{DOCUMENT, STRING, Value};
use crate::seal::names::{Map, Names};
use crate::splice;
use crate::{Doubt, Sure};

/// Bytes of an initialisation vector.
pub const IV: usize = 12;
/// Bytes of an authentication tag.
pub const TAG: usize = 16;
/// Characters of the longest name of a data key.
const MAX_DEK_ID: usize = 128;
const BOOLEAN: u8 = 8;
const NULL: u8 = 10;
const INT32: u8 = 16;

/// An envelope in its place, as it is stored.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The name of its data key.
    pub dek_id: &'a [u8],
    /// As it states it.
    pub mek_version: i32,
    /// Type byte of what was sealed.
    pub kind: u8,
    ciphertext: &'a [u8],
    iv: &'a [u8],
    tag: &'a [u8],
}

/// What GCM needs of an envelope beside the ciphertext.
#[derive(Debug, Clone, Copy)]
pub struct Sealed {
    /// The initialisation vector.
    pub iv: [u8; IV],
    /// The authentication tag.
    pub tag: [u8; TAG],
}

/// What a document is.
#[derive(Debug, Clone, Copy)]
pub enum Look<'a> {
    /// Nothing that looks like an envelope.
    Plain,
    /// An envelope of this map.
    Envelope(Envelope<'a>),
}

/// Tells envelopes from plaintext.
#[derive(Debug)]
pub struct Form<'n> {
    map: &'n Map,
    members: [&'n [u8]; 10],
}

impl<'n> Form<'n> {
    /// Read envelopes of `map`.
    #[must_use]
    pub fn new(map: &'n Map) -> Self {
        let Names { mark, version, algorithm, ciphertext, iv, tag, dek_id, mek_version, context, bson_type } =
            &map.names;
        let members = [mark, version, algorithm, ciphertext, iv, tag, dek_id, mek_version, context, bson_type];
        Self { map, members: members.map(String::as_bytes) }
    }

    /// Tell what a document is.
    ///
    /// # Errors
    /// It looks like an envelope and is not exactly one of this map, or is malformed or repeats a name.
    pub fn look<'a>(&self, value: Value<'a>) -> Sure<Look<'a>> {
        let mut found = [None; 10];
        let (mut count, mut others) = (0, Vec::new());
        let mut elements = value.document()?;
        while let Some(element) = elements.next_element()? {
            let number = self.members.iter().position(|name| *name == element.name);
            match number.and_then(|number| found.get_mut(number)) {
                Some(slot) => {
                    if slot.replace(element.value).is_some() {
                        return Err(Doubt);
                    }
                    count += 1;
                }
                None => others.push(element.name),
            }
        }
        let [mark, version, algorithm, ciphertext, iv, tag, dek_id, mek_version, context, bson_type] = found;
        if mark.is_none() && (ciphertext.is_none() || iv.is_none() || tag.is_none()) {
            // With a name twice a document has no places, and is plaintext; which the reference knows.
            others.sort_unstable();
            let repeats = others.windows(2).any(|pair| pair.first() == pair.last());
            return if repeats { Err(Doubt) } else { Ok(Look::Plain) };
        }
        let is_bound = self.map.is_bound();
        if !others.is_empty() || count != if is_bound { 10 } else { 8 } {
            return Err(Doubt);
        }
        check(mark.is_some_and(|mark| mark.kind == BOOLEAN && mark.bytes == [1]))?;
        check(int32(version)? == self.map.version)?;
        check(text(algorithm)? == self.map.algorithm.as_bytes())?;
        let mek_version = int32(mek_version)?;
        check(mek_version >= 1)?;
        let dek_id = text(dek_id)?;
        check(is_dek_id(dek_id))?;
        let mut kind = STRING;
        if is_bound {
            check(text(context)? == self.map.context.as_bytes())?;
            kind = u8::try_from(int32(bson_type)?).map_err(|_| Doubt)?;
            check(matches!(kind, 1..=19 | 127 | 255) && kind != NULL)?;
        }
        let (ciphertext, iv, tag) = (text(ciphertext)?, text(iv)?, text(tag)?);
        Ok(Look::Envelope(Envelope { dek_id, mek_version, kind, ciphertext, iv, tag }))
    }
}

impl Envelope<'_> {
    /// Decode it: `out` is then `head` zeros and the ciphertext, with room for a byte more.
    ///
    /// # Errors
    /// A member is not base64 in its one spelling, or of another length.
    pub fn decode(&self, out: &mut Vec<u8>, head: usize) -> Sure<Sealed> {
        out.clear();
        // So that what is opened there is never moved, and nothing of it left behind.
        out.reserve(head + self.ciphertext.len() + 1);
        out.resize(head, 0);
        STANDARD.decode_vec(self.ciphertext, out).map_err(|_| Doubt)?;
        Ok(Sealed { iv: exactly(self.iv)?, tag: exactly(self.tag)? })
    }
}

/// Decode exactly `N` bytes.
fn exactly<const N: usize>(text: &[u8]) -> Sure<[u8; N]> {
    // An estimate of the decoder may be three bytes more than comes out.
    let mut bytes = [0; 24];
    let size = STANDARD.decode_slice(text, &mut bytes).map_err(|_| Doubt)?;
    bytes.get(..size).and_then(|bytes| bytes.try_into().ok()).ok_or(Doubt)
}

/// Append the value of an envelope to `out`.
///
/// # Errors
/// It is longer than a length can say.
pub fn print(
    out: &mut Vec<u8>,
    map: &Map,
    ciphertext: &[u8],
    sealed: &Sealed,
    dek_id: &[u8],
    mek_version: i32,
    kind: u8,
) -> Sure<()> {
    let names = &map.names;
    let at = splice::open(out);
    begin(out, BOOLEAN, &names.mark);
    out.push(1);
    put_int32(out, &names.version, map.version);
    put_text(out, &names.algorithm, map.algorithm.as_bytes())?;
    put_base64(out, &names.ciphertext, ciphertext)?;
    put_base64(out, &names.iv, &sealed.iv)?;
    put_base64(out, &names.tag, &sealed.tag)?;
    put_text(out, &names.dek_id, dek_id)?;
    put_int32(out, &names.mek_version, mek_version);
    if map.is_bound() {
        put_text(out, &names.context, map.context.as_bytes())?;
        put_int32(out, &names.bson_type, i32::from(kind));
    }
    splice::close(out, at)
}

fn begin(out: &mut Vec<u8>, kind: u8, name: &str) {
    out.push(kind);
    out.extend_from_slice(name.as_bytes());
    out.push(0);
}

fn put_int32(out: &mut Vec<u8>, name: &str, value: i32) {
    begin(out, INT32, name);
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, name: &str, text: &[u8]) -> Sure<()> {
    begin(out, STRING, name);
    out.extend_from_slice(&splice::length(text.len() + 1)?);
    out.extend_from_slice(text);
    out.push(0);
    Ok(())
}

fn put_base64(out: &mut Vec<u8>, name: &str, data: &[u8]) -> Sure<()> {
    begin(out, STRING, name);
    let size = data.len().div_ceil(3) * 4;
    out.extend_from_slice(&splice::length(size + 1)?);
    let at = out.len();
    out.resize(at + size, 0);
    let text = out.get_mut(at..).ok_or(Doubt)?;
    check(STANDARD.encode_slice(data, text).map_err(|_| Doubt)? == size)?;
    out.push(0);
    Ok(())
}

/// Whether `value` is sealed as it is: any value but null that a decoder makes a plain value of.
#[must_use]
pub fn is_sealable(map: &Map, value: Value) -> bool {
    match value.kind {
        STRING => value.text().is_ok(),
        _ if !map.is_bound() || value.bytes.len() > MAX_OTHER => false,
        // A subtype of binaries has a length of its own.
        5 => value.bytes.get(4).is_some_and(|subtype| *subtype != 2),
        6 | 17 | 19 => true,
        _ => value.sound().is_ok(),
    }
}

/// Bytes of a value other than a string: whether a longer one is within all limits is the reference's to decide.
const MAX_OTHER: usize = 1 << 20;

/// Type byte of an envelope.
pub const KIND: u8 = DOCUMENT;

fn is_dek_id(text: &[u8]) -> bool {
    (1..=MAX_DEK_ID).contains(&text.len())
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(byte))
}

fn int32(value: Option<Value>) -> Sure<i32> {
    let value = value.filter(|value| value.kind == INT32).ok_or(Doubt)?;
    value.bytes.try_into().map(i32::from_le_bytes).map_err(|_| Doubt)
}

fn text(value: Option<Value<'_>>) -> Sure<&[u8]> {
    value.ok_or(Doubt)?.text()
}

fn check(holds: bool) -> Sure<()> {
    if holds { Ok(()) } else { Err(Doubt) }
}
