//! What a node has of certificates, tokens and keys, made of its config.

use super::authenticator::{Authenticator, Identities};
use super::credential_check::CredentialCheck;
use super::guard::Guard;
use super::node_check::NodeCheck;
use super::oidc::{KeySource, Verifier, Withdrawn};
use super::reloaded::Reloaded;
use super::token::Tokens;
use crate::config::{AuthSettings, Config, OidcKeys, OidcSettings};
use crate::warnings::Warnings;
use anyhow::Context as _;
use marquee_net::Connector;
use marquee_net::tls::{RELOAD_EVERY, Tls};
use std::sync::Arc;
use tokio::task::JoinSet;

/// What a node proves itself with, and what it accepts.
pub struct Security {
    pub(crate) tls: Option<Arc<Tls>>,
    authenticator: Option<Arc<Authenticator>>,
    tokens: Option<Arc<Reloaded<Tokens>>>,
    provider: Option<Arc<Verifier>>,
    connector: Connector,
}

impl Security {
    /// Reads the files of a config.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn of_config(config: &Config) -> anyhow::Result<Self> {
        let AuthSettings { is_enforced, trust_domain, tokens_file, oidc, identities } =
            &config.auth;
        let tls = config.tls.clone().map(Tls::read).transpose().context("[tls]")?;
        let identities =
            Identities { trust_domain: trust_domain.clone(), by_san: Arc::new(identities.clone()) };
        let connector = match &tls {
            None => Connector::plain(),
            Some(tls) if *is_enforced => {
                Connector::by(Arc::clone(tls)).with_check(Arc::new(NodeCheck(identities.clone())))
            }
            Some(tls) => Connector::by(Arc::clone(tls)),
        };
        let tokens = match tokens_file {
            Some(path) => {
                let tokens = Reloaded::read(path, Tokens::read);
                Some(Arc::new(tokens.map_err(anyhow::Error::msg).context("auth.tokens_file")?))
            }
            None => None,
        };
        let provider = match oidc {
            Some(settings) => {
                let (keys, withdrawn) = (keys_of(settings)?, withdrawn_of(settings)?);
                Some(Arc::new(Verifier::new(settings.clone(), keys, withdrawn)))
            }
            None => None,
        };
        let authenticator = is_enforced.then(|| {
            let (tls, tokens, provider) = (tls.clone(), tokens.clone(), provider.clone());
            Arc::new(Authenticator { identities, tls, tokens, provider })
        });
        Ok(Self { tls, authenticator, tokens, provider, connector })
    }

    /// How this node reaches others.
    pub fn connector(&self) -> Connector {
        self.connector.clone()
    }

    /// What tells of trouble with certificates and tokens.
    pub(crate) fn credential_check(&self) -> CredentialCheck {
        CredentialCheck { tls: self.tls.clone(), tokens: self.tokens.clone() }
    }

    /// The layer around the services of one address.
    pub(crate) fn guard(&self, warnings: Warnings) -> Guard {
        Guard::new(self.authenticator.clone(), warnings)
    }

    /// Starts the tasks that read files again when they change.
    pub(crate) fn keep_fresh(&self, tasks: &mut JoinSet<()>) {
        if let Some(tls) = self.tls.clone() {
            tasks.spawn(tls.keep_fresh());
        }
        if let Some(tokens) = self.tokens.clone() {
            tasks.spawn(keep_fresh("auth.tokens_file", tokens));
        }
        if let Some(withdrawn) = self.provider.as_ref().and_then(|it| it.withdrawn()) {
            tasks.spawn(keep_fresh("auth.oidc.withdrawn_file", Arc::clone(withdrawn)));
        }
        match self.provider.as_ref().map(|provider| provider.keys()) {
            None => {}
            Some(KeySource::File(file)) => {
                tasks.spawn(keep_fresh("auth.oidc.jwks_file", Arc::clone(file)));
            }
            Some(KeySource::Address(fetched)) => {
                tasks.spawn(Arc::clone(fetched).keep_fresh());
            }
        }
    }
}

/// Where an identity provider's keys come from.
fn keys_of(settings: &OidcSettings) -> anyhow::Result<KeySource> {
    match &settings.keys {
        OidcKeys::Address(url) => Ok(KeySource::address(url)),
        OidcKeys::File(path) => {
            KeySource::file(path).map_err(anyhow::Error::msg).context("auth.oidc.jwks_file")
        }
    }
}

/// The file of tokens and users that an identity provider's config withdraws.
fn withdrawn_of(settings: &OidcSettings) -> anyhow::Result<Option<Arc<Reloaded<Withdrawn>>>> {
    let Some(path) = &settings.withdrawn_file else { return Ok(None) };
    let read = Reloaded::read(path, Withdrawn::read).map_err(anyhow::Error::msg);
    Ok(Some(Arc::new(read.context("auth.oidc.withdrawn_file")?)))
}

/// Reads a file again when it changes, and logs what came of it.
async fn keep_fresh<T: Send + Sync + 'static>(key: &'static str, file: Arc<Reloaded<T>>) {
    let mut logged = None;
    loop {
        tokio::time::sleep(RELOAD_EVERY).await;
        let reloading = Arc::clone(&file);
        match tokio::task::spawn_blocking(move || reloading.reload()).await {
            Ok(Ok(true)) => {
                logged = None;
                tracing::info!(key, "uses the new file");
            }
            Ok(Ok(false)) => {}
            Ok(Err(reason)) => {
                if logged.as_ref() != Some(&reason) {
                    tracing::error!(key, reason, "keeps what it has read before");
                    logged = Some(reason);
                }
            }
            Err(panic) => tracing::error!(key, %panic, "reading a file"),
        }
    }
}
