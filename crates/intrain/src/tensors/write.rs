//! Arrays into files: values, codes and scales as NPY, whole quantized arrays as NPZ and safetensors.

use std::collections::BTreeMap;
use std::path::Path;

use intrain_data::npy::{self, Order};
use intrain_data::{DataError, archive};
use intrain_formats::pack;
use intrain_formats::{Codes, Quantized};
use intrain_num::block::Coding;
use intrain_num::minifloat::FloatFormat;
use intrain_train::atomic_write;
use intrain_train::checkpoint::{self, Dtype, RawTensor};

use super::{CODES, FACTORS, SCALES, TensorsError};

/// Writes values as an NPY file, in place of what was there.
///
/// # Errors
/// The system refuses.
pub fn write_values(path: &Path, shape: &[usize], values: &[f32]) -> Result<(), TensorsError> {
    Ok(atomic_write(path, &npy::to_bytes(shape, Order::C, values.iter().copied())?)?)
}

/// Writes bytes as an NPY file, in place of what was there.
///
/// # Errors
/// The system refuses.
pub fn write_bytes(path: &Path, shape: &[usize], bytes: &[u8]) -> Result<(), TensorsError> {
    Ok(atomic_write(path, &npy::to_bytes(shape, Order::C, bytes.iter().copied())?)?)
}

/// Writes codes as an NPY file of unsigned integers as wide as they need.
///
/// # Errors
/// The system refuses.
pub fn write_codes(path: &Path, shape: &[usize], codes: &Codes) -> Result<(), TensorsError> {
    Ok(atomic_write(path, &codes_as_npy(shape, codes)?)?)
}

fn codes_as_npy(shape: &[usize], codes: &Codes) -> Result<Vec<u8>, DataError> {
    match codes {
        Codes::Bytes(codes) => npy::to_bytes(shape, Order::C, codes.iter().copied()),
        Codes::Words(codes) => npy::to_bytes(shape, Order::C, codes.iter().copied()),
        Codes::Long(codes) => npy::to_bytes(shape, Order::C, codes.iter().copied()),
    }
}

/// Writes a quantized array as an NPZ or a safetensors file, by the ending; codes of 4 and 6 bits are packed in `order`.
///
/// # Errors
/// A row of codes ends within a byte, or the system refuses.
pub fn write_quantized(
    path: &Path,
    quantized: &Quantized,
    order: Option<pack::Order>,
) -> Result<(), TensorsError> {
    let Quantized { way, shape, codes, scales, factor } = quantized;
    let bits = way.coding.bits();
    let mut code_shape = shape.clone();
    let codes = match (codes, order) {
        (Codes::Bytes(codes), Some(order)) if pack::is_packed(bits) => {
            let row = shape.last().copied().unwrap_or(1);
            let packed = pack::pack(codes, bits, row, order)?;
            if let Some(row) = code_shape.last_mut() {
                *row = *row * bits as usize / 8;
            }
            Codes::Bytes(packed)
        }
        (codes, _) => codes.clone(),
    };
    let order = match order {
        Some(order) if pack::is_packed(bits) => order.to_string(),
        _ => "none".to_owned(),
    };
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let meta: BTreeMap<String, String> = [
        ("format", way.coding.to_string()),
        ("round", way.round.to_string()),
        ("axis", way.axis.to_string()),
        ("seed", way.seed.to_string()),
        ("order", order),
        ("shape", sizes.join("x")),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let scale_shape = quantized.scale_shape();
    let bytes = if path.extension().is_some_and(|ending| ending == "safetensors") {
        let mut tensors = vec![RawTensor {
            name: CODES[0].to_owned(),
            dtype: code_type(&way.coding),
            shape: code_shape,
            bytes: code_bytes(&codes),
        }];
        if !scales.is_empty() {
            let dtype =
                if matches!(way.coding, Coding::Nvfp4 { .. }) { Dtype::F8_E4M3 } else { Dtype::F8_E8M0 };
            let name = SCALES[0].to_owned();
            tensors.push(RawTensor { name, dtype, shape: scale_shape, bytes: scales.clone() });
        }
        if matches!(way.coding, Coding::Nvfp4 { .. }) {
            let (name, bytes) = (FACTORS[0].to_owned(), factor.to_le_bytes().to_vec());
            tensors.push(RawTensor { name, dtype: Dtype::F32, shape: vec![], bytes });
        }
        checkpoint::raw_safetensors_bytes(path, &meta, &tensors)?
    } else {
        let mut members = vec![(CODES[0].to_owned(), codes_as_npy(&code_shape, &codes)?)];
        if !scales.is_empty() {
            members
                .push((SCALES[0].to_owned(), npy::to_bytes(&scale_shape, Order::C, scales.iter().copied())?));
        }
        if matches!(way.coding, Coding::Nvfp4 { .. }) {
            members.push((FACTORS[0].to_owned(), npy::to_bytes(&[], Order::C, [*factor].into_iter())?));
        }
        let json = serde_json::to_vec(&meta).unwrap_or_default();
        members.push(("meta".to_owned(), npy::to_bytes(&[json.len()], Order::C, json.into_iter())?));
        archive::to_bytes(&members)?
    };
    Ok(atomic_write(path, &bytes)?)
}

fn code_bytes(codes: &Codes) -> Vec<u8> {
    match codes {
        Codes::Bytes(codes) => codes.clone(),
        Codes::Words(codes) => codes.iter().flat_map(|code| code.to_le_bytes()).collect(),
        Codes::Long(codes) => codes.iter().flat_map(|code| code.to_le_bytes()).collect(),
    }
}

/// The type that a safetensors file has for codes; those without one are unsigned integers.
fn code_type(coding: &Coding) -> Dtype {
    let format = match coding {
        Coding::Plain { format, .. } => *format,
        Coding::Scaled { element, .. } if !element.is_integer() => element.magnitudes(),
        _ => FloatFormat::E2M1,
    };
    let fnuz = |name: &str| name.parse() == Ok(format);
    match format {
        FloatFormat::E4M3 => Dtype::F8_E4M3,
        FloatFormat::E5M2 => Dtype::F8_E5M2,
        FloatFormat::BFLOAT16 => Dtype::BF16,
        FloatFormat::BINARY32 => Dtype::F32,
        _ if fnuz("e4m3fnuz") => Dtype::F8_E4M3FNUZ,
        _ if fnuz("e5m2fnuz") => Dtype::F8_E5M2FNUZ,
        _ if fnuz("binary16") => Dtype::F16,
        _ => match coding.bits() {
            ..=8 => Dtype::U8,
            9..=16 => Dtype::U16,
            _ => Dtype::U32,
        },
    }
}
