//! Envelopes to people's cards, on P-256 and with RSA: openssl holds the keys, opens what we seal, and seals what we open; hostile messages by
//! the name of their defect.

#![allow(clippy::unwrap_used)]

mod envelope_support;
#[path = "../../pki/tests/support/token.rs"]
mod token;

use std::{cell::Cell, fs, path::Path};

use aes_gcm::{Aes256Gcm, KeyInit, aead::Aead};
use aes_kw::AesKw;
use cms::{
    authenveloped_data::AuthEnvelopedData,
    content_info::CmsVersion,
    enveloped_data::{
        KeyAgreeRecipientInfo, KeyTransRecipientInfo, OriginatorIdentifierOrKey, OriginatorPublicKey, OtherRecipientInfo,
        RecipientIdentifier, RecipientInfo, RecipientInfos,
    },
};
use const_oid::{ObjectIdentifier, db::rfc5912};
use der::{
    Any, Decode, Encode,
    asn1::{BitString, OctetString},
};
use envelope_support::{CONTENT, assert_agrees_on, certify, entropy, ephemeral, judged, kari, key, parse, recipient, write};
use exhibit_evidence::envelope::{EnvelopeError, UnwrappingKey, is_addressed_to, open, recipient_count, seal};
use exhibit_pki::{Certificate, KeyPurpose, PublicKey, Signer};
use sha2::{Digest, Sha256};
use spki::AlgorithmIdentifierOwned;
use token::{Token, openssl};
use zeroize::Zeroizing;

/// A person's card: a key that openssl holds, and its certificate.
struct Card<'a> {
    folder: &'a Path,
    token: Token,
    certificate: Certificate,
}

impl<'a> Card<'a> {
    fn new(folder: &'a Path, number: u8, token: Token) -> Self {
        let certificate = certify(number, KeyPurpose::Wrapping, token.public_key());
        Self { folder, token, certificate }
    }
    fn p256(folder: &'a Path) -> Self {
        Self::new(folder, 30, Token::p256(folder))
    }
    fn rsa(folder: &'a Path) -> Self {
        Self::new(folder, 31, Token::rsa_3072(folder))
    }
    fn rsa_4096(folder: &'a Path) -> Self {
        Self::new(folder, 32, Token::rsa_4096(folder))
    }
    /// `openssl cms -decrypt`, as the page has it.
    fn opens_by_openssl(&self, envelope: &[u8]) -> Option<Vec<u8>> {
        fs::write(self.folder.join("envelope.der"), envelope).unwrap();
        fs::write(self.folder.join("certificate.pem"), self.certificate.to_pem()).unwrap();
        let arguments = "cms -decrypt -binary -inform DER -in envelope.der -recip certificate.pem -out content -inkey";
        openssl(self.folder, &format!("{arguments} {}", self.token.file)).ok()?;
        Some(fs::read(self.folder.join("content")).unwrap())
    }
    fn opens(&self, envelope: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        let opened = open(envelope, &self.certificate, self).map(|content| content.to_vec());
        let pem = fs::read(self.folder.join(&self.token.file)).unwrap();
        judged("envelope-opens", &[envelope, self.certificate.der(), &pem], opened)
    }
}

impl UnwrappingKey for Card<'_> {
    fn agree(&self, peer_sec1: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        fs::write(self.folder.join("peer.der"), PublicKey::from_sec1(peer_sec1).unwrap().to_spki_der()).unwrap();
        let arguments = format!("pkeyutl -derive -inkey {} -peerkey peer.der -peerform DER -out secret", self.token.file);
        openssl(self.folder, &arguments).map_err(EnvelopeError::Key)?;
        Ok(Zeroizing::new(fs::read(self.folder.join("secret")).unwrap()))
    }
    fn decrypt_oaep_sha256(&self, encrypted: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        fs::write(self.folder.join("encrypted"), encrypted).unwrap();
        let how = "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256";
        let arguments = format!("pkeyutl -decrypt -inkey {} -in encrypted -out decrypted {how}", self.token.file);
        openssl(self.folder, &arguments).map_err(|_| EnvelopeError::Authentication)?;
        Ok(Zeroizing::new(fs::read(self.folder.join("decrypted")).unwrap()))
    }
}

