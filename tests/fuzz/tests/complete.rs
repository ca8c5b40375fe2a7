//! No parser without a target: every public function of the pure crates that may refuse bytes or text from outside is called by one, and so
//! is every one of the programs that speak to strangers.
//!
//! It reads sources, which rustfmt has put into one form, and does not know Rust beyond that.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What is not called by its name from a target, and why that is right.
const EXEMPT: &[(&str, &str)] = &[
    ("Form::parse", "private: open, recipient_count and is_addressed_to read every envelope with it"),
    ("RsaKey::parse", "private: PublicKey::from_spki_der reads every RSA key with it"),
    ("Body::from_der", "private: ChainCertificate::from_der and EndorsementCertificate::from_nv read with it"),
    ("Curve::agree", "private: seal, whose points are those of certificates"),
    ("parse_p384", "private: Suite::is_canonical"),
    ("parse_p256", "private: Suite::is_canonical"),
    ("low_s_der_p384", "what our own key has signed"),
    ("low_s_der_p256", "what our own key has signed"),
    ("RsaKey::verify_pkcs1_sha384", "private: RustCrypto verifies with it"),
    ("PublicKey::encrypt_oaep_sha256", "what we encrypt"),
    ("RsaKey::encrypt_oaep_sha256", "what we encrypt"),
    ("seal", "what we encrypt"),
    ("Note::sign", "what we write"),
    ("NoteSignature::sign", "what we write"),
    ("ml_dsa_44_message", "what we sign"),
    ("cosign_text", "what a witness signs of a log that it has verified"),
    ("issue_root", "the operator's own words"),
    ("Ed25519NoteSigner::new", "the operator's own words and secrets"),
    ("Ed25519Cosigner::new", "the operator's own words and secrets"),
    ("MlDsa44NoteSigner::new", "the operator's own words and secrets"),
    ("MlDsa44NoteSigner::sign_subtree", "what a witness signs of a log that it has verified"),
    ("SoftwareSigner::from_pkcs8_pem", "the holder's own private key"),
    ("CertificateId::new", "what we ask for"),
    ("OcspNonce::new", "what we ask with"),
    ("Nonce::new", "what we ask with"),
    ("Imprint::from_digest", "what we ask for"),
    ("Body::attachment", "a look-up"),
    ("AttachmentRef::open", "compares length and SHA-256, and takes a salt off"),
    ("Entries::at", "a look-up"),
    ("AnchorPolicy::verify_token", "TimestampToken::from_der reads the token, and verifies it"),
    ("Hash::from_hex", "64 digits: every reader of statements and of anchors calls it"),
    ("Hash::from_base64", "44 digits: every reader of checkpoints and of proofs calls it"),
];

/// The same of the programs that listen, and of the client: what is written here is their operator's, their own, or a name that was parsed.
const EXEMPT_OF_PROGRAMS: &[(&str, &str)] = &[
    ("Config::parse", "the operator's own words, in TOML"),
    ("demand", "names what is missing"),
    ("Folder::init", "the operator's own words"),
    ("Folder::check", "the operator's own words"),
    ("check", "the hash of a log's name that was parsed, and what the mirror has written"),
    ("Folder::signers", "the operator's own words"),
    ("Folder::mirror_signers", "the operator's own words"),
    ("Web::new", "the operator's own words"),
    ("Gate::ask", "a name that was parsed"),
    ("Staging::go_on", "a name that was parsed"),
    ("Appliance::new", "the operator's own words"),
    ("Appliance::of_ended", "the operator's own words"),
    ("Issuer::open", "the user's own words"),
    ("Store::load", "a look-up"),
    ("Store::replace", "what the witness writes"),
    ("Store::load_fork", "a look-up"),
    ("Store::keep_fork", "what the witness writes"),
    ("Mirror::filling", "a look-up"),
    ("Mirror::unfit", "a look-up"),
    ("Mirror::tile", "a look-up"),
    ("Mirror::bundle", "a look-up"),
    ("Witness::latest", "a look-up"),
    ("Witness::fork", "a look-up"),
];

