//! `revoke` and `crl`: a certificate that is not to be believed any more, on the ledger first, then on the list that others read.

use std::path::Path;

use exhibit_client::{ClientError, is_of_the_statement};
use exhibit_evidence::Anchor;
use exhibit_evidence::body::REVOCATION_REASONS;
use exhibit_pki::crl::RevocationList;
use exhibit_pki::{Certificate, Timestamp};
use serde_json::json;

use crate::Report;
use crate::arguments::{Crl, Revoke};
use crate::ca::{self, Authority};
use crate::failure::Failure;
use crate::files;
use crate::publish::Ledger;
use crate::revoked::{Revoked, newest_list};

/// States the revocation, then gives the list out.
pub async fn run(revoke: &Revoke, now: Timestamp) -> Result<Report, Failure> {
    let authority = Authority::open(&revoke.dir)?;
    let certificate =
        Certificate::from_pem(&files::read(&revoke.certificate)?).map_err(|error| Failure::content(&revoke.certificate, error))?;
    if !authority.has_issued(&certificate)? {
        let reason = "this authority has not issued it: `issued/` in its folder has all that it has, by their fingerprints";
        return Err(Failure::Refused(format!("{}: {reason}", revoke.certificate.display())));
    }
    let since = revoke.since.unwrap_or(now);
    if since > now {
        return Err(Failure::Refused(
            "--since has not come yet: a certificate is revoked from now on, or from a time that has passed".to_owned(),
        ));
    }
    // Nobody else changes the record meanwhile.
    let mut revoked = Revoked::open(&authority)?;
    let anchor = Anchor::parse(files::read(&revoke.anchor)?.as_bytes()).map_err(|error| Failure::content(&revoke.anchor, error))?;
    let mut ledger = Ledger::open(&authority, &revoke.appliance, &anchor, now).await?;
    if let Some(fingerprint) = ledger.delivered_revocation() {
        revoked.stated(&fingerprint)?;
    }
    let next_update = ca::not_after(now, revoke.days)?;
    if let Some(before) = revoked.since(certificate.fingerprint())?.filter(|before| *before <= since) {
        // It may be that only the list was not given out.
        let list = revoked.renew(&authority, now, next_update)?;
        give_out(&authority, &list, revoke.out.as_deref())?;
        let fingerprint = hex::encode(certificate.fingerprint());
        let text = format!(
            "It is revoked already, since {before}: only an earlier --since says more. The list is made anew, as number {}",
            revoked.number()
        );
        return Ok(Report {
            text,
            json: json!({ "fingerprint": fingerprint, "since": before.to_string(), "already": true, "number": revoked.number() }),
        });
    }
    let list = revoked.begin(&authority, &certificate, (since, revoke.reason.0), (now, next_update))?;
    let stated = match ledger.revoke(&certificate, since, revoke.reason.0, list.der(), now).await {
        // What is not the statement's was kept, and is sent again.
        Err(Failure::Client(ClientError::Refused(problem))) if is_of_the_statement(&problem) => {
            revoked.refused(certificate.fingerprint())?;
            return Err(Failure::Refused(format!("the ledger does not take it, and nothing is revoked: {}", problem.detail)));
        }
        Err(Failure::Client(error)) => {
            return Err(Failure::Cannot(format!(
                "the revocation may not be on the ledger yet: {error}. Run the same command again to finish it"
            )));
        }
        stated => stated?,
    };
    revoked.stated(certificate.fingerprint())?;
    give_out(&authority, &list, revoke.out.as_deref())?;
    let identity = certificate.identity().map(ToString::to_string).unwrap_or_default();
    let word = REVOCATION_REASONS.iter().find(|(_, reason)| *reason == revoke.reason.0).map(|(word, _)| *word);
    let text = format!(
        "Revoked {identity}\nsince       {since}\nfingerprint {}\nledger      entry {}\nlist        number {}, with {} certificates, until {}",
        hex::encode(certificate.fingerprint()),
        stated.index,
        revoked.number(),
        revoked.count(),
        next_update,
    );
    let json = json!({
        "identity": identity, "fingerprint": hex::encode(certificate.fingerprint()), "since": since.to_string(), "reason": word,
        "index": stated.index, "leaf": stated.leaf, "number": revoked.number(),
    });
    Ok(Report { text, json })
}

/// Makes a new list of the same certificates, before the last one is too old to be believed.
pub fn renew(crl: &Crl, now: Timestamp) -> Result<Report, Failure> {
    let authority = Authority::open(&crl.dir)?;
    let mut revoked = Revoked::open(&authority)?;
    let next_update = ca::not_after(now, crl.days)?;
    let list = revoked.renew(&authority, now, next_update)?;
    give_out(&authority, &list, crl.out.as_deref())?;
    let (number, count, begun) = (revoked.number(), revoked.count(), revoked.begun());
    let mut text = format!("List number {number}, with {count} certificates, until {next_update}");
    for fingerprint in &begun {
        text.push_str(&format!("\nNOT ON IT: {fingerprint}, of which it is not known that the ledger has it: run `revoke` for it again"));
    }
    Ok(Report { text, json: json!({ "number": number, "revoked": count, "next_update": next_update.to_string(), "begun": begun }) })
}

/// In the authority's folder, and where it was asked for: lists take the place of those before.
fn give_out(authority: &Authority, list: &RevocationList, out: Option<&Path>) -> Result<(), Failure> {
    files::replace(&newest_list(&authority.folder), list.der())?;
    match out {
        Some(out) => files::replace(out, list.der()),
        None => Ok(()),
    }
}
