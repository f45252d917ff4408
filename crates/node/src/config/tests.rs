//! Config files that must be refused, with the words that they are refused with.

use super::Config;
use crate::config::OidcKeys;
use marquee_client::Address;
use marquee_events::Fsync;
use marquee_events::rules::EventLimits;
use std::path::Path;

const ROUTER: &str = r#"
[node]
id = "router-1"
roles = ["router"]
listen = "127.0.0.1:50052"
data_dir = "data/router-1"

[cluster]
control = ["http://127.0.0.1:50061", "127.0.0.1:50062"]
"#;

const CONTROL: &str = r#"
[node]
id = "control-1"
roles = ["control"]
listen = "127.0.0.1:50061"
data_dir = "/var/lib/marquee"

[control]
id = 1
voters = [{ id = 1, address = "http://127.0.0.1:50061" }]
"#;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("/etc/marquee/node.toml"), text).map_err(|e| e.to_string())
}

fn refused(text: &str) -> String {
    parse(text).expect_err("the config is wrong")
}

#[test]
fn a_router_needs_little() {
    let config = parse(ROUTER).expect("valid");
    assert_eq!(config.plan_address(), "http://127.0.0.1:50052");
    assert_eq!(config.data_dir, Path::new("/etc/marquee/data/router-1"));
    let control: Vec<&str> = config.control_addresses.iter().map(Address::as_str).collect();
    assert_eq!(control, ["http://127.0.0.1:50061", "http://127.0.0.1:50062"]);
    assert!(config.control.is_none());
}

#[test]
fn events_are_kept_beside_the_plan_unless_told_otherwise() {
    let config = parse(ROUTER).expect("valid");
    let settings = config.events.expect("on by default");
    let log = settings.events.log;
    assert_eq!(log.directory, Path::new("/etc/marquee/data/router-1/events"));
    assert_eq!((log.fsync, log.segment_bytes, log.max_bytes), (Fsync::Always, 64 << 20, 8 << 30));
    assert_eq!(settings.events.limits, EventLimits::default());
    assert_eq!(settings.exposures.sample_basis_points, 10_000);
    assert_eq!(settings.exposures.log.directory, log.directory.join("exposures"));
    let told = "[router.events]\ndirectory = \"/var/events\"\nfsync = \"interval\"\nmax_skew_seconds = 5\n";
    let settings = parse(&format!("{ROUTER}{told}")).expect("valid").events.expect("on");
    assert_eq!(settings.events.log.directory, Path::new("/var/events"));
    assert_eq!(settings.events.log.fsync, Fsync::IntervalMs(100));
    assert_eq!(settings.events.limits.max_skew_ms, 5_000);
    let off = parse(&format!("{ROUTER}[router.events]\nenabled = false\n")).expect("valid");
    assert!(off.events.is_none());
}

