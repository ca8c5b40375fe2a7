//! The authority's folder: its keys and certificates, and a copy of each certificate that it issued.
//!
//! It does not know the ledger, and does not judge who should be certified.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exhibit_client::ClientIdentity;
use exhibit_pki::crl::{MakeListError, RevocationList};
use exhibit_pki::{
    Certificate, EndEntity, Identity, Issuance, KeyPurpose, Role, Signer, SoftwareSigner, Subject, Timestamp, TrustDomain,
    issue_end_entity, issue_issuing_ca, issue_root,
};
use serde_json::json;

use crate::Report;
use crate::arguments::Init;
use crate::failure::Failure;
use crate::files::{self, MODE_PUBLIC, MODE_SECRET};

/// What `sign` needs of the authority. The root's key is not among it: that is offline.
pub struct Authority {
    /// The folder, which also holds the state of the authority's stream.
    pub folder: PathBuf,
    /// The trust anchor.
    pub root: Certificate,
    /// What end entities are issued under.
    pub issuing: Certificate,
    /// Signs the authority's statements.
    pub authority: Certificate,
    /// Its key.
    pub authority_key: Arc<SoftwareSigner>,
    issuing_key: SoftwareSigner,
}

/// Makes a new authority. Everything is made aside and appears at once, so that a crash leaves no half of one.
pub fn init(init: &Init, now: Timestamp) -> Result<Report, Failure> {
    let name = init.dir.file_name().ok_or_else(|| Failure::Cannot(format!("{} is not the name of a folder", init.dir.display())))?;
    let mut aside_name = name.to_owned();
    aside_name.push(".part");
    let aside = init.dir.with_file_name(aside_name);
    if fs::read_dir(&init.dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::Exists(init.dir.clone()));
    }
    let made = Made::new(&init.domain, now)?;
    files::create_folder(&aside)?;
    made.write(&aside)?;
    fs::rename(&aside, &init.dir).map_err(Failure::file("create", &init.dir))?;
    files::sync_folder_of(&init.dir)?;
    let folder = init.dir.display();
    let text = format!(
        "Made the authority of {domain} in {folder}.\n\
         root      {root}\n          valid until {until}; move {folder}/root.key offline, and keep it\n\
         issuing   {issuing}\n\
         authority {authority}\n\
         Give root.pem and chain.pem to whoever gets a certificate.",
        domain = init.domain,
        root = hex::encode(made.root.fingerprint()),
        until = made.root.not_after(),
        issuing = hex::encode(made.issuing.fingerprint()),
        authority = hex::encode(made.authority.fingerprint()),
    );
    let json = json!({
        "domain": init.domain.as_str(),
        "dir": init.dir,
        "root": hex::encode(made.root.fingerprint()),
        "issuing": hex::encode(made.issuing.fingerprint()),
        "authority": hex::encode(made.authority.fingerprint()),
    });
    Ok(Report { text, json })
}

/// An authority that stands in no folder yet.
struct Made {
    root: Certificate,
    root_key: SoftwareSigner,
    issuing: Certificate,
    issuing_key: SoftwareSigner,
    authority: Certificate,
    authority_key: SoftwareSigner,
}

impl Made {
    fn new(domain: &TrustDomain, now: Timestamp) -> Result<Self, Failure> {
        let (root_key, issuing_key, authority_key) = (draw_key()?, draw_key()?, draw_key()?);
        // 64 characters are all that a name may have.
        let name = |what: &str| if domain.as_str().len() <= 48 { format!("{domain} {what}") } else { what.to_owned() };
        let root = issue_root(&name("root"), domain, &root_key, &issuance(now, ROOT_DAYS)?)?;
        let validity = issuance(now, ISSUING_DAYS)?;
        let issuing = issue_issuing_ca(&name("issuing"), issuing_key.public_key(), &Role::ALL, &root, &root_key, &validity)?;
        let identity = Identity { domain: domain.clone(), subject: Subject::Authority(AUTHORITY_ID.to_owned()) };
        let entity = EndEntity {
            identity: &identity,
            public_key: authority_key.public_key(),
            purpose: KeyPurpose::Signing,
            roles: &[Role::Authority],
            server_names: &[],
        };
        let authority = issue_end_entity(&entity, &issuing, &issuing_key, &issuance(now, ISSUING_DAYS)?)?;
        Ok(Self { root, root_key, issuing, issuing_key, authority, authority_key })
    }

    fn write(&self, folder: &Path) -> Result<(), Failure> {
        for (name, key) in [(ROOT, &self.root_key), (ISSUING, &self.issuing_key), (AUTHORITY, &self.authority_key)] {
            files::write_new(&folder.join(format!("{name}.key")), key.to_pkcs8_pem().as_bytes(), MODE_SECRET)?;
        }
        for (name, certificate) in [(ROOT, &self.root), (ISSUING, &self.issuing), (AUTHORITY, &self.authority), (CHAIN, &self.issuing)] {
            files::write_new(&folder.join(format!("{name}.pem")), certificate.to_pem().as_bytes(), MODE_PUBLIC)?;
        }
        files::create_folder(&folder.join(ISSUED_FOLDER))?;
        files::sync_folder(folder)
    }
}

