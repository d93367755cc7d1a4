//! A run's state at rest: named tensors with a header, as a checksummed checkpoint or a plain `.safetensors` file.
//!
//! Checkpoint = "INTRAIN1", SHA-256 of the body, length of the body as a little-endian u64, body; the body is a
//! `.safetensors` file. Invariants: equal content gives equal bytes, and no bytes make a reader panic.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

pub use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{ArtefactError, atomic_write};

const MAGIC: &[u8; 8] = b"INTRAIN1";
/// Bytes before the body: magic, SHA-256, length.
const PREFIX_BYTES: usize = 8 + 32 + 8;

/// The elements of a tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    /// Signed 8-bit integers.
    I8(Vec<i8>),
    /// Signed 16-bit integers.
    I16(Vec<i16>),
    /// Signed 32-bit integers.
    I32(Vec<i32>),
    /// Signed 64-bit integers.
    I64(Vec<i64>),
    /// Unsigned 8-bit integers.
    U8(Vec<u8>),
    /// Single-precision floats; every bit pattern is kept, NaN too.
    F32(Vec<f32>),
}

impl TensorData {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::I8(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::U8(v) => v.len(),
            Self::F32(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn dtype(&self) -> Dtype {
        match self {
            Self::I8(_) => Dtype::I8,
            Self::I16(_) => Dtype::I16,
            Self::I32(_) => Dtype::I32,
            Self::I64(_) => Dtype::I64,
            Self::U8(_) => Dtype::U8,
            Self::F32(_) => Dtype::F32,
        }
    }

    fn element_bytes(&self) -> usize {
        self.dtype().bitsize() / 8
    }

    fn append_to(&self, out: &mut Vec<u8>) {
        fn append<T: Copy, const N: usize>(out: &mut Vec<u8>, values: &[T], bytes: fn(T) -> [u8; N]) {
            out.reserve(values.len() * N);
            values.iter().for_each(|&v| out.extend_from_slice(&bytes(v)));
        }
        match self {
            Self::I8(v) => append(out, v, i8::to_le_bytes),
            Self::I16(v) => append(out, v, i16::to_le_bytes),
            Self::I32(v) => append(out, v, i32::to_le_bytes),
            Self::I64(v) => append(out, v, i64::to_le_bytes),
            Self::U8(v) => out.extend_from_slice(v),
            Self::F32(v) => append(out, v, f32::to_le_bytes),
        }
    }

    /// The inverse of `append_to`; `None` if the type isn't one of the six here.
    fn from_bytes(dtype: Dtype, bytes: &[u8]) -> Option<Self> {
        fn parse<T, const N: usize>(bytes: &[u8], value: fn([u8; N]) -> T) -> Vec<T> {
            bytes.as_chunks().0.iter().map(|&chunk| value(chunk)).collect()
        }
        Some(match dtype {
            Dtype::I8 => Self::I8(parse(bytes, i8::from_le_bytes)),
            Dtype::I16 => Self::I16(parse(bytes, i16::from_le_bytes)),
            Dtype::I32 => Self::I32(parse(bytes, i32::from_le_bytes)),
            Dtype::I64 => Self::I64(parse(bytes, i64::from_le_bytes)),
            Dtype::U8 => Self::U8(bytes.to_vec()),
            Dtype::F32 => Self::F32(parse(bytes, f32::from_le_bytes)),
            _ => return None,
        })
    }
}

/// A tensor with its name and shape.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Unique within a file.
    pub name: String,
    /// Sizes, outermost first; their product is the number of elements.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub data: TensorData,
}

/// All that a run needs to go on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    /// Whatever isn't a tensor: step, epoch, seed, the recipe's hash.
    pub header: BTreeMap<String, String>,
    /// Weights, momentum and the like.
    pub tensors: Vec<NamedTensor>,
}

