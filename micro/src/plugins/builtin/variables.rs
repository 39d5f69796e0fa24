//! What environment variables say to plugins.

use std::str::FromStr;

use micro_core::Result;
use micro_core::backend::ServerTls;
use micro_core::transport::http::Identity;

use super::super::{PluginArguments, wrong};

/// How to speak TLS with a backend's servers, as the files say that three variables name: the authorities to believe, and
/// the certificate and the key to show. None: no encryption is asked for.
pub(super) fn server_tls(
    arguments: &PluginArguments,
    [authorities, certificate, key]: [&str; 3],
) -> Result<Option<ServerTls>> {
    let file = |variable: &str| match arguments.variable(variable) {
        None => Ok(None),
        Some(path) => std::fs::read(path)
            .map(Some)
            .map_err(|problem| wrong(format!("{variable}: the file {path} cannot be read: {problem}"))),
    };
    let identity = match (file(certificate)?, file(key)?) {
        (Some(certificates), Some(key)) => Some(Identity { certificates, key }),
        (None, None) => None,
        _ => {
            return Err(wrong(format!(
                "{certificate} and {key} belong together; set both or neither"
            )));
        }
    };
    match (file(authorities)?, identity) {
        (Some(authorities), identity) => Ok(Some(ServerTls {
            authorities,
            identity,
            server_name: None,
        })),
        (None, Some(_)) => Err(wrong(format!(
            "{certificate} is set without {authorities}, the authorities whose servers are believed"
        ))),
        (None, None) => Ok(None),
    }
}

/// What a variable's word stands for. None: it is not set.
pub(super) fn chosen<T: Copy>(
    arguments: &PluginArguments,
    variable: &str,
    words: &[(&str, T)],
) -> Result<Option<T>> {
    let Some(word) = arguments.variable(variable) else {
        return Ok(None);
    };
    match words.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)) {
        Some((_, meaning)) => Ok(Some(*meaning)),
        None => {
            let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
            Err(wrong(format!(
                "{variable} is {word:?}; write one of {}",
                known.join(", ")
            )))
        }
    }
}

/// The number that a variable says. None: it is not set.
pub(super) fn number<T: FromStr>(arguments: &PluginArguments, variable: &str) -> Result<Option<T>> {
    let number = arguments.variable(variable).map(|text| {
        text.parse()
            .map_err(|_| wrong(format!("{variable} is {text:?}; write a number")))
    });
    number.transpose()
}

/// Whether a variable says so. It need not be set.
pub(super) fn is_true(arguments: &PluginArguments, variable: &str) -> Result<bool> {
    match arguments.variable(variable) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(other) => Err(wrong(format!("{variable} is {other:?}; write true or false"))),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;

    const THIS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

    /// Arguments with these variables and nothing else.
    pub(in super::super) fn with(variables: &[(&str, &str)]) -> PluginArguments {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        PluginArguments {
            environment: Arc::new(variables.collect()),
            ..PluginArguments::default()
        }
    }

    #[test]
    fn the_variables_of_certificates_belong_together() {
        let tls = |variables: &[(&str, &str)]| server_tls(&with(variables), ["CA", "CERT", "KEY"]);
        assert!(tls(&[]).unwrap().is_none());
        assert!(tls(&[("CA", THIS)]).unwrap().is_some());
        let all = tls(&[("CA", THIS), ("CERT", THIS), ("KEY", THIS)]).unwrap();
        assert!(all.unwrap().identity.is_some());
        let wrong: [&[(&str, &str)]; 3] = [
            &[("CA", "/nonexistent")],
            &[("CA", THIS), ("KEY", THIS)],
            &[("CERT", THIS), ("KEY", THIS)],
        ];
        for variables in wrong {
            let error = tls(variables).unwrap_err();
            assert!(
                error.detail().contains("CA") || error.detail().contains("CERT"),
                "{error}"
            );
        }
    }
}