/// A key that must not be asked.
struct Untouched(Cell<bool>);

impl UnwrappingKey for Untouched {
    fn agree(&self, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        self.0.set(true);
        Err(EnvelopeError::Key("asked".to_owned()))
    }
    fn decrypt_oaep_sha256(&self, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        self.0.set(true);
        Err(EnvelopeError::Key("asked".to_owned()))
    }
}

#[track_caller]
fn assert_malformed(defect: &str, envelope: &[u8], certificate: &Certificate, because: &str) {
    let key = Untouched(Cell::new(false));
    let refused = open(envelope, certificate, &key).map(|_| ());
    judged("envelope", &[envelope], recipient_count(envelope)).ok();
    let Err(EnvelopeError::Malformed(reason)) = refused else { panic!("{defect}: {refused:?}, and not: {because}") };
    assert!(reason.contains(because), "{defect}: refused because {reason:?}, and not: {because}");
    assert!(!key.0.get(), "{defect}: the private key was used on a malformed envelope");
}

#[test]
fn one_message_for_people_with_any_kind_of_key() {
    let folder = tempfile::tempdir().unwrap();
    let cards = [Card::p256(folder.path()), Card::rsa(folder.path()), Card::rsa_4096(folder.path())];
    let recipients = [&[recipient(10)][..], &cards.each_ref().map(|card| card.certificate.clone())].concat();
    for content in [CONTENT.to_vec(), vec![0x5a; 100_000]] {
        let envelope = seal(&content, &recipients, &mut entropy(1)).unwrap();
        assert_eq!(recipient_count(&envelope), Ok(4));
        assert_eq!(**open(&envelope, &recipient(10), &key(10)).unwrap(), content);
        for card in &cards {
            let suite = card.token.public_key().suite();
            assert_eq!(is_addressed_to(&envelope, &card.certificate), Ok(true));
            assert_eq!(card.opens(&envelope).as_ref(), Ok(&content), "{suite}");
            assert_eq!(card.opens_by_openssl(&envelope).as_ref(), Some(&content), "{suite}: openssl");
        }
        let without = seal(&content, &recipients[..1], &mut entropy(1)).unwrap();
        for card in &cards {
            assert_eq!(card.opens(&without), Err(EnvelopeError::NotARecipient));
            assert_eq!(card.opens_by_openssl(&without), None, "a stranger opened it");
        }
    }
}

/// The bytes are part of the format. `EXHIBIT_WRITE_VECTORS=1` writes them anew, for when the format changes.
#[test]
fn the_envelope_to_cards_of_the_documentation_is_written_and_opens() {
    let folder = tempfile::tempdir().unwrap();
    let cards = [Card::p256(folder.path()), Card::rsa(folder.path())];
    let envelope = seal(CONTENT, &cards.each_ref().map(|card| card.certificate.clone()), &mut entropy(1)).unwrap();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let files = [
        ("envelope-cards.der", envelope.clone()),
        ("envelope-cards.p256.pem", cards[0].certificate.to_pem().into_bytes()),
        ("envelope-cards.rsa.pem", cards[1].certificate.to_pem().into_bytes()),
    ];
    for (name, content) in files {
        if std::env::var_os("EXHIBIT_WRITE_VECTORS").is_some() {
            fs::write(vectors.join(name), &content).unwrap();
        }
        assert_eq!(fs::read(vectors.join(name)).unwrap(), content, "{name} is not what it was");
    }
    for card in &cards {
        assert_eq!(card.opens(&envelope).as_deref(), Ok(CONTENT));
    }
    // The values of docs/formats/envelope.md, of which this shows that they are so.
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formats/envelope.md")).unwrap();
    let enveloped = parse(&envelope);
    let info = enveloped.recip_infos.0.iter().find(|info| matches!(info, RecipientInfo::Kari(_))).map(kari).unwrap();
    let secret = cards[0].agree(ephemeral(info).public_key.raw_bytes()).unwrap();
    for value in [hex::encode(&secret), hex::encode(key_encryption_key(&secret)), hex::encode(OAEP_SEED)] {
        assert!(page.contains(&value), "the page does not have {value}");
    }
    let encrypted =
        cards[1].token.public_key().encrypt_oaep_sha256(&content_key(&cards[1], &envelope), &Zeroizing::new(OAEP_SEED)).unwrap();
    assert_eq!(ktri(&envelope).enc_key.as_bytes(), encrypted, "the seed is another");
}