/// Writes a checkpoint to `path`, in place of what was there.
///
/// # Errors
/// [`ArtefactError::Tensor`] for a name that is used twice or reserved, or a shape that its data don't fill;
/// [`ArtefactError::Io`] if the system refuses; the old file is intact then.
pub fn write(path: &Path, checkpoint: &Checkpoint) -> Result<(), ArtefactError> {
    let mut bytes = vec![0; PREFIX_BYTES];
    encode(path, &checkpoint.header, &checkpoint.tensors, &mut bytes)?;
    let (prefix, body) = bytes.split_at_mut(PREFIX_BYTES);
    prefix[..8].copy_from_slice(MAGIC);
    prefix[8..40].copy_from_slice(&Sha256::digest(&*body));
    prefix[40..].copy_from_slice(&(body.len() as u64).to_le_bytes());
    atomic_write(path, &bytes)
}

/// Reads a checkpoint. Its tensors come in the order of [`read_safetensors`].
///
/// # Errors
/// [`ArtefactError::Missing`], [`NotACheckpoint`](ArtefactError::NotACheckpoint),
/// [`CutShort`](ArtefactError::CutShort), [`Damaged`](ArtefactError::Damaged), or
/// [`Tensor`](ArtefactError::Tensor) and [`Io`](ArtefactError::Io) as they come up.
pub fn read(path: &Path) -> Result<Checkpoint, ArtefactError> {
    parse(&std::fs::read(path).map_err(ArtefactError::io(path, "read"))?, path)
}

/// As [`read`], of a checkpoint's bytes; `path` is what errors name.
///
/// # Errors
/// As [`read`], apart from those of a file that cannot be read.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Checkpoint, ArtefactError> {
    let actual = bytes.len() as u64;
    let cut_short = |expected| Err(ArtefactError::CutShort { path: path.to_owned(), expected, actual });
    let damaged = |problem| Err(ArtefactError::Damaged { path: path.to_owned(), problem });

    let magic_there = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic_there) {
        return Err(ArtefactError::NotACheckpoint { path: path.to_owned() });
    }
    let Some((prefix, body)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return cut_short(PREFIX_BYTES as u64);
    };
    let (sha256, length) = (&prefix[8..40], &prefix[40..]);
    let length = length.iter().rev().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
    let expected = length.saturating_add(PREFIX_BYTES as u64);
    if actual < expected {
        return cut_short(expected);
    }
    if actual > expected {
        return damaged(format!("{} bytes follow its end", actual - expected));
    }
    if Sha256::digest(body)[..] != *sha256 {
        return damaged("its SHA-256 isn't that of its content".into());
    }
    let (header, tensors) = decode(path, body)?;
    Ok(Checkpoint { header, tensors })
}

/// The bytes of a plain `.safetensors` file; `path` is what errors name.
///
/// # Errors
/// [`ArtefactError::Tensor`], as [`write()`].
pub fn safetensors_bytes(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: &[NamedTensor],
) -> Result<Vec<u8>, ArtefactError> {
    let mut bytes = Vec::new();
    encode(path, metadata, tensors, &mut bytes)?;
    Ok(bytes)
}

/// Reads a plain `.safetensors` file: its metadata, and its tensors as they lie in the file. That is the widest
/// elements first and otherwise the order in which they were written; tensors without elements come by name.
///
/// # Errors
/// [`ArtefactError::Missing`], [`ArtefactError::Io`], and [`ArtefactError::Tensor`] if it isn't such a file or holds
/// another element type than those of [`TensorData`].
pub fn read_safetensors(path: &Path) -> Result<(BTreeMap<String, String>, Vec<NamedTensor>), ArtefactError> {
    parse_safetensors(&std::fs::read(path).map_err(ArtefactError::io(path, "read"))?, path)
}

/// As [`read_safetensors`], of a file's bytes; `path` is what errors name.
///
/// # Errors
/// As [`read_safetensors`], apart from those of a file that cannot be read.
pub fn parse_safetensors(
    bytes: &[u8],
    path: &Path,
) -> Result<(BTreeMap<String, String>, Vec<NamedTensor>), ArtefactError> {
    decode(path, bytes)
}

