//! TLS before the API: a certificate with its key, shown to whoever comes, and replaced while connections come.
//!
//! Absent on purpose: files, and when they are looked at (the role does that); certificates of clients, who bring tokens;
//! connections (`accept`).

use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// Why a certificate with its key cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no certificate in the text.
    #[error("there is no certificate in it (PEM: -----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// A certificate cannot be read.
    #[error("a certificate in it cannot be read")]
    Certificate(#[source] rustls::Error),
    /// There is no key in the text.
    #[error("there is no private key in it that could be read without a password (PEM: -----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// The key is of no kind that is known, or broken.
    #[error("the private key in it cannot be used")]
    Key(#[source] rustls::Error),
    /// The key is another certificate's.
    #[error("the private key in it is not that of the first certificate")]
    Mismatch,
}

impl TlsError {
    /// Says whether it is about the certificate's text, not the key's.
    pub const fn is_about_certificate(&self) -> bool {
        matches!(self, Self::NoCertificate | Self::Certificate(_))
    }
}

/// A certificate with its key. Clones share it.
#[derive(Debug, Clone)]
pub struct Tls {
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
}

/// What is shown to the next one who comes.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// Makes it from PEM: the certificate with those between it and its authority below it, and the key.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        let pair = pair(certificate, key, &provider)?;
        let shown = Arc::new(Shown(RwLock::new(Arc::new(pair))));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has suites of both versions");
        let mut config = config.with_no_client_auth().with_cert_resolver(shown.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { shown, config: Arc::new(config) })
    }

    /// Shows another certificate from now on. Connections that are there stay as they are.
    ///
    /// # Errors
    /// [`TlsError`]; then the old one is shown as before.
    pub fn renew(&self, certificate: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let pair = Arc::new(pair(certificate, key, self.config.crypto_provider())?);
        *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = pair;
        Ok(())
    }

    /// Returns what speaks TLS with those who come.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }
}

/// Reads a certificate with its key, and holds the one against the other.
fn pair(certificate: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Certificate(rustls::Error::General(error.to_string())))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch,
        error @ rustls::Error::InvalidCertificate(_) => TlsError::Certificate(error),
        error => TlsError::Key(error),
    })
}