/// The fourth draw of the test's source: after the content key, the nonce and the ephemeral key.
const OAEP_SEED: [u8; 32] = [
    0x6f, 0xe8, 0xc8, 0x0d, 0x2c, 0x5a, 0xdf, 0xc6, 0xf3, 0xef, 0x03, 0x3d, 0x75, 0xf9, 0x03, 0x5e, 0x11, 0xcc, 0xd1, 0x71, 0x21, 0x40,
    0x2a, 0x5e, 0xe6, 0x81, 0xbc, 0x0e, 0x3e, 0xfc, 0x1a, 0x26,
];

fn content_key(card: &Card<'_>, envelope: &[u8]) -> [u8; 32] {
    card.decrypt_oaep_sha256(ktri(envelope).enc_key.as_bytes()).unwrap().as_slice().try_into().unwrap()
}

/// With RSA alone openssl writes our form, byte for byte. For curves it leaves the curve out of the ephemeral key, which we do not.
#[test]
fn what_openssl_seals_opens_here() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("content"), CONTENT).unwrap();
    let (rsa, other, p256) = (Card::rsa(path), Card::rsa_4096(path), Card::p256(path));
    for (card, name) in [(&rsa, "rsa.pem"), (&other, "other.pem"), (&p256, "p256.pem")] {
        fs::write(path.join(name), card.certificate.to_pem()).unwrap();
    }
    let encrypt = |recipients: &str| {
        openssl(path, &format!("cms -encrypt -binary -aes-256-gcm -outform DER -in content -out theirs.der {recipients}")).unwrap();
        fs::read(path.join("theirs.der")).unwrap()
    };
    let oaep = "-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha256";
    let both = encrypt(&format!("-recip rsa.pem {oaep} -recip other.pem {oaep}"));
    assert_eq!(rsa.opens(&both).as_deref(), Ok(CONTENT));
    assert_eq!(other.opens(&both).as_deref(), Ok(CONTENT));
    for (defect, recipients, because) in [
        ("pkcs1_v15", "-recip rsa.pem".to_owned(), "PKCS #1 v1.5"),
        ("oaep_sha1", "-recip rsa.pem -keyopt rsa_padding_mode:oaep".to_owned(), "not under RSA-OAEP with SHA-256"),
        (
            "oaep_mgf1_sha1",
            "-recip rsa.pem -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha1".to_owned(),
            "not under RSA-OAEP with SHA-256",
        ),
        ("oaep_sha384", format!("-recip rsa.pem {}", oaep.replace("sha256", "sha384")), "not under RSA-OAEP with SHA-256"),
        ("oaep_label", format!("-recip rsa.pem {oaep} -keyopt rsa_oaep_label:61"), "not under RSA-OAEP with SHA-256"),
        ("by_key_identifier", format!("-keyid -recip rsa.pem {oaep}"), "not named by issuer and serial number"),
    ] {
        assert_malformed(defect, &encrypt(&recipients), &rsa.certificate, because);
    }
    let curve = encrypt("-recip p256.pem -keyopt ecdh_kdf_md:sha256");
    assert_malformed("curve_left_out", &curve, &p256.certificate, "not declared to be on P-384 or P-256");
}

fn with_recipients(envelope: &[u8], infos: Vec<RecipientInfo>) -> Vec<u8> {
    let mut enveloped = parse(envelope);
    enveloped.recip_infos = RecipientInfos::try_from(infos).unwrap();
    write(&enveloped)
}

fn ktri(envelope: &[u8]) -> KeyTransRecipientInfo {
    let infos = parse(envelope).recip_infos;
    let transport = infos.0.iter().find_map(|info| if let RecipientInfo::Ktri(info) = info { Some(info) } else { None });
    transport.expect("nobody by key transport").clone()
}

