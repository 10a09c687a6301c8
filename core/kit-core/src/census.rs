//! The census of a run: what there is on each path of its documents (`kit.documents.census`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use blake2b_simd::Params;

use crate::bson::bounds::Bounds;
use crate::bson::run::Run;
use crate::bson::valid::Validator;
use crate::bson::value::{ARRAY, DOCUMENT, STRING, Value, body};
use crate::bson::walk::Elements;
use crate::{Doubt, Sure};

const MAX_PATHS: usize = 2000;
const MAX_KEY_BYTES: usize = 1024;
const SKETCH: usize = 512;
const EXAMPLE_BYTES: usize = 200;
const ENVELOPE: u8 = 0;
const BINARY: u8 = 5;
const SHAPES: usize = 14;
/// Steps that are looked for one by one.
const FEW: usize = 64;

/// Groups of names; a subdocument with all names of a group is an envelope.
pub type Seals = [Vec<Vec<u8>>];

/// What is counted of one path.
#[derive(Debug)]
struct Path {
    depth: u16,
    documents: u64,
    values: u64,
    /// By type, in no order.
    kinds: Vec<(u8, u64)>,
    sized: u64,
    least: u64,
    longest: u64,
    total: u64,
    shapes: [u64; SHAPES],
    hashes: BTreeSet<u64>,
    examples: BTreeMap<u64, (u8, Vec<u8>)>,
    /// The latest document that has it.
    latest: u64,
    /// What is below it: steps as in a key, and places in [`Table::paths`].
    below: Vec<(Vec<u8>, usize)>,
    /// Which of these is expected next: documents mostly have the same names in the same order.
    next: usize,
}

impl Path {
    fn new(depth: u16) -> Self {
        Self {
            depth,
            documents: 0,
            values: 0,
            kinds: Vec::new(),
            sized: 0,
            least: u64::MAX,
            longest: 0,
            total: 0,
            shapes: [0; SHAPES],
            hashes: BTreeSet::new(),
            examples: BTreeMap::new(),
            latest: 0,
            below: Vec::new(),
            next: 0,
        }
    }

    fn add_kind(&mut self, kind: u8, count: u64) {
        match self.kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, known)) => *known += count,
            None => self.kinds.push((kind, count)),
        }
    }

    fn add_value(&mut self, value: Value, examples: usize) {
        let inside = match (value.kind, value.bytes) {
            (STRING | 13 | 14, [_, _, _, _, text @ .., _]) => Some(text),
            (BINARY, [_, _, _, _, _, payload @ ..]) => Some(payload),
            _ => None,
        };
        if let Some(inside) = inside {
            let size = inside.len() as u64;
            self.sized += 1;
            self.least = self.least.min(size);
            self.longest = self.longest.max(size);
            self.total += size;
            if value.kind == STRING
                && let Some(count) = self.shapes.get_mut(shape(inside))
            {
                *count += 1;
            }
        }
        let hash = hash(value);
        keep(&mut self.hashes, hash);
        if examples > 0 {
            let shown = inside.unwrap_or(value.bytes);
            let shown = shown.get(..EXAMPLE_BYTES).unwrap_or(shown);
            self.examples.insert(hash, (value.kind, shown.to_vec()));
            if self.examples.len() > examples {
                self.examples.pop_last();
            }
        }
    }

    fn add(&mut self, other: Self, examples: usize) {
        self.documents += other.documents;
        self.values += other.values;
        for (kind, count) in other.kinds {
            self.add_kind(kind, count);
        }
        self.sized += other.sized;
        self.least = self.least.min(other.least);
        self.longest = self.longest.max(other.longest);
        self.total += other.total;
        for (mine, more) in self.shapes.iter_mut().zip(other.shapes) {
            *mine += more;
        }
        for hash in other.hashes {
            if !keep(&mut self.hashes, hash) {
                break;
            }
        }
        self.examples.extend(other.examples);
        while self.examples.len() > examples {
            self.examples.pop_last();
        }
    }
}

/// Add a hash to the smallest ones; false if it is not one of them.
fn keep(hashes: &mut BTreeSet<u64>, hash: u64) -> bool {
    if hashes.len() >= SKETCH && hashes.last().is_some_and(|&last| hash > last) {
        return false;
    }
    hashes.insert(hash);
    if hashes.len() > SKETCH {
        hashes.pop_last();
    }
    true
}

