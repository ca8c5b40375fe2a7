//! What TLS clients that others wrote are told by the two listeners: openssl, curl, and sslyze where `EXHIBIT_SSLYZE` names it (`make soak`).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::*;
use tokio::task::spawn_blocking;

/// A scan is hundreds of handshakes that are refused.
const NO_BANS: &str = "[bans]\nattempts = 0\n";

/// Files for clients that read files: the root, and somebody's certificate with its chain and key.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn write(world: &World, party: &Party) -> Self {
        let folder = world.folder.path().to_owned();
        let chain: String = [std::slice::from_ref(&party.certificate), &party.chain].concat().iter().map(|one| one.to_pem()).collect();
        std::fs::write(folder.join("client.pem"), chain).unwrap();
        std::fs::write(folder.join("client.key"), party.signer.to_pkcs8_pem().as_bytes()).unwrap();
        std::fs::write(folder.join("ca.pem"), world.pki.root.to_pem()).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

async fn run(mut command: Command) -> (Option<i32>, String) {
    let ran = spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap()).await.unwrap();
    (ran.status.code(), format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr)))
}

/// `openssl s_client`, with one request on its standard input.
async fn openssl(files: &Files, port: u16, with_certificate: bool, more: &[&str]) -> String {
    let (ca, certificate, key) = (files.path("ca.pem"), files.path("client.pem"), files.path("client.key"));
    let request =
        "printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' | exec openssl s_client -ign_eof \"$@\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", request, "sh", "-connect", &format!("127.0.0.1:{port}"), "-servername", "localhost"]);
    command.args(["-verify_hostname", "localhost", "-verify_return_error", "-CAfile", &ca]);
    if with_certificate {
        command.args(["-cert", &certificate, "-cert_chain", &certificate, "-key", &key]);
    }
    command.args(more);
    run(command).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_connects_as_the_page_says_and_in_no_other_way() {
    let world = World::with(NO_BANS).await;
    let files = Files::write(&world, &world.camera);
    let (intake, public) = (world.running.addresses.intake.port(), world.running.addresses.public.port());
    for (port, with_certificate) in [(intake, true), (public, false)] {
        let said = openssl(&files, port, with_certificate, &[]).await;
        for expected in [
            "Verification: OK",
            "Verified peername: localhost",
            "TLSv1.3",
            "TLS_AES_256_GCM_SHA384",
            "HTTP/1.1 200 OK",
            "\"status\":\"ok\"",
        ] {
            assert!(said.contains(expected), "{expected} is not in:\n{said}");
        }
        assert!(!said.contains("Post-Handshake New Session Ticket"), "a ticket was given:\n{said}");
        for (what, more) in [
            ("TLS 1.2", ["-tls1_2", "-cipher", "ALL:@SECLEVEL=0"].as_slice()),
            ("AES-128", &["-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
            ("ChaCha20", &["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"]),
            ("a curve that is not on the list", &["-groups", "P-521"]),
        ] {
            let said = openssl(&files, port, with_certificate, more).await;
            assert!(!said.contains("HTTP/1.1") && said.contains("alert"), "{what}:\n{said}");
        }
        let said = openssl(&files, port, with_certificate, &["-groups", "P-384", "-alpn", "h2,http/1.1"]).await;
        assert!(said.contains("ALPN protocol: http/1.1") && said.contains("HTTP/1.1 200 OK"), "{said}");
    }
    let said = openssl(&files, intake, false, &[]).await;
    assert!(!said.contains("HTTP/1.1") && said.contains("certificate required"), "without a certificate:\n{said}");
    // Somebody of another PKI.
    let other = Pki::new(1 << 40).party("camera/102", &[exhibit_pki::Role::Camera], exhibit_pki::KeyPurpose::Signing);
    let said = openssl(&Files::write(&world, &other), intake, true, &[]).await;
    assert!(!said.contains("HTTP/1.1") && said.contains("alert"), "with a certificate of another root:\n{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_served_with_a_certificate_and_refused_without() {
    let world = World::with(NO_BANS).await;
    let files = Files::write(&world, &world.auditor);
    let (intake, public) = (world.running.addresses.intake.port(), world.running.addresses.public.port());
    let curl = async |port: u16, path: &str, more: &[&str]| {
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--cacert",
            &files.path("ca.pem"),
            "--write-out",
            "\n%{http_code} %{http_version}",
        ]);
        command.args(more).arg(format!("https://localhost:{port}{path}"));
        run(command).await
    };
    let (certificate, key) = (files.path("client.pem"), files.path("client.key"));
    let client = ["--cert", certificate.as_str(), "--key", key.as_str()];
    let (status, said) = curl(intake, "/v1/version", &client).await;
    assert!(status == Some(0) && said.ends_with("\n200 1.1") && said.contains("exhibit-appliance"), "{said}");
    let (status, said) = curl(intake, "/v1/version", &[&client[..], &["--http2"]].concat()).await;
    assert!(status == Some(0) && said.ends_with("\n200 1.1"), "{said}");
    let (status, said) = curl(public, "/log/checkpoint", &[]).await;
    assert!(status == Some(0) && said.starts_with("city.example/log/1\n") && said.ends_with("\n200 1.1"), "{said}");
    let (status, said) = curl(public, "/v1/version", &client).await;
    assert!(status == Some(0) && said.ends_with("\n404 1.1"), "{said}");
    let (status, said) = curl(intake, "/v1/version", &[]).await;
    assert!(status != Some(0) && said.contains("certificate required"), "{said}");
}

/// Whoever has a certificate of our authority that names nobody we know is told so, and holds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_no_profile_is_told_so_and_its_connection_ends() {
    let world = World::with(NO_BANS).await;
    let files = Files::write(&world, &world.camera);
    std::fs::write(files.path("issuing.pem"), world.pki.issuing.to_pem()).unwrap();
    std::fs::write(files.path("issuing.key"), world.pki.issuing_key_pem()).unwrap();
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-subj", "/CN=nobody", "-days", "1"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=clientAuth"]);
    command.args(["-CA", &files.path("issuing.pem"), "-CAkey", &files.path("issuing.key")]);
    command.args(["-keyout", &files.path("client.key"), "-out", &files.path("leaf.pem")]);
    let (status, said) = run(command).await;
    assert_eq!(status, Some(0), "{said}");
    let leaf = std::fs::read_to_string(files.path("leaf.pem")).unwrap();
    std::fs::write(files.path("client.pem"), leaf + &world.pki.issuing.to_pem()).unwrap();
    let mut command = Command::new("curl");
    let port = world.running.addresses.intake.port();
    command.args(["--silent", "--show-error", "--noproxy", "*", "--include", "--cacert", &files.path("ca.pem")]);
    command.args(["--cert", &files.path("client.pem"), "--key", &files.path("client.key"), &format!("https://localhost:{port}/healthz")]);
    let (_, said) = run(command).await;
    assert!(said.starts_with("HTTP/1.1 403") && said.contains("tag:exhibit,2026:certificate"), "{said}");
    assert!(said.contains("connection: close"), "its holder keeps as many connections as there are:\n{said}");
}

