//! On whose behalf, and with which options, a client calls.

use tokio::time::Instant;

use super::CallOptions;
use super::publish::Exchange;
use crate::handler::Context;
use crate::selector::Filters;
use crate::wire::{Field, field};
use crate::{Metadata, Request, Text};

/// What a request of a client with options, or within a context, is given before it starts.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    options: CallOptions,
    deadline: Option<Instant>,
    inherited: Metadata,
}

/// The part of the options that concerns the choice of a node; travels in the request's extensions.
#[derive(Debug, Clone, Default)]
pub(super) struct Route {
    pub(super) retries: Option<u32>,
    pub(super) addresses: Vec<String>,
    pub(super) filters: Filters,
    pub(super) key: Option<Text>,
}

impl Scope {
    pub(super) fn with_options(self, options: CallOptions) -> Self {
        Self { options, ..self }
    }

    pub(super) fn within(self, context: &Context) -> Self {
        let forwarded = context.metadata().iter().filter(|(name, _)| is_forwarded(name));
        Self {
            deadline: context.deadline(),
            inherited: forwarded.collect(),
            ..self
        }
    }

    pub(super) fn content_type(&self) -> Option<&Text> {
        self.options.content_type.as_ref()
    }

    pub(super) fn apply(&self, request: &mut Request) {
        let own = self
            .options
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        request.deadline = [request.deadline, self.deadline, own].into_iter().flatten().min();
        request.idempotent |= self.options.idempotent;
        // What was inherited gives way to what the request says, and that to the options of these very calls.
        for (name, value) in self.inherited.iter() {
            if !request.metadata.contains(name) {
                request.metadata.insert(name, value);
            }
        }
        for (name, value) in self.options.metadata.iter() {
            request.metadata.insert(name, value);
        }
        let CallOptions {
            retries,
            addresses,
            filters,
            key,
            exchange,
            ..
        } = &self.options;
        if let Some(exchange) = exchange {
            request.extensions.insert(Exchange(exchange.clone()));
        }
        if retries.is_some() || !addresses.is_empty() || !filters.is_empty() || key.is_some() {
            request.extensions.insert(Route {
                retries: *retries,
                addresses: addresses.clone(),
                filters: filters.clone(),
                key: key.clone(),
            });
        }
    }
}

/// What concerns one hop, or this one call, ends here.
fn is_forwarded(name: &str) -> bool {
    let ends_here = ["User-Agent", "Accept-Encoding", "Local", "Remote"];
    field(name.as_bytes()) == Field::Other && !ends_here.iter().any(|known| known.eq_ignore_ascii_case(name))
}
