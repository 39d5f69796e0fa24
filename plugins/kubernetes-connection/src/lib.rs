#![doc = include_str!("../README.md")]

mod config;
mod kubeconfig;
mod feed;
mod objects;
mod client;
mod connect;
mod token;
mod error;

pub use micro_core::backend::Role;

pub use crate::client::{Client, METADATA, METADATA_LIST, OBJECT};
pub use crate::config::{KubernetesServer, KubernetesTls, check_name};
pub use crate::feed::{Feed, Query};
pub use crate::objects::{List, Metadata, Object};
pub use crate::token::Token;
