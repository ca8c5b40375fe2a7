//! Bytes in the TPM's non-volatile storage, at an index of our own.
//!
//! It does not know what they mean. Cells wear after some hundred thousand writes: whoever writes sees to it that it is seldom.

use tss_esapi::{
    attributes::{NvIndexAttributes, NvIndexAttributesBuilder},
    handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle},
    interface_types::{
        algorithm::HashingAlgorithm,
        resource_handles::{NvAuth, Provision},
    },
    structures::{MaxNvBuffer, NvPublic},
};

use super::{Owner, SESSION, refused};
use crate::TpmError;

impl Owner {
    /// What was written; `None` if nothing ever was.
    pub(super) fn nv_read(&mut self, index: u32) -> Result<Option<Vec<u8>>, TpmError> {
        if !self.is_taken(index)? {
            return Ok(None);
        }
        let (handle, public) = self.open(index)?;
        if !public.attributes().written() {
            return Ok(None);
        }
        let length = u16::try_from(public.data_size()).map_err(|_| not_ours(index, "it is too long"))?;
        let read = self.context.execute_with_session(SESSION, |context| context.nv_read(NvAuth::Owner, handle, length, 0));
        Ok(Some(read.map_err(refused("TPM2_NV_Read (is the owner hierarchy protected by a password?)"))?.value().to_vec()))
    }

    /// Writes in one command, so that it is done or not. Makes the index if there is none.
    pub(super) fn nv_write(&mut self, index: u32, bytes: &[u8]) -> Result<(), TpmError> {
        let buffer = MaxNvBuffer::try_from(bytes.to_vec()).map_err(|_| not_ours(index, "no index holds so many bytes"))?;
        if !self.is_taken(index)? {
            self.define(index, bytes.len())?;
        }
        let (handle, public) = self.open(index)?;
        if public.data_size() != bytes.len() {
            return Err(not_ours(index, "it has another size"));
        }
        let written = self.context.execute_with_session(SESSION, |context| context.nv_write(NvAuth::Owner, handle, buffer, 0));
        written.map_err(refused("TPM2_NV_Write"))
    }

    fn define(&mut self, index: u32, length: usize) -> Result<(), TpmError> {
        let public = NvPublic::builder()
            .with_nv_index(nv_index(index)?)
            .with_index_name_algorithm(HashingAlgorithm::Sha256)
            .with_index_attributes(attributes(false).map_err(refused(DEFINE))?)
            .with_data_area_size(length)
            .build()
            .map_err(refused(DEFINE))?;
        let defined = self.context.execute_with_session(SESSION, |context| context.nv_define_space(Provision::Owner, None, public));
        defined.map(|_| ()).map_err(refused(DEFINE))
    }

    /// An index with other attributes is somebody else's, and stays as it is.
    fn open(&mut self, index: u32) -> Result<(NvIndexHandle, NvPublic), TpmError> {
        const COMMAND: &str = "TPM2_NV_ReadPublic";
        let handle = nv_index(index)?;
        let object = self.context.execute_without_session(|context| context.tr_from_tpm_public(TpmHandle::NvIndex(handle)));
        let handle = NvIndexHandle::from(object.map_err(refused(COMMAND))?);
        let read = self.context.execute_without_session(|context| context.nv_read_public(handle));
        let (public, _) = read.map_err(refused(COMMAND))?;
        if public.attributes() != attributes(public.attributes().written()).map_err(refused(COMMAND))? {
            return Err(not_ours(index, "it has other attributes than we give"));
        }
        Ok((handle, public))
    }
}

/// The TPM itself marks what was written. Read and written by the owner, like the keys: the operating system says who may open the TPM. Wrong passwords elsewhere do not lock it.
fn attributes(is_written: bool) -> tss_esapi::Result<NvIndexAttributes> {
    NvIndexAttributesBuilder::new().with_owner_write(true).with_owner_read(true).with_no_da(true).with_written(is_written).build()
}

fn nv_index(index: u32) -> Result<NvIndexTpmHandle, TpmError> {
    NvIndexTpmHandle::new(index).map_err(|_| not_ours(index, "not an index of non-volatile storage (0x01000000 to 0x01ffffff)"))
}

fn not_ours(handle: u32, reason: &'static str) -> TpmError {
    TpmError::NotOurs { handle, reason }
}

const DEFINE: &str = "TPM2_NV_DefineSpace (is its storage full? tpm2_getcap handles-nv-index lists what is there)";
