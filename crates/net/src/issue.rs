//! Certificates of a development authority, for clusters on one machine and for tests.
//!
//! Its root is trusted by nothing but the files that name it. Production has an authority of its own.

use crate::tls::TlsError;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use std::net::IpAddr;

/// The subject of every development root. It is the same for all, so that a root can sign with its key alone.
const SUBJECT: &str = "Marquee development authority";

/// A day: year, month from 1, day from 1.
pub type Day = (i32, u8, u8);

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// What a certificate is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateOrder {
    /// URIs in its subject alternative names.
    pub uris: Vec<String>,
    /// The hosts that its owner serves as, names or IP addresses; none: a client only.
    pub hosts: Vec<String>,
    /// The first day of its validity.
    pub from: Day,
    /// The day on which it ceases to be valid.
    pub until: Day,
}

/// A certificate and its private key, in PEM.
pub struct Issued {
    /// The certificate, as a file has it.
    pub certificate: String,
    /// Its private key, in PKCS #8.
    pub key: String,
}

fn failed(error: rcgen::Error) -> TlsError {
    TlsError::Issue(error.to_string())
}

impl Authority {
    /// A new authority, with a root that is valid between these days.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(from: Day, until: Day) -> Result<Self, TlsError> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut root = root();
        set_days(&mut root, from, until);
        let certificate = root.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { issuer: Issuer::new(root, key), certificate })
    }

    /// The authority of a root that [`new`](Self::new) has made, and its key, both in PEM.
    ///
    /// # Errors
    /// If the key is malformed.
    pub fn of_pem(certificate: &str, key: &str) -> Result<Self, TlsError> {
        let key = KeyPair::from_pem(key).map_err(failed)?;
        Ok(Self { issuer: Issuer::new(root(), key), certificate: certificate.to_owned() })
    }

    /// The root's certificate, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The root's private key, in PEM.
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate with a new key.
    ///
    /// # Errors
    /// If a name in the order is not ASCII.
    pub fn issue(&self, order: &CertificateOrder) -> Result<Issued, TlsError> {
        let CertificateOrder { uris, hosts, from, until } = order;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name = |text: &String| Ia5String::try_from(text.as_str()).map_err(failed);
        for uri in uris {
            params.subject_alt_names.push(SanType::URI(name(uri)?));
        }
        for host in hosts {
            params.subject_alt_names.push(match host.parse::<IpAddr>() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(name(host)?),
            });
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !hosts.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        set_days(&mut params, *from, *until);
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(Issued { certificate, key: key.serialize_pem() })
    }
}

fn root() -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, SUBJECT);
    params.distinguished_name = subject;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn set_days(params: &mut CertificateParams, from: Day, until: Day) {
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(until.0, until.1, until.2);
}