/// SHA-256 in lower-case hex over the little-endian bytes of all elements, in the order given.
pub fn weights_sha256<'a>(tensors: impl Iterator<Item = &'a TensorData>) -> String {
    let mut hasher = Sha256::new();
    let mut bytes = Vec::new();
    for tensor in tensors {
        bytes.clear();
        tensor.append_to(&mut bytes);
        hasher.update(&bytes);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The JSON at the head of a `.safetensors` file. Ours, because the library writes the metadata in a random order.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(rename = "__metadata__")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, TensorInfo>,
}

/// A tensor of any type, as its bytes lie in a `.safetensors` file.
#[derive(Debug, Clone, PartialEq)]
pub struct RawTensor {
    /// Unique within a file.
    pub name: String,
    /// The type, as in the file: `F8_E4M3`, `U8`.
    pub dtype: Dtype,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// The elements, row-major and little-endian.
    pub bytes: Vec<u8>,
}

/// The bytes of a plain `.safetensors` file of tensors of any type; `path` is what errors name.
///
/// # Errors
/// [`ArtefactError::Tensor`], as [`write()`].
pub fn raw_safetensors_bytes(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: &[RawTensor],
) -> Result<Vec<u8>, ArtefactError> {
    let mut bytes = Vec::new();
    let entries = tensors.iter().map(|tensor| Entry {
        name: &tensor.name,
        dtype: tensor.dtype,
        shape: &tensor.shape,
        n_bytes: tensor.bytes.len(),
        append: Box::new(|out: &mut Vec<u8>| out.extend_from_slice(&tensor.bytes)),
    });
    encode_entries(path, metadata, entries.collect(), &mut bytes)?;
    Ok(bytes)
}

/// The metadata and tensors of a `.safetensors` file, of any type, in the order of [`read_safetensors`]; `path` is what
/// errors name.
///
/// # Errors
/// [`ArtefactError::Tensor`] if it is no such file.
pub fn parse_raw_safetensors(
    bytes: &[u8],
    path: &Path,
) -> Result<(BTreeMap<String, String>, Vec<RawTensor>), ArtefactError> {
    let (metadata, tensors) = decode_entries(path, bytes)?;
    let owned = |(name, info, bytes): (String, TensorInfo, &[u8])| RawTensor {
        name,
        dtype: info.dtype,
        shape: info.shape,
        bytes: bytes.to_vec(),
    };
    Ok((metadata, tensors.into_iter().map(owned).collect()))
}

/// Appends the elements of a tensor.
type Append<'a> = Box<dyn Fn(&mut Vec<u8>) + 'a>;

/// A tensor on its way into a file.
struct Entry<'a> {
    name: &'a str,
    dtype: Dtype,
    shape: &'a [usize],
    n_bytes: usize,
    append: Append<'a>,
}

fn encode(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: &[NamedTensor],
    out: &mut Vec<u8>,
) -> Result<(), ArtefactError> {
    let entries = tensors.iter().map(|NamedTensor { name, shape, data }| Entry {
        name,
        dtype: data.dtype(),
        shape,
        n_bytes: data.len() * data.element_bytes(),
        append: Box::new(|out: &mut Vec<u8>| data.append_to(out)),
    });
    encode_entries(path, metadata, entries.collect(), out)
}

