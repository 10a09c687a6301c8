//! Marks of windows and short texts, and where bytes have one (`kit.encryption.copies`).
//!
//! The polynomial of Karp and Rabin over 2^61 - 1 elements, at a secret point.

use crate::Sure;
use crate::bson::run::Run;
use crate::bson::value::{ARRAY, DOCUMENT, body};
use crate::bson::walk::Elements;

const MODULUS: u64 = (1 << 61) - 1;
const HALF: u32 = 30;
const BINARY: u8 = 5;
/// Levels that are walked; the reference does deeper ones.
const DEPTH: usize = 200;

fn reduce(value: u128) -> u64 {
    let low = u64::try_from(value & u128::from(MODULUS)).unwrap_or(0);
    let high = u64::try_from(value >> 61).unwrap_or(0);
    let sum = low + high;
    if sum >= MODULUS { sum - MODULUS } else { sum }
}

fn next(mark: u64, point: u64, byte: u8) -> u64 {
    reduce(u128::from(mark) * u128::from(point) + u128::from(byte) + 1)
}

/// Return the mark of some bytes.
#[must_use]
pub fn mark(data: &[u8], point: u64) -> u64 {
    data.iter().fold(0, |mark, &byte| next(mark, point, byte))
}

/// A filter: a power of two of bits, of which each mark has two.
#[derive(Debug, Clone, Copy)]
pub struct Filter<'a> {
    bits: &'a [u8],
    mask: u64,
}

impl<'a> Filter<'a> {
    /// Take bits; None where they are no power of two.
    #[must_use]
    pub fn new(bits: &'a [u8]) -> Option<Self> {
        let size = u64::try_from(bits.len()).ok()?;
        (bits.len().is_power_of_two()).then(|| Self { bits, mask: size * 8 - 1 })
    }

    fn has_bit(self, bit: u64) -> bool {
        let bit = bit & self.mask;
        usize::try_from(bit >> 3).ok().and_then(|at| self.bits.get(at)).is_some_and(|byte| byte >> (bit & 7) & 1 == 1)
    }

    fn has(self, mark: u64) -> bool {
        self.has_bit(mark) && self.has_bit(mark >> HALF)
    }
}

/// Return where a window of `size` bytes begins whose mark is in the filter.
#[must_use]
pub fn windows(data: &[u8], size: usize, point: u64, filter: Filter) -> Vec<usize> {
    let (Some(first), Some(entering)) = (data.get(..size), data.get(size..)) else { return Vec::new() };
    let top = (0..size).fold(1, |power, _| reduce(u128::from(power) * u128::from(point)));
    let leaving: Vec<u64> = (0..256u64).map(|byte| MODULUS - reduce(u128::from(byte + 1) * u128::from(top))).collect();
    let mut rolled = mark(first, point);
    let mut found = Vec::new();
    if filter.has(rolled) {
        found.push(0);
    }
    for (at, (&old, &new)) in data.iter().zip(entering).enumerate() {
        let gone = leaving.get(usize::from(old)).copied().unwrap_or(0);
        rolled = reduce(u128::from(rolled) * u128::from(point) + u128::from(new) + 1 + u128::from(gone));
        if filter.has(rolled) {
            found.push(at + 1);
        }
    }
    found
}

/// Return the numbers of the documents with a text or binary value of fewer than `long` bytes whose mark is in the filter.
///
/// # Errors
/// A document is malformed, or deeper than is walked here.
pub fn short(run: Run, long: usize, point: u64, filter: Filter) -> Sure<Vec<usize>> {
    let mut found = Vec::new();
    for (number, (_, document)) in run.documents().enumerate() {
        if has_short(Elements::of(body(document)?), long, point, filter, DEPTH)? {
            found.push(number);
        }
    }
    Ok(found)
}

fn has_short(mut level: Elements, long: usize, point: u64, filter: Filter, left: usize) -> Sure<bool> {
    let Some(left) = left.checked_sub(1) else { return Err(crate::Doubt) };
    while let Some(element) = level.next_element()? {
        let value = element.value;
        let text = match (value.kind, value.bytes) {
            (DOCUMENT | ARRAY, bytes) => {
                if has_short(Elements::of(body(bytes)?), long, point, filter, left)? {
                    return Ok(true);
                }
                continue;
            }
            (2 | 13 | 14, [_, _, _, _, text @ .., _]) => text,
            (BINARY, [_, _, _, _, _, payload @ ..]) => payload,
            _ => continue,
        };
        if !text.is_empty() && text.len() < long && filter.has(mark(text, point)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Return the filter with the bits of more marks; None where it is no filter.
#[must_use]
pub fn set(bits: &[u8], marks: &[u64]) -> Option<Vec<u8>> {
    let mask = Filter::new(bits)?.mask;
    let mut bits = bits.to_vec();
    for mark in marks {
        for bit in [mark & mask, mark >> HALF & mask] {
            if let Some(byte) = usize::try_from(bit >> 3).ok().and_then(|at| bits.get_mut(at)) {
                *byte |= 1 << (bit & 7);
            }
        }
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rolled_mark_is_that_of_its_window() {
        let data: Vec<u8> = (0..200u32).map(|at| u8::try_from(at * at % 251).unwrap()).collect();
        let point = 0x0123_4567_89ab_cdef;
        let bits = set(&[0; 1 << 13], &[mark(&data[70..95], point)]).unwrap();
        assert_eq!(windows(&data, 25, point, Filter::new(&bits).unwrap()), [70]);
        assert_eq!(windows(&data[..24], 25, point, Filter::new(&bits).unwrap()), [0; 0]);
    }
}