/// What sslyze is asked.
const PROBES: &[&str] = &[
    "--tlsv1_3",
    "--tlsv1_2",
    "--tlsv1_1",
    "--tlsv1",
    "--sslv3",
    "--sslv2",
    "--certinfo",
    "--compression",
    "--elliptic_curves",
    "--heartbleed",
    "--openssl_ccs",
    "--reneg",
];

/// What sslyze found, of one listener.
async fn scan(program: &str, folder: &Path, port: u16, arguments: &[&str]) -> serde_json::Value {
    let found = folder.join("found.json");
    let mut command = Command::new(program);
    command.arg("--quiet").arg("--json_out").arg(&found).args(arguments).arg(format!("127.0.0.1:{port}"));
    let (_, said) = run(command).await;
    let bytes = std::fs::read(&found).unwrap_or_else(|error| panic!("sslyze wrote nothing ({error}): {said}"));
    std::fs::remove_file(&found).unwrap();
    let found: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let server = &found["server_scan_results"][0];
    assert_eq!((&server["connectivity_status"], &server["scan_status"]), (&"COMPLETED".into(), &"COMPLETED".into()), "{said} {server}");
    server["scan_result"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_finds_nothing_but_what_the_page_says() {
    let Some(program) = std::env::var("EXHIBIT_SSLYZE").ok().filter(|program| !program.is_empty()) else {
        println!("SKIPPED: EXHIBIT_SSLYZE names no scanner (scripts/sslyze.sh)");
        return;
    };
    let world = World::with(NO_BANS).await;
    let files = Files::write(&world, &world.camera);
    let (certificate, key) = (files.path("client.pem"), files.path("client.key"));
    let (intake, public) = (world.running.addresses.intake.port(), world.running.addresses.public.port());
    for (port, client) in [(intake, &["--cert", certificate.as_str(), "--key", key.as_str()][..]), (public, &[])] {
        // Without a certificate, since sslyze 6.3 fails by itself where it has one and tries SSL 2.0; but for early data, which needs one.
        let mut found = scan(&program, &files.folder, port, PROBES).await;
        let early = scan(&program, &files.folder, port, &[client, &["--early_data"]].concat()).await;
        found["tls_1_3_early_data"] = early["tls_1_3_early_data"].clone();
        let result = |name: &str| {
            assert_eq!(found[name]["status"], "COMPLETED", "{name}: {}", found[name]);
            found[name]["result"].clone()
        };
        let names = |list: &serde_json::Value, member: &str| -> Vec<String> {
            let name = |item: &serde_json::Value| if member.is_empty() { item["name"].clone() } else { item[member]["name"].clone() };
            list.as_array().unwrap().iter().map(|item| name(item).as_str().unwrap().to_owned()).collect()
        };
        for old in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2"] {
            let accepted = result(&format!("{old}_cipher_suites"))["accepted_cipher_suites"].clone();
            assert_eq!(accepted, serde_json::json!([]), "{old} is spoken");
        }
        let accepted = result("tls_1_3_cipher_suites")["accepted_cipher_suites"].clone();
        assert_eq!(names(&accepted, "cipher_suite"), ["TLS_AES_256_GCM_SHA384"]);
        assert_eq!(result("tls_compression")["supports_compression"], false);
        assert_eq!(result("tls_1_3_early_data")["supports_early_data"], false, "early data may be played again");
        assert_eq!(result("heartbleed")["is_vulnerable_to_heartbleed"], false);
        assert_eq!(result("openssl_ccs_injection")["is_vulnerable_to_ccs_injection"], false);
        assert_eq!(result("session_renegotiation")["is_vulnerable_to_client_renegotiation_dos"], false);
        let mut curves = names(&result("elliptic_curves")["supported_curves"], "");
        curves.sort();
        println!("{port}: {curves:?}");
        assert_eq!(curves, ["X25519", "secp384r1"]);
        // What the certificate is worth, openssl says above.
        result("certificate_info");
    }
}