fn hash(value: Value) -> u64 {
    let mut state = Params::new().hash_length(8).to_state();
    state.update(&[value.kind]).update(value.bytes);
    let hash = state.finalize();
    hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Classes of bytes, of which a text is seen to have some.
const LOWER: u16 = 1;
const UPPER: u16 = 2;
const DIGIT: u16 = 4;
const SPACE: u16 = 8;
const HIGH: u16 = 16;
/// Bytes that tokens have, too.
const MARK: u16 = 32;
/// Bytes that identifiers have, too.
const SIGN: u16 = 64;
const OTHER: u16 = 128;
/// A letter that is no hexadecimal digit.
const BEYOND_HEX: u16 = 256;

const CLASSES: [u16; 256] = classes();

const fn classes() -> [u16; 256] {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        let class = match byte {
            b'a'..=b'f' => LOWER,
            b'g'..=b'z' => LOWER | BEYOND_HEX,
            b'A'..=b'F' => UPPER,
            b'G'..=b'Z' => UPPER | BEYOND_HEX,
            b'0'..=b'9' => DIGIT,
            b' ' | b'\t' | b'\n' | b'\r' | 11 | 12 => SPACE,
            0x80.. => HIGH,
            b'_' | b'+' | b'/' | b'=' | b'.' | b'~' | b'-' => MARK,
            b':' | b'@' | b'#' | b'%' | b'?' | b'&' | b'*' => SIGN,
            _ => OTHER,
        };
        #[allow(clippy::indexing_slicing, reason = "a byte is below 256")]
        {
            classes[byte as usize] = class;
        }
        if byte == u8::MAX {
            return classes;
        }
        byte += 1;
    }
}

/// Return which shape a text has: the first that fits.
fn shape(text: &[u8]) -> usize {
    let seen = text.iter().fold(0, |seen, &byte| seen | CLASSES.get(usize::from(byte)).copied().unwrap_or(OTHER));
    let has = |class: u16| seen & class != 0;
    let is_of = |classes: u16| seen & !classes & !BEYOND_HEX == 0;
    let is_hex = is_of(LOWER | UPPER | DIGIT) && !has(BEYOND_HEX);
    let is_letters = is_of(LOWER | UPPER | DIGIT);
    let fits = [
        text.is_empty(),
        text.len() == 36 && is_uuid(text),
        text.len() == 24 && is_hex,
        text.len() >= 32 && is_of(LOWER | UPPER | DIGIT | SIGN) && is_digest(text),
        text.len() == 26 && is_letters && is_ulid(text),
        has(SIGN) && !has(SPACE) && is_mail(text),
        has(SIGN) && !has(SPACE) && is_url(text),
        has(DIGIT) && is_timestamp(text),
        is_of(DIGIT | MARK) && is_number(text),
        matches!(text, [b'{', .., b'}'] | [b'[', .., b']']),
        is_token(text, seen),
        is_of(LOWER | UPPER | DIGIT | MARK | SIGN) && text.len() <= 256 && has(LOWER | UPPER) && has(DIGIT),
        has(SPACE) && has(LOWER | UPPER | HIGH) && text.iter().filter(|&&byte| is_space(byte)).nth(1).is_some(),
    ];
    fits.iter().position(|&fits| fits).unwrap_or(SHAPES - 1)
}

fn is_hex(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_hexdigit)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 11 | 12)
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_digest(text: &[u8]) -> bool {
    let is_bare = |text: &[u8]| matches!(text.len(), 32 | 40 | 64 | 128) && is_hex(text);
    let prefix = text.iter().take(11).position(|&byte| byte == b':').and_then(|at| text.split_at_checked(at));
    is_bare(text)
        || prefix.is_some_and(|(name, rest)| {
            !name.is_empty()
                && name.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                && rest.get(1..).is_some_and(is_bare)
        })
}

fn is_ulid(text: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_uppercase() && !matches!(byte, b'I' | b'L' | b'O' | b'U');
    text.len() == 26
        && matches!(text.first(), Some(b'0'..=b'7'))
        && text.iter().all(|byte| byte.is_ascii_digit() || is_letter(byte))
}

fn is_mail(text: &[u8]) -> bool {
    let Some((local, domain)) = text.iter().position(|&byte| byte == b'@').and_then(|at| text.split_at_checked(at))
    else {
        return false;
    };
    let is_label =
        |label: &[u8]| !label.is_empty() && label.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let domain = domain.get(1..).unwrap_or_default();
    !local.is_empty()
        && local.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"._%+-".contains(&byte))
        && domain.contains(&b'.')
        && domain.split(|&byte| byte == b'.').all(is_label)
}