/// Appends a `.safetensors` file to `out`: length of the head as u64, the head, the elements without gaps.
/// Source: <https://github.com/huggingface/safetensors>, README, "Format".
fn encode_entries(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    mut in_file: Vec<Entry<'_>>,
    out: &mut Vec<u8>,
) -> Result<(), ArtefactError> {
    let error = |problem| ArtefactError::Tensor { path: path.to_owned(), problem };
    // Widest first keeps every element aligned, which other people's readers count on.
    in_file.sort_by_key(|entry| Reverse(entry.dtype.bitsize()));

    let mut head = Head { metadata, tensors: BTreeMap::new() };
    let mut end = 0;
    for Entry { name, dtype, shape, n_bytes, .. } in &in_file {
        let elements = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
        let bits = elements.and_then(|n| n.checked_mul(dtype.bitsize()));
        if bits != n_bytes.checked_mul(8) {
            return Err(error(format!(
                "tensor '{name}' of shape {shape:?} can't have {} elements",
                n_bytes * 8 / dtype.bitsize()
            )));
        }
        let start = end;
        end += n_bytes;
        let info = TensorInfo { dtype: *dtype, shape: shape.to_vec(), data_offsets: (start, end) };
        if *name == "__metadata__" || head.tensors.insert(name, info).is_some() {
            return Err(error(format!("tensor name '{name}' is used twice or reserved; rename the layer")));
        }
    }
    let mut json = serde_json::to_vec(&head).map_err(|e| error(format!("can't write its head: {e}")))?;
    json.resize(json.len().next_multiple_of(8), b' ');

    out.reserve(8 + json.len() + end);
    out.extend_from_slice(&(json.len() as u64).to_le_bytes());
    out.extend_from_slice(&json);
    in_file.iter().for_each(|entry| (entry.append)(out));
    Ok(())
}

/// The inverse of [`encode`].
fn decode(path: &Path, bytes: &[u8]) -> Result<(BTreeMap<String, String>, Vec<NamedTensor>), ArtefactError> {
    let (metadata, entries) = decode_entries(path, bytes)?;
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, TensorInfo { dtype, shape, .. }, bytes) in entries {
        let data = TensorData::from_bytes(dtype, bytes).ok_or_else(|| ArtefactError::Tensor {
            path: path.to_owned(),
            problem: format!(
                "tensor '{name}' is of type {dtype}; only I8, I16, I32, I64, U8 and F32 can be read"
            ),
        })?;
        tensors.push(NamedTensor { name, shape, data });
    }
    Ok((metadata, tensors))
}

/// A tensor as it lies in a file's bytes.
type View<'a> = (String, TensorInfo, &'a [u8]);