#[test]
fn hostile_rsa_recipients() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::rsa(folder.path());
    let envelope = seal(CONTENT, std::slice::from_ref(&card.certificate), &mut entropy(1)).unwrap();
    let edited = |edit: &dyn Fn(&mut KeyTransRecipientInfo)| {
        let mut info = ktri(&envelope);
        edit(&mut info);
        with_recipients(&envelope, vec![RecipientInfo::Ktri(info)])
    };
    assert_eq!(edited(&|_| ()), envelope);
    let algorithm = |oid, parameters: Option<Any>| AlgorithmIdentifierOwned { oid, parameters };
    let key_of = |bytes: usize| OctetString::new(vec![1; bytes]).unwrap();
    let (oaep, length) = ("not under RSA-OAEP with SHA-256", "not as long as an RSA key");
    let stated_label = {
        // The default, written although it is one: { [2] { id-pSpecified, "" } }.
        let mut parameters = ktri(&envelope).key_enc_alg.parameters.unwrap().to_der().unwrap();
        let label = hex::decode("a20f300d06092a864886f70d0101090400").unwrap();
        parameters[1] += label.len() as u8;
        Any::from_der(&[parameters, label].concat()).unwrap()
    };
    type Edit<'a> = Box<dyn Fn(&mut KeyTransRecipientInfo) + 'a>;
    let cases: Vec<(&str, Edit<'_>, &str)> = vec![
        ("pkcs1_v15", Box::new(|info| info.key_enc_alg = algorithm(rfc5912::RSA_ENCRYPTION, Some(Any::null()))), "PKCS #1 v1.5"),
        ("parameters_absent", Box::new(|info| info.key_enc_alg.parameters = None), oaep),
        ("parameters_empty", Box::new(|info| info.key_enc_alg.parameters = Some(Any::from_der(&[0x30, 0]).unwrap())), oaep),
        ("label_stated", Box::new(|info| info.key_enc_alg.parameters = Some(stated_label.clone())), oaep),
        ("pss_for_transport", Box::new(|info| info.key_enc_alg.oid = rfc5912::ID_RSASSA_PSS), oaep),
        ("version_2", Box::new(|info| info.version = CmsVersion::V2), "one form"),
        ("key_empty", Box::new(|info| info.enc_key = key_of(0)), length),
        ("key_of_2048_bits", Box::new(|info| info.enc_key = key_of(256)), length),
        ("key_short_of_one_byte", Box::new(|info| info.enc_key = key_of(383)), length),
        ("key_of_8192_bits", Box::new(|info| info.enc_key = key_of(1024)), length),
    ];
    for (defect, edit, because) in cases {
        assert_malformed(defect, &edited(&*edit), &card.certificate, because);
    }
    // Well-formed, and not what was encrypted to this key.
    let encrypted = ktri(&envelope).enc_key.as_bytes().to_vec();
    let mut flipped = encrypted.clone();
    flipped[100] ^= 1;
    let seed = Zeroizing::new([5; 32]);
    let encrypt = |message: &[u8]| card.token.public_key().encrypt_oaep_sha256(message, &seed).unwrap();
    for (defect, bytes) in [
        ("flipped", flipped),
        ("zero", vec![0; 384]),
        ("one", [vec![0; 383], vec![1]].concat()),
        ("above_n", vec![0xff; 384]),
        ("leading_zero", [&[0], encrypted.as_slice()].concat()),
        ("trailing_zero", [encrypted.as_slice(), &[0]].concat()),
        ("another_content_key", encrypt(&[7; 32])),
        ("content_key_of_16_bytes", encrypt(&[7; 16])),
        ("content_key_of_33_bytes", encrypt(&[7; 33])),
        ("content_key_empty", encrypt(&[])),
    ] {
        let envelope = edited(&|info| info.enc_key = OctetString::new(bytes.clone()).unwrap());
        assert_eq!(card.opens(&envelope), Err(EnvelopeError::Authentication), "{defect}");
    }
}

