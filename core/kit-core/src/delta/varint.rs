//! Numbers of any size in few bytes: LEB128 (`kit/delta/packing.py`).

use crate::{Doubt, Sure};

/// Append `value`.
pub fn put(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes().first().copied().unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes().first().copied().unwrap_or_default());
}

/// Return the number that `data` begins with, and how many bytes it has.
///
/// # Errors
/// It is cut, is over 28 bits, or could be shorter.
pub fn take(data: &[u8]) -> Sure<(usize, usize)> {
    let mut value = 0;
    for (place, &byte) in data.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7F) << (7 * place);
        if byte < 0x80 {
            return if byte == 0 && place > 0 { Err(Doubt) } else { Ok((value, place + 1)) };
        }
    }
    Err(Doubt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_with_its_size() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, (1 << 28) - 1] {
            let mut out = Vec::new();
            put(value, &mut out);
            assert_eq!(take(&out), Ok((value, out.len())));
        }
    }

    #[test]
    fn a_number_that_is_cut_or_could_be_shorter_is_a_doubt() {
        for data in [&b""[..], b"\x80", b"\x80\x00", b"\xff\xff\xff\xff\x01"] {
            assert_eq!(take(data), Err(Doubt), "{data:?}");
        }
    }
}
