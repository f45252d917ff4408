//! The product as its users run it: real processes of the `marquee` binary on loopback, driven by
//! its own command line, by gRPC stubs and by a real grpcurl. Each test is a scenario; what can be
//! decided without a process is tested where it is decided.

mod bad_input;
mod cluster;
mod events;
mod gates;
mod grpcurl;
mod lifecycle;
mod standalone;
mod support;
