//! How RocksDB is set up: durability, column families, bounded memory.
//!
//! It does not know what the rows mean.

use std::sync::OnceLock;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompactionStyle, DBCompressionType, DBRecoveryMode, LogLevel, Options,
    UniversalCompactOptions, WriteOptions,
};

/// `be64(index)` to the entry.
pub(crate) const ENTRIES: &str = "entries";
/// `stream || 0x00 || be64(seq)` to where the entry is.
pub(crate) const PLACES: &str = "places";
/// `stream` to the end of the chain.
pub(crate) const HEADS: &str = "heads";
/// Leaf hash to index.
pub(crate) const LEAVES: &str = "leaves";
/// `level || be64(index)` to the hashes of a tile so far.
pub(crate) const TILES: &str = "tiles";
/// The owner's indexes.
pub(crate) const ANNOTATIONS: &str = "annotations";
/// Format, origin, keys, tree and checkpoint.
pub(crate) const META: &str = "meta";

/// All column families but RocksDB's own `default`, which stays empty.
pub(crate) const FAMILIES: [&str; 7] = [ENTRIES, PLACES, HEADS, LEAVES, TILES, ANNOTATIONS, META];

/// Shared by all families, index and filter blocks included, so that memory stays flat while the ledger grows.
const BLOCK_CACHE_BYTES: usize = 96 * MIB;
/// Of all logs that have ended together: what they have is asked for now and then.
const READ_CACHE_BYTES: usize = 32 * MIB;
/// Of each of them.
pub(crate) const READ_FILES_MAX: i32 = 64;
/// Entries come at a megabyte per thousand: one flush every 32 MiB keeps files large and the log to replay short.
const ENTRIES_WRITE_BUFFER_BYTES: usize = 32 * MIB;
/// Places and leaves: a row per entry whose key lies anywhere among the earlier ones, so that each table that is flushed has to be merged with
/// the others. The larger the table, the fewer merges. This one has the rows of the 200 thousand entries that the write-ahead log has room for.
const INDEX_WRITE_BUFFER_BYTES: usize = 32 * MIB;
/// The other families get a tile row per batch, or less.
const ROWS_WRITE_BUFFER_BYTES: usize = 8 * MIB;
/// Entries are read by the bundle, a quarter of a mebibyte: with larger blocks there are fewer of them to be listed in memory. RocksDB's own size
/// would have one index row for three entries.
const ENTRIES_BLOCK_BYTES: usize = 32 * KIB;
/// Rows of places and leaves are looked up one by one, seldom: where a chain is continued its head is asked for, and not its places.
const INDEX_BLOCK_BYTES: usize = 16 * KIB;
/// All write buffers together: when full, the largest is flushed.
const WRITE_BUFFERS_TOTAL_BYTES: usize = 128 * MIB;
/// Bounds what has to be replayed at start, and the disk that an idle family could otherwise pin.
const WRITE_AHEAD_LOG_BYTES_MAX: u64 = 256 * MIB as u64;
/// Lets the kernel write flushed files out steadily; otherwise a large flush delays the sync of a batch.
const BYTES_PER_SYNC: u64 = MIB as u64;
/// Each open file costs memory and a descriptor.
const OPEN_FILES_MAX: i32 = 512;
/// All of them, opened with the database: for who reads beside a writer.
pub(crate) const OPEN_FILES_ALL: i32 = -1;
/// One flush beside two compactions: a long merge of one index must not hold up the other. The rest of the machine is for sealing and hashing.
const BACKGROUND_JOBS: i32 = 3;
/// So many tables of an index may wait for their merge before writes are slowed down, and before they are stopped: a long merge of a large
/// index, one in a few million entries, is not felt. Filters keep look-ups in them cheap.
const INDEX_TABLES_SLOW: i32 = 40;
const INDEX_TABLES_STOP: i32 = 60;
/// About one in a hundred look-ups of a key that is not there touches the disk.
const FILTER_BITS_PER_KEY: f64 = 10.0;
/// RocksDB's own diagnostic log, kept short: what an operator needs is in ours.
const DIAGNOSTIC_LOGS_MAX: usize = 4;
const DIAGNOSTIC_LOG_BYTES_MAX: usize = MIB;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What opening may do with a write-ahead log that ends in something else than whole records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogTail {
    /// Drop a record that is cut off at the end, refuse all else. The default of RocksDB would cut the ledger short in silence.
    MustBeWhole,
    /// Drop everything from the first damaged record on. A power cut can leave the pages of a write that was not synced yet in any order;
    /// but it is only for a ledger that was shown to have lost nothing by it.
    MayBeTorn,
}

