//! The readers of files, their valid inputs, and how checksums are made right again, so that changes go behind them.

#![allow(clippy::cast_possible_truncation, reason = "lengths of small inputs, bytes of patterns")]

use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::OnceLock;

use intrain::data::{Dataset, bounded, cifar, digits, idx, mat, npy, npz, svhn, tables};
use intrain::formats::explain;
use intrain::formats::pack::Order;
use intrain::formats::{Quantized, Way};
use intrain::import::{self, Options, Scaling};
use intrain::imported;
use intrain::nn::{Parameters, Plan};
use intrain::recipe::preset;
use intrain::tensors::{self, Arrays};
use intrain::train::checkpoint::{self, Checkpoint, NamedTensor, TensorData};
use intrain::train::{Config, metrics, saved};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::mutate::Kind;
use crate::pictures;
use crate::session::Target;

/// What errors name.
fn path() -> &'static Path {
    Path::new("fuzzed")
}

/// A reader of bytes whose checksums, if it has any, stay wrong.
const fn raw(name: &'static str, seeds: fn() -> Vec<Vec<u8>>, run: fn(&[u8]) -> Option<usize>) -> Target {
    Target { name, kind: Kind::Bytes, seeds, seal: |bytes| bytes, run, limit: 0 }
}

/// The same behind `seal`.
const fn sealed(target: Target, seal: fn(Vec<u8>) -> Vec<u8>) -> Target {
    Target { seal, ..target }
}

/// Every reader of files.
pub(crate) fn targets() -> Vec<Target> {
    let picture = raw("picture", pictures::files, pictures::read);
    // An image is refused after it was decoded, where its last bytes are wrong: 4096 x 4096 pixels of 8 bytes.
    let picture = Target { limit: 4096 * 4096 * 8, ..picture };
    vec![
        raw("idx", idx_files, read_idx),
        raw("cifar", || vec![vec![3; 2 * 3073], vec![3; 2 * 3074]], read_cifar),
        raw("cifar-archive", || vec![gzip(&tar_file())], read_cifar_archive),
        sealed(raw("cifar-tar", || vec![tar_file()], read_cifar_archive), |tar| gzip(&with_sums(tar))),
        raw(
            "gzip",
            || vec![gzip(&[5; 5000]), gzip(b"")],
            |bytes| bounded::gunzip(bytes, 5000, path()).ok().map(|unpacked| unpacked.len()),
        ),
        raw("npy", npy_files, read_npy),
        raw("arrays-npz", || quantized_files("q.npz"), |bytes| read_arrays(bytes, "q.npz")),
        raw("arrays-st", || quantized_files("q.safetensors"), |bytes| read_arrays(bytes, "q.safetensors")),
        raw(
            "npz",
            || {
                vec![
                    npz_file(&npy_images(), &npy_labels(), false),
                    npz_file(&npy_images(), &npy_labels(), true),
                    with_wide_end(npz_file(&npy_images(), &npy_labels(), false)),
                ]
            },
            read_npz,
        ),
        sealed(raw("npz-images", || vec![npy_images(), npy_floats()], read_npz), |images| {
            npz_file(&images, &npy_labels(), images.len() % 2 == 1)
        }),
        sealed(raw("npz-labels", || vec![npy_labels()], read_npz), |labels| {
            npz_file(&npy_images(), &labels, labels.len() % 2 == 1)
        }),
        raw(
            "mat",
            || vec![mat_file(&[mat_array()]), mat_file(&[mat_array(), deflated(&mat_array())])],
            read_mat,
        ),
        sealed(raw("mat-element", || vec![mat_array()], read_mat), |element| {
            mat_file(&[deflated(&element), deflated(&mat_array())])
        }),
        Target { name: "picture-crc", seal: pictures::with_png_sums, ..picture },
        sealed(
            raw("picture-profile", || vec![pictures::with_large_profile()], pictures::read),
            pictures::with_png_sums,
        ),
        picture,
        raw("checkpoint", || vec![with_prefix(checkpoint_body())], read_checkpoint),
        sealed(raw("checkpoint-body", || vec![checkpoint_body()], read_checkpoint), with_prefix),
        raw("safetensors", || vec![model_file(), checkpoint_body()], read_safetensors),
        Target {
            kind: Kind::Text,
            seal: with_head,
            ..raw("safetensors-head", || vec![head_and_data().0], read_safetensors)
        },
        raw("onnx", onnx_files, read_onnx),
        Target { kind: Kind::Text, ..raw("metrics", metrics_files, read_metrics) },
        Target { kind: Kind::Text, ..raw("table", table_files, read_table) },
        raw("table-bytes", table_files, read_table),
    ]
}