#[test]
fn roles_may_share_an_address_or_have_their_own() {
    let one = CONTROL.replace(r#"["control"]"#, r#"["control", "shard", "router"]"#);
    let config = parse(&one).expect("valid");
    assert_eq!(config.listeners.len(), 1);
    let two = format!("{one}\n[router]\nlisten = \"127.0.0.1:50051\"\n");
    let config = parse(&two).expect("valid");
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(
        config.plan_address(),
        "http://127.0.0.1:50061",
        "routers must reach the shard role"
    );
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
    let says = refused(&ROUTER.replace("listen =", "lisen ="));
    assert_eq!(
        says,
        "/etc/marquee/node.toml:5: unknown key \"lisen\": the keys known here are id, roles, listen, advertise, data_dir"
    );
    let says = refused(&format!("{ROUTER}\n[rooter]\n"));
    assert!(says.contains("unknown key \"rooter\"") && says.contains("cluster"), "{says}");
}

/// The section of a node that all who reach it may use.
const OPEN: &str = "[auth]\ninsecure = true\n";
/// The sections of a node that speaks TLS.
const TLS: &str = "[tls]\ncertificate = \"n.pem\"\nkey = \"n.key\"\ntrust = \"/ca.pem\"\n";

#[test]
fn a_node_that_others_reach_needs_certificates_or_says_that_it_is_open() {
    let open = ROUTER.replace("127.0.0.1:50052", "10.0.0.7:50052");
    let says = refused(&open);
    assert!(says.contains("tls: is missing") && says.contains("--insecure"), "{says}");
    let insecure = parse(&format!("{open}[auth]\ninsecure = true\n")).expect("it says so");
    assert!(!insecure.auth.is_enforced);
    let encrypted =
        open.replace("http://", "https://").replace("\"127.0.0.1:50062", "\"https://a:1");
    let config = parse(&format!("{encrypted}{TLS}")).expect("it has certificates");
    assert!(config.auth.is_enforced);
    assert_eq!(config.auth.trust_domain, "marquee", "the cluster's name");
    assert_eq!(config.plan_address(), "https://10.0.0.7:50052");
    let tls = config.tls.expect("set");
    assert_eq!(tls.own.expect("set").1, Path::new("/etc/marquee/n.key"));
    assert_eq!(tls.trust, Path::new("/ca.pem"));
    let closed = parse(ROUTER).expect("on loopback");
    assert!(!closed.auth.is_enforced && closed.tls.is_none());
}

#[test]
fn callers_addresses_carry_no_other_roles_where_others_reach_them() {
    let all = CONTROL
        .replace(r#"["control"]"#, r#"["control", "shard", "router"]"#)
        .replace("127.0.0.1:50061\"\ndata", "10.0.0.7:50061\"\ndata")
        .replace("http://", "https://");
    let roots = "[bundles]\nroots = [\"/bundles\"]\n";
    let says = refused(&format!("{all}{TLS}{roots}"));
    assert!(says.contains("router.listen: shares 10.0.0.7:50061"), "{says}");
    parse(&format!("{all}[router]\ncarries_other_roles = true\n{TLS}{roots}"))
        .expect("it is meant");
    parse(&format!("{all}[router]\nlisten = \"10.0.0.7:50051\"\n{TLS}{roots}")).expect("its own");
}

#[test]
fn bad_values_name_their_key() {
    for (text, says) in [
        (ROUTER.replace("50052", "123456"), "node.toml:5: "),
        (ROUTER.replace("50052", "0"), "node.listen: port 0"),
        (ROUTER.replace("router-1\"\nroles", "a b\"\nroles"), "node.id: "),
        (ROUTER.replace(r#"["router"]"#, "[]"), "node.roles: is empty"),
        (ROUTER.replace(r#"["router"]"#, r#"["ruler"]"#), "node.toml:4: unknown variant `ruler`"),
        (ROUTER.replace("data_dir", "#"), "node.data_dir: is missing"),
        (ROUTER.replace("control =", "#"), "cluster.control: is missing"),
        (ROUTER.replace("http://", "https://"), "cluster.control[0]: \"https://127.0.0.1:50061\""),
        (ROUTER.replace("127.0.0.1:50052", "0.0.0.0:50052"), "node.advertise: is missing"),
        (format!("{ROUTER}[router]\ndefault_deadline_ms = 0\n"), "router.default_deadline_ms: 0 is not within 1 to 30000"),
        (format!("{ROUTER}[router]\nrow_cache_mib = 1048577\n"), "router.row_cache_mib: 1048577 is not within 0 to 1048576"),
        (format!("{ROUTER}[router.events]\nfsync = \"sometimes\"\n"), "unknown variant `sometimes`"),
        (format!("{ROUTER}[router.events]\nfsink = 1\n"), "unknown key \"fsink\": the keys known here are enabled"),
        (format!("{ROUTER}[router.events]\nsegment_mib = 0\n"), "router.events.segment_mib: 0 is not within 1 to 1024"),
        (format!("{ROUTER}[router.events]\nmax_total_mib = 255\n"), "router.events.max_total_mib: 255 is not within 256"),
        (format!("{ROUTER}[router.events]\nexposure_sample_basis_points = 10001\n"), "router.events.exposure_sample_basis_points: 10001"),
        (format!("{ROUTER}[router.events]\nmax_age_hours = 0\n"), "router.events.max_age_hours: 0"),
        (format!("{ROUTER}[router.events]\nmax_skew_seconds = 86401\n"), "router.events.max_skew_seconds: 86401"),
        (format!("{ROUTER}[router.events]\nfsync_interval_ms = 0\n"), "router.events.fsync_interval_ms: 0"),
        (format!("{ROUTER}[router.events]\nrating_max = nan\n"), "router.events.rating_max: NaN"),
        (format!("{ROUTER}[router.events]\nrating_min = 10.0\n"), "router.events.rating_max: 10 is not a number above"),
        (format!("{ROUTER}[server]\nmax_in_flight = 0\n"), "server.max_in_flight: 0 is not within"),
        (format!("{ROUTER}[server]\ndrain_seconds = 601\n"), "server.drain_seconds: 601"),
        (format!("{ROUTER}[server]\nmax_connections = 0\n"), "server.max_connections: 0 is not within"),
        (format!("{ROUTER}[server]\nrequest_seconds = 601\n"), "server.request_seconds: 601 is not within 1 to 600"),
        (format!("{ROUTER}[server]\nstreams_per_connection = 65537\n"), "server.streams_per_connection: 65537"),
        (
            format!("{ROUTER}[server]\nquotas = [{{ identity = \"a\", role = \"caller\", calls_per_second = 1 }}]\n"),
            "server.quotas[0]: names none or several",
        ),
        (
            format!("{ROUTER}[server]\nquotas = [{{ role = \"king\", calls_per_second = 1 }}]\n"),
            "server.quotas[0].role: \"king\" is no access role",
        ),
        (
            format!("{ROUTER}[server]\nquotas = [{{ anonymous = true, calls_per_second = 0 }}]\n"),
            "server.quotas[0].calls_per_second: 0 is not within",
        ),
        (
            format!("{ROUTER}[server]\nquotas = [{{ anonymous = true, calls_per_second = 1 }}, {{ anonymous = true, calls_per_second = 2 }}]\n"),
            "server.quotas[1]: limits whom another entry limits already",
        ),
        (format!("{ROUTER}[server]\ndrain_seconds = -1\n"), "node.toml:11: "),
        (format!("{ROUTER}[shard]\nsearch_threads = 2000\n"), "shard.search_threads: 2000"),
        (format!("{ROUTER}[server]\nio_threads = 65\n"), "server.io_threads: 65"),
        (format!("{ROUTER}[log]\nfilter = \"loud\"\n"), "log.filter: "),
        (CONTROL.replace("id = 1\n", "id = 2\n"), "control.id: 2 is none of control.voters, which are 1"),
        (CONTROL.replace("{ id = 1, address = \"http://127.0.0.1:50061\" }", ""), "control.voters: lists 0"),
        (
            CONTROL.replace("1:50061\" }]", "1:50061\" }, { id = 1, address = \"http://a:1\" }, { id = 2, address = \"http://a:2\" }]"),
            "control.voters[1].id: 1 is 0 or taken",
        ),
        (format!("{ROUTER}{TLS}"), "cluster.control[0]: \"http://127.0.0.1:50061\" is plain text"),
        (format!("{ROUTER}[tls]\ncertificate = \"a\"\n"), "node.toml:"),
        (format!("{ROUTER}[auth]\ntokens_file = \"t\"\n"), "tls: is missing: nodes prove who they are"),
        (format!("{ROUTER}[auth]\ntrust_domain = \"a b\"\n"), "auth.trust_domain: "),
        (oidc("jwks_file = \"k\""), "tls: is missing: nodes prove who they are"),
        (oidc(""), "auth.oidc.jwks_url: is missing"),
        (oidc("jwks_url = \"http://login/keys\""), "auth.oidc.jwks_url: is not https"),
        (oidc("jwks_url = \"file:///keys\""), "auth.oidc.jwks_url: is not https"),
        (oidc("jwks_file = \"k\"\njwks_url = \"https://l/k\""), "auth.oidc.jwks_file: is set beside"),
        (oidc("jwks_file = \"k\"").replace("\"marquee\"", "\"\""), "auth.oidc.audience: is empty"),
        (oidc("jwks_file = \"k\"").replace("operator", "shard"), "auth.oidc.roles: gives \"ops\" the role shard"),
        (oidc("jwks_file = \"k\"").replace("operator", "root"), "auth.oidc.roles: \"root\" is no access role"),
        (
            format!("{ROUTER}[auth]\nidentities = [{{ san = \"x\", roles = [\"root\"], name = \"x\" }}]\n"),
            "auth.identities[0].roles: \"root\" is no access role",
        ),
        (
            format!("{ROUTER}[auth]\nidentities = [{{ san = \"\", roles = [\"caller\"], name = \"x\" }}]\n"),
            "auth.identities[0].san: has 0 bytes",
        ),
        (
            format!(
                "{}{TLS}",
                CONTROL.replace(
                    "[{ id = 1, address = \"http://127.0.0.1:50061\" }]",
                    "[{ id = 1, address = \"https://a:1\", node = \"a\" }, { id = 2, address = \"https://a:2\" }, { id = 3, address = \"https://a:3\" }]",
                )
            ),
            "control.voters[1].node: is missing",
        ),
        (format!("{CONTROL}replication_factor = 0\n"), "control.replication_factor: 0"),
        (
            format!("{}{OPEN}", CONTROL.replace("\"127.0.0.1:50061\"", "\"10.0.0.1:50061\"")),
            "bundles.roots: is missing",
        ),
        (
            format!("{CONTROL}[bundles]\nrequire_signatures = true\n"),
            "bundles.require_signatures: is true and there are no bundles.trusted_keys",
        ),
        (format!("{CONTROL}[bundles]\ncopy_budget_mib = 16777217\n"), "bundles.copy_budget_mib: 16777217"),
        ("node = ".to_owned(), "node.toml:1: "),
    ] {
        let said = refused(&text);
        assert!(said.contains(says), "{said:?} does not say {says:?}");
    }
}

#[test]
fn bundles_may_be_anywhere_only_where_no_other_machine_asks() {
    let config = parse(CONTROL).expect("valid");
    assert!(config.bundle_roots.is_empty() && config.private_copies);
    let open = CONTROL.replace("\"127.0.0.1:50061\"", "\"10.0.0.1:50061\"");
    let config = parse(&format!("{open}{OPEN}[bundles]\nroots = [\"bundles\"]\n")).expect("valid");
    assert_eq!(config.bundle_roots, [Path::new("/etc/marquee/bundles")]);
    // A router reads no bundles.
    let open = ROUTER.replace("127.0.0.1:50052", "10.0.0.1:50052");
    assert!(parse(&format!("{open}{OPEN}")).is_ok());
}

#[test]
fn who_may_be_asked_and_who_is_told_is_read() {
    let outside = r#"
external_urls = ["http://prometheus:9090"]

[[control.notifications]]
name = "chat"
url = "https://chat.example.com/T0KEN"
format = "slack"
surfaces = ["home"]

[[control.notifications]]
name = "deploys"
url = "https://hooks.example.com/marquee"
secret_file = "hooks.secret"
"#;
    let config = parse(&format!("{CONTROL}{outside}")).expect("valid");
    assert!(!format!("{config:?}").contains("T0KEN"), "addresses of chats are secrets");
    let control = config.control.expect("it has the role");
    assert_eq!(control.external_urls.check("http://prometheus:9090/api"), Ok(()));
    let [chat, deploys] = &control.notifications[..] else { panic!("two are told") };
    assert!(chat.secret_file.is_none() && chat.surfaces.contains("home"));
    assert_eq!(deploys.secret_file.as_deref(), Some(Path::new("/etc/marquee/hooks.secret")));
    for (bad, says) in [
        ("external_urls = [\"prometheus\"]\n", "control.external_urls"),
        ("external_url = []\n", "unknown key \"external_url\""),
        ("[[control.notifications]]\nname = \"a\"\n", "missing field `url`"),
        (
            "[[control.notifications]]\nname = \"a\"\nurl = \"http://b\"\nformat = \"xml\"\n",
            "unknown variant `xml`",
        ),
    ] {
        let said = refused(&format!("{CONTROL}{bad}"));
        assert!(said.contains(says), "{said:?} does not say {says:?}");
    }
}

/// A router that accepts tokens of an identity provider, with more settings of it.
fn oidc(settings: &str) -> String {
    format!(
        "{ROUTER}[auth.oidc]\nissuer = \"https://login/\"\naudience = \"marquee\"\n{settings}\n\
         roles = {{ ops = [\"operator\"] }}\n"
    )
}

#[test]
fn an_identity_provider_is_read() {
    let text = format!("{CONTROL}{}", oidc("jwks_file = \"keys.json\"").replace(ROUTER, ""));
    let auth = parse(
        &text.replace("roles = [\"control\"]", "roles = [\"control\", \"shard\", \"router\"]"),
    )
    .expect("valid")
    .auth;
    let oidc = auth.oidc.expect("there is one");
    assert!(auth.is_enforced);
    assert_eq!((oidc.name_claim.as_str(), oidc.role_claim.as_str()), ("sub", "groups"));
    let OidcKeys::File(path) = oidc.keys else { panic!("a file was given") };
    assert_eq!(path, Path::new("/etc/marquee/keys.json"));
}