#[test]
fn rsa_recipients_named_twice_or_of_another_kind() {
    let folder = tempfile::tempdir().unwrap();
    let (rsa, p256) = (Card::rsa(folder.path()), Card::p256(folder.path()));
    let envelope = seal(CONTENT, std::slice::from_ref(&rsa.certificate), &mut entropy(1)).unwrap();
    let info = ktri(&envelope);
    let mut again = info.clone();
    again.enc_key = OctetString::new([1; 384]).unwrap();
    let twice = with_recipients(&envelope, vec![RecipientInfo::Ktri(info.clone()), RecipientInfo::Ktri(again)]);
    assert_malformed("twice", &twice, &rsa.certificate, "names a recipient twice");
    assert_eq!(
        seal(CONTENT, &[rsa.certificate.clone(), rsa.certificate.clone()], &mut entropy(1)),
        Err(EnvelopeError::Malformed("it names a recipient twice"))
    );

    let kind = "not wrapped for the kind of key";
    let on_the_curve = parse(&seal(CONTENT, std::slice::from_ref(&p256.certificate), &mut entropy(1)).unwrap());
    let on_the_curve = kari(on_the_curve.recip_infos.0.get(0).unwrap()).clone();
    let mut misnamed = info.clone();
    let cms::enveloped_data::KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(name) = &on_the_curve.recipient_enc_keys[0].rid else {
        panic!()
    };
    misnamed.rid = RecipientIdentifier::IssuerAndSerialNumber(name.clone());
    let misnamed = with_recipients(&envelope, vec![RecipientInfo::Ktri(misnamed)]);
    assert_malformed("rsa_for_a_key_on_a_curve", &misnamed, &p256.certificate, kind);
    let mut misnamed = on_the_curve;
    let RecipientIdentifier::IssuerAndSerialNumber(name) = info.rid else { panic!() };
    misnamed.recipient_enc_keys[0].rid = cms::enveloped_data::KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(name);
    let misnamed = with_recipients(&envelope, vec![RecipientInfo::Kari(misnamed)]);
    assert_malformed("agreement_for_an_rsa_key", &misnamed, &rsa.certificate, kind);
}

#[test]
fn hostile_recipients_on_p256() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::p256(folder.path());
    let envelope = seal(CONTENT, std::slice::from_ref(&card.certificate), &mut entropy(1)).unwrap();
    let edited = |edit: &dyn Fn(&mut KeyAgreeRecipientInfo)| {
        let mut info = kari(parse(&envelope).recip_infos.0.get(0).unwrap()).clone();
        edit(&mut info);
        with_recipients(&envelope, vec![RecipientInfo::Kari(info)])
    };
    let with_point = |curve: ObjectIdentifier, point: &[u8]| {
        edited(&|info| {
            let algorithm = AlgorithmIdentifierOwned { oid: rfc5912::ID_EC_PUBLIC_KEY, parameters: Some(Any::from(&curve)) };
            let public_key = BitString::from_bytes(point).unwrap();
            info.originator = OriginatorIdentifierOrKey::OriginatorKey(OriginatorPublicKey { algorithm, public_key });
        })
    };
    let (p256, p384) = (rfc5912::SECP_256_R_1, rfc5912::SECP_384_R_1);
    let point = ephemeral(kari(parse(&envelope).recip_infos.0.get(0).unwrap())).public_key.raw_bytes().to_vec();
    assert_eq!(with_point(p256, &point), envelope);
    let mut off = point.clone();
    off[64] ^= 1;
    let hybrid = [&[6 + (point[64] & 1)], &point[1..]].concat();
    let compressed = [&[2 + (point[64] & 1)], &point[1..33]].concat();
    let (on_curve, uncompressed) = ("not a point on its curve", "not an uncompressed point on its curve");
    for (defect, envelope, because) in [
        ("point_not_on_the_curve", with_point(p256, &off), on_curve),
        ("point_of_zeros", with_point(p256, &[&[4][..], &[0; 64]].concat()), on_curve),
        ("point_hybrid", with_point(p256, &hybrid), on_curve),
        ("point_at_infinity", with_point(p256, &[0]), uncompressed),
        ("point_compressed", with_point(p256, &compressed), uncompressed),
        ("point_of_p384", with_point(p256, key(20).public_key().as_bytes()), uncompressed),
        ("curve_p384_named", with_point(p384, &point), uncompressed),
        ("key_on_p384", with_point(p384, key(20).public_key().as_bytes()), "one form"),
        (
            "kdf_of_sha384",
            edited(&|info| info.key_enc_alg.oid = const_oid::db::rfc5753::DH_SINGLE_PASS_STD_DH_SHA_384_KDF_SCHEME),
            "one form",
        ),
    ] {
        assert_malformed(defect, &envelope, &card.certificate, because);
    }
    // All of P-384, to a certificate on P-256.
    let wrong_curve = edited(&|info| {
        let other = parse(&seal(CONTENT, &[recipient(10)], &mut entropy(1)).unwrap());
        let rid = info.recipient_enc_keys[0].rid.clone();
        *info = kari(other.recip_infos.0.get(0).unwrap()).clone();
        info.recipient_enc_keys[0].rid = rid;
    });
    assert_malformed("agreement_on_another_curve", &wrong_curve, &card.certificate, "not wrapped for the kind of key");
}

