//! Certificates of a development authority, for clusters on one machine and for tests.
//!
//! Its root is trusted by nothing but the files that name it. Production has an authority of its own.

use crate::tls::TlsError;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::net::IpAddr;
use webpki::{BorrowedCertRevocationList, EndEntityCert};

/// What the subjects of development roots begin with. What follows is of the root's key, so that a root can sign with its
/// key alone, and so that the list of revoked certificates of one is never taken for that of another.
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
        let mut root = root(&subject_of(&key));
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
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| TlsError::Issue("the root is no certificate in PEM".into()))?;
        let own = subject_of(&key);
        // Roots of earlier versions all have the same subject.
        let has_own = der.windows(own.len()).any(|bytes| bytes == own.as_bytes());
        let root = root(if has_own { &own } else { SUBJECT });
        Ok(Self { issuer: Issuer::new(root, key), certificate: certificate.to_owned() })
    }

    /// The root's certificate, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The root's private key, in PEM.
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A list of revoked certificates, in PEM: those of `list`, and these certificates of this authority. `today` is
    /// when, and `until` the day by which the next list is due.
    ///
    /// # Errors
    /// If the list or one of the certificates is malformed.
    pub fn revoke(
        &self,
        list: Option<&str>,
        certificates: &[String],
        today: Day,
        until: Day,
    ) -> Result<String, TlsError> {
        let malformed = |what: &str| TlsError::Issue(format!("{what} is malformed"));
        let mut serials: Vec<Vec<u8>> = Vec::new();
        if let Some(list) = list {
            let wrong = || malformed("the list of revoked certificates");
            let der = CertificateRevocationListDer::from_pem_slice(list.as_bytes());
            let der = der.map_err(|_| wrong())?;
            let parsed = BorrowedCertRevocationList::from_der(&der).map_err(|_| wrong())?;
            for revoked in &parsed {
                serials.push(revoked.map_err(|_| wrong())?.serial_number.to_vec());
            }
        }
        for certificate in certificates {
            let der = CertificateDer::from_pem_slice(certificate.as_bytes());
            let der = der.map_err(|_| malformed("a certificate"))?;
            let parsed = EndEntityCert::try_from(&der).map_err(|_| malformed("a certificate"))?;
            let serial = parsed.serial().to_vec();
            if !serials.contains(&serial) {
                serials.push(serial);
            }
        }
        let day = |it: Day| date_time_ymd(it.0, it.1, it.2);
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: day(today),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: day(today),
            next_update: day(until),
            // Nothing is ever taken from a list, so its length grows with each.
            crl_number: SerialNumber::from(serials.len() as u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).and_then(|it| it.pem()).map_err(failed)
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

/// The subject of the root with this key.
fn subject_of(key: &KeyPair) -> String {
    // The first byte of a point says how it is written; the next are the key's own.
    let own = key.public_key_raw().iter().skip(1).take(8);
    let hex: Vec<String> = own.map(|byte| format!("{byte:02x}")).collect();
    format!("{SUBJECT} {}", hex.concat())
}

fn root(subject: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, subject);
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn set_days(params: &mut CertificateParams, from: Day, until: Day) {
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(until.0, until.1, until.2);
}