fn is_url(text: &[u8]) -> bool {
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+.-".contains(byte);
    let end = text.iter().position(|byte| !is_scheme(byte)).unwrap_or(text.len());
    let rest = text.get(end..).and_then(|rest| rest.strip_prefix(b"://"));
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && rest.is_some_and(|rest| !rest.is_empty() && !rest.iter().copied().any(is_space))
}

fn is_timestamp(text: &[u8]) -> bool {
    let Some((date, rest)) = text.split_first_chunk::<10>() else { return false };
    let is_date = date.iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    is_date && (rest.is_empty() || (matches!(rest.first(), Some(b'T' | b' ')) && rest.len() <= 31))
}

fn is_number(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"-")).unwrap_or(text);
    let mut parts = unsigned.splitn(2, |&byte| byte == b'.');
    parts.all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
}

fn is_token(text: &[u8], seen: u16) -> bool {
    let all = LOWER | UPPER | DIGIT;
    text.starts_with(b"-----BEGIN ")
        || (text.len() >= 20 && seen & all == all && seen & !(all | MARK | BEYOND_HEX) == 0)
}

/// The census of some documents.
#[derive(Debug, Default)]
struct Table {
    documents: u64,
    unread: u64,
    is_cut: bool,
    /// By key.
    places: HashMap<Vec<u8>, usize>,
    paths: Vec<Path>,
    /// Of the documents themselves.
    top: Vec<(Vec<u8>, usize)>,
}

impl Table {
    /// Keep no more paths than a table has.
    fn cut(&mut self) {
        if self.paths.len() <= MAX_PATHS {
            return;
        }
        self.is_cut = true;
        let mut old: Vec<Option<Path>> = self.paths.drain(..).map(Some).collect();
        let mut places: Vec<(u16, Vec<u8>, usize)> =
            self.places.drain().filter_map(|(key, at)| Some((old.get(at)?.as_ref()?.depth, key, at))).collect();
        places.sort_unstable();
        places.truncate(MAX_PATHS);
        for (_, key, at) in places {
            if let Some(mut path) = old.get_mut(at).and_then(Option::take) {
                path.below.clear();
                self.places.insert(key, self.paths.len());
                self.paths.push(path);
            }
        }
    }

    /// Return the place of the path with this key.
    fn place(&mut self, key: &[u8], depth: u16) -> usize {
        if let Some(&at) = self.places.get(key) {
            return at;
        }
        self.places.insert(key.to_vec(), self.paths.len());
        self.paths.push(Path::new(depth));
        self.paths.len() - 1
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let number = |out: &mut Vec<u8>, number: u64| out.extend_from_slice(&number.to_le_bytes());
        let short = |out: &mut Vec<u8>, size: usize| {
            out.extend_from_slice(&u16::try_from(size).unwrap_or(u16::MAX).to_le_bytes());
        };
        number(&mut out, self.documents);
        number(&mut out, self.unread);
        out.push(u8::from(self.is_cut));
        out.extend_from_slice(&u32::try_from(self.paths.len()).unwrap_or(u32::MAX).to_le_bytes());
        let mut paths: Vec<(&Vec<u8>, &Path)> =
            self.places.iter().filter_map(|(key, &at)| Some((key, self.paths.get(at)?))).collect();
        paths.sort_unstable_by_key(|(key, path)| (path.depth, *key));
        for (key, path) in paths {
            short(&mut out, usize::from(path.depth));
            short(&mut out, key.len());
            out.extend_from_slice(key);
            for count in [path.documents, path.values, path.sized, path.least, path.longest, path.total] {
                number(&mut out, count);
            }
            for &count in &path.shapes {
                number(&mut out, count);
            }
            out.push(u8::try_from(path.kinds.len()).unwrap_or(u8::MAX));
            let mut kinds = path.kinds.clone();
            kinds.sort_unstable();
            for (kind, count) in kinds {
                out.push(kind);
                number(&mut out, count);
            }
            short(&mut out, path.hashes.len());
            for &hash in &path.hashes {
                number(&mut out, hash);
            }
            short(&mut out, path.examples.len());
            for (&hash, (kind, value)) in &path.examples {
                number(&mut out, hash);
                out.push(*kind);
                short(&mut out, value.len());
                out.extend_from_slice(value);
            }
        }
        out
    }

