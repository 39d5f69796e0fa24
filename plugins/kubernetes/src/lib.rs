#![doc = include_str!("../README.md")]

mod config;
mod registry;
mod pod;
mod watch;
mod slices;
mod record;
mod objects;
mod error;

pub use micro_kubernetes_connection::{KubernetesTls, Token};

pub use crate::config::{EndpointSlices, KubernetesConfig};
pub use crate::registry::KubernetesRegistry;
