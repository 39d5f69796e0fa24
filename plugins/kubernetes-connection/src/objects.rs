//! What is read of Kubernetes' objects, whatever they are.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What every object has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// The object's name, of its own among those of its kind and namespace.
    pub name: String,
    /// The version that the server gave to the object, which says nothing but that it differs from others.
    pub resource_version: String,
    /// The object's labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// The object's annotations.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Set while the object is being taken down.
    pub deletion_timestamp: Option<String>,
}

/// An object that can be listed and watched.
pub trait Object: for<'a> Deserialize<'a> + Send {
    /// What it has as every object.
    fn metadata(&self) -> &Metadata;
}

/// A listing, as of its version.
#[derive(Debug, Deserialize)]
pub struct List<T> {
    /// Of the listing itself: its version.
    #[serde(default)]
    pub metadata: Metadata,
    /// The objects.
    pub items: Option<Vec<T>>,
}

/// One line of a watch.
#[derive(Debug, Deserialize)]
pub(crate) struct Event<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: EventKind,
    #[serde(borrow)]
    pub(crate) object: &'a RawValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum EventKind {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

/// What the server says of a request that failed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) message: String,
    pub(crate) code: u16,
}
