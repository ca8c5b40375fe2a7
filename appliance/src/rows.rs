//! The appliance's indexes: rows that the ledger writes in the same batch as the entry, and shows together with it (docs/formats/api.md).
//!
//! It reads and writes no database; it decides nothing about an entry, which has been judged before.

use exhibit_evidence::{AttachmentRef, Body, Statement, StreamName, body::Ban, exchange::Terms};
use exhibit_pki::{Certificate, Fingerprint, Timestamp};
use exhibit_tlog::Hash;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Segments of a stream whose times share a row: a search reads so many entries at most for nothing.
pub const BLOCK_ENTRIES: u64 = 64;

/// What is known of a stream, with its newest entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRow {
    /// `issued` of its first statement.
    pub first_issued: String,
    /// `issued` of its last.
    pub last_issued: String,
    /// `observed.size` of its last: it never falls within a stream.
    pub observed_size: u64,
    /// The slot of its last segment: it never falls either.
    pub slot: Option<u32>,
    /// Ended by a `close`.
    pub closed: bool,
    /// What time its segments cover, by the camera's clock.
    pub span: Option<Span>,
}

/// From the earliest start to the latest end, in milliseconds since 1970 by the camera's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Earliest start.
    pub from_ms: u64,
    /// Latest end.
    pub to_ms: u64,
}

impl Span {
    /// What a segment covers.
    pub fn of(segment: &exhibit_evidence::body::Segment) -> Self {
        let from_ms = segment.start.unix_ms();
        Self { from_ms, to_ms: from_ms.saturating_add(segment.duration_ms) }
    }
    /// The least span that has both.
    pub fn with(self, other: Option<Self>) -> Self {
        let other = other.unwrap_or(self);
        Self { from_ms: self.from_ms.min(other.from_ms), to_ms: self.to_ms.max(other.to_ms) }
    }
    /// True if they share a moment.
    pub fn overlaps(self, other: Self) -> bool {
        self.from_ms <= other.to_ms && other.from_ms <= self.to_ms
    }
}

/// The newest `recipients` of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipientsRow {
    /// Its number.
    pub number: u64,
    /// Its leaf hash, hex.
    pub leaf: String,
}

/// Who named an attachment, as far as permission to read it hangs on that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachmentRow {
    /// The statement's type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The attachment's name in it.
    pub name: String,
    /// Whose statement: `user/<id>`.
    pub issuer: String,
    /// To whom a grant is.
    pub grantee: Option<String>,
    /// Length as stored.
    pub length: u64,
}

/// How far the appliance's own log lines are on the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRow {
    /// The number of the next batch.
    pub number: u64,
    /// The number of the next line.
    pub line: u64,
}

/// A ban that was not lifted. Who is banned stands in the attachment alone, which may be erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanRow {
    /// In the statement's words.
    pub kind: String,
    /// See above.
    pub reason: String,
    /// In milliseconds since 1970; `None` until it is lifted.
    pub until_ms: Option<u64>,
    /// SHA-256 of the attachment `subject`, hex.
    pub subject: String,
}

impl BanRow {
    fn of(body: &Ban) -> Self {
        let subject = body.attachments.iter().find(|attachment| attachment.name == "subject");
        Self {
            kind: body.kind.as_str().to_owned(),
            reason: body.reason.as_str().to_owned(),
            until_ms: body.until.map(Timestamp::unix_ms),
            subject: subject.map(|subject| subject.sha256.to_string()).unwrap_or_default(),
        }
    }
}

