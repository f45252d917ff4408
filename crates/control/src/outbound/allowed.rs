//! Which addresses control may ask.

use http::Uri;

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is no address of a web server.
    #[error(
        "{0:?} is not of the form http://host:port/path or https://host:port/path, without user and password"
    )]
    Form(String),
    /// Its path may mean another one to the server.
    #[error(
        "the path of {0:?} has '..', '.', '\\', or an escape of them or of '/': write it plainly"
    )]
    Path(String),
    /// No entry of the config allows it.
    #[error(
        "control.external_urls does not allow {0:?}: the operator of the control nodes can add the beginning of it there"
    )]
    NotAllowed(String),
}

/// An address in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    is_tls: bool,
    host: String,
    port: u16,
    path: String,
}

fn parts(url: &str) -> Result<Parts, UrlError> {
    let wrong_form = || UrlError::Form(url.into());
    let uri: Uri = url.parse().map_err(|_| wrong_form())?;
    let authority = uri.authority().ok_or_else(wrong_form)?;
    // The client would send them, and who reads an address mistakes them for the host.
    if authority.as_str().contains('@') || uri.host().is_none_or(str::is_empty) {
        return Err(wrong_form());
    }
    let is_tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong_form()),
    };
    let port = match (authority.port(), is_tls) {
        (Some(port), _) => port.as_str().parse().map_err(|_| wrong_form())?,
        // Something is behind the host that is no port.
        (None, _) if authority.as_str() != authority.host() => return Err(wrong_form()),
        (None, true) => 443,
        (None, false) => 80,
    };
    let path = uri.path();
    let escaped = path.to_ascii_lowercase();
    let has_dots = path.split('/').any(|part| matches!(part, "." | ".."));
    if has_dots
        || path.contains('\\')
        || ["%2e", "%2f", "%5c"].iter().any(|it| escaped.contains(it))
    {
        return Err(UrlError::Path(url.into()));
    }
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    Ok(Parts { is_tls, host, port, path: path.into() })
}

/// The beginnings of addresses that control may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedUrls(Vec<Parts>);

impl AllowedUrls {
    /// Reads beginnings such as `http://prometheus:9090` or `https://checks.example.com/rollouts/`.
    ///
    /// # Errors
    /// One of them is no address.
    pub fn parse(prefixes: &[String]) -> Result<Self, UrlError> {
        prefixes.iter().map(|prefix| parts(prefix)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is no address that may be asked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that an address may be asked: an entry has its scheme, its host and its port, and its path begins with the entry's,
    /// up to a `/`.
    ///
    /// # Errors
    /// It is no address, or no entry allows it.
    pub fn check(&self, url: &str) -> Result<(), UrlError> {
        let asked = parts(url)?;
        let is_allowed = self.0.iter().any(|entry| {
            let Parts { is_tls, host, port, path } = entry;
            let rest = asked.path.strip_prefix(path.as_str());
            let ends_a_part =
                |rest: &str| path.ends_with('/') || rest.is_empty() || rest.starts_with('/');
            (*is_tls, host, *port) == (asked.is_tls, &asked.host, asked.port)
                && rest.is_some_and(ends_a_part)
        });
        if is_allowed { Ok(()) } else { Err(UrlError::NotAllowed(url.into())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_as_an_entry_is_allowed() {
        let entries = ["http://prometheus:9090", "https://checks.example.com/rollouts"];
        let allowed = AllowedUrls::parse(&entries.map(String::from)).expect("addresses");
        for url in [
            "http://prometheus:9090",
            "http://prometheus:9090/",
            "http://Prometheus:9090/graph",
            "https://checks.example.com/rollouts",
            "https://checks.example.com:443/rollouts/home?key=1",
        ] {
            assert_eq!(allowed.check(url), Ok(()), "{url}");
        }
        for url in [
            "https://prometheus:9090",
            "http://prometheus",
            "http://prometheus:9091",
            "http://prometheus:90900",
            "http://prometheus.evil.example:9090",
            "http://prometheus:9090@evil.example",
            "http://user@prometheus:9090",
            "https://checks.example.com/rollouts-of-others",
            "https://checks.example.com/",
            "https://checks.example.com/rollouts/../admin",
            "https://checks.example.com/rollouts/%2E%2e/admin",
            "https://checks.example.com/rollouts%2f..%2fadmin",
            "https://checks.example.com/rollouts\\..\\admin",
            "http://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            "prometheus:9090",
            "",
        ] {
            assert!(allowed.check(url).is_err(), "{url}");
        }
        assert!(AllowedUrls::default().check("http://prometheus:9090").is_err(), "none is allowed");
    }

    #[test]
    fn what_is_no_address_is_no_entry() {
        for entry in
            ["prometheus", "ftp://a", "http://", "http://a:b", "http://u:p@a", "http://a/../b"]
        {
            assert!(AllowedUrls::parse(&[entry.into()]).is_err(), "{entry}");
        }
    }
}
