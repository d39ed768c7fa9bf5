//! Who signs what: a signer for each purpose, made from the credentials that a storage was opened with.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use reqsign_aws_v4::{Credential, DefaultCredentialProvider, RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, HttpSend, OsEnv, Signer};
use reqsign_file_read_tokio::TokioFileRead;
use secrecy::ExposeSecret;

use super::answer::Failure;
use crate::credentials::{Access, AccessKey, Purpose, StorageCredentials};

/// Longest search for the machine's own credentials: off a cloud, its address of instance data answers nobody.
const SEARCH: Duration = Duration::from_secs(20);

/// The signers of an opened storage.
pub(super) enum Signers {
    /// The machine's own credentials, for everything.
    Ambient(Box<Signer<Credential>>),
    /// One for each purpose that there is a key for.
    Keys(Vec<(Purpose, Signer<Credential>)>),
}

impl Signers {
    /// Makes them; asks nobody yet.
    pub(super) fn new(credentials: &StorageCredentials, region: &str) -> Self {
        match &credentials.access {
            Access::None => Self::Keys(Vec::new()),
            Access::Keys(keys) => {
                Self::Keys(keys.iter().map(|(purpose, key)| (*purpose, fixed(key, region))).collect())
            }
            Access::Ambient => {
                let context = Context::new().with_file_read(TokioFileRead).with_env(OsEnv).with_http_send(PlainHttp);
                let signer = Signer::new(context, DefaultCredentialProvider::new(), RequestSigner::new("s3", region));
                Self::Ambient(Box::new(signer))
            }
        }
    }

    /// Says whether there is a credential for this.
    pub(super) fn has(&self, purpose: Purpose) -> bool {
        self.of(purpose).is_some()
    }

    fn of(&self, purpose: Purpose) -> Option<&Signer<Credential>> {
        let exact = |wanted| match self {
            Self::Ambient(signer) => Some(&**signer),
            Self::Keys(keys) => keys.iter().find(|(purpose, _)| *purpose == wanted).map(|(_, signer)| signer),
        };
        exact(purpose).or_else(|| if purpose == Purpose::Watch { exact(Purpose::Read) } else { None })
    }

    /// Signs a request.
    pub(super) async fn sign(&self, parts: &mut Parts, purpose: Purpose) -> Result<(), Failure> {
        let signer = self.of(purpose).ok_or(Failure::Credential(purpose.word()))?;
        match tokio::time::timeout(SEARCH, signer.sign(parts, None)).await {
            Ok(Ok(())) => Ok(()),
            // Its words may hold a path or a role's name; its context may hold more, and is left out.
            Ok(Err(error)) => Err(Failure::Sign(format!("{:?}", error.kind()))),
            Err(_) => Err(Failure::Sign(format!("nothing was found within {} seconds", SEARCH.as_secs()))),
        }
    }
}

fn fixed(key: &AccessKey, region: &str) -> Signer<Credential> {
    let mut provider = StaticCredentialProvider::new(&key.id, key.secret.expose_secret());
    if let Some(session) = &key.session {
        provider = provider.with_session_token(session.expose_secret());
    }
    Signer::new(Context::new(), provider, RequestSigner::new("s3", region))
}

/// How the search for credentials speaks HTTP: to the machine's own services and to the token service.
#[derive(Debug)]
struct PlainHttp;

impl HttpSend for PlainHttp {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        let told =
            |error: reqwest::Error| reqsign_core::Error::unexpected("no answer").with_source(error.without_url());
        let request = reqwest::Request::try_from(request).map_err(told)?;
        let client = reqwest::Client::builder().connect_timeout(Duration::from_secs(2)).build().map_err(told)?;
        let answer = client.execute(request).await.map_err(told)?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        *response.body_mut() = answer.bytes().await.map_err(told)?;
        Ok(response)
    }
}