#[test]
fn a_key_encapsulation_is_told_apart_from_nonsense() {
    let envelope = seal(CONTENT, &[recipient(10)], &mut entropy(1)).unwrap();
    let other = |kind: &str| {
        let other = OtherRecipientInfo { ori_type: ObjectIdentifier::new_unwrap(kind), ori_value: Any::null() };
        let infos = vec![parse(&envelope).recip_infos.0.get(0).unwrap().clone(), RecipientInfo::Ori(other)];
        with_recipients(&envelope, infos)
    };
    let kem = other("1.2.840.113549.1.9.16.13.3");
    assert_eq!(open(&kem, &recipient(10), &Untouched(Cell::new(false))).map(drop), Err(EnvelopeError::UnknownRecipient));
    assert_malformed("another_kind", &other("1.2.3.4"), &recipient(10), "neither key agreement nor key transport");
}

#[test]
fn a_source_that_repeats_itself_is_noticed_with_rsa_too() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::rsa(folder.path());
    for stuck in [0, 0xff, 0x5a] {
        let sealed = seal(CONTENT, std::slice::from_ref(&card.certificate), &mut |bytes| bytes.fill(stuck));
        assert_eq!(sealed, Err(EnvelopeError::Entropy));
    }
    // Stuck after the content key and the nonce: OAEP without a seed would give the same bytes each time.
    let mut good = entropy(1);
    let mut draws = 0;
    let sealed = seal(CONTENT, std::slice::from_ref(&card.certificate), &mut |bytes| {
        draws += 1;
        if draws > 2 { bytes.fill(0) } else { good(bytes) }
    });
    assert_eq!(sealed, Err(EnvelopeError::Entropy));
}

/// Once in 2^32 draws 32 random bytes are no private key on P-256: that is no reason to fail.
#[test]
fn a_draw_that_is_no_private_key_is_drawn_again() {
    let folder = tempfile::tempdir().unwrap();
    let card = Card::p256(folder.path());
    let not_below_n = [&[0xff; 31][..], &[0xfe]].concat();
    let sealed = |spoilt: std::ops::Range<u32>| {
        let mut good = entropy(1);
        let mut draws = 0;
        seal(CONTENT, std::slice::from_ref(&card.certificate), &mut |bytes| {
            draws += 1;
            if spoilt.contains(&draws) { bytes.copy_from_slice(&not_below_n) } else { good(bytes) }
        })
    };
    assert_eq!(card.opens(&sealed(3..4).unwrap()).as_deref(), Ok(CONTENT));
    assert_eq!(sealed(3..9), Err(EnvelopeError::Entropy));
}

