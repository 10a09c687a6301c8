//! The key that observations, snapshots and cached payloads are known by (`kit/transforms/raw_linkset/runs.py`).

use blake2b_simd::Params;

use crate::Sure;
use crate::bson::fields::{Fields, PlaceId};
use crate::bson::value::Value;
use crate::names::Places;

/// Bytes of one digest.
const DIGEST: usize = 16;

/// A key without the byte that says what is stored under it: digests of the advisory and of its revision.
pub type Key = [u8; 2 * DIGEST];

/// Where the four parts of a key are.
#[derive(Debug, Clone, Copy)]
pub struct KeyPlaces {
    tenant: PlaceId,
    vendor: PlaceId,
    upstream_id: PlaceId,
    content_hash: PlaceId,
}

impl KeyPlaces {
    /// Look for the parts where `places` says.
    ///
    /// # Errors
    /// As [`Fields::add`].
    pub fn add(fields: &mut Fields, places: &Places) -> Sure<Self> {
        Ok(Self {
            tenant: fields.add(&places.tenant)?,
            vendor: fields.add(&places.vendor)?,
            upstream_id: fields.add(&places.upstream_id)?,
            content_hash: fields.add(&places.content_hash)?,
        })
    }

    /// Return the key of the open document; None unless all parts are there.
    ///
    /// # Errors
    /// A level on the way is malformed.
    pub fn key(&self, fields: &mut Fields, database: &[u8]) -> Sure<Option<Key>> {
        let mut part = |place| Ok(fields.find(place)?.and_then(Value::raw_text).unwrap_or_default());
        let (tenant, vendor) = (part(self.tenant)?, part(self.vendor)?);
        let (upstream_id, content_hash) = (part(self.upstream_id)?, part(self.content_hash)?);
        if [tenant, vendor, upstream_id, content_hash].iter().any(|part| part.is_empty()) {
            return Ok(None);
        }
        let lengths = format!("{},{},{};", database.len(), tenant.len(), vendor.len());
        let advisory = digest(&[lengths.as_bytes(), database, tenant, vendor, upstream_id]);
        let mut key = [0; 2 * DIGEST];
        for (to, from) in key.iter_mut().zip(advisory.iter().chain(&digest(&[content_hash]))) {
            *to = *from;
        }
        Ok(Some(key))
    }
}

fn digest(parts: &[&[u8]]) -> [u8; DIGEST] {
    let mut state = Params::new().hash_length(DIGEST).to_state();
    for part in parts {
        state.update(part);
    }
    state.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_blake2b_with_sixteen_bytes() {
        // Python: int(hashlib.blake2b(b"sha256:1", digest_size=16).hexdigest(), 16)
        let number = u128::from_be_bytes(digest(&[b"sha2", b"56:1"]));
        assert_eq!(format!("{number:032x}"), "43b400b7b6ba3d3348c0a16c3e2e440d");
    }
}
