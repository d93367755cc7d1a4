//! One image file: its bytes to pixels. What is not there is never made up: a file that ends too early is an error.

use std::io::Cursor;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, ImageResult, Limits, Luma,
    Rgb, RgbImage,
};

use crate::{DataError, ImageShape};

/// What to do about a file that is no image.
const REMEDY: &str = "repair the image or remove it";

/// Bytes that a decoder may ask for besides the pixels: deflated colour profiles of a PNG can say any number.
const MAX_BESIDE_PIXELS: u64 = 32 << 20;

/// An image as it is learned from.
#[derive(Debug)]
pub(crate) struct Picture {
    /// Its pixels, upright, and opaque where any was not.
    pub(crate) image: DynamicImage,
    /// Whether a pixel was transparent.
    pub(crate) was_transparent: bool,
}

/// Decodes a PNG, JPEG, BMP or WebP of at most 4096 x 4096 pixels, turns it as its EXIF data say, and lays it over white
/// where it is transparent.
///
/// # Errors
/// The bytes are none of them, or corrupt, or end before the image does, or the image is too large.
pub fn decode(bytes: &[u8], path: &Path) -> Result<DynamicImage, DataError> {
    read(bytes, path).map(|picture| picture.image)
}

/// As [`decode`], and says whether it was transparent.
pub(crate) fn read(bytes: &[u8], path: &Path) -> Result<Picture, DataError> {
    let mut limits = Limits::default();
    let side = u32::try_from(ImageShape::MAX_SIDE).ok();
    (limits.max_image_width, limits.max_image_height) = (side, side);
    limits.max_alloc = Some(MAX_BESIDE_PIXELS);
    let refuse = |e: &dyn std::fmt::Display| {
        DataError::file(path, format!("cannot be decoded: {e}"), REMEDY.to_owned())
    };
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| refuse(&e))?;
    let missing = match reader.format() {
        Some(ImageFormat::Jpeg) if !jpeg_is_whole(bytes) => Some("lack the end-of-image marker"),
        Some(ImageFormat::WebP) if !webp_is_whole(bytes) => Some("are fewer than its header says"),
        Some(ImageFormat::WebP) if !webp_has_its_chunks(bytes) => {
            Some("are fewer than one of its chunks says")
        }
        _ => None,
    };
    if let Some(missing) = missing {
        return Err(refuse(&format!("the file is cut short, its {} bytes {missing}", bytes.len())));
    }
    if reader.format() == Some(ImageFormat::Jpeg) && !jpeg_sampling_is_usual(bytes) {
        return Err(refuse(
            &"its colours are sampled otherwise than every, every second or every fourth pixel",
        ));
    }
    reader.limits(limits);
    // A fault of a decoder is one of this file; the others are worth having.
    let image = std::panic::catch_unwind(AssertUnwindSafe(|| upright(reader)));
    let image = image.map_err(|_| refuse(&"its decoder failed on it"))?.map_err(|e| refuse(&e))?;
    Ok(over_white(image))
}

/// Decodes an image, and turns it as its EXIF data say.
fn upright(reader: ImageReader<Cursor<&[u8]>>) -> ImageResult<DynamicImage> {
    let mut decoder = reader.into_decoder()?;
    // EXIF data that are damaged say nothing about the pixels, which may be sound.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    // Bound: 4096 x 4096 pixels of at most 8 bytes.
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Lays an image over white where it is transparent; an opaque one keeps its pixels.
fn over_white(image: DynamicImage) -> Picture {
    let is_transparent = match &image {
        DynamicImage::ImageLumaA8(image) => image.pixels().any(|p| p.0[1] != u8::MAX),
        DynamicImage::ImageLumaA16(image) => image.pixels().any(|p| p.0[1] != u16::MAX),
        DynamicImage::ImageRgba8(image) => image.pixels().any(|p| p.0[3] != u8::MAX),
        DynamicImage::ImageRgba16(image) => image.pixels().any(|p| p.0[3] != u16::MAX),
        _ => false,
    };
    if !is_transparent {
        return Picture { image, was_transparent: false };
    }
    let (width, height) = (image.width(), image.height());
    let image = if matches!(image.color(), ColorType::La8 | ColorType::La16) {
        let of = image.into_luma_alpha8();
        GrayImage::from_fn(width, height, |x, y| {
            let [value, alpha] = of.get_pixel(x, y).0;
            Luma([value_over_white(value, alpha)])
        })
        .into()
    } else {
        let of = image.into_rgba8();
        RgbImage::from_fn(width, height, |x, y| {
            let [red, green, blue, alpha] = of.get_pixel(x, y).0;
            Rgb([red, green, blue].map(|value| value_over_white(value, alpha)))
        })
        .into()
    };
    Picture { image, was_transparent: true }
}

/// `255 - alpha (255 - value) / 255`, rounded to the nearest.
fn value_over_white(value: u8, alpha: u8) -> u8 {
    let darkness = (u16::from(u8::MAX - value) * u16::from(alpha) + 127) / 255;
    // Bound: at most 255, as both factors are.
    u8::MAX - u8::try_from(darkness).unwrap_or(u8::MAX)
}

/// Whether a JPEG goes on to the marker of its end; other bytes may follow that. The decoder does not ask: it fills what
/// is missing with grey.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    visit_segments(bytes, |_, _| {})
}

