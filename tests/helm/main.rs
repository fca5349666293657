//! The chart, its alerts and its sidecar, rendered by the real helm and kustomize and held against Kubernetes' schemas, the
//! program's own configuration and README.
#![allow(clippy::panic, unreachable_pub, reason = "test code")]

mod alerts;
mod chart;
mod configuration;
mod dashboard;
mod documents;
mod schemas;
mod sidecar;
mod standalone;
mod validity;
