//! Envelopes with one defect each, named by it.

#![allow(clippy::unwrap_used)]

mod envelope_support;

use std::cell::Cell;

use cms::authenveloped_data::AuthEnvelopedData;
use cms::cert::IssuerAndSerialNumber;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::enveloped_data::{
    KeyAgreeRecipientIdentifier, KeyAgreeRecipientInfo, KeyTransRecipientInfo, OriginatorIdentifierOrKey, OriginatorInfo,
    OriginatorPublicKey, RecipientIdentifier, RecipientInfo, RecipientInfos,
};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5753, rfc5911, rfc5912};
use der::asn1::{Any, BitString, OctetString, SetOfVec};
use der::{Decode, Encode, Tag};
use envelope_support::{CONTENT, assert_agrees_on, entropy, ephemeral, judged, kari, key, open, parse, recipient, sealed_for_two, write};
use exhibit_evidence::envelope::{CONTENT_BYTES_MAX, EnvelopeError, RECIPIENTS_MAX, UnwrappingKey, recipient_count, seal};
use exhibit_pki::Signer;
use proptest::prelude::*;
use spki::AlgorithmIdentifierOwned;
use x509_cert::{name::Name, serial_number::SerialNumber};
use zeroize::Zeroizing;

/// An envelope to recipient 10 alone, with one part replaced.
fn defective(edit: impl FnOnce(&mut AuthEnvelopedData)) -> Vec<u8> {
    let mut enveloped = parse(&seal(CONTENT, &[recipient(10)], &mut entropy(1)).unwrap());
    edit(&mut enveloped);
    write(&enveloped)
}

