//! On whose behalf, and with which options, a client calls.

use tokio::time::Instant;

use super::CallOptions;
use super::publish::Exchange;
use crate::debug::{Recording, Traced};
use crate::handler::{Context, TRACEPARENT, TRACESTATE, TraceContext};
use crate::selector::Filters;
use crate::wire::{Field, field};
use crate::{Metadata, Request, Text};

/// What a request of a client with options, or within a context, is given before it starts.
#[derive(Clone, Default)]
pub(super) struct Scope {
    options: CallOptions,
    deadline: Option<Instant>,
    inherited: Metadata,
    trace: Option<TraceContext>,
    /// Of a call that is recorded.
    traced: Option<Traced>,
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
        // What others say of a trace is for those that know of it.
        let has_state = TraceContext::of(context.metadata()).is_some();
        let is_forwarded = |name: &str| {
            is_forwarded(name)
                && !name.eq_ignore_ascii_case(TRACEPARENT)
                && (has_state || !name.eq_ignore_ascii_case(TRACESTATE))
        };
        let forwarded = context.metadata().iter().filter(|(name, _)| is_forwarded(name));
        Self {
            deadline: context.deadline(),
            inherited: forwarded.collect(),
            trace: context.trace(),
            traced: context.request().extensions.get::<Traced>().cloned(),
            ..self
        }
    }

    pub(super) fn content_type(&self) -> Option<&Text> {
        self.options.content_type.as_ref()
    }

    /// Gives a request what the scope says, and the span that its call is to be recorded in.
    pub(super) fn apply(&self, request: &mut Request) -> Option<Box<Recording>> {
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
        self.trace(request)
    }

    /// The request goes from a new span on, unless it is of another trace.
    fn trace(&self, request: &mut Request) -> Option<Box<Recording>> {
        let trace = self.trace.as_ref()?;
        if request.metadata.contains(TRACEPARENT) {
            return None;
        }
        let trace = trace.child();
        trace.write_to(&mut request.metadata);
        self.traced.as_ref()?.send(trace, request)
    }
}

/// What concerns one hop, or this one call, ends here.
fn is_forwarded(name: &str) -> bool {
    let ends_here = ["User-Agent", "Accept-Encoding", "Local", "Remote"];
    field(name.as_bytes()) == Field::Other && !ends_here.iter().any(|known| known.eq_ignore_ascii_case(name))
}
