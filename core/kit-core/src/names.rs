//! Names of stored documents and of `rawLinkset`: handed over at each call, none is spelled in this crate.

use crate::bson::fields::Place;
use crate::{Doubt, Sure};

/// The names of the element that is appended, and of `linkset`, whose lists have the same.
#[derive(Debug, Clone)]
pub struct Names {
    /// Of the canonical projection, in the document itself.
    pub linkset: String,
    /// Of the element itself.
    pub raw_linkset: String,
    /// The list of identifiers.
    pub aliases: String,
    /// The list of package URLs.
    pub purls: String,
    /// The list of CPEs.
    pub cpes: String,
    /// The list of links.
    pub references: String,
    /// The list of scopes, which may be absent.
    pub scopes: String,
    /// The list of ties to other advisories, which may be absent.
    pub relationships: String,
    /// The list of pointers into the source.
    pub reconciled_from: String,
    /// How the linkset of a snapshot may spell that, best first.
    pub reconciled_from_spellings: Vec<String>,
    /// The document of notes.
    pub notes: String,
    /// What a link or a tie is.
    pub kind: String,
    /// Where a link leads.
    pub url: String,
    /// Where a link or a tie comes from.
    pub source: String,
    /// Where a tie leads.
    pub target: String,
    /// The member that makes a document an envelope.
    pub envelope: String,
}

impl Names {
    /// Check that documents of these names can be told apart, and written as an encoder writes them.
    ///
    /// # Errors
    /// Two names of one document are the same, or one is not plain.
    pub fn check(&self) -> Sure<()> {
        let mut lists = vec![&self.aliases, &self.purls, &self.cpes, &self.references];
        lists.extend([&self.scopes, &self.relationships, &self.notes]);
        let mut read = lists.clone();
        read.extend(&self.reconciled_from_spellings);
        lists.push(&self.reconciled_from);
        let members = vec![&self.kind, &self.url, &self.source, &self.target];
        let alone = vec![&self.raw_linkset, &self.linkset];
        if [lists, read, members, alone].into_iter().all(are_plain) { Ok(()) } else { Err(Doubt) }
    }
}

fn are_plain(mut names: Vec<&String>) -> bool {
    names.sort();
    let is_unique = names.windows(2).all(|pair| pair.first() != pair.last());
    // A decoder may see a reference in a dollar, and an encoder puts an _id first.
    is_unique && names.iter().all(|name| !name.starts_with('$') && !name.contains('\0') && *name != "_id")
}

/// Where one kind of document keeps what is looked for.
#[derive(Debug, Clone)]
pub struct Places {
    /// Whose it is.
    pub tenant: Place,
    /// Who published the advisory.
    pub vendor: Place,
    /// The advisory's identifier.
    pub upstream_id: Place,
    /// Which revision it is.
    pub content_hash: Place,
    /// The name of the format of `raw`.
    pub format: Place,
    /// The advisory, decoded.
    pub raw: Place,
    /// Its canonical projection.
    pub linkset: Place,
    /// What has aliases for a linkset without any.
    pub identifiers: Place,
}
