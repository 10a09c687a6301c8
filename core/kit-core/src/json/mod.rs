//! Documents that are kept as JSON: the BSON document that each text represents, and the text of an element
//! (`kit.documents.json_view`, `kit.documents.json_text`).

mod extended;
mod number;
mod spell;
mod string;
mod view;

pub use spell::spelled;
pub use view::{Most, Spans, Views, views};
