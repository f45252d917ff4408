//! Closing connections whose certificate is not valid any more: it was revoked, its root was removed, or it has expired.

use super::peer::PeerCertificate;
use super::shared::{RELOAD_EVERY, Tls};
use crate::connections::Connection;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long a connection stays open after its certificate was found to be invalid: new calls on it are refused with the
/// reason, which a closed connection could not give.
const CLOSE_AFTER: Duration = Duration::from_secs(5);

/// The connections of a server whose peers have shown certificates.
pub(crate) struct ShownCertificates {
    tls: Arc<Tls>,
    shown: Mutex<Vec<Arc<Shown>>>,
}

/// One of them.
struct Shown {
    connection: Weak<Connection>,
    certificate: Arc<PeerCertificate>,
    /// Since when the certificate is known to be invalid.
    invalid_since: Mutex<Option<Instant>>,
}

impl ShownCertificates {
    /// None yet; certificates are verified by `tls`.
    pub(crate) fn new(tls: Arc<Tls>) -> Self {
        Self { tls, shown: Mutex::default() }
    }

    /// Watches the certificate of a connection until the connection ends.
    pub(crate) fn watch(&self, connection: &Arc<Connection>, certificate: &Arc<PeerCertificate>) {
        self.lock().push(Arc::new(Shown {
            connection: Arc::downgrade(connection),
            certificate: Arc::clone(certificate),
            invalid_since: Mutex::default(),
        }));
    }

    /// Verifies those that are due, for as long as it is polled. One after the other, so that others get their turn: each
    /// takes a tenth of a millisecond.
    pub(crate) async fn sweep_for_ever(&self) {
        loop {
            tokio::time::sleep(RELOAD_EVERY).await;
            let watched = {
                let mut shown = self.lock();
                shown.retain(|one| one.connection.strong_count() > 0);
                shown.clone()
            };
            for one in watched {
                self.verify(&one, Instant::now());
                tokio::task::yield_now().await;
            }
        }
    }

    fn verify(&self, one: &Shown, now: Instant) {
        let Some(connection) = one.connection.upgrade() else { return };
        let checked = self.tls.check(&one.certificate);
        let mut invalid_since = one.invalid_since.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = checked else {
            *invalid_since = None;
            return;
        };
        let since = *invalid_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= CLOSE_AFTER {
            tracing::info!(names = ?one.certificate.uris, %error, "closes a connection");
            connection.close();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Shown>>> {
        // Every change leaves the list whole.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
