//! Where a provider's keys come from.

use super::signing_keys::SigningKeys;
use crate::access::reloaded::Reloaded;
use arc_swap::ArcSwapOption;
use http::{HeaderMap, StatusCode};
use marquee_net::HttpClient;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// How often the provider is asked for its keys: a key that it withdraws is accepted for so much longer.
const FETCH_EVERY: Duration = Duration::from_secs(300);
/// How soon it is asked again after an error.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// How soon it is asked again because a token names a key that is not known: anybody can make such tokens.
const ASK_AGAIN_AFTER_MS: i64 = 30_000;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer: a set of the most keys has a tenth of it.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Where a provider's keys come from.
pub(in crate::access) enum KeySource {
    /// A file, which operators keep up to date.
    File(Arc<Reloaded<SigningKeys>>),
    /// An address of the provider.
    Address(Arc<FetchedKeys>),
}

/// Keys that are fetched from an address.
pub(in crate::access) struct FetchedKeys {
    url: String,
    client: HttpClient,
    /// None before the first answer. What was fetched before stays while there is no answer.
    current: ArcSwapOption<SigningKeys>,
    asked_again_ms: AtomicI64,
    wake: Notify,
}

impl KeySource {
    /// The keys of a file.
    ///
    /// # Errors
    /// Says why the file cannot be used.
    pub(in crate::access) fn file(path: &Path) -> Result<Self, String> {
        Reloaded::read(path, SigningKeys::read).map(|file| Self::File(Arc::new(file)))
    }

    /// The keys at an address. None are known until they are fetched.
    pub(in crate::access) fn address(url: &str) -> Self {
        Self::Address(Arc::new(FetchedKeys {
            url: url.to_owned(),
            client: HttpClient::default(),
            current: ArcSwapOption::empty(),
            asked_again_ms: AtomicI64::new(i64::MIN),
            wake: Notify::new(),
        }))
    }

    /// The keys as they were read last.
    pub(super) fn current(&self) -> Option<Arc<SigningKeys>> {
        match self {
            Self::File(file) => Some(file.current()),
            Self::Address(fetched) => fetched.current.load_full(),
        }
    }

    /// A token names a key that is not known: the provider may have a new one.
    pub(super) fn ask_again(&self, now_ms: i64) {
        let Self::Address(fetched) = self else { return };
        let before = fetched.asked_again_ms.load(Ordering::Acquire);
        let is_due = now_ms.saturating_sub(before) >= ASK_AGAIN_AFTER_MS;
        let (set, get) = (Ordering::AcqRel, Ordering::Acquire);
        if is_due && fetched.asked_again_ms.compare_exchange(before, now_ms, set, get).is_ok() {
            fetched.wake.notify_one();
        }
    }
}

impl FetchedKeys {
    /// Fetches the keys again and again. Errors are logged once.
    pub(in crate::access) async fn keep_fresh(self: Arc<Self>) {
        let mut logged = None;
        loop {
            let wait = match self.fetch().await {
                Ok(keys) => {
                    if logged.take().is_some() || self.current.load().is_none() {
                        tracing::info!("the identity provider's keys are known");
                    }
                    self.current.store(Some(Arc::new(keys)));
                    FETCH_EVERY
                }
                Err(reason) => {
                    if logged.as_ref() != Some(&reason) {
                        tracing::error!(reason, "fetching the keys of auth.oidc.jwks_url");
                        logged = Some(reason);
                    }
                    RETRY_AFTER
                }
            };
            // Woken or not: it is asked again.
            let _ = tokio::time::timeout(wait, self.wake.notified()).await;
        }
    }

    async fn fetch(&self) -> Result<SigningKeys, String> {
        let answer = self.client.get(&self.url, HeaderMap::new(), TIMEOUT, MAX_ANSWER_BYTES).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status != StatusCode::OK {
            return Err(format!("the answer is {}: redirects are not followed", answer.status));
        }
        let text = std::str::from_utf8(&answer.body).map_err(|_| "the answer is no text")?;
        SigningKeys::read(text)
    }
}
