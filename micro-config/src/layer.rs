//! What one source says: its documents, parsed and merged.

use std::sync::Arc;

use crate::tree::{DEEPEST, DocumentName, Node, Place, Tree};
use crate::{Content, Document, Error, ErrorKind, Result, format};

/// Parses and merges the documents of a source, the later over the earlier.
///
/// # Errors
///
/// When one of them cannot be parsed, is nested too deep or is no table.
pub(crate) fn layer(source: &str, documents: Vec<Document>) -> Result<Tree> {
    let mut layer = Tree::empty();
    for document in documents {
        let tree = tree(source, document)?;
        layer.merge(tree);
    }
    Ok(layer)
}

fn tree(source: &str, document: Document) -> Result<Tree> {
    let Document {
        origin,
        path,
        content,
    } = document;
    let name = DocumentName {
        source: source.to_owned(),
        origin,
    };
    let place = Place::whole(Arc::new(name));
    let invalid = |line: u32, message: &str| {
        let place = place.on(line);
        Error::new(ErrorKind::Invalid, format_args!("{message} ({place})"))
    };
    let too_deep = || invalid(0, &format!("it is nested deeper than {DEEPEST} levels"));
    let mut tree = match content {
        Content::Text { format, text } => format::parse(format, &text, &place)
            .map_err(|flaw| invalid(flaw.line, &format!("it is not valid {format}: {}", flaw.message)))?,
        Content::Value(value) => Tree::of_value(value, &place, DEEPEST).ok_or_else(too_deep)?,
    };
    if path.len() > DEEPEST {
        return Err(too_deep());
    }
    // What an empty text, or one of comments only, is parsed to.
    if tree.node == Node::Null && path.is_empty() {
        tree = Tree::new(Node::table([].into()), tree.place);
    }
    let tree = tree.under(&path);
    match &tree.node {
        Node::Table(_) => Ok(tree),
        other => Err(invalid(
            tree.place.line,
            &format!(
                "a table of names and values is expected, and there is a {}",
                other.kind()
            ),
        )),
    }
}
