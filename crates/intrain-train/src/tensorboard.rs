//! TensorBoard event files: scalars and histograms over steps, for people who watch a run from outside.
//!
//! A file is a row of TFRecords, each one protobuf message `Event`. Both formats are small and written by hand here.
//! Sources: tensorflow/tensorflow `tensorflow/core/lib/io/record_writer.cc` (framing),
//! `tensorflow/core/util/event.proto` and `tensorflow/core/framework/summary.proto` (field numbers).
#![allow(
    clippy::cast_possible_truncation,
    reason = "scalars are stored as f32, checksums take a byte of a word"
)]

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ArtefactError;

/// An event file that is being written. What isn't flushed is written when the value is dropped.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Starts a new file `events.out.tfevents.<unix seconds>.<host>.<process id>` in the folder `dir`.
    /// TensorBoard shows all files of a folder as one run.
    ///
    /// # Errors
    /// [`ArtefactError::Io`] if the system refuses, as for a missing folder.
    pub fn create(dir: &Path) -> Result<Self, ArtefactError> {
        let mut seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
        let (path, file) = loop {
            let name = format!("events.out.tfevents.{seconds}.{}.{}", host(), std::process::id());
            let path = dir.join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                // Two writers in one second: the later one takes the next.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => seconds += 1,
                Err(error) => return Err(ArtefactError::io(&path, "create")(error)),
            }
        };
        let mut writer = Self { path, file: BufWriter::new(file) };
        // Event.file_version = 3
        writer.event(0, |event| bytes_field(event, 3, b"brain.Event:2"))?;
        writer.flush()?;
        Ok(writer)
    }

    /// Says that a run goes on from `step`: TensorBoard forgets what earlier files hold for this and later steps.
    ///
    /// # Errors
    /// [`ArtefactError::Io`] if the system refuses.
    pub fn restarted_at(&mut self, step: u64) -> Result<(), ArtefactError> {
        // Event.session_log = 7: SessionLog { status = 1: START = 1 }
        self.event(step, |event| {
            let mut session_log = Vec::new();
            varint_field(&mut session_log, 1, 1);
            bytes_field(event, 7, &session_log);
        })
    }

    /// Adds one point to the curve `tag`. The value is stored as `f32`.
    ///
    /// # Errors
    /// [`ArtefactError::Io`] if the system refuses.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<(), ArtefactError> {
        // Value.simple_value = 2
        self.summary(tag, step, |message| fixed_field(message, 2, WIRE_32_BIT, &(value as f32).to_le_bytes()))
    }

    /// Adds the histogram of one step: pairs of a value and how often it occurs, by rising value.
    /// Without any pair, nothing is written.
    ///
    /// # Errors
    /// [`ArtefactError::Io`] if the system refuses.
    pub fn histogram(&mut self, tag: &str, step: u64, buckets: &[(f64, f64)]) -> Result<(), ArtefactError> {
        let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else { return Ok(()) };
        let sum = |term: fn(f64, f64) -> f64| buckets.iter().map(|&(value, n)| term(value, n)).sum::<f64>();
        // HistogramProto: min = 1, max = 2, num = 3, sum = 4, sum_squares = 5
        let moments = [first.0, last.0, sum(|_, n| n), sum(|v, n| v * n), sum(|v, n| v * v * n)];
        let mut histogram = Vec::new();
        for (number, value) in (1..).zip(moments) {
            fixed_field(&mut histogram, number, WIRE_64_BIT, &value.to_le_bytes());
        }
        // bucket_limit = 6, bucket = 7, both packed. A limit is the upper end of its bucket; halfway to the next
        // value, each value lies inside its own.
        let next = buckets[1..].iter().chain([last]);
        let limits: Vec<u8> =
            buckets.iter().zip(next).flat_map(|(a, b)| f64::midpoint(a.0, b.0).to_le_bytes()).collect();
        let counts: Vec<u8> = buckets.iter().flat_map(|&(_, n)| n.to_le_bytes()).collect();
        bytes_field(&mut histogram, 6, &limits);
        bytes_field(&mut histogram, 7, &counts);
        // Value.histo = 5
        self.summary(tag, step, |message| bytes_field(message, 5, &histogram))
    }

    /// Hands all events over to the system, so that TensorBoard sees them.
    ///
    /// # Errors
    /// [`ArtefactError::Io`] if the system refuses.
    pub fn flush(&mut self) -> Result<(), ArtefactError> {
        self.file.flush().map_err(ArtefactError::io(&self.path, "write"))
    }

    /// An event with one value: Event.summary = 5, Summary.value = 1, Value.tag = 1.
    fn summary(
        &mut self,
        tag: &str,
        step: u64,
        code: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), ArtefactError> {
        let mut value = Vec::new();
        bytes_field(&mut value, 1, tag.as_bytes());
        code(&mut value);
        let mut summary = Vec::new();
        bytes_field(&mut summary, 1, &value);
        self.event(step, |event| bytes_field(event, 5, &summary))
    }

    /// One record: Event.wall_time = 1, Event.step = 2, and what `code` adds.
    fn event(&mut self, step: u64, code: impl FnOnce(&mut Vec<u8>)) -> Result<(), ArtefactError> {
        let wall_time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64());
        let mut event = Vec::new();
        fixed_field(&mut event, 1, WIRE_64_BIT, &wall_time.to_le_bytes());
        varint_field(&mut event, 2, step);
        code(&mut event);
        self.file.write_all(&record(&event)).map_err(ArtefactError::io(&self.path, "write"))
    }
}

/// The machine's name as a part of a file name, or "localhost".
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let safe: String =
        name.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(64).collect();
    if safe.is_empty() { "localhost".into() } else { safe }
}

