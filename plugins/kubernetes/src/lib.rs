#![doc = include_str!("../README.md")]

mod config;
mod kubeconfig;
mod registry;
mod pod;
mod watch;
mod feed;
mod slices;
mod record;
mod client;
mod connect;
mod token;
mod objects;
mod error;

pub use crate::config::{EndpointSlices, KubernetesConfig, KubernetesTls};
pub use crate::registry::KubernetesRegistry;
pub use crate::token::Token;
