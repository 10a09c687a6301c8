//! What a run of a mapped collection is read and sealed by: handed over, none of it is spelled in this crate.

use std::collections::HashSet;

/// What the members of an envelope are called, and what the fixed ones hold.
#[derive(Debug, Clone)]
pub struct Names {
    /// Says that a document is an envelope.
    pub mark: String,
    /// Which of the two profiles it is.
    pub version: String,
    /// How it is sealed.
    pub algorithm: String,
    /// What was sealed, as base64.
    pub ciphertext: String,
    /// The initialisation vector, as base64.
    pub iv: String,
    /// The authentication tag, as base64.
    pub tag: String,
    /// The name of the data key.
    pub dek_id: String,
    /// The version of the master key that the data key was made under.
    pub mek_version: String,
    /// The context of the field map.
    pub context: String,
    /// The type byte of what was sealed.
    pub bson_type: String,
}

/// A path as the names that lead to a value.
pub type Path = Vec<String>;

/// The map of one collection, at its place.
#[derive(Debug, Clone)]
pub struct Map {
    /// Of envelopes.
    pub names: Names,
    /// What `algorithm` of an envelope says.
    pub algorithm: String,
    /// The number of the profile that opens only in its place.
    pub bound: i32,
    /// The number of the profile in use.
    pub version: i32,
    /// The name of the identity of documents.
    pub identity: String,
    /// The name by which documents of several products are told apart, and the one that is meant; None for all.
    pub product: Option<(String, String)>,
    /// Where the partition key is.
    pub partition: Path,
    /// Only documents of these partitions; None for all.
    pub partitions: Option<HashSet<String>>,
    /// Where the owner is.
    pub owner: Path,
    /// Owners whose documents stay plain.
    pub skipped: HashSet<String>,
    /// What keys of this collection are for.
    pub context: String,
    /// Where each mapped field is.
    pub fields: Vec<Path>,
    /// Of each mapped field the encoded path and context, as associated data holds them.
    pub infixes: Vec<Vec<u8>>,
    /// The leading parts of associated data, up to the identity.
    pub prefix: Vec<u8>,
    /// What a document's key is derived for, up to the identity.
    pub key_prefix: Vec<u8>,
    /// The newest master key.
    pub mek_versions: i32,
}

impl Map {
    /// Whether an envelope opens only in its place.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.version == self.bound
    }
}