/// A TFRecord: length as u64, masked CRC of the length, data, masked CRC of the data, all little-endian.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes(), data, &masked_crc(data).to_le_bytes()].concat()
}

/// CRC-32C, rotated and shifted so that the CRC of data that hold a CRC is no special case.
/// Source: tensorflow/tensorflow `tensorflow/core/lib/hash/crc32c.h`, `Mask`.
fn masked_crc(data: &[u8]) -> u32 {
    // Wrapping: the sum is defined modulo 2^32.
    crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// CRC-32C (Castagnoli), RFC 3720 appendix B.4: reflected, start and end inverted.
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc: u32, &byte| crc >> 8 ^ CRC_TABLE[usize::from(crc as u8 ^ byte)])
}

/// The remainder of each byte under the polynomial 0x1EDC6F41, bits reflected.
static CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

// Protobuf encoding, <https://protobuf.dev/programming-guides/encoding>: a field is a varint (number << 3 | wire type)
// and its content.
const WIRE_VARINT: u64 = 0;
const WIRE_64_BIT: u64 = 1;
const WIRE_BYTES: u64 = 2;
const WIRE_32_BIT: u64 = 5;

/// Seven bits a byte, lowest first; the top bit says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_field(out: &mut Vec<u8>, number: u64, value: u64) {
    varint(out, number << 3 | WIRE_VARINT);
    varint(out, value);
}

/// A `double` or `float`, already in little-endian bytes.
fn fixed_field(out: &mut Vec<u8>, number: u64, wire_type: u64, bytes: &[u8]) {
    varint(out, number << 3 | wire_type);
    out.extend_from_slice(bytes);
}

/// A string, a message inside a message, or packed numbers.
fn bytes_field(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | WIRE_BYTES);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// RFC 3720 appendix B.4, and the check value of the CRC catalogue.
    #[test]
    fn crc32c_gives_the_published_answers() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(b""), 0);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&rising), 0x46DD_794E);
    }

    fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(n);
        *bytes = rest;
        taken
    }

    fn take_varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = take(bytes, 1)[0];
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    /// The fields of a message by number; a varint as its eight little-endian bytes.
    pub(crate) fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut fields = Vec::new();
        while !message.is_empty() {
            let key = take_varint(&mut message);
            let content = match key & 7 {
                WIRE_VARINT => take_varint(&mut message).to_le_bytes().to_vec(),
                WIRE_64_BIT => take(&mut message, 8).to_vec(),
                WIRE_32_BIT => take(&mut message, 4).to_vec(),
                WIRE_BYTES => {
                    let n = usize::try_from(take_varint(&mut message)).unwrap();
                    take(&mut message, n).to_vec()
                }
                other => panic!("wire type {other}"),
            };
            fields.push((key >> 3, content));
        }
        fields
    }

    fn doubles(bytes: &[u8]) -> Vec<f64> {
        bytes.as_chunks().0.iter().map(|&chunk| f64::from_le_bytes(chunk)).collect()
    }

    /// The events of all files in the folder, checksums checked.
    pub(crate) fn events(dir: &Path) -> Vec<Vec<(u64, Vec<u8>)>> {
        let mut events = Vec::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if !path.file_name().unwrap().to_string_lossy().starts_with("events.out.tfevents.") {
                continue;
            }
            let bytes = std::fs::read(path).unwrap();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let length = take(&mut rest, 8);
                assert_eq!(take(&mut rest, 4), masked_crc(length).to_le_bytes());
                let n = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
                let data = take(&mut rest, n);
                assert_eq!(take(&mut rest, 4), masked_crc(data).to_le_bytes());
                events.push(fields(data));
            }
        }
        events
    }

    #[test]
    fn events_parse_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(dir.path()).unwrap();
        writer.restarted_at(299).unwrap();
        writer.scalar("loss/train", 300, 0.5).unwrap();
        writer.histogram("weight/conv1", u64::MAX, &[(-128.0, 2.0), (0.0, 5.0), (127.0, 1.0)]).unwrap();
        writer.histogram("weight/none", 1, &[]).unwrap();
        writer.flush().unwrap();

        let events = events(dir.path());
        assert_eq!(events.len(), 4);
        assert_eq!(events[0][2], (3, b"brain.Event:2".to_vec()));
        assert!(doubles(&events[0][0].1)[0] > 1.7e9);
        assert_eq!(fields(&events[1][2].1), [(1, 1u64.to_le_bytes().to_vec())]);

        assert_eq!(events[2][1], (2, 300u64.to_le_bytes().to_vec()));
        let value = fields(&fields(&events[2][2].1)[0].1);
        assert_eq!(value, [(1, b"loss/train".to_vec()), (2, 0.5f32.to_le_bytes().to_vec())]);

        assert_eq!(events[3][1], (2, u64::MAX.to_le_bytes().to_vec()));
        let value = fields(&fields(&events[3][2].1)[0].1);
        let histogram = fields(&value[1].1);
        let moments: Vec<f64> = histogram[..5].iter().flat_map(|(_, bytes)| doubles(bytes)).collect();
        assert_eq!(moments, [-128.0, 127.0, 8.0, -129.0, 2.0 * 16384.0 + 16129.0]);
        assert_eq!(doubles(&histogram[5].1), [-64.0, 63.5, 127.0]);
        assert_eq!(doubles(&histogram[6].1), [2.0, 5.0, 1.0]);
        assert_eq!(histogram.iter().map(|f| f.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn two_writers_in_one_second_have_two_files() {
        let dir = tempfile::tempdir().unwrap();
        let (_a, _b) = (EventWriter::create(dir.path()).unwrap(), EventWriter::create(dir.path()).unwrap());
        assert_eq!(events(dir.path()).len(), 2);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let message = EventWriter::create(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(message.contains("cannot create") && message.contains("create the folder"), "{message}");
    }
}
