//! Strings of JSON.

use crate::{Doubt, Sure};

/// Write the content of a string whose quotation mark was taken, and return what follows its end.
///
/// # Errors
/// It does not end, has a control character or an unknown escape, or a lone surrogate.
pub fn read<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Sure<&'a [u8]> {
    let mut rest = text;
    loop {
        let plain = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ').ok_or(Doubt)?;
        let (before, after) = rest.split_at_checked(plain).ok_or(Doubt)?;
        out.extend_from_slice(before);
        match after {
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'u', after @ ..] => rest = unit(after, out)?,
            [b'\\', letter, after @ ..] => {
                out.push(escaped(*letter)?);
                rest = after;
            }
            _ => return Err(Doubt),
        }
    }
}

fn escaped(letter: u8) -> Sure<u8> {
    match letter {
        b'"' | b'\\' | b'/' => Ok(letter),
        b'b' => Ok(8),
        b'f' => Ok(12),
        b'n' => Ok(b'\n'),
        b'r' => Ok(b'\r'),
        b't' => Ok(b'\t'),
        _ => Err(Doubt),
    }
}

/// Write the character of one escape, or of two that are halves, and return what follows.
fn unit<'a>(digits: &'a [u8], out: &mut Vec<u8>) -> Sure<&'a [u8]> {
    let (first, mut rest) = hexadecimal(digits)?;
    let mut code = first;
    if (0xd800..0xdc00).contains(&first) {
        let [b'\\', b'u', after @ ..] = rest else { return Err(Doubt) };
        let (second, after) = hexadecimal(after)?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(Doubt);
        }
        code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        rest = after;
    }
    let character = char::from_u32(code).ok_or(Doubt)?;
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(rest)
}

fn hexadecimal(digits: &[u8]) -> Sure<(u32, &[u8])> {
    let (digits, rest) = digits.split_at_checked(4).ok_or(Doubt)?;
    let mut code = 0;
    for &digit in digits {
        code = code * 16 + char::from(digit).to_digit(16).ok_or(Doubt)?;
    }
    Ok((code, rest))
}
