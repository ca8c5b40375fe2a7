//! Searches over the ledger's rows: streams, entries, segments by time, grants. Every answer is bounded.
//!
//! It does not know who asks. Calls block: make them from a blocking thread.

use base64ct::{Base64, Encoding};
use exhibit_evidence::{
    Body, SignedStatement, StreamName,
    exchange::{EntryRecord, EntryRecords, StreamRecord, StreamRecords},
};
use exhibit_ledger::{Ledger, StreamHead};
use exhibit_pki::{Fingerprint, Subject, Timestamp};
use exhibit_tlog::Hash;

use crate::registry::{APPROVALS_PAGE, Registry, RegistryError};
use crate::rows::{self, BLOCK_ENTRIES, RowError, Span};
use crate::witnessing::Witnessing;

/// Entries of one answer: with entries of 64 KiB, 6 MiB.
pub const PAGE_ENTRIES: usize = 64;
/// Streams of one answer.
pub const PAGE_STREAMS: usize = 256;
/// Blocks of segments looked at for one answer. A search that meets nothing in so many goes on with the next page.
const PAGE_BLOCKS: usize = 4096;
/// Rows of one read.
const ROWS: usize = 256;

/// Asks ledger and registry.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// The ledger.
    pub ledger: &'a Ledger,
    /// Its rows.
    pub registry: &'a Registry,
    /// Who has seen the log.
    pub witnessing: &'a Witnessing,
}

impl Query<'_> {
    /// The entry at an index.
    pub fn record(&self, index: u64) -> Result<Option<EntryRecord>, RegistryError> {
        let Some(entry) = self.ledger.entry(index)? else { return Ok(None) };
        let (receipt, is_final) = self.witnessing.receipt(self.ledger, index)?.ok_or(RegistryError::Entry)?;
        Ok(Some(EntryRecord { index, entry: Base64::encode_string(&entry), receipt, is_final }))
    }

    /// The entry with a leaf hash.
    pub fn record_of(&self, leaf: &Hash) -> Result<Option<EntryRecord>, RegistryError> {
        self.ledger.index_of(leaf)?.map_or(Ok(None), |index| self.record(index))
    }

    /// The approvals of an entry: those by some, or a page of all.
    pub fn approvals(&self, approved: &Hash, by: &[Fingerprint], after: Option<&Fingerprint>) -> Result<EntryRecords, RegistryError> {
        let mut approvals =
            if by.is_empty() { self.registry.approvals(approved, after)? } else { self.registry.approvals_by(approved, by)? };
        approvals.retain(|(signer, _)| after.is_none_or(|after| signer > after));
        let mut entries = Vec::new();
        for (_, leaf) in &approvals {
            entries.push(self.record_of(leaf)?.ok_or(RegistryError::Entry)?);
        }
        let last = approvals.last().filter(|_| by.is_empty() && approvals.len() == APPROVALS_PAGE);
        Ok(EntryRecords { entries, next: last.map(|(signer, _)| hex::encode(signer)) })
    }

    /// The entry at a place.
    pub fn record_at(&self, stream: &StreamName, seq: u64) -> Result<Option<EntryRecord>, RegistryError> {
        self.registry.place(stream, seq)?.map_or(Ok(None), |place| self.record(place.index))
    }

    /// A stream.
    pub fn stream(&self, stream: &StreamName) -> Result<Option<StreamRecord>, RegistryError> {
        self.registry.head(stream)?.map(|head| self.stream_record(head)).transpose()
    }

    /// The streams whose names begin with `prefix`, from behind `after` on.
    pub fn streams(&self, prefix: &str, after: Option<&str>) -> Result<StreamRecords, RegistryError> {
        let heads = self.ledger.heads(prefix, after, PAGE_STREAMS)?;
        Ok(StreamRecords { streams: heads.into_iter().map(|head| self.stream_record(head)).collect::<Result<_, _>>()? })
    }

    /// Entries of a stream, in order of seq.
    pub fn entries(&self, stream: &StreamName, first: u64, last: u64) -> Result<EntryRecords, RegistryError> {
        // What the chain has leapt over is on the log before.
        let mut places = self.registry.places(stream, first, PAGE_ENTRIES + 1)?;
        places.retain(|(seq, _)| *seq <= last);
        let more = places.len() > PAGE_ENTRIES;
        places.truncate(PAGE_ENTRIES);
        let next = places.last().filter(|_| more).map(|(seq, _)| seq.to_string());
        let entries = places.into_iter().map(|(_, place)| self.record(place.index)?.ok_or(RegistryError::Entry));
        Ok(EntryRecords { entries: entries.collect::<Result<_, _>>()?, next })
    }

    /// The grants by or to somebody, in order of their issuers' clocks. `None` if `after` is no cursor.
    pub fn grants(&self, subject: &Subject, after: Option<&str>) -> Result<Option<EntryRecords>, RegistryError> {
        let prefix = rows::grant_prefix(&subject.to_string());
        let from = match after {
            None => prefix.clone(),
            Some(cursor) if rows::grant_leaf(cursor).is_some() => [prefix.as_slice(), cursor.as_bytes(), &[0]].concat(),
            Some(_) => return Ok(None),
        };
        let mut found = self.ledger.annotations(&prefix, &from, PAGE_ENTRIES + 1)?;
        let more = found.len() > PAGE_ENTRIES;
        found.truncate(PAGE_ENTRIES);
        let mut entries = Vec::new();
        let mut next = None;
        for (key, _) in found {
            let cursor = str::from_utf8(&key[prefix.len()..]).map_err(|_| RowError)?.to_owned();
            let leaf = rows::grant_leaf(&cursor).ok_or(RowError)?;
            entries.push(self.record_of(&leaf)?.ok_or(RegistryError::Entry)?);
            next = Some(cursor);
        }
        Ok(Some(EntryRecords { entries, next: next.filter(|_| more) }))
    }

    /// The segments of a series that overlap an interval by the camera's clock, in order of (stream, seq), from behind `after` on.
    pub fn segments(
        &self,
        series: &str,
        from: Timestamp,
        to: Timestamp,
        after: Option<&(StreamName, u64)>,
    ) -> Result<EntryRecords, RegistryError> {
        let mut search = SegmentSearch {
            query: self,
            wanted: Span { from_ms: from.unix_ms(), to_ms: to.unix_ms() },
            entries: Vec::new(),
            blocks_left: PAGE_BLOCKS,
        };
        let prefix = format!("{series}/");
        if let Some((stream, seq)) = after.filter(|(stream, _)| stream.series() == series)
            && let Some(next) = search.stream(stream, seq.saturating_add(1))?
        {
            return Ok(search.page(Some(next)));
        }
        let mut name = after.map(|(stream, _)| stream.as_str().to_owned());
        loop {
            let heads = self.ledger.heads(&prefix, name.as_deref(), ROWS)?;
            let Some(last) = heads.last().map(|head| head.stream.clone()) else { return Ok(search.page(None)) };
            for head in heads {
                let stream = StreamName::parse(&head.stream).map_err(|_| RegistryError::Entry)?;
                // `camera/102/main/x/y` has another series, though its name begins with this one.
                if stream.series() == series
                    && let Some(next) = search.stream(&stream, 0)?
                {
                    return Ok(search.page(Some(next)));
                }
            }
            name = Some(last);
        }
    }

    fn stream_record(&self, head: StreamHead) -> Result<StreamRecord, RegistryError> {
        let stream = StreamName::parse(&head.stream).map_err(|_| RegistryError::Entry)?;
        let row = self.registry.stream(&stream)?.ok_or(RegistryError::Entry)?;
        Ok(StreamRecord {
            stream: head.stream,
            next_seq: head.next_seq,
            leaf: head.leaf.to_string(),
            first_issued: row.first_issued,
            last_issued: row.last_issued,
        })
    }
}

