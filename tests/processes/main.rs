//! Real processes of the `marquee` binary on loopback, driven by its command line, by gRPC stubs, by
//! grpcurl and by a client in Python. Each test is a scenario; what needs no process is tested in its crate.

mod bad_input;
mod cluster;
mod control_disks;
mod doors;
mod events;
mod few_files;
mod forgetting;
mod frozen;
mod gates;
mod grpcurl;
mod judge;
mod lifecycle;
mod metrics;
mod outbound;
mod python_client;
mod standalone;
#[allow(dead_code, reason = "tests/chaos uses the rest of it")]
mod support;
mod undo;