/// What the rows of an entry are made of.
pub struct Indexed<'a> {
    /// The statement.
    pub statement: &'a Statement,
    /// The certificate that signed it.
    pub signer: &'a Fingerprint,
    /// Its leaf hash.
    pub leaf: Hash,
    /// The stream's row before it.
    pub stream: Option<StreamRow>,
    /// The row of its block of segments before it.
    pub block: Option<Span>,
    /// A certificate that it introduces and that was not known before.
    pub certificate: Option<&'a Certificate>,
    /// The authorities that it introduces.
    pub issuers: &'a [Certificate],
    /// The terms of a grant.
    pub terms: Option<&'a Terms>,
    /// Since when the certificate is revoked that it revokes, as far as known before.
    pub revoked: Option<Timestamp>,
    /// True if it is the newest set of its scope from then on.
    pub takes_force: bool,
    /// True if its signer has approved before what it approves.
    pub approved_before: bool,
}

impl Indexed<'_> {
    /// All rows of the entry.
    pub fn rows(&self) -> Vec<Row> {
        let Self { statement, leaf, .. } = self;
        let mut rows = self.stream_rows();
        for attachment in statement.body.attachments() {
            rows.push((attachment_key(&attachment.sha256, leaf, &attachment.name), to_json(&self.attachment_row(attachment))));
        }
        if let Some(certificate) = self.certificate {
            rows.push((certificate_key(certificate.fingerprint()), [&leaf.0, certificate.der()].concat()));
        }
        for issuer in self.issuers {
            rows.push((issuer_key(issuer.fingerprint()), issuer.der().to_vec()));
        }
        match &statement.body {
            Body::Recipients(body) if self.takes_force => {
                let row = RecipientsRow { number: body.number, leaf: leaf.to_string() };
                rows.push((recipients_key(&body.scope), to_json(&row)));
            }
            Body::Grant(_) => {
                let parties = [Some(statement.stream.owner()), self.terms.map(|terms| terms.grantee_subject.as_str())];
                rows.extend(parties.into_iter().flatten().map(|subject| (grant_key(subject, statement.issued, leaf), Vec::new())));
            }
            // The first counts: a later one must not move the moment at which what it approves was decided.
            Body::Approve(body) if !self.approved_before => {
                rows.push((approval_key(&body.entry, self.signer), leaf.to_string().into_bytes()));
            }
            Body::CertificateRevocation(body) => rows.push((revocation_key(&body.fingerprint), self.revoked_since(body.since))),
            Body::Ban(body) => rows.push(match &body.lifts {
                Some(lifted) => (ban_key(lifted), to_json(&None::<BanRow>)),
                None => (ban_key(leaf), to_json(&BanRow::of(body))),
            }),
            Body::Access(body) => rows.push((access_key(&body.fetch, body.granted), Vec::new())),
            _ => {}
        }
        rows
    }

    /// The earliest word counts: a later one does not give back what was taken.
    fn revoked_since(&self, since: Timestamp) -> Vec<u8> {
        self.revoked.map_or(since, |before| before.min(since)).unix_ms().to_string().into_bytes()
    }

    fn stream_rows(&self) -> Vec<Row> {
        let Self { statement, .. } = self;
        let segment = match &statement.body {
            Body::Segment(segment) => Some(segment),
            _ => None,
        };
        let span = segment.map(Span::of);
        let before = self.stream.as_ref();
        let row = StreamRow {
            first_issued: before.map_or_else(|| statement.issued.to_string(), |row| row.first_issued.clone()),
            last_issued: statement.issued.to_string(),
            observed_size: statement.observed.size,
            slot: segment.map(|segment| segment.slot).or(before.and_then(|row| row.slot)),
            closed: matches!(statement.body, Body::Close(_)),
            span: span.map(|span| span.with(before.and_then(|row| row.span))).or(before.and_then(|row| row.span)),
        };
        let mut rows = vec![(stream_key(&statement.stream), to_json(&row))];
        if let Some(span) = span {
            rows.push((block_key(&statement.stream, statement.seq / BLOCK_ENTRIES), to_json(&span.with(self.block))));
        }
        rows
    }

    fn attachment_row(&self, attachment: &AttachmentRef) -> AttachmentRow {
        AttachmentRow {
            type_name: self.statement.type_name().to_owned(),
            name: attachment.name.clone(),
            issuer: self.statement.stream.owner().to_owned(),
            grantee: self.terms.map(|terms| terms.grantee_subject.clone()),
            length: attachment.length,
        }
    }
}

