//! How a camera comes to its identity: a key in its TPM, a request, then the certificate and the pin.
//!
//! It speaks to nobody: files are carried to the authority and back. What does not fit is not installed.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use exhibit_camera_core::{Clock as _, SystemClock};
use exhibit_client::ClientIdentity;
use exhibit_evidence::Pin;
use exhibit_pki::{Certificate, Identity, KeyPurpose, Role, RustCrypto, Signer as _, Subject, build_request_pem, validate_path};
use exhibit_tpm::{DeviceKey, Tpm};

use crate::{Config, Failure, files};

const REQUEST_FILE: &str = "camera.csr";
const CERTIFICATE_FILE: &str = "certificate.pem";
const CHAIN_FILE: &str = "chain.pem";
const PIN_FILE: &str = "pin.json";

/// What a camera was given at enrolment, with its key.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Certificate, chain and the TPM's key.
    pub identity: ClientIdentity,
    /// Who that is.
    pub camera: Subject,
    /// The log and the custodians.
    pub pin: Pin,
}

/// Makes the key in the TPM (or takes the one that is there) and writes a certificate request. Gives the request's path.
pub fn request(config: &Config, state: &Path, identity: &Identity, out: Option<&Path>) -> Result<PathBuf, Failure> {
    if !matches!(identity.subject, Subject::Camera(_)) {
        return Err(Failure::Usage("--identity is not a camera's: write spiffe://<domain>/camera/<id>"));
    }
    files::make_folder(state)?;
    let pem = build_request_pem(identity, &device_key(config)?)?;
    let path = out.map_or_else(|| state.join(REQUEST_FILE), PathBuf::from);
    files::replace(&path, &pem)?;
    Ok(path)
}

/// Installs what came back, if it fits this machine's key, the pin and each other.
pub fn install(config: &Config, state: &Path, certificate: &Path, chain: &Path, pin: &Path) -> Result<Enrolment, Failure> {
    files::make_folder(state)?;
    let texts = [files::read_text(certificate)?, files::read_text(chain)?, files::read_text(pin)?];
    let [certificate_text, chain_text, pin_text] = &texts;
    let enrolment = assemble(device_key(config)?, [(certificate, certificate_text), (chain, chain_text), (pin, pin_text)])?;
    let ClientIdentity { certificate, chain, .. } = &enrolment.identity;
    let now = SystemClock::start().now();
    validate_path(certificate, chain, &enrolment.pin.anchor.roots, now, &RustCrypto)?;
    let pinned = state.join(PIN_FILE);
    match files::read_text(&pinned) {
        Ok(text) if Pin::parse(text.as_bytes()).as_ref() == Ok(&enrolment.pin) => {}
        Ok(_) => return Err(Failure::PinnedAlready(pinned)),
        Err(Failure::File { source, .. }) if source.kind() == ErrorKind::NotFound => files::replace(&pinned, pin_text)?,
        Err(other) => return Err(other),
    }
    files::replace(&state.join(CHAIN_FILE), chain_text)?;
    // Last: whoever finds a certificate finds all that belongs to it.
    files::replace(&state.join(CERTIFICATE_FILE), certificate_text)?;
    Ok(enrolment)
}

/// What was installed. Dates are not looked at: a camera whose clock is wrong, or whose certificate has expired, goes on recording, and the
/// appliance judges.
pub fn open(config: &Config, state: &Path) -> Result<Enrolment, Failure> {
    let paths = [CERTIFICATE_FILE, CHAIN_FILE, PIN_FILE].map(|name| state.join(name));
    let mut texts = Vec::with_capacity(paths.len());
    for path in &paths {
        texts.push(files::read_text(path).map_err(|failure| match failure {
            Failure::File { source, path, .. } if source.kind() == ErrorKind::NotFound => Failure::NotEnrolled(path),
            other => other,
        })?);
    }
    let [certificate, chain, pin] = &paths;
    assemble(device_key(config)?, [(certificate, &texts[0]), (chain, &texts[1]), (pin, &texts[2])])
}

fn device_key(config: &Config) -> Result<DeviceKey, Failure> {
    Ok(Tpm::connect(&config.tcti)?.device_key(config.key_handle)?)
}

/// Parses certificate, chain and pin, and checks that the certificate is a camera's and for this key.
fn assemble(key: DeviceKey, [certificate, chain, pin]: [(&Path, &String); 3]) -> Result<Enrolment, Failure> {
    fn content<E: ToString>(path: &Path) -> impl FnOnce(E) -> Failure {
        move |error| Failure::Content { path: path.to_owned(), reason: error.to_string() }
    }
    let pin = Pin::parse(pin.1.as_bytes()).map_err(content(pin.0))?;
    let chain = Certificate::all_from_pem(chain.1).map_err(content(chain.0))?;
    let (path, text) = certificate;
    let certificate = Certificate::from_pem(text).map_err(content(path))?;
    let camera = match certificate.identity().map(|identity| &identity.subject) {
        Some(subject @ Subject::Camera(_)) => subject.clone(),
        _ => return Err(Failure::Misfit(format!("{} is not a camera's certificate", path.display()))),
    };
    if certificate.purpose() != KeyPurpose::Signing || !certificate.has_role(Role::Camera) {
        return Err(Failure::Misfit(format!("{} does not allow its key to sign as a camera", path.display())));
    }
    if certificate.public_key() != key.public_key() {
        let reason = "is for another key than the one in this TPM: send the request of this machine to the authority again";
        return Err(Failure::Misfit(format!("{} {reason}", path.display())));
    }
    Ok(Enrolment { identity: ClientIdentity { certificate, chain, signer: Arc::new(key) }, camera, pin })
}
