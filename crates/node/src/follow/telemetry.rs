//! Sends what the router measures of rollouts and experiments to control.

use futures::future::BoxFuture;
use marquee_client::{Address, Backoff, Credentials, channel, innermost_reason};
use marquee_proto::control::v1::ReportTelemetryRequest;
use marquee_proto::control::v1::control_service_client::ControlServiceClient;
use marquee_router::Report;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Windows that wait for the network; if more come, the router adds them up.
const MAX_WAITING: usize = 4;

/// The receiver of windows: the control node of this process, or others over a stream. Ends with an error
/// when the stream breaks, or with the stream of windows.
pub type TelemetrySink = Arc<
    dyn Fn(mpsc::Receiver<ReportTelemetryRequest>) -> BoxFuture<'static, Result<(), Status>>
        + Send
        + Sync,
>;

/// A sink that streams to one of these control nodes, and to the next one after a failure. Must be called
/// within a tokio runtime.
pub fn telemetry_to_control_nodes(
    addresses: &[Address],
    credentials: &Credentials,
) -> TelemetrySink {
    let channels = addresses.iter().map(|address| channel(address, credentials));
    let channels: Arc<Vec<_>> = Arc::new(channels.collect());
    let turns = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    Arc::new(move |windows| {
        let turn = turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let channel = channels[turn % channels.len()].clone();
        Box::pin(async move {
            let mut control = ControlServiceClient::new(channel);
            control.report_telemetry(ReceiverStream::new(windows)).await.map(drop)
        })
    })
}

/// Sends all windows of the router until it ends. Windows under way when a stream breaks are lost: some
/// seconds of measurements.
pub async fn report_telemetry(
    node_id: String,
    mut reports: mpsc::Receiver<Report>,
    sink: TelemetrySink,
) {
    let mut backoff = Backoff::default();
    let mut is_failing = false;
    let mut next = reports.recv().await;
    while next.is_some() {
        let (sender, windows) = mpsc::channel(MAX_WAITING);
        let mut stream = sink(windows);
        let broken = loop {
            let Some(report) = next.take() else {
                // The router has ended: what was sent gets its answer.
                drop(sender);
                let _ = stream.await;
                return;
            };
            let request =
                ReportTelemetryRequest { node_id: node_id.clone(), window: Some(report.to_wire()) };
            tokio::select! {
                sent = sender.send(request) => if sent.is_err() {
                    break stream.await;
                },
                ended = &mut stream => break ended,
            }
            next = tokio::select! {
                next = reports.recv() => next,
                ended = &mut stream => break ended,
            };
            backoff.reset();
            is_failing = false;
        };
        if let Err(status) = broken
            && !std::mem::replace(&mut is_failing, true)
        {
            let reason = innermost_reason(&status);
            tracing::warn!(reason, "control does not accept this router's telemetry; trying again");
        }
        tokio::time::sleep(backoff.after_failure(fastrand::f64())).await;
        if next.is_none() {
            next = reports.recv().await;
        }
    }
}