/// Reads a value. Rows are written by this program only: one that does not read is damage.
pub fn from_json<T: DeserializeOwned>(value: &[u8]) -> Result<T, RowError> {
    serde_json::from_slice(value).map_err(|_| RowError)
}

/// Reads the value of a certificate's row: the leaf hash of the entry that introduced it, and the certificate.
pub fn certificate_from(value: &[u8]) -> Result<(Hash, Certificate), RowError> {
    let (leaf, der) = value.split_first_chunk().ok_or(RowError)?;
    Ok((Hash(*leaf), Certificate::from_der(der).map_err(|_| RowError)?))
}

/// A row that this program can not have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an index row on the ledger is damaged")]
pub struct RowError;

/// `stream/<name>`: StreamRow.
pub fn stream_key(stream: &StreamName) -> Vec<u8> {
    format!("v1/stream/{stream}").into_bytes()
}
/// `block/<stream>\0<block, 16 hex digits>`: Span.
pub fn block_key(stream: &StreamName, block: u64) -> Vec<u8> {
    format!("v1/block/{stream}\0{block:016x}").into_bytes()
}
/// What the keys of a stream's blocks begin with.
pub fn block_prefix(stream: &StreamName) -> Vec<u8> {
    format!("v1/block/{stream}\0").into_bytes()
}
/// The block that a key names.
pub fn block_of(key: &[u8]) -> Result<u64, RowError> {
    let digits = key.rsplit(|byte| *byte == 0).next().and_then(|digits| str::from_utf8(digits).ok()).ok_or(RowError)?;
    u64::from_str_radix(digits, 16).map_err(|_| RowError)
}
/// `certificate/<fingerprint>`: leaf hash, DER.
pub fn certificate_key(fingerprint: &Fingerprint) -> Vec<u8> {
    format!("v1/certificate/{}", hex::encode(fingerprint)).into_bytes()
}
/// `issuer/<fingerprint>`: DER.
pub fn issuer_key(fingerprint: &Fingerprint) -> Vec<u8> {
    format!("{ISSUER_PREFIX}{}", hex::encode(fingerprint)).into_bytes()
}
/// What the keys of authorities begin with.
pub const ISSUER_PREFIX: &str = "v1/issuer/";
/// `recipients/<scope>`: RecipientsRow.
pub fn recipients_key(scope: &str) -> Vec<u8> {
    format!("v1/recipients/{scope}").into_bytes()
}
/// `attachment/<sha256>\0<leaf>\0<name>`: AttachmentRow.
pub fn attachment_key(sha256: &Hash, leaf: &Hash, name: &str) -> Vec<u8> {
    format!("v1/attachment/{sha256}\0{leaf}\0{name}").into_bytes()
}
/// What the rows of an attachment begin with.
pub fn attachment_prefix(sha256: &Hash) -> Vec<u8> {
    format!("v1/attachment/{sha256}\0").into_bytes()
}
/// `grant/<subject>\0<issued, 16 hex digits>-<leaf>`, once for the issuer and once for the grantee.
fn grant_key(subject: &str, issued: Timestamp, leaf: &Hash) -> Vec<u8> {
    format!("v1/grant/{subject}\0{:016x}-{leaf}", issued.unix_ms()).into_bytes()
}
/// `approval/<leaf of what is approved>\0<fingerprint of the signer>`: leaf hash of the first approval, hex. One of each custodian.
pub fn approval_key(approved: &Hash, signer: &Fingerprint) -> Vec<u8> {
    [approval_prefix(approved), hex::encode(signer).into_bytes()].concat()
}
/// What the rows of its approvals begin with.
pub fn approval_prefix(approved: &Hash) -> Vec<u8> {
    format!("v1/approval/{approved}\0").into_bytes()
}
/// Who signed an approval, by the key of its row.
pub fn approval_signer(key: &[u8]) -> Result<Fingerprint, RowError> {
    let digits = key.len().checked_sub(64).map(|from| &key[from..]).ok_or(RowError)?;
    str::from_utf8(digits).ok().and_then(Hash::from_hex).map(|hash| hash.0).ok_or(RowError)
}
/// The leaf hash of an approval, as its row has it.
pub fn approval_leaf(value: &[u8]) -> Result<Hash, RowError> {
    str::from_utf8(value).ok().and_then(Hash::from_hex).ok_or(RowError)
}
/// `ban/<leaf>`: BanRow, or null once it was lifted.
pub fn ban_key(leaf: &Hash) -> Vec<u8> {
    format!("{BAN_PREFIX}{leaf}").into_bytes()
}
/// What the keys of bans begin with.
pub const BAN_PREFIX: &str = "v1/ban/";
/// The ban of a row; `None` if it was lifted.
pub fn ban_from(key: &[u8], value: &[u8]) -> Result<Option<(Hash, BanRow)>, RowError> {
    let row: Option<BanRow> = from_json(value)?;
    let leaf = key.strip_prefix(BAN_PREFIX.as_bytes()).and_then(|leaf| Hash::from_hex(str::from_utf8(leaf).ok()?)).ok_or(RowError)?;
    Ok(row.map(|row| (leaf, row)))
}
/// `revocation/<fingerprint>`: since when, in milliseconds since 1970, as decimal digits.
pub fn revocation_key(fingerprint: &Fingerprint) -> Vec<u8> {
    format!("{REVOCATION_PREFIX}{}", hex::encode(fingerprint)).into_bytes()
}
/// What the keys of revocations begin with.
pub const REVOCATION_PREFIX: &str = "v1/revocation/";
/// The fingerprint and the time that a row tells.
pub fn revocation_from(key: &[u8], value: &[u8]) -> Result<(Fingerprint, Timestamp), RowError> {
    let name = key.strip_prefix(REVOCATION_PREFIX.as_bytes()).and_then(|name| str::from_utf8(name).ok());
    let fingerprint = name.and_then(Hash::from_hex).ok_or(RowError)?;
    let ms = str::from_utf8(value).ok().and_then(|value| value.parse().ok());
    Ok((fingerprint.0, ms.and_then(Timestamp::from_unix_ms).ok_or(RowError)?))
}
/// What the rows of the grants by or to somebody begin with; what follows is a cursor.
pub fn grant_prefix(subject: &str) -> Vec<u8> {
    format!("v1/grant/{subject}\0").into_bytes()
}
/// The leaf hash in what follows the prefix of a grant's key.
pub fn grant_leaf(cursor: &str) -> Option<Hash> {
    let (issued, leaf) = cursor.split_once('-')?;
    let is_time = issued.len() == 16 && issued.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_time.then(|| Hash::from_hex(leaf)).flatten()
}
/// `access/<fetch>\0<0 or 1>`: that an access was logged.
pub fn access_key(fetch: &Hash, granted: bool) -> Vec<u8> {
    format!("v1/access/{fetch}\0{}", u8::from(granted)).into_bytes()
}
/// `log`: how far the appliance's own log lines are on the ledger.
pub const LOG_KEY: &[u8] = b"v1/log";