/// A function of a source file: its name, with the type's that it belongs to, and its parameters and result.
struct Function {
    name: String,
    signature: String,
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The type in `impl<'a> Reader<'a> for Type<'a> {`: `Type`.
fn type_of(line: &str) -> Option<String> {
    let head = line.strip_prefix("impl")?.strip_suffix('{')?.trim();
    let head = if head.starts_with('<') { head.split_once("> ")?.1 } else { head };
    let named = head.rsplit(" for ").next()?;
    Some(named.split(['<', ' ']).next()?.to_owned())
}

/// Public functions that stand where rustfmt puts them: at the margin, or one step into an `impl`.
fn public_functions(source: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    let mut owner: Option<String> = None;
    let mut lines = source.lines().take_while(|line| *line != "#[cfg(test)]");
    while let Some(line) = lines.next() {
        if line == "}" {
            owner = None;
        }
        owner = type_of(line).or(owner);
        let Some(rest) = line.trim_start().strip_prefix("pub fn ") else { continue };
        let name = rest.split(['(', '<']).next().unwrap();
        let mut signature = rest.to_owned();
        while !signature.ends_with(['{', ';']) && !signature.ends_with('}') {
            signature.push_str(lines.next().unwrap().trim());
        }
        let name = owner.as_ref().filter(|_| line.starts_with(' ')).map_or(name.to_owned(), |owner| format!("{owner}::{name}"));
        functions.push(Function { name, signature });
    }
    functions
}

impl Function {
    /// That it is given bytes or a text, and may say no.
    fn may_refuse_what_it_is_given(&self) -> bool {
        let Some((parameters, result)) = self.signature.split_once("->") else { return false };
        let is_given = [": &[u8]", ": &str", ": &'a [u8]", ": &'a str", ": &mut dyn Read"].iter().any(|given| parameters.contains(given));
        is_given && (result.contains("Result<") || result.contains("Option<"))
    }

    /// Called by its type's name; by a value's, where the type is named too, since many have methods of one name; or by its own name after a
    /// module's.
    fn is_called_in(&self, targets: &str) -> bool {
        let (owner, name) = self.name.split_once("::").map_or((None, self.name.as_str()), |(owner, name)| (Some(owner), name));
        let is_method = self.signature.contains("self");
        match owner {
            Some(owner) if !is_method => targets.contains(&format!("{owner}::{name}")),
            Some(owner) => targets.contains(owner) && targets.contains(&format!(".{name}(")),
            None => [format!(" {name}("), format!("::{name}("), format!("({name}("), format!("({name})")]
                .iter()
                .any(|call| targets.contains(call)),
        }
    }
}

/// The parsers of some folders; fails for those that no target calls and nothing exempts.
fn parsers_with_targets(folders: &[&str], exempt: &[(&str, &str)]) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text_of = |folder: &str| {
        let mut files = Vec::new();
        sources(&root.join(folder), &mut files);
        files.into_iter().map(|file| fs::read_to_string(file).unwrap()).collect::<Vec<_>>()
    };
    let targets = text_of("tests/fuzz/src/targets").concat();
    let exempt: BTreeSet<&str> = exempt.iter().map(|(name, _)| *name).collect();
    let mut parsers = BTreeSet::new();
    let mut without = Vec::new();
    for folder in folders {
        for function in text_of(folder).iter().flat_map(|source| public_functions(source)) {
            if function.may_refuse_what_it_is_given() {
                if !exempt.contains(function.name.as_str()) && !function.is_called_in(&targets) {
                    without.push(format!("{folder}: {}", function.name));
                }
                parsers.insert(function.name);
            }
        }
    }
    assert_eq!(without, Vec::<String>::new(), "parsers without a fuzz target: write one, or exempt it with the reason");
    let gone: Vec<&&str> = exempt.iter().filter(|name| !parsers.contains(**name)).collect();
    assert_eq!(gone, Vec::<&&str>::new(), "exempt, and no parser any more");
    parsers
}

#[test]
fn every_parser_of_the_pure_crates_has_a_target() {
    let parsers = parsers_with_targets(&["evidence/src", "pki/src", "ledger/tlog/src"], EXEMPT);
    // The scanner sees what it is there to see.
    for known in [
        "Statement::parse",
        "Target::parse",
        "Terms::parse",
        "SignedStatement::parse",
        "Certificate::from_der",
        "Note::parse",
        "open",
        "decode_bundle",
        "Policy::verify_of",
    ] {
        assert!(parsers.contains(known), "{known} was not found in the sources");
    }
}

#[test]
fn every_parser_of_the_programs_that_listen_has_a_target() {
    let parsers =
        parsers_with_targets(&["appliance/src/api", "appliance/src/ingest", "ledger/witness/src", "client/src"], EXEMPT_OF_PROGRAMS);
    for known in ["Mirror::add_entries", "Witness::add_checkpoint", "Folder::init"] {
        assert!(parsers.contains(known), "{known} was not found in the sources");
    }
}
