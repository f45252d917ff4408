//! Real processes of the `marquee` binary on loopback, driven by its command line, by gRPC stubs and by
//! grpcurl. Each test is a scenario; what needs no process is tested in its crate.

mod bad_input;
mod cluster;
mod events;
mod forgetting;
mod frozen;
mod gates;
mod grpcurl;
mod judge;
mod lifecycle;
mod outbound;
mod standalone;
mod support;
mod undo;
