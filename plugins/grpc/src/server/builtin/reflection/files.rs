//! What a service's descriptors declare, and where.

use std::collections::BTreeMap;

use prost::{DecodeError, Message};

use super::messages::{Extension, File, Named, Set, Type};

/// Descriptors by what is asked of them.
#[derive(Default)]
pub(in crate::server) struct Files {
    /// As they are handed out, and what each imports.
    files: Vec<(Vec<u8>, Vec<String>)>,
    names: BTreeMap<String, usize>,
    symbols: BTreeMap<String, usize>,
    /// By the type that is extended, and the number.
    extensions: BTreeMap<(String, i32), usize>,
    services: Vec<String>,
    /// The endpoints that change nothing.
    without_side_effects: Vec<String>,
}

impl Files {
    /// Reads encoded sets. What cannot be read is left out, and told in the log.
    pub(in crate::server) fn read(sets: &[&[u8]]) -> Self {
        let mut files = Self::default();
        for set in sets.iter().copied() {
            let read = files.read_set(set);
            if let Err(problem) = read {
                tracing::warn!(%problem, "the descriptors of a service cannot be read; reflection does not know it");
            }
        }
        files.services.sort_unstable();
        files
    }

    fn read_set(&mut self, set: &[u8]) -> Result<(), DecodeError> {
        for bytes in Set::decode(set)?.file {
            let file = File::decode(bytes.as_slice())?;
            self.add(file, bytes);
        }
        Ok(())
    }

    fn add(&mut self, file: File, bytes: Vec<u8>) {
        if self.names.contains_key(&file.name) {
            return;
        }
        let at = self.files.len();
        self.names.insert(file.name, at);
        self.files.push((bytes, file.dependency));
        let package = file.package.as_str();
        for message in &file.message {
            self.declare_type(package, message, at);
        }
        self.declare(package, &file.enumeration, at);
        self.extend(package, file.extension, at);
        for service in &file.service {
            let name = joined(package, &service.name);
            for method in &service.method {
                self.symbols.insert(joined(&name, &method.name), at);
                if method.has_no_side_effects() {
                    self.without_side_effects
                        .push(joined(&service.name, &method.name));
                }
            }
            self.symbols.insert(name.clone(), at);
            self.services.push(name);
        }
    }

    fn declare_type(&mut self, scope: &str, message: &Type, at: usize) {
        let name = joined(scope, &message.name);
        for nested in &message.nested {
            self.declare_type(&name, nested, at);
        }
        self.declare(&name, &message.enumeration, at);
        self.extend(&name, message.extension.clone(), at);
        self.symbols.insert(name, at);
    }

    fn declare(&mut self, scope: &str, declared: &[Named], at: usize) {
        for named in declared {
            self.symbols.insert(joined(scope, &named.name), at);
        }
    }

    fn extend(&mut self, scope: &str, extensions: Vec<Extension>, at: usize) {
        for extension in extensions {
            self.symbols.insert(joined(scope, &extension.name), at);
            let extendee = extension.extendee.trim_start_matches('.').to_owned();
            self.extensions.insert((extendee, extension.number), at);
        }
    }

    /// The full names of all services, sorted.
    pub(in crate::server::builtin) fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(String::as_str)
    }

    /// The endpoints that their descriptors call free of side effects.
    pub(in crate::server) fn without_side_effects(&self) -> impl Iterator<Item = &str> {
        self.without_side_effects.iter().map(String::as_str)
    }

    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    pub(super) fn declaring(&self, symbol: &str) -> Option<usize> {
        self.symbols.get(symbol.trim_start_matches('.')).copied()
    }

    pub(super) fn extending(&self, extendee: &str, number: i32) -> Option<usize> {
        self.extensions.get(&(extendee.to_owned(), number)).copied()
    }

    pub(super) fn extensions_of(&self, extendee: &str) -> Vec<i32> {
        let all = self.extensions.keys().filter(|(of, _)| of == extendee);
        all.map(|(_, number)| *number).collect()
    }

    /// A file, and all that it imports after it.
    pub(super) fn with_imports(&self, file: usize) -> Vec<Vec<u8>> {
        let mut wanted = vec![file];
        let mut next = 0;
        while let Some(file) = wanted.get(next) {
            let (_, imports) = &self.files[*file];
            let imports: Vec<usize> = imports.iter().filter_map(|name| self.named(name)).collect();
            for import in imports {
                if !wanted.contains(&import) {
                    wanted.push(import);
                }
            }
            next += 1;
        }
        wanted
            .into_iter()
            .map(|file| self.files[file].0.clone())
            .collect()
    }
}

fn joined(scope: &str, name: &str) -> String {
    match scope.is_empty() {
        true => name.to_owned(),
        false => format!("{scope}.{name}"),
    }
}
