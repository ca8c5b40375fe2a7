//! A city whose authority is the real program, and whose appliance pretends.

use std::fs;
use std::process::{Command, Output};

use exhibit_evidence::Body;
use exhibit_pki::{Certificate, Identity, SoftwareSigner, build_request_pem};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::Ledger;

/// An authority, an appliance that pretends, and a camera's request.
pub struct City {
    pub folder: TempDir,
    pub ledger: Ledger,
}

impl City {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = |arguments: &str| {
            let output = program(&folder, arguments);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run("init --dir ca --domain city.example");
        let appliance_key = request(&folder, "appliance.csr", "appliance/1", 5);
        request(&folder, "camera.csr", "camera/102", 3);
        request(&folder, "other.csr", "camera/103", 4);
        run("sign --dir ca --csr appliance.csr --role appliance --server-name localhost --out appliance.pem");
        let [appliance, issuing, root] = ["appliance.pem", "ca/issuing.pem", "ca/root.pem"].map(|name| certificate(&folder, name));
        let ledger = Ledger::start(&[&appliance, &issuing], &appliance_key.to_pkcs8_pem(), &root);
        fs::write(folder.path().join("anchor.json"), ledger.anchor.to_json()).unwrap();
        Self { folder, ledger }
    }

    pub fn sign(&self, request: &str, out: &str) -> Output {
        let address = &self.ledger.address;
        let ledger = format!("--appliance {address} --anchor anchor.json");
        program(&self.folder, &format!("--json sign --dir ca --csr {request} --role camera --out {out} {ledger}"))
    }

    pub fn exists(&self, name: &str) -> bool {
        self.folder.path().join(name).exists()
    }

    /// The fingerprints that the ledger introduced, in order.
    pub fn introduced(&self) -> Vec<[u8; 32]> {
        let fingerprint = |body: &Body| match body {
            Body::Certificate(body) => body.fingerprint,
            other => panic!("the authority stated {}", other.type_name()),
        };
        self.ledger.entries().iter().map(|entry| fingerprint(&entry.statement().body)).collect()
    }
}

pub fn program(folder: &TempDir, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exhibit-authority"));
    command.args(arguments.split(' ')).current_dir(folder.path()).output().unwrap()
}

pub fn request(folder: &TempDir, name: &str, subject: &str, number: u8) -> SoftwareSigner {
    let key = SoftwareSigner::from_scalar(&Zeroizing::new([number; 48])).unwrap();
    let identity = Identity::parse(&format!("spiffe://city.example/{subject}")).unwrap();
    fs::write(folder.path().join(name), build_request_pem(&identity, &key).unwrap()).unwrap();
    key
}

pub fn certificate(folder: &TempDir, name: &str) -> Certificate {
    Certificate::from_pem(&fs::read_to_string(folder.path().join(name)).unwrap()).unwrap()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}