/// Settings of the whole database.
pub(crate) fn database_options(log_tail: LogTail) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_wal_recovery_mode(match log_tail {
        LogTail::MustBeWhole => DBRecoveryMode::TolerateCorruptedTailRecords,
        LogTail::MayBeTorn => DBRecoveryMode::PointInTime,
    });
    // A synced log file that has vanished refuses to open.
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_max_total_wal_size(WRITE_AHEAD_LOG_BYTES_MAX);
    options.set_db_write_buffer_size(WRITE_BUFFERS_TOTAL_BYTES);
    options.set_bytes_per_sync(BYTES_PER_SYNC);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(DIAGNOSTIC_LOGS_MAX);
    options.set_max_log_file_size(DIAGNOSTIC_LOG_BYTES_MAX);
    options
}

/// The column families with their settings.
pub(crate) fn families() -> Vec<ColumnFamilyDescriptor> {
    families_with(&Cache::new_lru_cache(BLOCK_CACHE_BYTES))
}

/// The same with the one cache that all ledgers share which are only read.
pub(crate) fn families_to_read() -> Vec<ColumnFamilyDescriptor> {
    static CACHE: OnceLock<Cache> = OnceLock::new();
    families_with(CACHE.get_or_init(|| Cache::new_lru_cache(READ_CACHE_BYTES)))
}

fn families_with(cache: &Cache) -> Vec<ColumnFamilyDescriptor> {
    FAMILIES.iter().map(|name| ColumnFamilyDescriptor::new(*name, family_options(name, cache))).collect()
}

fn family_options(name: &str, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // Keys that are not there are looked up where chains begin and where annotations and leaves are new.
    if [HEADS, LEAVES, PLACES, ANNOTATIONS].contains(&name) {
        blocks.set_bloom_filter(FILTER_BITS_PER_KEY, false);
    }
    let is_index = [LEAVES, PLACES].contains(&name);
    if name == ENTRIES {
        blocks.set_block_size(ENTRIES_BLOCK_BYTES);
    } else if is_index {
        blocks.set_block_size(INDEX_BLOCK_BYTES);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(match name {
        ENTRIES => ENTRIES_WRITE_BUFFER_BYTES,
        _ if is_index => INDEX_WRITE_BUFFER_BYTES,
        _ => ROWS_WRITE_BUFFER_BYTES,
    });
    if is_index {
        merge_equals(&mut options);
    }
    // Statements are JSON and certificates' words; hashes do not compress.
    let compressible = [ENTRIES, ANNOTATIONS, HEADS].contains(&name);
    options.set_compression_type(if compressible { DBCompressionType::Lz4 } else { DBCompressionType::None });
    options
}

/// Tables are merged with others of about their size (RocksDB's universal compaction): a row is written anew once for each doubling of the
/// index. By levels, as is right for `entries`, whose ascending keys only ever move, it would be merged with a whole level of ten times its
/// size, again and again (docs/performance.md has both).
fn merge_equals(options: &mut Options) {
    options.set_compaction_style(DBCompactionStyle::Universal);
    options.set_universal_compaction_options(&UniversalCompactOptions::default());
    options.set_level_zero_slowdown_writes_trigger(INDEX_TABLES_SLOW);
    options.set_level_zero_stop_writes_trigger(INDEX_TABLES_STOP);
}

/// A write that returns when it is on disk: written to the log and synced, and every write before it.
pub(crate) fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options.disable_wal(false);
    options
}

/// A write that survives the process but perhaps not a power cut, until the next synced one.
pub(crate) fn unsynced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(false);
    options.disable_wal(false);
    options
}
