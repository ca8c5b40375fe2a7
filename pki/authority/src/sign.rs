//! `sign`: from a request to a certificate that is on the ledger. The order of its steps is what makes a crash harmless at each of them.

use std::path::Path;

use exhibit_evidence::Anchor;
use exhibit_pki::{Certificate, CertificateRequest, Fingerprint, RustCrypto, Timestamp};
use serde_json::json;

use crate::Report;
use crate::arguments::Sign;
use crate::ca::{self, Authority};
use crate::failure::Failure;
use crate::files::{self, MODE_PUBLIC};
use crate::judgement::{Asked, Decision, judge};
use crate::publish::{Introduction, Ledger};
use crate::revoked::Revoked;

/// Judges the request, issues, publishes, and only then writes the certificate.
pub async fn run(sign: &Sign, now: Timestamp) -> Result<Report, Failure> {
    let authority = Authority::open(&sign.dir)?;
    let pem = files::read(&sign.csr)?;
    let request = CertificateRequest::from_pem(&pem, &RustCrypto).map_err(|source| Failure::Request { path: sign.csr.clone(), source })?;
    let asked =
        Asked { identity: sign.identity.as_ref(), roles: &sign.roles, purpose: sign.purpose.into(), server_names: &sign.server_names };
    let decision = judge(&request, &asked)?;
    files::check_can_be_made(&sign.out)?;
    let replaces = sign.replaces.as_deref().map(|path| replaced(path, &decision)).transpose()?;
    let (certificate, introduced) = match (&sign.appliance, &sign.anchor) {
        (Some(address), Some(path)) => {
            let anchor = Anchor::parse(files::read(path)?.as_bytes()).map_err(|error| Failure::content(path, error))?;
            let mut ledger = Ledger::open(&authority, address, &anchor, now).await?;
            if let Some(fingerprint) = ledger.delivered_revocation() {
                Revoked::open(&authority)?.stated(&fingerprint)?;
            }
            let (certificate, introduced) = publish(sign, &authority, &decision, replaces, &mut ledger, now).await?;
            (certificate, Some(introduced))
        }
        _ => (issue(sign, &authority, &decision, now)?, None),
    };
    files::write_new(&sign.out, certificate.to_pem().as_bytes(), MODE_PUBLIC)?;
    files::sync_folder_of(&sign.out)?;
    if introduced.is_some() {
        authority.finish()?;
    }
    Ok(report(sign, &certificate, introduced.as_ref()))
}

/// The certificate in whose place a new one comes: of the same holder and purpose, and of another key.
fn replaced(path: &Path, decision: &Decision) -> Result<Fingerprint, Failure> {
    let replaced = Certificate::from_pem(&files::read(path)?).map_err(|error| Failure::content(path, error))?;
    decision.check_replaces(&replaced)?;
    Ok(*replaced.fingerprint())
}

/// Publishes a new certificate, or the one that an earlier run of the same command left half-way.
async fn publish(
    sign: &Sign,
    authority: &Authority,
    decision: &Decision,
    replaces: Option<Fingerprint>,
    ledger: &mut Ledger,
    now: Timestamp,
) -> Result<(Certificate, Introduction), Failure> {
    let same = |certificate: &Certificate| {
        let as_asked = |asked: Option<Timestamp>, is: Timestamp| asked.is_none_or(|asked| asked.unix_s() == is.unix_s());
        as_asked(sign.not_before, certificate.not_before()) && as_asked(sign.not_after, certificate.not_after())
    };
    let unfinished = authority.unfinished()?.filter(|certificate| decision.is_met_by(certificate, now) && same(certificate));
    let certificate = match unfinished {
        Some(certificate) => {
            if let Some(introduced) = ledger.find(&certificate).await? {
                return Ok((certificate, introduced));
            }
            certificate
        }
        None => {
            let certificate = issue(sign, authority, decision, now)?;
            authority.begin(&certificate)?;
            certificate
        }
    };
    let introduced = ledger.publish(&certificate, replaces, now).await?;
    Ok((certificate, introduced))
}

fn issue(sign: &Sign, authority: &Authority, decision: &Decision, now: Timestamp) -> Result<Certificate, Failure> {
    let not_before = sign.not_before.unwrap_or_else(|| ca::not_before(now));
    let not_after = match sign.not_after {
        Some(not_after) => not_after,
        // Days are counted from now, or from the beginning that was asked for; and end with the authority that issues.
        None => ca::not_after(not_before, sign.days)?.min(authority.issuing.not_after()),
    };
    authority.issue(&decision.entity(), not_before, not_after)
}

fn report(sign: &Sign, certificate: &Certificate, introduced: Option<&Introduction>) -> Report {
    let identity = certificate.identity().map(ToString::to_string).unwrap_or_default();
    let roles: Vec<String> = certificate.roles().iter().map(ToString::to_string).collect();
    let fingerprint = hex::encode(certificate.fingerprint());
    let ledger = match introduced {
        Some(introduced) => format!("entry {} of the ledger", introduced.index),
        None => "not on the ledger: nothing that it signs counts until it is".to_owned(),
    };
    let mut text = format!("Certified {identity}\nroles       {}\npurpose     {}\n", roles.join(", "), certificate.purpose(),);
    if !certificate.server_names().is_empty() {
        text.push_str(&format!("servers     {}\n", certificate.server_names().join(", ")));
    }
    text.push_str(&format!(
        "valid       {} to {}\nfingerprint {fingerprint}\nledger      {ledger}\nwritten to  {}",
        certificate.not_before(),
        certificate.not_after(),
        sign.out.display(),
    ));
    let leaf = introduced.map(|introduced| introduced.leaf.clone());
    if let Some(leaf) = leaf.as_ref().filter(|_| sign.replaces.is_some()) {
        text.push_str(&format!(
            "\n\nIts key is another than before. A custodian has to approve of that before it signs anything:\n  exhibit approve entry --entry {leaf}"
        ));
    }
    let json = json!({
        "identity": identity,
        "roles": roles,
        "purpose": certificate.purpose().to_string(),
        "server_names": certificate.server_names(),
        "not_before": certificate.not_before().to_string(),
        "not_after": certificate.not_after().to_string(),
        "serial": hex::encode(certificate.serial()),
        "fingerprint": fingerprint,
        "index": introduced.map(|introduced| introduced.index),
        "leaf": leaf,
        "out": sign.out,
    });
    Report { text, json }
}
