//! The search for copies of sealed texts, for Python.

use kit_core::bson::run::Run;
use kit_core::copies::{self, Filter};
use pyo3::{prelude::*, pybacked::PyBackedBytes as Bytes};

/// Where a window begins whose mark is in the filter.
#[pyfunction]
pub(crate) fn copy_windows(py: Python<'_>, data: Bytes, size: usize, point: u64, bits: Bytes) -> Option<Vec<usize>> {
    py.detach(|| Some(copies::windows(&data, size, point, Filter::new(&bits)?)))
}

/// Which documents have a short text whose mark is in the filter.
#[pyfunction]
pub(crate) fn copy_shorts(
    py: Python<'_>,
    data: Bytes,
    ends: Vec<usize>,
    long: usize,
    point: u64,
    bits: Bytes,
) -> Option<Vec<usize>> {
    py.detach(|| copies::short(Run::new(&data, &ends).ok()?, long, point, Filter::new(&bits)?).ok())
}

/// The marks of texts.
#[pyfunction]
pub(crate) fn copy_marks(py: Python<'_>, texts: Vec<Bytes>, point: u64) -> Vec<u64> {
    py.detach(|| texts.iter().map(|text| copies::mark(text, point)).collect())
}

/// The filter with more marks.
#[pyfunction]
pub(crate) fn copy_filter(py: Python<'_>, bits: Bytes, marks: Vec<u64>) -> Option<Vec<u8>> {
    py.detach(|| copies::set(&bits, &marks))
}