/// Networks that PyTorch has written.
fn onnx_files() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../import/fixtures/lenet.onnx").to_vec(),
        include_bytes!("../import/fixtures/resnet.onnx").to_vec(),
        include_bytes!("../import/fixtures/mobilenet.onnx").to_vec(),
        include_bytes!("../import/fixtures/inception.onnx").to_vec(),
    ]
}

fn read_onnx(bytes: &[u8]) -> Option<usize> {
    let scaling = Scaling::Normalized { mean: vec![0.5], std: vec![0.25] };
    let options = Options { name: "fuzzed".to_owned(), source: String::new(), scaling };
    let imported = import::read(bytes, &options).ok()?;
    let (plan, parameters) = imported::parameters(&imported, &preset("float32").ok()?).ok()?;
    assert_eq!(plan.blocks.len(), parameters.len());
    for (block, parameters) in plan.blocks.iter().zip(&parameters) {
        assert_eq!(block.product.n_weights(), parameters.weight.len());
        assert!(parameters.bias.as_ref().is_none_or(|bias| bias.len() == block.product.output.c));
    }
    Some(parameters.iter().map(|parameters| 4 * parameters.weight.len()).sum())
}

fn idx_files() -> Vec<Vec<u8>> {
    vec![
        [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4][..], &[9; 24]].concat(),
        vec![0, 0, 8, 1, 0, 0, 0, 4, 1, 2, 3, 9],
    ]
}

fn read_idx(bytes: &[u8]) -> Option<usize> {
    let images = idx::parse_images(bytes, path()).ok();
    if let Some((n, shape, pixels)) = &images {
        assert_eq!(n * shape.n_values(), pixels.len());
    }
    let labels = idx::parse_labels(bytes, 10, path()).ok();
    assert!(labels.iter().flatten().all(|label| *label < 10));
    let sizes = [images.map(|(.., pixels)| pixels.len()), labels.map(|labels| 2 * labels.len())];
    idx::parse(bytes, path()).ok().map(|idx| idx.values.len() + sizes.iter().flatten().sum::<usize>())
}

fn read_cifar(bytes: &[u8]) -> Option<usize> {
    let ten = cifar::TEN.parse(bytes, 2, path());
    let split = ten.or_else(|_| cifar::HUNDRED.parse(bytes, 2, path())).ok()?;
    assert_eq!((split.len(), split.images.len()), (2, 2 * 3072));
    assert!(split.labels.iter().all(|label| *label < 100));
    Some(split.images.len())
}

fn tar_file() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in cifar::TEN.files {
        let mut header = tar::Header::new_gnu();
        header.set_size(100);
        tar.append_data(&mut header, Path::new(cifar::TEN.folder).join(file.name), &[7; 100][..]).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Makes the sum of each header of a tar file right again: all its bytes, those of the sum as blanks.
fn with_sums(mut tar: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(header) = tar.get_mut(at..at + 512) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = String::from_utf8_lossy(&header[124..135]).into_owned();
        let size = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).unwrap_or(0);
        at = at.saturating_add(512).saturating_add(size.div_ceil(512).saturating_mul(512));
        // Zeros end the archive.
        if tar.get(at..).is_none_or(|rest| rest.iter().all(|byte| *byte == 0)) {
            break;
        }
    }
    tar
}

