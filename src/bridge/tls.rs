//! TLS: the trusted authorities, and this client's certificate.

use super::limits::{PEM_BYTES_MAX, TLS_UNSENT_BYTES};
use super::secret::read_key;
use crate::client::shown::described;
use crate::clock::Utc;
use nix::fcntl::OFlag;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore};
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The authorities to trust, in place of the system's.
    pub ca: Option<PathBuf>,
    /// This client's certificate, with the intermediate certificates.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// The length of a date such as `2026-11-29`.
const DAY_CHARS: usize = 10;

/// The library's name for the error that a server shows the certificate of an authority as its own.
const CA_AS_END: &str = "CaUsedAsEndEntity";

/// The library's name for the error that a certificate has version 1.
const VERSION_1: &str = "UnsupportedCertVersion";

/// Makes connections to one server.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// TLS for the server with that name or address.
    ///
    /// # Errors
    /// Why not, in one line.
    pub fn new(files: &Files, name: &str) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?.with_root_certificates(authorities(files)?);
        let config = match (&files.certificate, &files.key) {
            (Some(certificate), Some(key)) => {
                let of_key = |error| format!("{}: {error}", key.display());
                let read = PrivateKeyDer::from_pem_slice(&read_key(key)?);
                let private = read.map_err(|_| of_key("it holds no private key in PEM".to_string()))?;
                let chain = certificates(certificate)?;
                let both = |error| format!("{} and {}: {error}", certificate.display(), key.display());
                builder.with_client_auth_cert(chain, private).map_err(|error| both(described_tls(&error)))?
            }
            _ => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from(name.to_string())
            .map_err(|_| format!("{name}: no certificate has that name"))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// A connection before its handshake.
    ///
    /// # Errors
    /// The library's.
    pub fn connection(&self) -> Result<ClientConnection, Error> {
        let mut connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())?;
        connection.set_buffer_limit(Some(TLS_UNSENT_BYTES));
        Ok(connection)
    }
}

fn authorities(files: &Files) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = match &files.ca {
        Some(path) => certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(found);
    match (&files.ca, roots.is_empty()) {
        (Some(path), true) => Err(format!("{}: it holds no certificate of an authority", path.display())),
        (None, true) => {
            Err("the system has no authorities to trust; install ca-certificates, or give --ca FILE"
                .to_string())
        }
        (_, false) => Ok(roots),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = |reason: String| format!("{}: {reason}", path.display());
    let mut bytes = Vec::new();
    // Without waiting: opening a FIFO would wait for its writer.
    let opened = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file = opened.map_err(|error| shown(described(&error)))?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(shown("it is not a regular file".to_string()));
    }
    file.take(PEM_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| shown(described(&error)))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(shown("it holds no certificate in PEM".to_string())),
    }
}

/// An error of TLS for people, with advice.
pub fn described_tls(error: &Error) -> String {
    // Only the day, so that the same failure gives the same line, which the log need not repeat.
    let day = |time: &UnixTime| -> String {
        Utc(time.as_secs().saturating_mul(1_000)).to_string().chars().take(DAY_CHARS).collect()
    };
    match error {
        Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => format!(
            "the broker's certificate, or its authority's, is not valid before {}, and the clock here says {}: it may not be set yet",
            day(not_before),
            day(time)
        ),
        Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => format!(
            "the broker's certificate, or its authority's, expired on {}, and the clock here says {}",
            day(not_after),
            day(time)
        ),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "no authority that is trusted here made the broker's certificate; --ca FILE names another"
                .to_string()
        }
        // The library has no variant for this error.
        Error::InvalidCertificate(CertificateError::Other(other)) if other.to_string() == CA_AS_END => {
            "the broker shows the certificate of an authority; make one for the broker itself, signed by that, with basicConstraints=CA:FALSE"
                .to_string()
        }
        Error::InvalidCertificate(CertificateError::Other(other)) if other.to_string().contains(VERSION_1) => {
            "a certificate has version 1; make one of version 3, with extensions such as subjectAltName".to_string()
        }
        Error::InvalidMessage(_) => "the broker does not speak TLS on this port".to_string(),
        error => format!("TLS: {error}"),
    }
}
