//! The codec of deltas (`kit/delta`, `schemas/kit-delta.md`): documents taken apart into a script and columns, said by
//! edits of their older selves, and put together again; which columns are worth repeating; what makes documents alike.

pub mod choose;
pub mod columns;
pub mod edit;
pub mod features;
pub mod pick;
pub mod restore;
pub mod shred;
mod varint;

/// Levels that are walked (`kit/delta/shred.py`).
pub const DEPTH: usize = 200;
/// The name that stands for any member of an array without names.
pub const MEMBER: &[u8] = b"#";
/// Marks, in a script, an array whose names are 0, 1, 2 …, which has none there.
const CANONICAL: u8 = 0;
/// Marks an array with names.
const NAMED: u8 = 1;
/// Begins the script of a document that is given whole.
const WHOLE: u8 = 0;
/// Begins the script of a document that is taken apart.
const SHREDDED: u8 = 1;
/// Begins the script of a document that is edited.
const EDITED: u8 = 2;
/// The type under which whole documents are columns.
const RAW: u8 = 0x21;

/// The steps of a script of edits (`kit/delta/edits.py`).
mod step {
    pub const END: u8 = 0;
    pub const KEEP_REST: u8 = 1;
    pub const KEEP: u8 = 2;
    pub const LEAVE_OUT: u8 = 3;
    pub const ENTER: u8 = 4;
    pub const SET: u8 = 5;
    pub const NEW: u8 = 6;
}

/// How many bytes a value of type `kind` has in a column.
enum Width {
    /// So many.
    Fixed(usize),
    /// Those up to the first NUL, that included.
    Text,
    /// Those that a number before it says.
    Counted,
}

/// Return how values of type `kind` are kept.
///
/// # Errors
/// No document has such values.
fn width(kind: u8) -> crate::Sure<Width> {
    Ok(match kind {
        1 | 9 | 17 | 18 => Width::Fixed(8),
        2 => Width::Text,
        5 | 11..=15 => Width::Counted,
        6 | 10 | 127 | 255 => Width::Fixed(0),
        7 => Width::Fixed(12),
        8 => Width::Fixed(1),
        16 => Width::Fixed(4),
        19 => Width::Fixed(16),
        _ => return Err(crate::Doubt),
    })
}

/// The name of the member of an array, counted up.
struct Index {
    digits: Vec<u8>,
}

impl Index {
    fn new() -> Self {
        Self { digits: b"0".to_vec() }
    }

    fn name(&self) -> &[u8] {
        &self.digits
    }

    fn advance(&mut self) {
        for digit in self.digits.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
        self.digits.insert(0, b'1');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Doubt;

    fn document(body: &[u8]) -> Vec<u8> {
        let size = i32::try_from(body.len() + 5).unwrap().to_le_bytes();
        [&size, body, b"\0"].concat()
    }

    fn text(name: &str, value: &str) -> Vec<u8> {
        let size = i32::try_from(value.len() + 1).unwrap().to_le_bytes();
        [b"\x02", name.as_bytes(), b"\0", &size, value.as_bytes(), b"\0"].concat()
    }

    fn nested(kind: u8, name: &str, elements: &[Vec<u8>]) -> Vec<u8> {
        [&[kind], name.as_bytes(), b"\0", &document(&elements.concat())].concat()
    }

    fn array(name: &str, values: &[&str]) -> Vec<u8> {
        let items: Vec<_> = values.iter().enumerate().map(|(place, value)| text(&place.to_string(), value)).collect();
        nested(4, name, &items)
    }

    fn made(documents: &[Vec<u8>], olds: &[Option<Vec<u8>>]) -> Vec<u8> {
        let (script, headers, columns) = shred::streams(documents, olds).unwrap();
        let most = documents.concat().len();
        assert_eq!(restore::restore(olds, &script, &headers, &columns, most - 1), Err(Doubt));
        assert_eq!(restore::restore(olds, &script, &headers, &[&columns[..], b"x"].concat(), most), Err(Doubt));
        restore::restore(olds, &script, &headers, &columns, most).unwrap().0
    }

    #[test]
    fn what_is_taken_apart_comes_back() {
        let members: Vec<String> = (0..12).map(|number| format!("member {number}")).collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let one = document(&[text("a", "x"), array("b", &members), nested(3, "c", &[text("a", "y")])].concat());
        let two = document(&[nested(4, "odd", &[text("5", "names")]), b"\x10n\0\x01\0\0\0".to_vec()].concat());
        assert_eq!(made(&[one.clone(), two.clone()], &[None, None]), [one, two].concat());
    }

    #[test]
    fn what_is_said_by_edits_comes_back() {
        let old = document(&[text("a", "x"), array("b", &["0", "1", "2"]), text("gone", "z")].concat());
        let new = document(&[text("a", "x"), array("b", &["new", "0", "2"]), text("c", "y")].concat());
        assert_eq!(made(std::slice::from_ref(&new), &[Some(old)]), new);
    }

    #[test]
    fn what_cannot_come_back_is_a_doubt() {
        let inside = document(b"\x02a\0\x04\0\0\0x\0y\0");
        let names = document(&nested(4, "a", &[text("0", "x"), text("2", "y")]));
        let deep = (0..DEPTH).fold(document(b""), |inner, _| document(&[b"\x03d\0", &inner[..]].concat()));
        for odd in [inside, names, deep] {
            assert_eq!(shred::streams(std::slice::from_ref(&odd), &[None::<Vec<u8>>]), Err(Doubt));
        }
    }

    #[test]
    fn columns_are_joined_by_path_and_type() {
        let one = document(&[text("b", "text"), b"\x10b\0\x07\0\0\0".to_vec(), text("a", "first")].concat());
        let (_, headers, columns) = shred::streams(&[one], &[None::<Vec<u8>>]).unwrap();
        assert_eq!(headers, b"\x03\x02.a\x02\x06\x02.b\x02\x05\x02.b\x10\x04");
        assert_eq!(columns, b"first\0text\0\x07\0\0\0");
    }

    #[test]
    fn columns_that_are_picked_follow_those_of_references() {
        let one = document(&[text("a", "x"), array("b", &["1", "2"])].concat());
        let places = [(b".b.#".to_vec(), 2), (b".c".to_vec(), 2)];
        let (script, columns) = pick::dictionary(&[&one], &[&one], Some(&places)).unwrap();
        assert_eq!(script, b"\x01\x02a\0\x04b\0\0\x02\x02\0\0");
        assert_eq!(columns, b"x\x001\x002\x001\x002\0");
        let (_, all) = pick::dictionary(&[&one], &[&one], None).unwrap();
        assert_eq!(all, b"x\0x\x001\x002\x001\x002\0");
    }

    #[test]
    fn the_latest_documents_with_a_feature_are_noted_once_each() {
        let feature = [b'f'; 30];
        let with = [b"\0\x02", &feature[..], b"\0\x02", &feature[..], b"\0\x02"].concat();
        let data = with.repeat(5);
        let ends: Vec<usize> = (1..6).map(|count| count * with.len()).collect();
        let run = crate::bson::run::Run::new(&data, &ends).unwrap();
        assert_eq!(features::noted(run, &[&b"other"[..], &feature], 2), [(1, 5, vec![3, 4])]);
    }

    #[test]
    fn members_are_counted_up() {
        let mut index = Index::new();
        for number in 0..1001 {
            assert_eq!(index.name(), number.to_string().as_bytes());
            index.advance();
        }
    }
}