/// The same, with a part of its recipient replaced.
fn misaddressed(edit: impl FnOnce(&mut KeyAgreeRecipientInfo)) -> Vec<u8> {
    defective(|enveloped| {
        let mut info = kari(enveloped.recip_infos.0.get(0).unwrap()).clone();
        edit(&mut info);
        enveloped.recip_infos = RecipientInfos::try_from(vec![RecipientInfo::Kari(info)]).unwrap();
    })
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

/// Refused for its form before the private key is used.
#[track_caller]
fn assert_malformed(envelope: &[u8], because: &str) {
    let key = Untouched(Cell::new(false));
    let refused = exhibit_evidence::envelope::open(envelope, &recipient(10), &key).map(|_| ());
    if envelope.len() <= CONTENT_BYTES_MAX {
        judged("envelope", &[envelope], recipient_count(envelope)).ok();
    }
    let Err(EnvelopeError::Malformed(reason)) = refused else { panic!("{refused:?}, and not: {because}") };
    assert!(reason.contains(because), "refused because {reason:?}, and not: {because}");
    assert!(!key.0.get(), "the private key was used on a malformed envelope");
}

#[track_caller]
fn assert_does_not_authenticate(envelope: &[u8]) {
    assert_eq!(open(envelope, &recipient(10), &key(10)).map(|_| ()), Err(EnvelopeError::Authentication));
}

fn with_point(point: &[u8]) -> Vec<u8> {
    misaddressed(|info| {
        let algorithm = ephemeral(info).algorithm.clone();
        let public_key = BitString::from_bytes(point).unwrap();
        info.originator = OriginatorIdentifierOrKey::OriginatorKey(OriginatorPublicKey { algorithm, public_key });
    })
}

const ONE_FORM: &str = "one form";

#[test]
fn an_envelope_that_is_only_read_and_written_again_opens() {
    assert_eq!(**open(&defective(|_| ()), &recipient(10), &key(10)).unwrap(), *CONTENT);
    assert_eq!(**open(&misaddressed(|_| ()), &recipient(10), &key(10)).unwrap(), *CONTENT);
}

#[test]
fn flipped_tag_ciphertext_nonce_or_wrapped_key() {
    assert_does_not_authenticate(&defective(|enveloped| {
        let mut tag = enveloped.mac.as_bytes().to_vec();
        tag[15] ^= 1;
        enveloped.mac = OctetString::new(tag).unwrap();
    }));
    for position in [0, CONTENT.len() - 1] {
        assert_does_not_authenticate(&defective(|enveloped| {
            let content = &mut enveloped.auth_encrypted_content_info.encrypted_content;
            let mut ciphertext = content.as_ref().unwrap().as_bytes().to_vec();
            ciphertext[position] ^= 1;
            *content = Some(OctetString::new(ciphertext).unwrap());
        }));
    }
    assert_does_not_authenticate(&defective(|enveloped| {
        let algorithm = &mut enveloped.auth_encrypted_content_info.content_enc_alg;
        let mut parameters = algorithm.parameters.as_ref().unwrap().to_der().unwrap();
        parameters[4] ^= 1;
        algorithm.parameters = Some(Any::from_der(&parameters).unwrap());
    }));
    assert_does_not_authenticate(&misaddressed(|info| {
        let mut wrapped = info.recipient_enc_keys[0].enc_key.as_bytes().to_vec();
        wrapped[39] ^= 1;
        info.recipient_enc_keys[0].enc_key = OctetString::new(wrapped).unwrap();
    }));
}

#[test]
fn content_cut_or_lengthened() {
    for edit in [|bytes: &mut Vec<u8>| bytes.truncate(10), |bytes: &mut Vec<u8>| bytes.clear(), |bytes: &mut Vec<u8>| bytes.push(0)] {
        assert_does_not_authenticate(&defective(|enveloped| {
            let content = &mut enveloped.auth_encrypted_content_info.encrypted_content;
            let mut ciphertext = content.as_ref().unwrap().as_bytes().to_vec();
            edit(&mut ciphertext);
            *content = Some(OctetString::new(ciphertext).unwrap());
        }));
    }
}

#[test]
fn addressed_to_another_recipient() {
    let envelope = misaddressed(|info| {
        let other = parse(&seal(CONTENT, &[recipient(11)], &mut entropy(1)).unwrap());
        info.recipient_enc_keys[0].rid = kari(other.recip_infos.0.get(0).unwrap()).recipient_enc_keys[0].rid.clone();
    });
    assert_eq!(open(&envelope, &recipient(10), &key(10)).map(|_| ()), Err(EnvelopeError::NotARecipient));
    let misled = open(&envelope, &recipient(11), &key(11)).map(|_| ());
    assert_eq!(misled, Err(EnvelopeError::Authentication), "a key wrapped for one opened for another");
}

#[test]
fn same_serial_of_another_issuer() {
    let envelope = misaddressed(|info| {
        let KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(name) = &mut info.recipient_enc_keys[0].rid else { panic!() };
        name.issuer = Decode::from_der(recipient(10).subject_der()).unwrap();
    });
    assert_eq!(open(&envelope, &recipient(10), &key(10)).map(|_| ()), Err(EnvelopeError::NotARecipient));
}

#[test]
fn a_name_that_no_certificate_has() {
    let serial = "a recipient's serial number is not positive, or longer than 20 bytes";
    let longest = [&[2, 20][..], &[1; 20]].concat();
    let longer = [&[2, 21][..], &[1; 21]].concat();
    for (number, refused) in [(&[2, 1, 0][..], true), (&[2, 1, 0x80], true), (&[2, 1, 0xff], true), (&longer, true), (&longest, false)] {
        let envelope = misaddressed(|info| named(info).serial_number = SerialNumber::from_der(number).unwrap());
        if refused {
            assert_malformed(&envelope, serial);
        } else {
            assert_eq!(open(&envelope, &recipient(10), &key(10)).map(|_| ()), Err(EnvelopeError::NotARecipient));
        }
    }
    let empty = misaddressed(|info| named(info).issuer = Name::from_der(&[0x30, 2, 0x31, 0]).unwrap());
    assert_malformed(&empty, "a part of the name of a recipient's issuer is empty");
    // A common name whose identifier has a zero before an arc.
    let padded = [&[0x30, 13, 0x31, 11, 0x30, 9, 6, 4, 0x55, 0x80, 4, 3, 12, 1][..], b"x"].concat();
    assert_malformed(&misaddressed(|info| named(info).issuer = Name::from_der(&padded).unwrap()), "it is not DER in all its parts");
}

fn named(info: &mut KeyAgreeRecipientInfo) -> &mut IssuerAndSerialNumber {
    let KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(name) = &mut info.recipient_enc_keys[0].rid else { panic!("no name") };
    name
}

#[test]
fn point_not_on_the_curve() {
    let mut point = key(20).public_key().as_bytes().to_vec();
    point[96] ^= 1;
    assert_malformed(&with_point(&point), "not a point on its curve");
    let zeros = [&[4][..], &[0; 96]].concat();
    assert_malformed(&with_point(&zeros), "not a point on its curve");
    let beyond_the_field = [&[4][..], &[0xff; 96]].concat();
    assert_malformed(&with_point(&beyond_the_field), "not a point on its curve");
}

#[test]
fn point_at_infinity_compressed_hybrid_or_of_another_curve() {
    let point = key(20).public_key().as_bytes().to_vec();
    assert_malformed(&with_point(&[0]), "uncompressed point");
    assert_malformed(&with_point(&[]), "uncompressed point");
    assert_malformed(&with_point(&[&[2 + (point[96] & 1)], &point[1..49]].concat()), "uncompressed point");
    assert_malformed(&with_point(&[&[6 + (point[96] & 1)], &point[1..]].concat()), "not a point on its curve");
    let generator_of_p256 = hex::decode(concat!(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    ));
    assert_malformed(&with_point(&generator_of_p256.unwrap()), "uncompressed point");
}

#[test]
fn point_declared_to_be_on_another_curve() {
    let (of_another_length, unknown) = ("uncompressed point on its curve", "declared to be on P-384 or P-256");
    for (curve, because) in [(rfc5912::SECP_256_R_1, of_another_length), (rfc5912::SECP_521_R_1, unknown)] {
        let envelope = misaddressed(|info| {
            let public_key = ephemeral(info).public_key.clone();
            let algorithm = AlgorithmIdentifierOwned { oid: rfc5912::ID_EC_PUBLIC_KEY, parameters: Some(Any::from(&curve)) };
            info.originator = OriginatorIdentifierOrKey::OriginatorKey(OriginatorPublicKey { algorithm, public_key });
        });
        assert_malformed(&envelope, because);
    }
}

#[test]
fn content_under_another_cipher() {
    for cipher in [rfc5911::ID_AES_256_CBC, rfc5911::ID_AES_128_GCM, rfc5911::ID_AES_256_CCM] {
        let envelope = defective(|enveloped| enveloped.auth_encrypted_content_info.content_enc_alg.oid = cipher);
        assert_malformed(&envelope, "AES-256-GCM");
    }
}

#[test]
fn tag_of_12_bytes() {
    let envelope = defective(|enveloped| {
        let algorithm = &mut enveloped.auth_encrypted_content_info.content_enc_alg;
        let nonce = algorithm.parameters.as_ref().unwrap().value()[..14].to_vec();
        let parameters = [nonce.as_slice(), &[2, 1, 12]].concat();
        algorithm.parameters = Some(Any::new(Tag::Sequence, parameters).unwrap());
        enveloped.mac = OctetString::new(&enveloped.mac.as_bytes()[..12]).unwrap();
    });
    assert_malformed(&envelope, "tag is not 16 bytes");
    let only_declared = defective(|enveloped| {
        let algorithm = &mut enveloped.auth_encrypted_content_info.content_enc_alg;
        let nonce = algorithm.parameters.as_ref().unwrap().value()[..14].to_vec();
        algorithm.parameters = Some(Any::new(Tag::Sequence, [nonce.as_slice(), &[2, 1, 12]].concat()).unwrap());
    });
    assert_malformed(&only_declared, ONE_FORM);
    let by_default = defective(|enveloped| {
        let algorithm = &mut enveloped.auth_encrypted_content_info.content_enc_alg;
        let nonce = algorithm.parameters.as_ref().unwrap().value()[..14].to_vec();
        algorithm.parameters = Some(Any::new(Tag::Sequence, nonce).unwrap());
    });
    assert_malformed(&by_default, "GCM parameters");
}

#[test]
fn nonce_of_another_length_or_none() {
    for nonce in [vec![4, 0], [&[4, 8][..], &[1; 8]].concat(), [&[4, 16][..], &[1; 16]].concat()] {
        let envelope = defective(|enveloped| {
            let parameters = [nonce.as_slice(), &[2, 1, 16]].concat();
            enveloped.auth_encrypted_content_info.content_enc_alg.parameters = Some(Any::new(Tag::Sequence, parameters).unwrap());
        });
        assert_malformed(&envelope, "nonce is not 12 bytes");
    }
    let envelope = defective(|enveloped| enveloped.auth_encrypted_content_info.content_enc_alg.parameters = None);
    assert_malformed(&envelope, "GCM parameters");
}

#[test]
fn content_absent_or_of_another_type() {
    assert_malformed(&defective(|enveloped| enveloped.auth_encrypted_content_info.encrypted_content = None), "no content");
    let other_type = rfc5911::ID_SIGNED_DATA;
    assert_malformed(&defective(|enveloped| enveloped.auth_encrypted_content_info.content_type = other_type), ONE_FORM);
}

#[test]
fn another_message_type() {
    let enveloped = parse(&sealed_for_two());
    let content = Any::encode_from(&enveloped).unwrap();
    for content_type in [rfc5911::ID_ENVELOPED_DATA, rfc5911::ID_DATA] {
        assert_malformed(&ContentInfo { content_type, content: content.clone() }.to_der().unwrap(), ONE_FORM);
    }
}

#[test]
fn key_derived_or_wrapped_in_another_way() {
    let other_kdf = |oid: ObjectIdentifier| misaddressed(|info| info.key_enc_alg.oid = oid);
    assert_malformed(&other_kdf(rfc5753::DH_SINGLE_PASS_STD_DH_SHA_256_KDF_SCHEME), ONE_FORM);
    assert_malformed(&other_kdf(rfc5753::DH_SINGLE_PASS_COFACTOR_DH_SHA_384_KDF_SCHEME), ONE_FORM);
    let weaker_wrap = AlgorithmIdentifierOwned { oid: rfc5911::ID_AES_128_WRAP, parameters: None };
    assert_malformed(&misaddressed(|info| info.key_enc_alg.parameters = Some(Any::encode_from(&weaker_wrap).unwrap())), ONE_FORM);
    assert_malformed(&misaddressed(|info| info.key_enc_alg.parameters = None), ONE_FORM);
    assert_malformed(&misaddressed(|info| info.ukm = Some(OctetString::new([1; 64]).unwrap())), ONE_FORM);
    assert_malformed(&misaddressed(|info| info.version = CmsVersion::V2), ONE_FORM);
}

#[test]
fn wrapped_key_of_another_length() {
    for length in [0, 24, 39, 41, 48] {
        let envelope = misaddressed(|info| info.recipient_enc_keys[0].enc_key = OctetString::new(vec![1; length]).unwrap());
        assert_malformed(&envelope, "wrapped key is not 40 bytes");
    }
}

#[test]
fn recipient_without_an_ephemeral_key_or_without_agreement() {
    let name = |info: &KeyAgreeRecipientInfo| match &info.recipient_enc_keys[0].rid {
        KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(name) => name.clone(),
        KeyAgreeRecipientIdentifier::RKeyId(_) => panic!("named by key identifier"),
    };
    let of_a_certificate = misaddressed(|info| info.originator = OriginatorIdentifierOrKey::IssuerAndSerialNumber(name(info)));
    assert_malformed(&of_a_certificate, "no ephemeral key");
    let by_transport = defective(|enveloped| {
        let info = KeyTransRecipientInfo {
            version: CmsVersion::V0,
            rid: RecipientIdentifier::IssuerAndSerialNumber(name(kari(enveloped.recip_infos.0.get(0).unwrap()))),
            key_enc_alg: AlgorithmIdentifierOwned { oid: rfc5912::RSA_ENCRYPTION, parameters: Some(Any::null()) },
            enc_key: OctetString::new([1; 256]).unwrap(),
        };
        enveloped.recip_infos = RecipientInfos::try_from(vec![RecipientInfo::Ktri(info)]).unwrap();
    });
    assert_malformed(&by_transport, "under RSA PKCS #1 v1.5");
}

#[test]
fn two_names_or_none_behind_one_ephemeral_key() {
    assert_malformed(&misaddressed(|info| info.recipient_enc_keys.push(info.recipient_enc_keys[0].clone())), "alone");
    assert_malformed(&misaddressed(|info| info.recipient_enc_keys.clear()), "alone");
}

#[test]
fn no_recipients_or_too_many() {
    let with = |count: u32| {
        defective(|enveloped| {
            let info = kari(enveloped.recip_infos.0.get(0).unwrap()).clone();
            let infos = (0..count).map(|number| {
                let mut info = info.clone();
                let KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(name) = &mut info.recipient_enc_keys[0].rid else { panic!() };
                name.serial_number = (number + 1).into();
                RecipientInfo::Kari(info)
            });
            enveloped.recip_infos = RecipientInfos::try_from(infos.collect::<Vec<_>>()).unwrap();
        })
    };
    assert_eq!(recipient_count(&with(64)), Ok(64));
    assert_malformed(&with(65), "1 to 64 recipients");
    assert_malformed(&with(0), "1 to 64 recipients");
    assert_malformed(&with(1000), "too much room");
}

#[test]
fn recipient_named_twice() {
    let envelope = defective(|enveloped| {
        let info = kari(enveloped.recip_infos.0.get(0).unwrap()).clone();
        let mut again = info.clone();
        again.recipient_enc_keys[0].enc_key = OctetString::new([1; 40]).unwrap();
        enveloped.recip_infos = RecipientInfos::try_from(vec![RecipientInfo::Kari(info), RecipientInfo::Kari(again)]).unwrap();
    });
    assert_malformed(&envelope, "names a recipient twice");
}

/// The same with its recipients, each encoded, in another order.
fn reordered(envelope: &[u8], order: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut infos: Vec<Vec<u8>> = parse(envelope).recip_infos.0.iter().map(|info| info.to_der().unwrap()).collect();
    infos.sort();
    let sorted = infos.concat();
    let start = envelope.windows(sorted.len()).position(|window| window == sorted).expect("they are written as a set in DER");
    order(&mut infos);
    [&envelope[..start], &infos.concat(), &envelope[start + sorted.len()..]].concat()
}

#[test]
fn recipients_out_of_order() {
    assert_malformed(&reordered(&sealed_for_two(), |infos| infos.swap(0, 1)), ONE_FORM);
}

/// The library whose types we use sorts them as lists of INTEGERs, which are signed: another order than that of DER, once there are some.
#[test]
fn recipients_in_the_order_of_signed_octets() {
    let recipients: Vec<_> = (3..3 + RECIPIENTS_MAX as u8).map(recipient).collect();
    let envelope = seal(CONTENT, &recipients, &mut entropy(1)).unwrap();
    let by_library: Vec<Vec<u8>> = parse(&envelope).recip_infos.0.iter().map(|info| info.to_der().unwrap()).collect();
    let disordered = reordered(&envelope, |infos| *infos = by_library);
    assert_ne!(disordered, envelope, "the library sorts as DER does: the form can be simpler");
    assert_malformed(&disordered, ONE_FORM);
}

#[test]
fn recipient_told_twice_in_the_same_bytes() {
    let mut added = 0;
    let mut envelope = reordered(&sealed_for_two(), |infos| {
        infos.insert(0, infos[0].clone());
        added = infos[0].len() as u16;
    });
    // Longer by it are ContentInfo, [0], AuthEnvelopedData and the set.
    for at in [0, 17, 21, 28] {
        assert_eq!(envelope[at + 1], 0x82);
        let length = u16::from_be_bytes([envelope[at + 2], envelope[at + 3]]) + added;
        envelope[at + 2..at + 4].copy_from_slice(&length.to_be_bytes());
    }
    assert_malformed(&envelope, "names a recipient twice");
}

#[test]
fn parts_that_we_never_write() {
    let attributes = || {
        let value = SetOfVec::try_from(vec![Any::null()]).unwrap();
        Some(SetOfVec::try_from(vec![x509_cert::attr::Attribute { oid: rfc5911::ID_DATA, values: value }]).unwrap())
    };
    let reason = "not an AuthEnvelopedData in DER";
    assert_malformed(&defective(|enveloped| enveloped.auth_attrs = attributes()), reason);
    assert_malformed(&defective(|enveloped| enveloped.unauth_attrs = attributes()), reason);
    assert_malformed(&defective(|enveloped| enveloped.originator_info = Some(OriginatorInfo { certs: None, crls: None })), reason);
    assert_malformed(&defective(|enveloped| enveloped.version = CmsVersion::V1), ONE_FORM);
}

#[test]
fn trailing_bytes_or_another_encoding_of_a_length() {
    let envelope = sealed_for_two();
    let trailing = [envelope.as_slice(), &[0]].concat();
    assert_malformed(&trailing, "DER");
    assert_eq!(envelope[..2], [0x30, 0x82]);
    let mut counted = trailing;
    counted[3] += 1;
    assert_malformed(&counted, "DER");
    let longer_length = [&[0x30, 0x83, 0], &envelope[2..]].concat();
    assert_malformed(&longer_length, "DER");
    let indefinite = [&[0x30, 0x80], &envelope[4..], &[0, 0]].concat();
    assert_malformed(&indefinite, "DER");
    let mut wrong_length = envelope;
    wrong_length[3] ^= 1;
    assert_malformed(&wrong_length, ONE_FORM);
}

#[test]
fn truncated_anywhere() {
    let envelope = sealed_for_two();
    for length in 0..envelope.len() {
        let refused = exhibit_evidence::envelope::open(&envelope[..length], &recipient(10), &Untouched(Cell::new(false))).map(|_| ());
        assert!(matches!(refused, Err(EnvelopeError::Malformed(_))), "{length} bytes of {}: {refused:?}", envelope.len());
    }
}

#[test]
fn far_too_long() {
    assert_malformed(&vec![0x30; CONTENT_BYTES_MAX + (1 << 20)], "too long");
}

/// Whatever byte is changed: it does not open, or what changed concerns another recipient only.
#[test]
fn any_byte_changed() {
    let envelope = sealed_for_two();
    let (certificate, key) = (recipient(10), key(10));
    let infos: Vec<Vec<u8>> = parse(&envelope).recip_infos.0.iter().map(|info| info.to_der().unwrap()).collect();
    let own = infos.iter().position(|info| info.windows(16).any(|window| window == certificate.serial())).unwrap();
    let other = &infos[1 - own];
    let start = envelope.windows(other.len()).position(|window| window == other.as_slice()).unwrap();
    for position in 0..envelope.len() {
        let mut changed = envelope.clone();
        changed[position] ^= 1;
        let opened = open(&changed, &certificate, &key);
        let concerns_other = (start..start + other.len()).contains(&position);
        assert!(opened.is_err() || concerns_other, "byte {position} may be changed");
        assert!(opened.is_err() || **opened.unwrap() == *CONTENT);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        prop_assert!(recipient_count(&bytes).is_err());
        let mut spliced = include_bytes!("vectors/envelope.der").to_vec();
        let start = at.index(spliced.len());
        let end = start + cut.index(spliced.len() - start);
        if spliced[start..end] != bytes {
            spliced.splice(start..end, bytes);
            let _ = recipient_count(&spliced);
        }
    }
}

#[test]
fn the_verifier_in_python_agrees_on_every_vector() {
    let tests: [fn(); 27] = [
        a_name_that_no_certificate_has,
        an_envelope_that_is_only_read_and_written_again_opens,
        flipped_tag_ciphertext_nonce_or_wrapped_key,
        content_cut_or_lengthened,
        addressed_to_another_recipient,
        same_serial_of_another_issuer,
        point_not_on_the_curve,
        point_at_infinity_compressed_hybrid_or_of_another_curve,
        point_declared_to_be_on_another_curve,
        content_under_another_cipher,
        tag_of_12_bytes,
        nonce_of_another_length_or_none,
        content_absent_or_of_another_type,
        another_message_type,
        key_derived_or_wrapped_in_another_way,
        wrapped_key_of_another_length,
        recipient_without_an_ephemeral_key_or_without_agreement,
        two_names_or_none_behind_one_ephemeral_key,
        no_recipients_or_too_many,
        recipient_named_twice,
        recipients_out_of_order,
        recipients_in_the_order_of_signed_octets,
        recipient_told_twice_in_the_same_bytes,
        parts_that_we_never_write,
        trailing_bytes_or_another_encoding_of_a_length,
        truncated_anywhere,
        any_byte_changed,
    ];
    assert_agrees_on(&tests, 500);
}
