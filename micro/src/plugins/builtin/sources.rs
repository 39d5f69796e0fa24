//! How sources of configuration are made of their names.

#[allow(dead_code, unused_imports, reason = "a program may link none of them")]
mod servers;

use std::fmt::Display;

use micro_config::{Env, Error, ErrorKind, File, Result, Source};

use super::super::{Plugins, SourceArguments};

type Made = Result<Box<dyn Source>>;

pub(super) fn all(plugins: Plugins) -> Plugins {
    let plugins = plugins
        .source("file", |arguments| async move { file(&arguments) })
        .source("env", |arguments| async move { env(&arguments) });
    #[cfg(feature = "consul-config")]
    let plugins = plugins.source("consul", |arguments| async move { servers::consul(&arguments) });
    #[cfg(feature = "etcd-config")]
    let plugins = plugins.source("etcd", |arguments| async move { servers::etcd(&arguments) });
    #[cfg(feature = "http-config")]
    let plugins = plugins
        .source("http", |arguments| async move { servers::http(&arguments) })
        .source("https", |arguments| async move { servers::http(&arguments) });
    #[cfg(feature = "kubernetes-config")]
    let plugins = plugins.source("kubernetes", |arguments| async move {
        servers::kubernetes(&arguments)
    });
    #[cfg(feature = "nats-config")]
    let plugins = plugins.source("nats", |arguments| async move { servers::nats(&arguments) });
    plugins
}

/// `file:conf.toml`, `file:///etc/shop/conf.toml`, and directories.
fn file(arguments: &SourceArguments) -> Made {
    let path = arguments.text.strip_prefix("//").unwrap_or(&arguments.text);
    if path.is_empty() {
        return Err(misused(
            "it names no file; write file:conf.toml, or the path alone",
        ));
    }
    Ok(Box::new(File::new(path)))
}

/// `env:SHOP` are the variables that begin with `SHOP_`, without that; `env:` are all but the framework's own.
fn env(arguments: &SourceArguments) -> Made {
    const OURS: &str = "MICRO";
    let prefix = arguments.text.trim_end_matches('_');
    if prefix == OURS {
        return Err(misused(
            "the variables MICRO_* are the framework's options already; give yours another prefix",
        ));
    }
    let variables = arguments.variables();
    let variables = variables
        .filter(|(name, _)| !prefix.is_empty() || !name.starts_with("MICRO_"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let source = match prefix {
        "" => Env::all(),
        prefix => Env::stripped(prefix),
    };
    Ok(Box::new(source.variables(variables)))
}

fn misused(what: impl Display) -> Error {
    Error::new(ErrorKind::Misused, what)
}