/// The same for each kind as for P-384 in envelope.rs: no key that everybody knows opens a message.
#[test]
fn no_known_key_opens_a_message_to_a_card() {
    let folder = tempfile::tempdir().unwrap();
    let cards = [Card::p256(folder.path()), Card::rsa(folder.path())];
    for card in &cards {
        let envelope = seal(CONTENT, std::slice::from_ref(&card.certificate), &mut entropy(1)).unwrap();
        let enveloped = parse(&envelope);
        for known in [[0; 32], [0xff; 32], key_encryption_key(&[0; 32])] {
            assert!(!content_opens(&enveloped, &known), "the content key is known");
        }
    }
    let envelope = seal(CONTENT, std::slice::from_ref(&cards[0].certificate), &mut entropy(1)).unwrap();
    let enveloped = parse(&envelope);
    let info = kari(enveloped.recip_infos.0.get(0).unwrap());
    let unwrap = |key_encryption_key: [u8; 32]| {
        let mut content_key = [0; 32];
        let wrapped = info.recipient_enc_keys[0].enc_key.as_bytes();
        AesKw::<aes::Aes256>::new(&key_encryption_key.into()).unwrap_key(wrapped, &mut content_key).is_ok().then_some(content_key)
    };
    // The x coordinate of the generator: what a private key of 1 would agree on.
    let generator = hex::decode("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296").unwrap();
    for known in [[0; 32], [0xff; 32], key_encryption_key(&[0; 32]), key_encryption_key(&generator)] {
        assert_eq!(unwrap(known), None, "everybody can open it");
    }
    let secret = cards[0].agree(ephemeral(info).public_key.raw_bytes()).unwrap();
    assert!(content_opens(&enveloped, &unwrap(key_encryption_key(&secret)).unwrap()), "the test can not see");

    // With RSA: what is sent is not the padded key itself, and the true key does open it.
    let envelope = seal(CONTENT, std::slice::from_ref(&cards[1].certificate), &mut entropy(1)).unwrap();
    let encrypted = ktri(&envelope).enc_key.as_bytes().to_vec();
    let content_key = content_key(&cards[1], &envelope);
    assert!(content_opens(&parse(&envelope), &content_key), "the test can not see");
    assert!(!envelope.windows(32).any(|window| window == content_key), "the content key is in the message");
    assert_ne!(encrypted[0], 0, "it looks like a padded block (the same bytes in every run)");
}

/// RFC 5753 section 7.2 with SHA-256, in the test's own words.
fn key_encryption_key(secret: &[u8]) -> [u8; 32] {
    let shared_info = hex::decode("3015300b060960864801650304012da206040400000100").unwrap();
    Sha256::new().chain_update(secret).chain_update([0, 0, 0, 1]).chain_update(shared_info).finalize().into()
}

fn content_opens(enveloped: &AuthEnvelopedData, content_key: &[u8; 32]) -> bool {
    let content = &enveloped.auth_encrypted_content_info;
    let nonce: [u8; 12] = content.content_enc_alg.parameters.as_ref().unwrap().value()[2..14].try_into().unwrap();
    let ciphertext = [content.encrypted_content.as_ref().unwrap().as_bytes(), enveloped.mac.as_bytes()].concat();
    Aes256Gcm::new(content_key.into()).decrypt(&nonce.into(), ciphertext.as_slice()).is_ok()
}

/// Whatever byte is changed, it does not open.
#[test]
fn any_byte_of_an_envelope_to_a_card_changed() {
    let folder = tempfile::tempdir().unwrap();
    for card in [Card::p256(folder.path()), Card::rsa(folder.path())] {
        let envelope = seal(CONTENT, std::slice::from_ref(&card.certificate), &mut entropy(1)).unwrap();
        assert_eq!(card.opens(&envelope).as_deref(), Ok(CONTENT));
        for position in (0..envelope.len()).step_by(3) {
            let mut changed = envelope.clone();
            changed[position] ^= 1;
            assert!(card.opens(&changed).is_err(), "byte {position} may be changed");
        }
    }
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 11] = [
        one_message_for_people_with_any_kind_of_key,
        the_envelope_to_cards_of_the_documentation_is_written_and_opens,
        what_openssl_seals_opens_here,
        hostile_rsa_recipients,
        rsa_recipients_named_twice_or_of_another_kind,
        hostile_recipients_on_p256,
        a_key_encapsulation_is_told_apart_from_nonsense,
        a_source_that_repeats_itself_is_noticed_with_rsa_too,
        a_draw_that_is_no_private_key_is_drawn_again,
        no_known_key_opens_a_message_to_a_card,
        any_byte_of_an_envelope_to_a_card_changed,
    ];
    assert_agrees_on(&tests, 60);
}