fn read_cifar_archive(bytes: &[u8]) -> Option<usize> {
    let files = cifar::TEN.unpack(bytes, 1000, path()).ok()?;
    assert!(files.iter().all(|file| file.len() <= 1000));
    Some(files.iter().map(Vec::len).sum())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn npy_images() -> Vec<u8> {
    let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4), }\n";
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &(0..24).collect::<Vec<u8>>()].concat()
}

fn npy_floats() -> Vec<u8> {
    npy::to_bytes(&[2, 3, 4, 1], npy::Order::C, (0..24_u8).map(|i| f32::from(i) / 24.0)).unwrap()
}

fn npy_labels() -> Vec<u8> {
    npy::to_bytes(&[2], npy::Order::C, [0_i64, 1].into_iter()).unwrap()
}

fn npy_files() -> Vec<Vec<u8>> {
    let mut half = npy_floats();
    let at = half.windows(3).position(|window| window == b"<f4").unwrap();
    half[at..at + 3].copy_from_slice(b"<f2");
    half.truncate(half.len() - 48);
    vec![npy_images(), npy_floats(), npy_labels(), half]
}

fn read_npy(bytes: &[u8]) -> Option<usize> {
    let array = npy::parse(bytes, path()).ok()?;
    let n_values = array.shape.iter().product::<usize>();
    assert_eq!(n_values * array.item_bytes, array.bytes.len());
    assert_eq!(array.integers().map_or(n_values, Iterator::count), n_values);
    assert_eq!(array.floats().map_or(n_values, Iterator::count), n_values);
    Some(array.bytes.len())
}

