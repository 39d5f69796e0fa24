//! What librdkafka tells, in words of this crate.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

/// The last thing that went wrong with a client's connections: what came of a request says it only in general.
#[derive(Debug, Default)]
pub(crate) struct Said(Mutex<Option<(Code, String)>>);

impl Said {
    pub(crate) fn note(&self, code: Code, reason: &str) {
        *self.lock() = Some((code, reason.to_owned()));
    }

    pub(crate) fn clear(&self) {
        *self.lock() = None;
    }

    pub(crate) fn reason(&self) -> Option<String> {
        self.lock().as_ref().map(|(_, reason)| reason.clone())
    }

    /// What trying again will not mend, or that no server can be reached.
    pub(crate) fn is_hopeless(&self) -> Option<Code> {
        let said = self.lock().as_ref().map(|(code, _)| *code);
        said.filter(|code| {
            is_about_rights(*code) || matches!(code, Code::SSL | Code::AllBrokersDown | Code::Resolve)
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Code, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the user, or what the user may do, is wrong.
pub(crate) fn is_about_rights(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::UnsupportedSASLMechanism
    )
}

/// Notes an error of a client. That no server can be reached says less than why.
pub(crate) fn note(said: &Said, error: &KafkaError, reason: &str) {
    let Some(code) = error.rdkafka_error_code() else {
        return;
    };
    tracing::debug!(target: "micro_kafka", "kafka: {code}: {reason}");
    let reason = match said.reason() {
        Some(before) if code == Code::AllBrokersDown => before,
        _ => reason.to_owned(),
    };
    said.note(code, &reason);
}

/// Hands a line of librdkafka's log on. All is detail: what matters comes as an error.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "micro_kafka", "librdkafka: {facility}: {line}");
        }
        _ => tracing::debug!(target: "micro_kafka", "librdkafka: {facility}: {line}"),
    }
}

/// The code of an error, whatever it came of.
pub(crate) fn code(error: &KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(Code::Fail)
}

/// The context of a client that is only asked.
#[derive(Debug, Default)]
pub(crate) struct Asking(pub(crate) Said);

impl ClientContext for Asking {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note(&self.0, &error, reason);
    }
}