/// `contradiction/<stream>\0<seq, 16 hex digits>`: that one was logged for this place.
pub fn contradiction_key(stream: &StreamName, seq: u64) -> Vec<u8> {
    format!("v1/contradiction/{stream}\0{seq:016x}").into_bytes()
}

/// A row of ours.
pub fn to_json(row: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(row).expect("rows are plain data")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use exhibit_evidence::{Head, body};
    use exhibit_tlog::EMPTY_ROOT;

    fn segment(seq: u64, start: &str, slot: u32) -> Statement {
        Statement {
            log: Hash([1; 32]),
            stream: StreamName::parse("camera/102/main/20261120T115958Z").unwrap(),
            seq,
            prev: Hash([2; 32]),
            issued: Timestamp::parse("2026-11-20T12:00:02.000Z").unwrap(),
            observed: Head { size: 0, root: EMPTY_ROOT },
            body: Body::Segment(body::Segment {
                slot,
                salt: [0; 16],
                start: Timestamp::parse(start).unwrap(),
                duration_ms: 2000,
                media_type: "video/mp4".to_owned(),
                random_access: true,
                fragment_lengths: vec![100],
                ciphertext_root: Hash([3; 32]),
                commitment_root: Hash([4; 32]),
                attachments: vec![],
            }),
        }
    }

    fn indexed(statement: &Statement, stream: Option<StreamRow>, block: Option<Span>) -> Vec<Row> {
        Indexed {
            statement,
            signer: &[8; 32],
            leaf: Hash([9; 32]),
            stream,
            block,
            certificate: None,
            issuers: &[],
            terms: None,
            revoked: None,
            takes_force: false,
            approved_before: false,
        }
        .rows()
    }

    #[test]
    fn spans_grow_and_the_newest_segment_says_the_slot() {
        let first = segment(70, "2026-11-20T12:00:00.000Z", 3);
        let rows = indexed(&first, None, None);
        let stream: StreamRow = from_json(&rows[0].1).unwrap();
        let block: Span = from_json(&rows[1].1).unwrap();
        assert_eq!(block_of(&rows[1].0), Ok(1), "seq 70 is in the second block of 64");
        assert_eq!((stream.slot, stream.span), (Some(3), Some(block)));
        assert_eq!(block.to_ms - block.from_ms, 2000);

        // The camera's clock was set back in between: the span has both.
        let second = segment(71, "2026-11-20T11:59:00.000Z", 5);
        let rows = indexed(&second, Some(stream.clone()), Some(block));
        let (grown, grown_block): (StreamRow, Span) = (from_json(&rows[0].1).unwrap(), from_json(&rows[1].1).unwrap());
        assert_eq!(grown.slot, Some(5));
        assert_eq!(grown_block, Span { from_ms: block.from_ms - 60_000, to_ms: block.to_ms });
        assert_eq!(grown.span, Some(grown_block));
        assert_eq!(grown.first_issued, stream.first_issued);
    }

    #[test]
    fn spans_that_touch_overlap() {
        let span = |from_ms, to_ms| Span { from_ms, to_ms };
        assert!(span(0, 10).overlaps(span(10, 20)));
        assert!(span(12, 13).overlaps(span(10, 20)) && span(10, 20).overlaps(span(12, 13)));
        assert!(!span(0, 9).overlaps(span(10, 20)) && !span(21, 30).overlaps(span(10, 20)));
    }

    #[test]
    fn a_name_is_no_prefix_of_another() {
        // Without the zero byte, `camera/1` would see the rows of `camera/10`.
        let short = StreamName::parse("camera/1/main/a").unwrap();
        let long = StreamName::parse("camera/1/main/ab").unwrap();
        assert!(!block_key(&long, 0).starts_with(&block_prefix(&short)));
        assert!(!grant_key("user/ab", Timestamp::MAX, &Hash([0; 32])).starts_with(&grant_prefix("user/a")));
    }

    #[test]
    fn the_cursor_of_a_grant_leads_to_its_leaf() {
        let leaf = Hash([7; 32]);
        let key = grant_key("user/a", Timestamp::parse("2026-11-20T12:00:02.000Z").unwrap(), &leaf);
        let cursor = str::from_utf8(&key[grant_prefix("user/a").len()..]).unwrap();
        assert_eq!(grant_leaf(cursor), Some(leaf));
        assert_eq!(grant_leaf("x"), None);
    }
}