fn npz_file(images: &[u8], labels: &[u8], deflate: bool) -> Vec<u8> {
    let method = if deflate { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in [("x_train", images), ("y_train", labels), ("x_test", images), ("y_test", labels)] {
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The same archive with an end record of 64 bits, as archives of many or large files have it.
fn with_wide_end(mut zip: Vec<u8>) -> Vec<u8> {
    let end = zip.split_off(zip.len() - 22);
    let at = zip.len() as u64;
    let (n, size, offset) = (u64::from(end[10]), &end[12..16], &end[16..20]);
    // Signature, bytes that follow, versions, disks; then files twice, size and place of the directory.
    zip.extend_from_slice(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0");
    zip.extend([&n.to_le_bytes()[..], &n.to_le_bytes(), size, &[0; 4], offset, &[0; 4]].concat());
    zip.extend([&b"PK\x06\x07\0\0\0\0"[..], &at.to_le_bytes(), &1_u32.to_le_bytes()].concat());
    zip.extend([&end[..8], &[0xff; 12], &end[20..]].concat());
    zip
}

fn read_npz(bytes: &[u8]) -> Option<usize> {
    let Dataset { train, test, shape, .. } = npz::parse(bytes, "fuzzed", path()).ok()?;
    for split in [&train, &test] {
        assert_eq!(split.images.len(), split.len() * shape.n_values());
    }
    Some(train.images.len() + test.images.len())
}

/// Quantized arrays of some formats.
fn quantized_files(name: &str) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let x: Vec<f32> = (0..64_i8).map(|i| f32::from(i) / 8.0 - 3.0).collect();
    let files = ["mxfp4@even", "nvfp4/16x16", "mxfp6", "mxfp8", "bf16"].map(|format| {
        let way = Way::new(format.parse().expect("a format"));
        let quantized = Quantized::new(&x, &[2, 32], &way).expect("a shape");
        let path = folder.path().join(name);
        tensors::write_quantized(&path, &quantized, Some(Order::LowFirst)).expect("a file");
        std::fs::read(path).expect("a file")
    });
    files.into()
}

fn read_arrays(bytes: &[u8], name: &str) -> Option<usize> {
    let arrays = Arrays::parse(bytes, name.as_ref()).ok()?;
    let _ = arrays.floats();
    let mut read = 0;
    if let Ok(seen) = arrays.seen(|_| false) {
        let shape = arrays.codes_shape().unwrap_or(&[]);
        if seen.codes.as_ref().is_none_or(|codes| codes.len() < 1 << 12) {
            read += usize::from(explain::without_source(&seen, &seen, shape).difference.is_none());
        }
    }
    for way in [None, "mxfp4".parse().ok().map(Way::new), "nvfp4/16x16".parse().ok().map(Way::new)] {
        if let Ok(quantized) = arrays.quantized(way) {
            assert_eq!(quantized.values().len(), quantized.codes.len());
            let again = quantized.again().expect("it has a shape");
            assert_eq!(again.scales.len(), quantized.scales.len());
            read += 1;
        }
    }
    (read > 0).then_some(read)
}

fn table_files() -> Vec<Vec<u8>> {
    let named = "a,b,class\n0.5,-1e3,x\n1.5,2,\"y, or\nso\"\n0.5,1,x\n\n2,2,\"y, or\nso\"\n";
    let tabs = "\u{feff}class\ta\r\n1\t0.25\r\n2\t0.5\r\n1\t0.75\r\n2\t1\r\n1\t1\r\n";
    let plain = "1;2;class;4\n1;2;class;4\n3;4;other;5\n5;6;other;7\n";
    [named, tabs, plain].map(|text| text.as_bytes().to_vec()).to_vec()
}

fn read_table(bytes: &[u8]) -> Option<usize> {
    let Dataset { train, test, shape, encoder, .. } = tables::parse(bytes, "class", path()).ok()?;
    let encoder = encoder.unwrap();
    assert!(encoder.ranges().len() == shape.n_values() && encoder.takes(shape.n_values()));
    assert!(encoder.ranges().iter().all(|range| range.low() <= range.high()));
    for split in [&train, &test] {
        assert_eq!(split.images.len(), split.len() * shape.n_values());
    }
    Some(train.images.len() + test.images.len())
}

/// An array of flags, dimensions `[1, 2]`, the name X, which lies in its tag, and two numbers.
fn mat_array() -> Vec<u8> {
    let words: [u32; 16] = [14, 56, 6, 8, 9, 0, 5, 8, 1, 2, 0x1_0001, u32::from(b'X'), 2, 2, 0x0807, 0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn mat_file(elements: &[Vec<u8>]) -> Vec<u8> {
    [&[b' '; 124][..], b"\x00\x01IM", &elements.concat()].concat()
}

fn deflated(element: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(element).unwrap();
    let data = encoder.finish().unwrap();
    [&15_u32.to_le_bytes(), &(data.len() as u32).to_le_bytes(), &data[..]].concat()
}

fn read_mat(bytes: &[u8]) -> Option<usize> {
    assert!(svhn::parse(bytes, 2, path()).is_err());
    let arrays = mat::parse(bytes, svhn::MAX_FILE_BYTES, path()).ok()?;
    for array in &arrays {
        assert_eq!(array.shape.iter().product::<usize>(), array.values.len());
    }
    Some(arrays.iter().map(|array| array.values.len()).sum())
}

/// A run whose network is small, for files that a run writes.
fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let network = "name = 'small'\ninput = { h = 8, w = 8, c = 1, pixels = 'x/256' }\nlayer = [{ name = \
                       'flatten', kind = 'flatten' }, { name = 'fc', kind = 'linear', out = 10 }]\n";
        Config::for_data(network, "gupta", &digits::load().unwrap(), &[]).unwrap()
    })
}

fn model_file() -> Vec<u8> {
    let config = config();
    let plan = Plan::build(&config.model, &config.recipe, 1).unwrap();
    let file = NamedTempFile::new().unwrap();
    let classes = ["ant".to_owned(), "cat, \"dog\"".to_owned()];
    let encoder = tables::parse(&table_files()[0], "class", path()).unwrap().encoder;
    let run = saved::OfRun { config, classes: &classes, encoder: encoder.as_ref() };
    saved::write_model(file.path(), run, 0, &plan, &Parameters::initial(&plan, 1)).unwrap();
    std::fs::read(file.path()).unwrap()
}

/// The parts of a run's model: the JSON at its head, and the elements.
fn head_and_data() -> (Vec<u8>, Vec<u8>) {
    let file = model_file();
    let length = u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    let (head, data) = file[8..].split_at(length);
    (head.to_vec(), data.to_vec())
}

/// A run's model with another head.
fn with_head(head: Vec<u8>) -> Vec<u8> {
    static DATA: OnceLock<Vec<u8>> = OnceLock::new();
    let data = DATA.get_or_init(|| head_and_data().1);
    [&(head.len() as u64).to_le_bytes()[..], &head, data].concat()
}

/// The body of a checkpoint: that of the run, with a tensor of each type.
fn checkpoint_body() -> Vec<u8> {
    let config = config();
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), model_file()).unwrap();
    let (_, mut tensors) = checkpoint::read_safetensors(file.path()).unwrap();
    for (name, data) in [
        ("a", TensorData::I64(vec![i64::MIN, 3])),
        ("b", TensorData::F32(vec![f32::NAN, 1.0])),
        ("c", TensorData::U8(vec![1, 2])),
        ("d", TensorData::I8(vec![-1, 2])),
    ] {
        tensors.push(NamedTensor { name: name.to_owned(), shape: vec![2], data });
    }
    let header = [
        ("model_sha256", config.model.sha256()),
        ("recipe_sha256", config.recipe.sha256()),
        ("epoch", "3".to_owned()),
    ];
    let header = header.map(|(key, value)| (key.to_owned(), value)).into();
    checkpoint::write(file.path(), &Checkpoint { header, tensors }).unwrap();
    std::fs::read(file.path()).unwrap().split_off(48)
}