/// A search for segments, as far as one answer goes.
struct SegmentSearch<'a> {
    query: &'a Query<'a>,
    wanted: Span,
    entries: Vec<EntryRecord>,
    blocks_left: usize,
}

impl SegmentSearch<'_> {
    /// Searches a stream from `first` on. Gives the cursor if the answer is full before the stream's end.
    fn stream(&mut self, stream: &StreamName, first: u64) -> Result<Option<String>, RegistryError> {
        let Some(row) = self.query.registry.stream(stream)? else { return Ok(None) };
        if !row.span.is_some_and(|span| span.overlaps(self.wanted)) {
            return Ok(None);
        }
        let prefix = rows::block_prefix(stream);
        let mut from = rows::block_key(stream, first / BLOCK_ENTRIES);
        loop {
            let blocks = self.query.ledger.annotations(&prefix, &from, ROWS)?;
            let Some((last, _)) = blocks.last() else { return Ok(None) };
            from = [last.as_slice(), &[0]].concat();
            for (key, value) in blocks {
                let block = rows::block_of(&key)?;
                let span: Span = rows::from_json(&value)?;
                let seqs = (block * BLOCK_ENTRIES).max(first)..(block + 1) * BLOCK_ENTRIES;
                if self.blocks_left == 0 {
                    // Nothing was found for long: the next page goes on from here.
                    return Ok(Some(format!("{stream}/{}", seqs.start.saturating_sub(1))));
                }
                self.blocks_left -= 1;
                if span.overlaps(self.wanted)
                    && let Some(next) = self.block(stream, seqs)?
                {
                    return Ok(Some(next));
                }
            }
        }
    }

    fn block(&mut self, stream: &StreamName, seqs: std::ops::Range<u64>) -> Result<Option<String>, RegistryError> {
        for seq in seqs {
            // Behind the chain's end, or leapt over: that is on the log before.
            let Some(place) = self.query.registry.place(stream, seq)? else { continue };
            let entry = self.query.ledger.entry(place.index)?.ok_or(RegistryError::Entry)?;
            let signed = SignedStatement::parse(&entry).map_err(|_| RegistryError::Entry)?;
            let Body::Segment(segment) = &signed.statement().body else { continue };
            if !Span::of(segment).overlaps(self.wanted) {
                continue;
            }
            if self.entries.len() == PAGE_ENTRIES {
                // There is more: go on behind the last one that was given.
                return Ok(Some(format!("{stream}/{}", seq.saturating_sub(1))));
            }
            self.entries.push(self.query.record(place.index)?.ok_or(RegistryError::Entry)?);
        }
        Ok(None)
    }

    fn page(self, next: Option<String>) -> EntryRecords {
        EntryRecords { entries: self.entries, next }
    }
}
