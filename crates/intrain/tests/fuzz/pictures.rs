//! Pictures: a file of each format, how the checksums of a PNG are made right again, and their reader.
#![allow(clippy::cast_possible_truncation, reason = "lengths of small inputs, bytes of patterns")]

use std::io::{Cursor, Write};
use std::path::Path;

use image::{DynamicImage, ImageBuffer, ImageFormat};
use intrain::data::folder;

/// Each format, grey and in colours, with and without what may stand beside the pixels.
pub(crate) fn files() -> Vec<Vec<u8>> {
    let grey = DynamicImage::ImageLuma8(ImageBuffer::from_fn(16, 12, |x, y| image::Luma([(x * y) as u8])));
    let clear = ImageBuffer::from_fn(9, 7, |x, y| image::Rgba([x as u8, y as u8, 77, (x * 20) as u8]));
    let clear = DynamicImage::ImageRgba8(clear);
    let written = |image: &DynamicImage, format| {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let deep = DynamicImage::ImageRgba16(clear.to_rgba16());
    // EXIF data behind the first marker that say how the image is to be turned.
    let tiff =
        b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00";
    let exif = [&b"\xff\xe1\x00\x22Exif\x00\x00"[..], tiff].concat();
    let jpeg = written(&grey, ImageFormat::Jpeg);
    let colors = written(&DynamicImage::ImageRgb8(clear.to_rgb8()), ImageFormat::Jpeg);
    let png = written(&clear, ImageFormat::Png);
    let jpeg = [&jpeg[..2], &exif, &jpeg[2..]].concat();
    let webp = written(&clear, ImageFormat::WebP);
    vec![
        written(&grey, ImageFormat::Png),
        with_chunks(&png, tiff),
        png,
        written(&deep, ImageFormat::Png),
        jpeg,
        colors,
        written(&grey, ImageFormat::Bmp),
        written(&clear, ImageFormat::Bmp),
        extended(&webp, tiff),
        webp,
    ]
}

/// A PNG with texts, a colour profile and EXIF data between its header and its pixels; two of them are deflated.
fn with_chunks(png: &[u8], exif: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&[7; 3000]).unwrap();
    let packed = encoder.finish().unwrap();
    let (profile, text) = ([&b"p\0\0"[..], &packed].concat(), [&b"t\0\0"[..], &packed].concat());
    let chunks: [(&[u8; 4], &[u8]); 5] = [
        (b"gAMA", &[0, 0, 0xb1, 0x8f]),
        (b"iCCP", &profile),
        (b"zTXt", &text),
        (b"tEXt", b"k\0v"),
        (b"eXIf", exif),
    ];
    // Signature and header have 33 bytes.
    let mut bytes = png[..33].to_vec();
    for (name, data) in chunks {
        bytes.extend([&(data.len() as u32).to_be_bytes(), &name[..], data, &[0; 4]].concat());
    }
    bytes.extend_from_slice(&png[33..]);
    with_png_sums(bytes)
}

/// A PNG whose colour profile unpacks to 100 MB, far more than its pixels.
pub(crate) fn with_large_profile() -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(b"p\0\0".to_vec(), flate2::Compression::best());
    (0..100).for_each(|_| encoder.write_all(&[0; 1 << 20]).unwrap());
    let profile = encoder.finish().unwrap();
    let mut png = Cursor::new(Vec::new());
    image::GrayImage::new(9, 7).write_to(&mut png, ImageFormat::Png).unwrap();
    let mut bytes = png.get_ref()[..33].to_vec();
    bytes.extend([&(profile.len() as u32).to_be_bytes(), &b"iCCP"[..], &profile, &[0; 4]].concat());
    bytes.extend_from_slice(&png.get_ref()[33..]);
    with_png_sums(bytes)
}

/// A WebP of 9 x 7 pixels with the header of the extended format, a colour profile and EXIF data.
fn extended(webp: &[u8], exif: &[u8]) -> Vec<u8> {
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let filled = vec![0; data.len() % 2];
        [&name[..], &(data.len() as u32).to_le_bytes(), data, &filled].concat()
    };
    // Profile, alpha and EXIF data; width and height less one.
    let header = chunk(b"VP8X", &[0b0011_1000, 0, 0, 0, 8, 0, 0, 6, 0, 0]);
    let body =
        [&b"WEBP"[..], &header, &chunk(b"ICCP", &[7; 30]), &webp[12..], &chunk(b"EXIF", exif)].concat();
    [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat()
}

/// Makes the checksum of each chunk of a PNG right again; other bytes stay as they are.
pub(crate) fn with_png_sums(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        let length = u32::from_be_bytes(*length) as usize;
        let Some(chunk) = bytes.get(at + 4..at + 8 + length) else { break };
        let mut sum = flate2::Crc::new();
        sum.update(chunk);
        let Some(place) = bytes.get_mut(at + 8 + length..at + 12 + length) else { break };
        place.copy_from_slice(&sum.sum().to_be_bytes());
        at += 12 + length;
    }
    bytes
}

pub(crate) fn read(bytes: &[u8]) -> Option<usize> {
    let image = folder::decode(bytes, Path::new("fuzzed")).ok()?;
    assert!(image.width() <= 4096 && image.height() <= 4096);
    Some(image.as_bytes().len())
}
