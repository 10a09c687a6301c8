//! Values that the reference decodes as a whole, though little of them is used.

use crate::bson::value::{ARRAY, DOCUMENT, NULL, STRING, Value};
use crate::bson::walk::plain_name;
use crate::{Doubt, Sure};

/// Levels of nesting that are looked into; a decoder gives up far below.
const MAX_DEPTH: usize = 48;

impl Value<'_> {
    /// Check that a decoder makes plain values of all of it.
    ///
    /// # Errors
    /// A decoder could see more in it, or a fault.
    pub fn sound(self) -> Sure<()> {
        sound(self, MAX_DEPTH)
    }
}

fn sound(value: Value, depth: usize) -> Sure<()> {
    match value.kind {
        STRING => value.text().map(drop),
        8 if matches!(value.bytes, [0 | 1]) => Ok(()),
        1 | 7 | 9 | NULL | 16 | 18 => Ok(()),
        DOCUMENT if depth > 0 => {
            let mut elements = value.document()?;
            while let Some(element) = elements.next_element()? {
                plain_name(element.name)?;
                sound(element.value, depth - 1)?;
            }
            Ok(())
        }
        ARRAY if depth > 0 => {
            let mut items = value.array()?;
            while let Some((_, item)) = items.next_item()? {
                sound(item, depth - 1)?;
            }
            Ok(())
        }
        _ => Err(Doubt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bson::nested;

    #[test]
    fn depth_is_bounded() {
        let is_sound = |levels| Value { kind: DOCUMENT, bytes: &nested(levels) }.sound().is_ok();
        assert!(is_sound(MAX_DEPTH));
        assert!(!is_sound(MAX_DEPTH + 1));
    }

    #[test]
    fn foreign_types_are_a_doubt() {
        for kind in [0, 5, 6, 11, 12, 13, 14, 15, 17, 19, 20, 127, 255] {
            assert_eq!(Value { kind, bytes: &[0; 16] }.sound(), Err(Doubt), "{kind}");
        }
    }
}