    fn parse(data: &[u8]) -> Sure<Self> {
        let mut rest = Rest(data);
        let (documents, unread, is_cut) = (rest.number()?, rest.number()?, rest.byte()? != 0);
        let mut table = Self { documents, unread, is_cut, ..Self::default() };
        for _ in 0..u32::from_le_bytes(rest.chunk()?) {
            let depth = u16::from_le_bytes(rest.chunk()?);
            let key = rest.bytes()?.to_vec();
            let mut path = Path::new(depth);
            for count in [
                &mut path.documents,
                &mut path.values,
                &mut path.sized,
                &mut path.least,
                &mut path.longest,
                &mut path.total,
            ] {
                *count = rest.number()?;
            }
            for count in &mut path.shapes {
                *count = rest.number()?;
            }
            for _ in 0..rest.byte()? {
                path.kinds.push((rest.byte()?, rest.number()?));
            }
            let hashes = u16::from_le_bytes(rest.chunk()?);
            path.hashes = (0..hashes).map(|_| rest.number()).collect::<Sure<_>>()?;
            for _ in 0..u16::from_le_bytes(rest.chunk()?) {
                let hash = rest.number()?;
                let kind = rest.byte()?;
                path.examples.insert(hash, (kind, rest.bytes()?.to_vec()));
            }
            table.places.insert(key, table.paths.len());
            table.paths.push(path);
        }
        Ok(table)
    }
}

/// What is left of a table.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn chunk<const N: usize>(&mut self) -> Sure<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk().ok_or(Doubt)?;
        self.0 = rest;
        Ok(*chunk)
    }

    fn byte(&mut self) -> Sure<u8> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Sure<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Sure<&'a [u8]> {
        let size = usize::from(u16::from_le_bytes(self.chunk()?));
        let (bytes, rest) = self.0.split_at_checked(size).ok_or(Doubt)?;
        self.0 = rest;
        Ok(bytes)
    }
}

/// Return the table of a run.
///
/// # Errors
/// A document is malformed, or over a bound.
pub fn count(run: Run, seals: &Seals, examples: usize, bounds: Bounds) -> Sure<Vec<u8>> {
    let mut table = Table::default();
    let mut validator = Validator::default();
    let mut key = Vec::new();
    for (_, document) in run.documents() {
        validator.check(document, bounds)?;
        table.documents += 1;
        count_document(&mut table, document, seals, examples, &mut key)?;
    }
    table.cut();
    Ok(table.to_bytes())
}

/// Return the sum of two tables.
///
/// # Errors
/// One of them is no table.
pub fn sum(one: &[u8], other: &[u8], examples: usize) -> Sure<Vec<u8>> {
    let mut table = Table::parse(one)?;
    let more = Table::parse(other)?;
    table.documents += more.documents;
    table.unread += more.unread;
    table.is_cut |= more.is_cut;
    let mut others: Vec<Option<Path>> = more.paths.into_iter().map(Some).collect();
    for (key, at) in more.places {
        let other = others.get_mut(at).and_then(Option::take).ok_or(Doubt)?;
        let mine = table.place(&key, other.depth);
        table.paths.get_mut(mine).ok_or(Doubt)?.add(other, examples);
    }
    table.cut();
    Ok(table.to_bytes())
}

/// A level of a document that is being counted.
struct Open<'a> {
    elements: Elements<'a>,
    /// The place of its path; None for the document itself.
    path: Option<usize>,
    /// Bytes of its key.
    key: usize,
    is_array: bool,
}

