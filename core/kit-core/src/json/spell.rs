//! The one spelling of an element as a member of a JSON object.

use crate::bson::value::{ARRAY, DOCUMENT, NULL, STRING, Value, is_utf8};
use crate::bson::walk::Elements;
use crate::{Doubt, Sure};

/// Type byte of a boolean.
const BOOLEAN: u8 = 8;
/// Levels beyond which the reference spells.
const MAX_LEVELS: usize = 256;

/// Return the members of an object, without its braces, that BSON elements are.
///
/// # Errors
/// One is malformed, or of a type that only the reference spells.
fn spell(elements: &[u8]) -> Sure<Vec<u8>> {
    let mut out = Vec::with_capacity(elements.len());
    members(Elements::of(elements), MAX_LEVELS, &mut out)?;
    Ok(out)
}

/// Return the spellings of the elements at each of `places`.
///
/// # Errors
/// As [`spell`], or a place is not within the data.
pub fn spelled(data: &[u8], places: &[(usize, usize)]) -> Sure<Vec<Vec<u8>>> {
    places.iter().map(|&(start, end)| spell(data.get(start..end).ok_or(Doubt)?)).collect()
}

fn members(mut elements: Elements<'_>, levels: usize, out: &mut Vec<u8>) -> Sure<()> {
    let mut is_first = true;
    while let Some(element) = elements.next_element()? {
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        text(element.name, out)?;
        out.push(b':');
        value(element.value, levels, out)?;
    }
    Ok(())
}

fn value(of: Value<'_>, levels: usize, out: &mut Vec<u8>) -> Sure<()> {
    let inner = levels.checked_sub(1).ok_or(Doubt)?;
    match (of.kind, of.bytes) {
        (STRING, _) => text(of.text()?, out)?,
        (NULL, _) => out.extend_from_slice(b"null"),
        (BOOLEAN, [0]) => out.extend_from_slice(b"false"),
        (BOOLEAN, [1]) => out.extend_from_slice(b"true"),
        (DOCUMENT, _) => {
            out.push(b'{');
            members(of.document()?, inner, out)?;
            out.push(b'}');
        }
        (ARRAY, bytes) => {
            out.push(b'[');
            let mut items = Value { kind: DOCUMENT, bytes }.document()?;
            let mut is_first = true;
            while let Some(item) = items.next_element()? {
                if !is_first {
                    out.push(b',');
                }
                is_first = false;
                value(item.value, inner, out)?;
            }
            out.push(b']');
        }
        (16, &[a, b, c, d]) => out.extend_from_slice(i32::from_le_bytes([a, b, c, d]).to_string().as_bytes()),
        _ => return Err(Doubt),
    }
    Ok(())
}

fn text(text: &[u8], out: &mut Vec<u8>) -> Sure<()> {
    if !is_utf8(text) {
        return Err(Doubt);
    }
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ') {
        let (before, after) = rest.split_at_checked(at).ok_or(Doubt)?;
        out.extend_from_slice(before);
        let [byte, after @ ..] = after else { return Err(Doubt) };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_has_one_spelling() {
        let element = b"\x02a\"\0\x04\0\0\0\xc3\xa9\x01\0";
        assert_eq!(spell(element).unwrap(), "\"a\\\"\":\"é\\u0001\"".as_bytes());
        assert_eq!(spell(b"\x0aa\0\x10b\0\xff\xff\xff\xff").unwrap(), br#""a":null,"b":-1"#);
        assert_eq!(spell(b"\x01a\0\0\0\0\0\0\0\0\0"), Err(Doubt));
    }
}