/// The inverse of [`encode_entries`]. The library checks the head; the end of the data is compared here, because there the
/// library adds three lengths that a made-up file can let overflow.
fn decode_entries<'a>(
    path: &Path,
    bytes: &'a [u8],
) -> Result<(BTreeMap<String, String>, Vec<View<'a>>), ArtefactError> {
    let error = |problem: &str| ArtefactError::Tensor {
        path: path.to_owned(),
        problem: format!("not a sound .safetensors file: {problem}; export or download it again"),
    };
    let (length, rest) = bytes.split_first_chunk().ok_or_else(|| error("shorter than 8 bytes"))?;
    let (head, data) = usize::try_from(u64::from_le_bytes(*length))
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(|| error("its head is longer than the file"))?;
    let head: Metadata = serde_json::from_slice(head).map_err(|e| error(&e.to_string()))?;
    if head.data_len() != data.len() {
        return Err(error(&format!("{} bytes of data instead of {}", data.len(), head.data_len())));
    }

    let mut infos: Vec<(String, &TensorInfo)> = head.tensors().into_iter().collect();
    infos.sort_by(|(a_name, a), (b_name, b)| (a.data_offsets, a_name).cmp(&(b.data_offsets, b_name)));
    let mut tensors = Vec::with_capacity(infos.len());
    for (name, info) in infos {
        let elements = data
            .get(info.data_offsets.0..info.data_offsets.1)
            .ok_or_else(|| error(&format!("tensor '{name}' lies outside of the data")))?;
        tensors.push((name, info.clone(), elements));
    }
    let metadata = head.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok((metadata, tensors))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn write_safetensors(
        path: &Path,
        metadata: &BTreeMap<String, String>,
        tensors: &[NamedTensor],
    ) -> Result<(), ArtefactError> {
        atomic_write(path, &safetensors_bytes(path, metadata, tensors)?)
    }

    fn tensor(name: &str, shape: &[usize], data: TensorData) -> NamedTensor {
        NamedTensor { name: name.into(), shape: shape.into(), data }
    }

    fn example() -> Checkpoint {
        let header = [("step", "12"), ("recipe", "wage \"2-8-8-8\" ≤"), ("seed", "0"), ("epoch", "3")];
        Checkpoint {
            header: header.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            tensors: vec![
                tensor("momentum", &[2], TensorData::I64(vec![i64::MIN, i64::MAX])),
                tensor("bias", &[], TensorData::I32(vec![-7])),
                tensor("norm", &[1, 2], TensorData::F32(vec![-0.0, 1.5])),
                tensor("exponent", &[2], TensorData::I16(vec![i16::MIN, 3])),
                tensor("weight", &[3, 1], TensorData::I8(vec![-128, 0, 127])),
                tensor("pixels", &[1], TensorData::U8(vec![255])),
                tensor("nothing", &[4, 0], TensorData::U8(vec![])),
            ],
        }
    }

    fn written(folder: &tempfile::TempDir) -> (std::path::PathBuf, Vec<u8>) {
        let path = folder.path().join("last.ckpt");
        write(&path, &example()).unwrap();
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    }

    #[test]
    fn a_checkpoint_comes_back_and_equal_content_gives_equal_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bytes) = written(&folder);
        let back = read(&path).unwrap();
        assert_eq!(back.header, example().header);
        let sorted = |mut c: Checkpoint| {
            c.tensors.sort_by(|a, b| a.name.cmp(&b.name));
            c.tensors
        };
        assert_eq!(sorted(back), sorted(example()));
        for _ in 0..8 {
            assert_eq!(written(&folder).1, bytes);
        }
    }

    #[test]
    fn each_defect_is_told_apart_and_has_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let (path, good) = written(&folder);
        let problem_of = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read(&path).unwrap_err().to_string()
        };
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let cases = [
            (problem_of(b"PK\x03\x04 a zip file"), "last.ckpt: not a checkpoint"),
            (problem_of(b""), "cut short: 0 bytes of 48"),
            (problem_of(&good[..20]), "cut short: 20 bytes of 48"),
            (
                problem_of(&good[..good.len() - 1]),
                &format!(
                    "cut short: {} bytes of {}; get it again, or delete it to resume from best.ckpt",
                    good.len() - 1,
                    good.len()
                )[..],
            ),
            (problem_of(&flipped), "last.ckpt: damaged: its SHA-256"),
            (problem_of(&[&good[..], b"12"].concat()), "damaged: 2 bytes follow its end"),
            (read(&folder.path().join("no.ckpt")).unwrap_err().to_string(), "no.ckpt: no such file; check"),
            (read(folder.path()).unwrap_err().to_string(), "that path is a folder"),
        ];
        for (message, expected) in cases {
            assert!(message.contains(expected), "'{message}' lacks '{expected}'");
        }
    }

    #[test]
    fn tensors_that_contradict_themselves_are_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let one = |name, shape: &[usize]| tensor(name, shape, TensorData::I8(vec![1]));
        let cases = [
            (vec![one("a", &[2])], "tensor 'a' of shape [2] can't have 1 elements"),
            (vec![one("a", &[usize::MAX, 2])], "can't have 1 elements"),
            (vec![one("a", &[1]), one("a", &[1])], "'a' is used twice"),
            (vec![one("__metadata__", &[1])], "reserved"),
        ];
        for (tensors, expected) in cases {
            let message = write_safetensors(&path, &BTreeMap::new(), &tensors).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(!path.exists());
    }

    /// The library's own reader is the judge of the format.
    #[test]
    fn a_plain_file_is_one_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let example = example();
        write_safetensors(&path, &example.header, &example.tensors).unwrap();
        let bytes = fs::read(&path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let weight = file.tensor("weight").unwrap();
        assert_eq!(
            (weight.dtype(), weight.shape(), weight.data()),
            (Dtype::I8, &[3, 1][..], &[128, 0, 127][..])
        );
        let (_, head) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(head.metadata().as_ref().unwrap()["recipe"], example.header["recipe"]);

        let half = safetensors::tensor::TensorView::new(Dtype::F16, vec![1], &[0, 0]).unwrap();
        fs::write(&path, safetensors::serialize([("h", &half)], None).unwrap()).unwrap();
        let message = read_safetensors(&path).unwrap_err().to_string();
        assert!(message.contains("tensor 'h' is of type F16; only I8"), "{message}");
    }

    /// Lengths that add up to 2^64: the sum must not wrap around to the size of the file.
    #[test]
    fn lengths_beyond_the_address_space_are_an_error() {
        let info = |start: u64, end: u64| {
            format!(r#"{{"dtype":"U8","shape":[{}],"data_offsets":[{start},{end}]}}"#, end - start)
        };
        let part = 1u64 << 60;
        let parts: Vec<_> = (0..15).map(|i| format!("\"{i}\":{}", info(i * part, (i + 1) * part))).collect();
        let json = format!("{{{},\"x\":{}}}", parts.join(","), info(15 * part, u64::MAX - 7));
        let bytes = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
        let message = decode(Path::new("a"), &bytes).unwrap_err().to_string();
        assert!(message.contains("0 bytes of data instead of"), "{message}");
    }

    #[test]
    fn the_hash_is_that_of_the_little_endian_bytes_in_order() {
        let hash = |tensors: &[TensorData]| weights_sha256(tensors.iter());
        // FIPS 180-2: the empty message, and "abc".
        assert_eq!(hash(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(&[TensorData::U8(b"abc".into())]), abc);
        assert_eq!(hash(&[TensorData::I16(vec![0x6261]), TensorData::I8(vec![0x63])]), abc);
        assert_ne!(hash(&[TensorData::I8(vec![0x63]), TensorData::I16(vec![0x6261])]), abc);
    }

    fn any_data() -> impl Strategy<Value = TensorData> {
        prop_oneof![
            prop::collection::vec(any::<i8>(), 0..9).prop_map(TensorData::I8),
            prop::collection::vec(any::<i16>(), 0..9).prop_map(TensorData::I16),
            prop::collection::vec(any::<i32>(), 0..9).prop_map(TensorData::I32),
            prop::collection::vec(any::<i64>(), 0..9).prop_map(TensorData::I64),
            prop::collection::vec(any::<u8>(), 0..9).prop_map(TensorData::U8),
            prop::collection::vec(-9f32..9.0, 0..9).prop_map(TensorData::F32),
        ]
    }

    proptest! {
        #[test]
        fn any_tensors_come_back(
            header in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
            data in prop::collection::btree_map(any::<String>(), any_data(), 0..6),
        ) {
            let tensors: Vec<_> =
                data.into_iter().map(|(name, data)| NamedTensor { name, shape: vec![data.len()], data }).collect();
            let mut bytes = Vec::new();
            encode(Path::new("a"), &header, &tensors, &mut bytes).unwrap();
            let (header_back, mut back) = decode(Path::new("a"), &bytes).unwrap();
            back.sort_by(|a, b| a.name.cmp(&b.name));
            prop_assert_eq!(header_back, header);
            prop_assert_eq!(back, tensors);
        }

        #[test]
        fn damaged_files_never_panic_and_are_never_taken_for_good(
            end in 0usize..2000, at in 0usize..2000, flip in 1u8..,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (path, mut bytes) = written(&folder);
            // Without a checksum in front, the body alone must be readable without a panic too.
            let body = bytes.split_off(PREFIX_BYTES);
            let (end_body, at_body) = (end % (body.len() + 1), at % body.len());
            let mut mutated = body.clone();
            mutated[at_body] ^= flip;
            let _ = decode(&path, &mutated);
            prop_assert!(decode(&path, &body[..end_body.min(body.len() - 1)]).is_err());

            bytes.extend_from_slice(&body);
            let len = bytes.len();
            fs::write(&path, &bytes[..end % len]).unwrap();
            prop_assert!(read(&path).is_err());
            bytes[at % len] ^= flip;
            fs::write(&path, &bytes).unwrap();
            prop_assert!(read(&path).is_err());
        }
    }
}
