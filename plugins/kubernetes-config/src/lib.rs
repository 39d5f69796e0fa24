#![doc = include_str!("../README.md")]

mod config;
mod source;
mod object;
mod error;

pub use micro_kubernetes_connection::{KubernetesServer, KubernetesTls, Token};

pub use crate::config::{KubernetesSourceConfig, ObjectKind};
pub use crate::source::KubernetesSource;
