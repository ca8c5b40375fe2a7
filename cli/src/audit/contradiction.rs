//! Whether what is called a contradiction is one: two different statements for one place, both signed by its owner.
//!
//! It follows the verdict's rule (`exhibit_evidence::verify`). Whoever says it and does not show it accuses somebody by their word alone.

use std::collections::HashMap;

use exhibit_evidence::SignedStatement;
use exhibit_evidence::body::Contradiction;
use exhibit_pki::AwsLc;
use exhibit_tlog::Hash;

use super::finding::{Finding, Kind};
use super::judge::{Candidate, Judge};

impl Judge {
    pub(super) fn contradiction(&mut self, candidate: &Candidate<'_>, body: &Contradiction, stored: &HashMap<Hash, Vec<u8>>) -> Finding {
        let by = candidate.signed.statement().stream.owner();
        let place = format!("statement {} of {}", body.seq, body.stream);
        let both = self.one_of_two(body, "first", stored).and_then(|first| Ok((first, self.one_of_two(body, "second", stored)?)));
        let shown = both.and_then(|(first, second)| differ(&first, &second));
        match shown {
            Ok(()) => {
                let sentence =
                    format!("Two different statements are signed as {place}: {by} keeps both. The key was copied, or its device set back.");
                Finding::of(Kind::Contradiction, candidate.index, sentence)
            }
            Err(reason) => {
                let sentence = format!("{by} says that there are two statements for {place}, and does not show it: {reason}.");
                Finding::of(Kind::ContradictionFalse, candidate.index, sentence)
            }
        }
    }

    /// A statement for that place, by a certificate that was on the log below and leads to a root.
    fn one_of_two(&mut self, body: &Contradiction, name: &str, stored: &HashMap<Hash, Vec<u8>>) -> Result<SignedStatement, String> {
        let attachment = body.attachments.iter().find(|attachment| attachment.name == name).ok_or(format!("{name} is not attached"))?;
        let bytes = stored.get(&attachment.sha256).ok_or(format!("{name} is not served"))?;
        let der = attachment.open(bytes).ok_or(format!("{name} is not what was attached"))?;
        let signed = SignedStatement::parse(der).map_err(|error| format!("{name} is no statement: {error}"))?;
        let statement = signed.statement();
        if (&statement.stream, statement.seq) != (&body.stream, body.seq) {
            return Err(format!("{name} is of another place"));
        }
        if statement.log != self.anchor.log && self.memory.rest.ended(&statement.log).is_none() {
            return Err(format!("{name} is of another log"));
        }
        let certificate =
            self.memory.certificates.get(signed.signer()).ok_or(format!("the certificate of {name} is not on the log before it"))?;
        let led = self.memory.certificates.check_path(&certificate, &self.anchor, statement.issued, &AwsLc);
        led.map_err(|error| format!("the signer of {name} leads to no root: {error}"))?;
        signed.verify(&certificate, &AwsLc).map_err(|error| format!("{name} is not its signer's: {error}"))?;
        Ok(signed)
    }
}

fn differ(first: &SignedStatement, second: &SignedStatement) -> Result<(), String> {
    if first.statement().log != second.statement().log {
        return Err("they are of two logs".to_owned());
    }
    if first.statement_hash() == second.statement_hash() {
        return Err("both are the same statement".to_owned());
    }
    Ok(())
}
