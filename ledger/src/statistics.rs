//! What the database does besides what it is asked for: flushes and merges of tables, in RocksDB's own words.
//!
//! Nothing depends on it: it is for benchmarks, and for people who look into a slow ledger.

use rocksdb::properties::{CFSTATS_NO_FILE_HISTOGRAM, DBSTATS, MEM_TABLE_FLUSH_PENDING, NUM_RUNNING_COMPACTIONS, NUM_RUNNING_FLUSHES};

use crate::database::FAMILIES;
use crate::{Ledger, LedgerError};

impl Ledger {
    /// Whether nothing is being flushed or merged in this moment. What is due to be merged begins at once; so whoever sees this a few times, one
    /// after the other, sees the end of it. (RocksDB's own `compaction-pending` stays set where there are tables, and no two to be merged.)
    pub fn is_settled(&self) -> Result<bool, LedgerError> {
        let db = self.database();
        for family in FAMILIES {
            let family = db.cf_handle(family).expect("every column family was opened or created");
            for property in [MEM_TABLE_FLUSH_PENDING, NUM_RUNNING_FLUSHES, NUM_RUNNING_COMPACTIONS] {
                if db.property_int_value_cf(family, property).map_err(told)?.is_some_and(|count| count > 0) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// RocksDB's statistics since the start: of each column family tables, bytes read and written by flushes and merges, and stalls; then of the
    /// whole database. For people.
    pub fn storage_statistics(&self) -> Result<String, LedgerError> {
        let db = self.database();
        let mut text = String::new();
        for family in FAMILIES {
            let handle = db.cf_handle(family).expect("every column family was opened or created");
            text += &db.property_value_cf(handle, CFSTATS_NO_FILE_HISTOGRAM).map_err(told)?.unwrap_or_default();
        }
        Ok(text + &db.property_value(DBSTATS).map_err(told)?.unwrap_or_default())
    }
}

fn told(error: rocksdb::Error) -> LedgerError {
    LedgerError::Storage(error.into_string())
}
