//! Numbers of JSON.

use crate::{Doubt, Sure};

/// Type byte of a double.
pub(super) const DOUBLE: u8 = 1;
/// Type byte of 32 bits.
pub(super) const INT32: u8 = 16;
/// Type byte of 64 bits.
pub(super) const INT64: u8 = 18;
/// No whole number of 64 bits is longer, its sign included.
const MAX_DIGITS: usize = 20;

/// Write a number as a BSON value, and return its type and what follows.
///
/// # Errors
/// It is none, or beyond a double.
pub fn read<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Sure<(u8, &'a [u8])> {
    let (size, is_whole) = measure(text)?;
    let (digits, rest) = text.split_at_checked(size).ok_or(Doubt)?;
    let digits = std::str::from_utf8(digits).map_err(|_| Doubt)?;
    if is_whole && size <= MAX_DIGITS {
        if let Ok(whole) = digits.parse::<i64>() {
            if let Ok(small) = i32::try_from(whole) {
                out.extend_from_slice(&small.to_le_bytes());
                return Ok((INT32, rest));
            }
            out.extend_from_slice(&whole.to_le_bytes());
            return Ok((INT64, rest));
        }
    }
    let double: f64 = digits.parse().map_err(|_| Doubt)?;
    if double.is_infinite() {
        return Err(Doubt);
    }
    out.extend_from_slice(&double.to_le_bytes());
    Ok((DOUBLE, rest))
}

/// Return the double that a text is in the grammar of a number.
///
/// # Errors
/// It is none, or beyond a double.
pub fn double(text: &[u8]) -> Sure<f64> {
    if measure(text)?.0 != text.len() {
        return Err(Doubt);
    }
    let double: f64 = std::str::from_utf8(text).map_err(|_| Doubt)?.parse().map_err(|_| Doubt)?;
    if double.is_infinite() { Err(Doubt) } else { Ok(double) }
}

/// Return the length of the number at the begin of a text, and whether it has neither fraction nor exponent.
fn measure(text: &[u8]) -> Sure<(usize, bool)> {
    let after_sign = text.strip_prefix(b"-").unwrap_or(text);
    let mut rest = match after_sign {
        [b'0', rest @ ..] => rest,
        [b'1'..=b'9', ..] => digits(after_sign)?,
        _ => return Err(Doubt),
    };
    let mut is_whole = true;
    if let [b'.', fraction @ ..] = rest {
        rest = digits(fraction)?;
        is_whole = false;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let unsigned = if let [b'+' | b'-', unsigned @ ..] = exponent { unsigned } else { exponent };
        rest = digits(unsigned)?;
        is_whole = false;
    }
    Ok((text.len() - rest.len(), is_whole))
}

/// Return what follows at least one digit.
fn digits(text: &[u8]) -> Sure<&[u8]> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 { Err(Doubt) } else { text.get(count..).ok_or(Doubt) }
}

/// Write a number of an item in decimal.
pub fn write(number: usize, out: &mut Vec<u8>) {
    if number < 10 {
        out.push(b'0' + u8::try_from(number).unwrap_or_default());
    } else {
        out.extend_from_slice(number.to_string().as_bytes());
    }
}