fn count_document(table: &mut Table, document: &[u8], seals: &Seals, examples: usize, key: &mut Vec<u8>) -> Sure<()> {
    key.clear();
    let mut levels = vec![Open { elements: Elements::of(body(document)?), path: None, key: 0, is_array: false }];
    loop {
        let depth = u16::try_from(levels.len()).map_err(|_| Doubt)?;
        let Some(open) = levels.last_mut() else { break };
        key.truncate(open.key);
        let Some(element) = open.elements.next_element()? else {
            levels.pop();
            continue;
        };
        let above = key.len();
        key.extend_from_slice(if open.is_array { b"\0a" } else { b"\0f" });
        if !open.is_array {
            key.extend_from_slice(element.name);
        }
        let Some(at) = path_of(table, open.path, key, above, depth)? else { continue };
        let number = table.documents;
        let path = table.paths.get_mut(at).ok_or(Doubt)?;
        if path.latest != number {
            path.latest = number;
            path.documents += 1;
        }
        path.values += 1;
        path.next = 0;
        let mut kind = element.value.kind;
        if kind == DOCUMENT || kind == ARRAY {
            let elements = Elements::of(body(element.value.bytes)?);
            if kind == DOCUMENT && is_sealed(&elements, seals)? {
                kind = ENVELOPE;
            } else {
                levels.push(Open { elements, path: Some(at), key: key.len(), is_array: kind == ARRAY });
            }
        } else {
            path.add_value(element.value, examples);
        }
        path.add_kind(kind, 1);
    }
    if table.paths.len() > 2 * MAX_PATHS {
        table.cut();
        table.top.clear();
    }
    Ok(())
}

/// Return the place of the path of `key`, the last step of which begins at `above`; None if it is not kept.
///
/// # Errors
/// A document has too many paths to be counted at once.
fn path_of(table: &mut Table, outer: Option<usize>, key: &[u8], above: usize, depth: u16) -> Sure<Option<usize>> {
    let step = key.get(above..).ok_or(Doubt)?;
    let (below, next) = match outer {
        Some(at) => table.paths.get(at).map(|path| (&path.below, path.next)).ok_or(Doubt)?,
        None => (&table.top, 0),
    };
    let expected = below.get(next).filter(|(known, _)| known == step).map(|_| next);
    if let Some(found) = expected.or_else(|| below.iter().take(FEW).position(|(known, _)| known == step)) {
        let at = below.get(found).map(|&(_, at)| at);
        if let Some(path) = outer.and_then(|at| table.paths.get_mut(at)) {
            path.next = found + 1;
        }
        return Ok(at);
    }
    if key.len() > MAX_KEY_BYTES {
        table.is_cut = true;
        return Ok(None);
    }
    if table.paths.len() > 8 * MAX_PATHS {
        return Err(Doubt);
    }
    let at = table.place(key, depth);
    let below = match outer {
        Some(outer) => table.paths.get_mut(outer).map(|path| &mut path.below).ok_or(Doubt)?,
        None => &mut table.top,
    };
    if below.len() < FEW {
        below.push((step.to_vec(), at));
    }
    Ok(Some(at))
}

fn is_sealed(elements: &Elements, seals: &Seals) -> Sure<bool> {
    for group in seals {
        let mut missing: Vec<&Vec<u8>> = group.iter().collect();
        let mut elements = elements.clone();
        while let Some(element) = elements.next_element()? {
            missing.retain(|name| name.as_slice() != element.name);
            if missing.is_empty() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 1000, levels: 9 };

    #[test]
    fn the_sum_of_two_runs_is_the_table_of_both() {
        let one = b"\x10\0\0\0\x02_id\0\x02\0\0\0b\0\0".as_slice();
        let other = b"\x10\0\0\0\x02_id\0\x02\0\0\0a\0\0".as_slice();
        let table = |documents: &[&[u8]]| {
            let ends: Vec<usize> = (1..=documents.len()).map(|count| count * one.len()).collect();
            count(Run::new(&documents.concat(), &ends).unwrap(), &[], 2, BOUNDS).unwrap()
        };
        assert_eq!(sum(&table(&[one]), &table(&[other]), 2), Ok(table(&[one, other])));
        assert_eq!(sum(b"", &table(&[one]), 2), Err(Doubt));
    }

    #[test]
    fn shapes_are_told_apart() {
        let texts: [(&[u8], usize); 14] = [
            (b"", 0),
            (b"c56a4180-65aa-42ec-a945-5fd21dec0538", 1),
            (b"65f1a2b3c4d5e6f708192a3b", 2),
            (b"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 3),
            (b"01ARZ3NDEKTSV4RRFFQ69G5FAV", 4),
            (b"a.b@example.org", 5),
            (b"https://example.org/x", 6),
            (b"2026-01-02T03:04:05Z", 7),
            (b"-12.5", 8),
            (b"{}", 9),
            (b"eyJhbGciOiJIUzI1NiJ9.e30.abcD", 10),
            (b"GO-2025-1", 11),
            (b"one two three", 12),
            (b"word", 13),
        ];
        for (text, expected) in texts {
            assert_eq!(shape(text), expected, "{}", String::from_utf8_lossy(text));
        }
    }
}