impl Authority {
    /// Opens the folder that `init` made.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let certificate = |name: &str| {
            let path = folder.join(format!("{name}.pem"));
            Certificate::from_pem(&files::read(&path)?).map_err(|error| Failure::content(&path, error))
        };
        let key = |name: &str, certificate: &Certificate| {
            let path = folder.join(format!("{name}.key"));
            let key = SoftwareSigner::from_pkcs8_pem(&files::read(&path)?).map_err(|error| Failure::content(&path, error))?;
            let fits = key.public_key() == certificate.public_key();
            if fits { Ok(key) } else { Err(Failure::content(&path, format!("it is not the key of {name}.pem"))) }
        };
        let (root, issuing, authority) = (certificate(ROOT)?, certificate(ISSUING)?, certificate(AUTHORITY)?);
        let (issuing_key, authority_key) = (key(ISSUING, &issuing)?, Arc::new(key(AUTHORITY, &authority)?));
        Ok(Self { folder: folder.to_owned(), root, issuing, authority, authority_key, issuing_key })
    }

    /// As whom it speaks to an appliance.
    pub fn identity(&self) -> ClientIdentity {
        let (certificate, chain) = (self.authority.clone(), vec![self.issuing.clone()]);
        ClientIdentity { certificate, chain, signer: self.authority_key.clone() }
    }

    /// Issues a certificate, and keeps a copy of it, synced, before anybody else sees it: there is none that the authority does not know.
    pub fn issue(&self, entity: &EndEntity<'_>, not_before: Timestamp, not_after: Timestamp) -> Result<Certificate, Failure> {
        let issuance = Issuance { not_before, not_after, serial: draw_serial()? };
        let certificate = issue_end_entity(entity, &self.issuing, &self.issuing_key, &issuance)?;
        let folder = self.folder.join(ISSUED_FOLDER);
        let copy = folder.join(format!("{}.pem", hex::encode(certificate.fingerprint())));
        files::write_new(&copy, certificate.to_pem().as_bytes(), MODE_PUBLIC)?;
        files::sync_folder(&folder)?;
        Ok(certificate)
    }

    /// Whether a certificate is one of those that it has issued, to the byte.
    pub fn has_issued(&self, certificate: &Certificate) -> Result<bool, Failure> {
        let copy = self.folder.join(ISSUED_FOLDER).join(format!("{}.pem", hex::encode(certificate.fingerprint())));
        let Some(pem) = files::read_if_there(&copy)? else { return Ok(false) };
        let kept = Certificate::from_pem(&pem).map_err(|error| Failure::content(&copy, error))?;
        Ok(kept.der() == certificate.der())
    }

    /// Has the issuing authority sign a list.
    pub fn list(
        &self,
        make: impl FnOnce(&Certificate, &dyn Signer) -> Result<RevocationList, MakeListError>,
    ) -> Result<RevocationList, Failure> {
        make(&self.issuing, &self.issuing_key).map_err(|error| Failure::Cannot(format!("the list can not be made: {error}")))
    }

    /// The certificate that an earlier run issued and may not have delivered.
    pub fn unfinished(&self) -> Result<Option<Certificate>, Failure> {
        let path = self.folder.join(UNFINISHED);
        match files::read_if_there(&path)? {
            Some(pem) => Certificate::from_pem(&pem).map(Some).map_err(|error| Failure::content(&path, error)),
            None => Ok(None),
        }
    }

    /// Remembers a certificate until it is delivered.
    pub fn begin(&self, certificate: &Certificate) -> Result<(), Failure> {
        files::replace(&self.folder.join(UNFINISHED), certificate.to_pem().as_bytes())
    }

    /// It is delivered.
    pub fn finish(&self) -> Result<(), Failure> {
        files::remove(&self.folder.join(UNFINISHED))
    }
}

/// `days` from now, and a little before: so that a clock which is somewhat behind believes it too.
pub fn not_before(now: Timestamp) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms().saturating_sub(CLOCK_SKEW_MS)).expect("it is earlier than now")
}

/// The end of `days` days that begin at `from`.
pub fn not_after(from: Timestamp, days: u32) -> Result<Timestamp, Failure> {
    from.checked_add_ms(u64::from(days) * DAY_MS)
        .ok_or_else(|| Failure::Cannot("this machine's clock is near the year 9999: set it".to_owned()))
}

fn issuance(now: Timestamp, days: u32) -> Result<Issuance, Failure> {
    let not_before = not_before(now);
    Ok(Issuance { not_before, not_after: not_after(not_before, days)?, serial: draw_serial()? })
}

fn draw_serial() -> Result<[u8; 16], Failure> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(no_randomness)?;
    Ok(serial)
}

fn draw_key() -> Result<SoftwareSigner, Failure> {
    let drawn = SoftwareSigner::draw(getrandom::fill).map_err(no_randomness)?;
    drawn.map_err(|error| Failure::Cannot(format!("the randomness of this machine can not be trusted: {error}")))
}

fn no_randomness(error: getrandom::Error) -> Failure {
    Failure::Cannot(format!("the system gives no random numbers: {error}"))
}

/// Names of files, without `.pem` and `.key`.
const ROOT: &str = "root";
const ISSUING: &str = "issuing";
const AUTHORITY: &str = "authority";
const CHAIN: &str = "chain";
/// Copies of all certificates issued, by fingerprint.
const ISSUED_FOLDER: &str = "issued";
/// The one that is on its way.
const UNFINISHED: &str = "unfinished.pem";

/// There is one issuing authority, so its signer of statements is the first.
const AUTHORITY_ID: &str = "1";
/// Longer than the evidence of a case is disputed.
const ROOT_DAYS: u32 = 20 * 365;
/// Half of it: the next one is issued while the root is still good for all that it issues.
const ISSUING_DAYS: u32 = 10 * 365;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Machines that keep time at all keep it within minutes.
const CLOCK_SKEW_MS: u64 = 5 * 60 * 1000;
