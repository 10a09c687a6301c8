//! Type names of Extended JSON (`kit.documents.extended_json`): the frequent ones; the others are the reference's.

use super::number::{DOUBLE, INT32, INT64, double};
use crate::bson::value::{Value, body};
use crate::bson::walk::Elements;
use crate::{Doubt, Sure};

/// Type byte of an object id.
const OBJECT_ID: u8 = 7;
/// Type byte of a moment.
const DATETIME: u8 = 9;

/// Names that make an object a value of another type.
const TYPE_NAMES: [&[u8]; 17] = [
    b"$oid",
    b"$symbol",
    b"$numberInt",
    b"$numberLong",
    b"$numberDouble",
    b"$numberDecimal",
    b"$binary",
    b"$uuid",
    b"$code",
    b"$scope",
    b"$timestamp",
    b"$regularExpression",
    b"$dbPointer",
    b"$date",
    b"$minKey",
    b"$maxKey",
    b"$undefined",
];

/// Whether a name makes an object a value of another type.
#[must_use]
pub fn is_type_name(name: &[u8]) -> bool {
    name.first() == Some(&b'$') && TYPE_NAMES.contains(&name)
}

/// Replace the document at the end of `out`, which has a type name, by the value that it is, and return its type;
/// `is_typed` is whether its last value was an object with a type name.
///
/// # Errors
/// It is not plainly of a frequent type.
pub fn typed(out: &mut Vec<u8>, at: usize, is_typed: bool) -> Sure<u8> {
    let document = out.get(at..).ok_or(Doubt)?;
    let mut elements = Elements::of(body(document)?);
    let first = elements.next_element()?.ok_or(Doubt)?;
    if elements.next_element()?.is_some() {
        return Err(Doubt);
    }
    let (kind, value) = read(first.name, first.value, is_typed)?;
    out.truncate(at);
    out.extend_from_slice(&value);
    Ok(kind)
}

fn read(name: &[u8], value: Value<'_>, is_typed: bool) -> Sure<(u8, Vec<u8>)> {
    match name {
        b"$oid" => object_id(value.text()?).map(|id| (OBJECT_ID, id)),
        b"$numberInt" => whole(value.text()?)
            .and_then(|number| i32::try_from(number).map_err(|_| Doubt))
            .map(|number| (INT32, number.to_le_bytes().to_vec())),
        b"$numberLong" => whole(value.text()?).map(|number| (INT64, number.to_le_bytes().to_vec())),
        b"$numberDouble" => double(value.text()?).map(|number| (DOUBLE, number.to_le_bytes().to_vec())),
        // As canonical Extended JSON has it. A number of 64 bits alone is no moment.
        b"$date" if value.kind == INT64 && is_typed => Ok((DATETIME, value.bytes.to_vec())),
        b"$date" => moment(value.text()?).map(|moment| (DATETIME, moment.to_le_bytes().to_vec())),
        _ => Err(Doubt),
    }
}

fn object_id(digits: &[u8]) -> Sure<Vec<u8>> {
    if digits.len() != 24 {
        return Err(Doubt);
    }
    let nibble = |&digit: &u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).ok_or(Doubt);
    digits.chunks(2).map(|pair| pair.iter().try_fold(0, |all, digit| Ok(all << 4 | nibble(digit)?))).collect()
}

/// Return a whole number of 64 bits in its one spelling, or minus zero.
fn whole(digits: &[u8]) -> Sure<i64> {
    let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
    let is_plain = match unsigned {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() <= 18 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let text = std::str::from_utf8(digits).map_err(|_| Doubt)?;
    if is_plain { text.parse().map_err(|_| Doubt) } else { Err(Doubt) }
}

/// Return the milliseconds since 1970 of a moment in UTC, `YYYY-MM-DDThh:mm:ss[.f]Z`.
fn moment(text: &[u8]) -> Sure<i64> {
    let number = |from: usize, to: usize| -> Sure<i64> {
        let digits = text.get(from..to).ok_or(Doubt)?;
        digits.iter().try_fold(0, |all, digit| {
            if digit.is_ascii_digit() { Ok(all * 10 + i64::from(digit - b'0')) } else { Err(Doubt) }
        })
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|&(at, mark)| text.get(at) != Some(&mark)) {
        return Err(Doubt);
    }
    let milliseconds = match text.get(19..).ok_or(Doubt)? {
        b"Z" => 0,
        [b'.', fraction @ .., b'Z'] if fraction.len() == 3 => number(20, 23)?,
        _ => return Err(Doubt),
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err(Doubt),
    };
    if year < 1 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return Err(Doubt);
    }
    // Days of the proleptic Gregorian calendar, counted from March, so that a leap day is the last of its year.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let since = years * 365 + years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    let days = since + (153 * months + 2) / 5 + day - 1 - 719_468;
    Ok(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_counted_from_1970() {
        assert_eq!(moment(b"1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(moment(b"2020-02-29T23:59:59.999Z"), Ok(1_583_020_799_999));
        assert_eq!(moment(b"1969-12-31T23:59:59.000Z"), Ok(-1000));
        assert_eq!(moment(b"0001-01-01T00:00:00Z"), Ok(-62_135_596_800_000));
        assert_eq!(moment(b"2021-02-29T00:00:00Z"), Err(Doubt));
    }
}