/// Puts the name, the SHA-256 and the length of a checkpoint in front of its body.
fn with_prefix(body: Vec<u8>) -> Vec<u8> {
    [&b"INTRAIN1"[..], &Sha256::digest(&body), &(body.len() as u64).to_le_bytes(), &body].concat()
}

fn bytes_of(tensors: &[NamedTensor]) -> usize {
    tensors.iter().map(|tensor| tensor.name.len() + 8 * tensor.shape.len() + 8 * tensor.data.len()).sum()
}

fn read_checkpoint(bytes: &[u8]) -> Option<usize> {
    let Checkpoint { tensors, .. } = checkpoint::parse(bytes, path()).ok()?;
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    if let Ok(model) = saved::read_model_of_checkpoint(file.path(), config()) {
        assert_eq!(model.parameters.len(), 1);
    }
    Some(bytes.len() + bytes_of(&tensors))
}

fn read_safetensors(bytes: &[u8]) -> Option<usize> {
    let (metadata, tensors) = checkpoint::parse_safetensors(bytes, path()).ok()?;
    let decoded = bytes.len() + bytes_of(&tensors);
    if let Ok(model) = saved::parse_model((metadata, tensors), path()) {
        assert!(Plan::build(&model.model, &model.recipe, 1).is_ok());
    }
    Some(decoded)
}

fn metrics_files() -> Vec<Vec<u8>> {
    let rows = "10,0,0.5,1.25,0.5,,,0,0,3,100.0,1.5\n20,1,0.5,1,0.25,1.5,0.125,0,0,3,100.0,2\n";
    let further = "10,0,0.5,1.25,0.5,,,0,0,3,100.0,1.5,0.5,nan\n";
    let header = metrics::HEADER;
    vec![
        format!("{header}\n{rows}").into_bytes(),
        format!("{header},fc1/weight/zeros,fc1/error/max\n{further}").into_bytes(),
    ]
}

fn read_metrics(bytes: &[u8]) -> Option<usize> {
    thread_local! { static FILE: NamedTempFile = NamedTempFile::new().unwrap(); }
    FILE.with(|file| {
        std::fs::write(file.path(), bytes).unwrap();
        let rows = metrics::read(file.path()).ok()?;
        let further = metrics::read_details(file.path()).unwrap();
        assert_eq!(rows.len(), further.rows.len());
        Some(bytes.len() + 200 * rows.len())
    })
}
