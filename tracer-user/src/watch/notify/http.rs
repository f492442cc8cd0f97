//! One POST, with one deadline over all of it: name lookup, connection, TLS, body and answer.
//!
//! The status decides; what the answer says besides is not read. A redirect is not followed: the body
//! and the secret were meant for the place that was named. No error tells a URL, which may be a secret.

use std::{path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use ureq::{
    Agent,
    http::{
        StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
    tls::{Certificate, RootCerts, TlsConfig, TlsProvider},
};

use super::{failure::Failure, secret};
use crate::config::notify::{Address, Auth, Endpoint};

const REDIRECT: &str = "a redirect, which is not followed; configure the place it leads to";

/// What is sent.
pub(super) struct Post<'a> {
    /// Follows the URL.
    pub(super) path: &'a str,
    pub(super) headers: &'a mut dyn Iterator<Item = (&'a str, &'a str)>,
    pub(super) body: &'a [u8],
}

/// Connections to one place.
pub(super) struct Client {
    to: Endpoint,
    /// For all attempts; one for each where the certificates to trust are in a file, which may be changed.
    agent: Option<Agent>,
}

impl Client {
    pub(super) fn new(to: Endpoint) -> Self {
        let is_open = matches!(&to.url, Address::Plain(url) if url.starts_with("http://"));
        let agent = match &to.ca_file {
            Some(_) => None,
            None if is_open => Some(agent(TlsConfig::default())),
            None => Some(agent(system_tls())),
        };
        Self { to, agent }
    }

    pub(super) fn post(&self, post: Post<'_>, within: Duration) -> Result<(), Failure> {
        let url = match &self.to.url {
            Address::Plain(url) => format!("{url}{}", post.path),
            Address::Secret(place) => format!("{}{}", secret::read(place)?.reveal(), post.path),
        };
        let fresh = match &self.to.ca_file {
            Some(file) => Some(agent(tls_by(file)?)),
            None => None,
        };
        let Some(agent) = fresh.as_ref().or(self.agent.as_ref()) else {
            return Err(Failure::Again("there is no client".to_owned()));
        };
        let mut request = agent.post(url).header(CONTENT_TYPE, "application/json");
        for (name, value) in post.headers {
            request = request.header(name, value);
        }
        if let Some(auth) = &self.to.auth {
            request = request.header(AUTHORIZATION, authorization(auth)?);
        }
        let answer = request
            .config()
            .timeout_global(Some(within))
            .build()
            .send(post.body)
            .map_err(|error| Failure::Again(told(&error)))?;
        judge(answer.status())
    }
}

fn agent(tls: TlsConfig) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("tracer/", env!("CARGO_PKG_VERSION")))
        .max_response_header_size(64 << 10)
        // Alerts are rare, and a connection that died unseen costs an attempt.
        .max_idle_connections(0)
        .tls_config(tls)
        .build()
        .new_agent()
}

/// Who we say we are, for `Authorization`.
fn authorization(auth: &Auth) -> Result<String, Failure> {
    Ok(match auth {
        Auth::Bearer(token) => format!("Bearer {}", secret::read(token)?.reveal()),
        Auth::Basic { user, password } => {
            let pair = format!("{user}:{}", secret::read(password)?.reveal());
            format!("Basic {}", BASE64_STANDARD.encode(pair))
        }
    })
}

/// Trusts whom the system trusts. Read once a notifier, when it is started.
fn system_tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    let certificates = found.certs.iter();
    tls(certificates.map(|der| Certificate::from_der(der).to_owned()))
}

/// Trusts what is in the file, and nobody else.
fn tls_by(file: &Path) -> Result<TlsConfig, Failure> {
    let failed =
        |why: String| Failure::Again(format!("the certificates in {}: {why}", file.display()));
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() {
        return Err(failed("there is none".to_owned()));
    }
    let certificates = certificates.iter();
    Ok(tls(
        certificates.map(|der| Certificate::from_der(der).to_owned())
    ))
}

fn tls(trusted: impl Iterator<Item = Certificate<'static>>) -> TlsConfig {
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(trusted.collect())))
        .build()
}

/// What a status means for the alert.
fn judge(status: StatusCode) -> Result<(), Failure> {
    let code = status.as_u16();
    match code {
        200..=299 => Ok(()),
        300..=399 => Err(Failure::Again(format!("HTTP {code}: {REDIRECT}"))),
        // The alert itself is not liked; it will not be the next time either.
        400 | 405 | 406 | 411 | 413..=415 | 422 => Err(Failure::Refused(format!("HTTP {code}"))),
        _ => Err(Failure::Again(format!("HTTP {code}"))),
    }
}

/// An error without what could be secret in it.
fn told(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        // What TLS does not like comes as an error of the connection.
        ureq::Error::Io(error) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            inner.map_or_else(|| error.kind().to_string(), not_secure)
        }
        ureq::Error::RedirectFailed | ureq::Error::TooManyRedirects => REDIRECT.to_owned(),
        ureq::Error::HostNotFound => "no address for the host name".to_owned(),
        ureq::Error::ConnectionFailed => "connection failed".to_owned(),
        ureq::Error::Tls(what) => format!("TLS: {what}"),
        ureq::Error::Rustls(error) => not_secure(error),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            "the URL or a header is not valid".to_owned()
        }
        ureq::Error::Protocol(_) => "the answer is not HTTP".to_owned(),
        _ => "the request failed".to_owned(),
    }
}

/// Why there is no TLS, without the names, which are the URL's.
fn not_secure(error: &rustls::Error) -> String {
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
    };
    let rustls::Error::InvalidCertificate(why) = error else {
        return format!("TLS: {error}");
    };
    let why = match why {
        UnknownIssuer => "is signed by nobody who is trusted: ca_file says whom to trust",
        NotValidForName | NotValidForNameContext { .. } => "is of another name than the URL has",
        Expired | ExpiredContext { .. } => "has expired",
        _ => "cannot be accepted",
    };
    format!("the receiver's certificate {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(code: u16) -> Result<(), Failure> {
        judge(StatusCode::from_u16(code).expect("a status"))
    }

    #[test]
    fn only_what_will_never_be_taken_is_given_up() {
        assert!(judged(200).is_ok() && judged(204).is_ok());
        for again in [301, 401, 403, 404, 408, 409, 425, 429, 500, 502, 503] {
            assert!(matches!(judged(again), Err(Failure::Again(_))), "{again}");
        }
        for refused in [400, 413, 422] {
            assert!(
                matches!(judged(refused), Err(Failure::Refused(_))),
                "{refused}"
            );
        }
    }
}