/// Whether all components of a JPEG are sampled by 1, 2 or 4, as those of cameras and libraries: at 3, `zune-jpeg` 0.5.15 writes outside of
/// its rows, and panics.
fn jpeg_sampling_is_usual(bytes: &[u8]) -> bool {
    let mut is_usual = true;
    visit_segments(bytes, |marker, body| {
        // Precision, height, width, the number of components, and of each its name, sampling and table.
        if let (0xc0..=0xc2, Some(components)) = (marker, body.get(6..)) {
            let factors =
                components.as_chunks::<3>().0.iter().flat_map(|[_, both, _]| [both >> 4, both & 15]);
            is_usual &= factors.into_iter().all(|factor| matches!(factor, 1 | 2 | 4));
        }
    });
    is_usual
}

/// Shows `visit` the segments of a JPEG that have a length, up to the marker of its end; whether that is there.
///
/// Segments are skipped by their lengths, so that the marker of a preview in one of them does not count.
fn visit_segments(bytes: &[u8], mut visit: impl FnMut(u8, &[u8])) -> bool {
    let mut at = 2;
    loop {
        // Data of a scan, or bytes that do not belong here: markers begin with 255.
        let Some(skipped) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0xff))
        else {
            return false;
        };
        at += skipped + 1;
        match bytes.get(at..) {
            Some([0xd9, ..]) => return true,
            // A byte that fills up: the marker may come behind it.
            Some([0xff, ..]) => {}
            // A value of 255, a marker without a length.
            Some([0x00 | 0x01 | 0xd0..=0xd7, ..]) => at += 1,
            // Another image begins.
            Some([0xd8, ..]) | None => return false,
            Some([marker, high, low, rest @ ..]) => {
                let len = usize::from(u16::from_be_bytes([*high, *low])).max(2);
                visit(*marker, &rest[..rest.len().min(len - 2)]);
                at += 1 + len;
            }
            Some(_) => return false,
        }
    }
}

/// Whether a WebP has the bytes that its header promises; other bytes may follow. The decoder makes up the last pixels
/// of one with loss that lacks some.
fn webp_is_whole(bytes: &[u8]) -> bool {
    // `RIFF`, how many bytes follow, `WEBP`. Exact: a usize fits u64 on every target of the project.
    let promised = bytes.get(4..).and_then(|rest| rest.first_chunk::<4>());
    promised.is_some_and(|promised| 8 + u64::from(u32::from_le_bytes(*promised)) <= bytes.len() as u64)
}

/// Whether the chunks of a WebP that the decoder takes whole lie inside of the file: it asks for the memory that they say
/// before it reads them, up to 4 GiB.
fn webp_has_its_chunks(bytes: &[u8]) -> bool {
    // `RIFF`, how many bytes follow, `WEBP`; then a name and a length before each chunk, whose bytes are even in number.
    let u32_at = |at: usize| bytes.get(at..)?.first_chunk::<4>().map(|number| u32::from_le_bytes(*number));
    // Exact: u32 fits usize on every target of the project. The decoder goes ten bytes beyond the end that is promised.
    let end = u32_at(4).map_or(0, |promised| (promised as usize).saturating_add(18));
    let mut at = 12_usize;
    while let (true, Some(length)) = (at < end, u32_at(at + 4)) {
        let is_taken_whole = matches!(&bytes[at..at + 4], b"ICCP" | b"EXIF" | b"XMP ");
        let chunk_end = (at + 8).saturating_add(length as usize);
        if is_taken_whole && chunk_end > bytes.len() {
            return false;
        }
        at = chunk_end.saturating_add(length as usize % 2);
        if at >= bytes.len() {
            break;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webp_has_the_chunks_that_it_says() {
        let chunk = |name: &[u8; 4], length: u32, data: &[u8]| {
            [&name[..], &length.to_le_bytes(), data, &vec![0; data.len() % 2]].concat()
        };
        let mut pixels = Cursor::new(Vec::new());
        GrayImage::new(9, 7).write_to(&mut pixels, ImageFormat::WebP).unwrap();
        let header = chunk(b"VP8X", 10, &[0b0000_1000, 0, 0, 0, 8, 0, 0, 6, 0, 0]);
        for (length, is_there) in [(3, true), (4, true), (5, false), (0xffff_ffff, false)] {
            let exif = chunk(b"EXIF", length, b"abc");
            let body = [&b"WEBP"[..], &header, &pixels.get_ref()[12..], &exif].concat();
            let n = u32::try_from(body.len()).unwrap();
            let file = [&b"RIFF"[..], &n.to_le_bytes(), &body].concat();
            assert_eq!(webp_has_its_chunks(&file), is_there, "{length}");
            let image = decode(&file, Path::new("f"));
            assert_eq!(image.is_ok(), is_there, "{length}");
            let message = image.map_or_else(|error| error.to_string(), |_| String::new());
            assert_eq!(message.contains("are fewer than one of its chunks says"), !is_there, "{message}");
        }
        assert!((0..40).all(|n| webp_has_its_chunks(&vec![0; n])));
    }

    #[test]
    fn a_colour_profile_of_any_size_changes_no_pixel() {
        // Chunks of a PNG: a length, a name, data, a checksum.
        let chunk = |name: &[u8; 4], data: &[u8]| {
            let mut sum = flate2::Crc::new();
            sum.update(name);
            sum.update(data);
            let length = u32::try_from(data.len()).unwrap();
            [&length.to_be_bytes(), &name[..], data, &sum.sum().to_be_bytes()].concat()
        };
        let mut png = Cursor::new(Vec::new());
        GrayImage::new(9, 7).write_to(&mut png, ImageFormat::Png).unwrap();
        let with_profile = |n_bytes: usize| {
            let mut encoder = flate2::write::ZlibEncoder::new(b"p\0\0".to_vec(), flate2::Compression::fast());
            std::io::copy(&mut std::io::Read::take(std::io::repeat(0), n_bytes as u64), &mut encoder)
                .unwrap();
            let profile = chunk(b"iCCP", &encoder.finish().unwrap());
            // Signature and header have 33 bytes.
            [&png.get_ref()[..33], &profile, &png.get_ref()[33..]].concat()
        };
        for n_bytes in [1000, 1 << 20, 40 << 20] {
            // What does not fit is left aside by the decoder.
            let image = decode(&with_profile(n_bytes), Path::new("f")).unwrap();
            assert_eq!(image, GrayImage::new(9, 7).into(), "{n_bytes}");
        }
    }

    fn jpeg(width: u32, height: u32) -> Vec<u8> {
        let image = image::GrayImage::from_fn(width, height, |x, y| {
            image::Luma([u8::try_from((x * 9 + y * 5) % 256).unwrap()])
        });
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn white_shines_through() {
        for value in 0..=u8::MAX {
            assert_eq!(value_over_white(value, 255), value);
            assert_eq!(value_over_white(value, 0), 255);
        }
        // 255 - 128 * 255 / 255, and 255 - 128 * 155 / 255 = 177.2.
        assert_eq!((value_over_white(0, 128), value_over_white(100, 128)), (127, 177));
    }

    #[test]
    fn a_jpeg_is_sampled_by_powers_of_two() {
        let whole = jpeg(40, 30);
        let sof =
            whole.windows(2).position(|pair| pair[0] == 0xff && (0xc0..=0xc2).contains(&pair[1])).unwrap();
        // Marker, length, precision, height, width, number of components; then a name and the factors.
        for (factors, is_usual) in
            [(0x11, true), (0x22, true), (0x41, true), (0x43, false), (0x31, false), (0x01, false)]
        {
            let mut bytes = whole.clone();
            bytes[sof + 11] = factors;
            assert_eq!(jpeg_sampling_is_usual(&bytes), is_usual, "{factors:x}");
            if !is_usual {
                let message = decode(&bytes, Path::new("a.jpg")).unwrap_err().to_string();
                assert!(
                    message.contains("a.jpg: cannot be decoded: its colours are sampled otherwise"),
                    "{message}"
                );
            }
        }
    }

    #[test]
    fn a_jpeg_ends_with_its_own_marker() {
        let whole = jpeg(40, 30);
        assert!(jpeg_is_whole(&whole));
        assert!((0..whole.len()).all(|n| !jpeg_is_whole(&whole[..n])));
        // A preview in a segment has a marker of its end, too.
        let preview = jpeg(8, 8);
        let length = u16::try_from(preview.len() + 2).unwrap().to_be_bytes();
        let with_preview = [&whole[..2], &[0xff, 0xe1], &length, &preview, &whole[2..]].concat();
        assert!(jpeg_is_whole(&with_preview));
        let n_front = 2 + 2 + 2 + preview.len();
        assert!((n_front..with_preview.len()).all(|n| !jpeg_is_whole(&with_preview[..n])));
        // Bytes that fill up before a marker, and bytes behind the end.
        let filled = [&whole[..whole.len() - 2], &[0xff, 0xff, 0xff, 0xd9, 1, 2, 3]].concat();
        assert!(jpeg_is_whole(&filled));
        // The rest of the scan was never written, or is another image.
        let n = whole.len() - 20;
        assert!(!jpeg_is_whole(&[&whole[..n], &[0; 1000]].concat()));
        assert!(!jpeg_is_whole(&[&whole[..n], &preview].concat()));
    }
}
