//! Downloads from a server on the loopback address, written here with `std::net`: whole, resumed, wrong, broken off.

#![allow(clippy::cast_possible_truncation, reason = "the low byte is a test pattern")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use intrain_data::fetch::{RemoteFile, Source, Unpacked, fetch_from};
use intrain_data::{DataError, DataFolders, cifar};
use sha2::{Digest, Sha256};

/// What the server does with a request.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Ranges,
    NoRanges,
    /// Sends the first half and closes.
    BreaksOff,
    /// Announces and sends more than it should.
    TooLong,
    NotFound,
}

struct Server {
    base_url: String,
    /// The `Range` header of each request, empty where there was none.
    ranges: Arc<Mutex<Vec<String>>>,
}

fn serve(body: Vec<u8>, manner: Manner) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/data", listener.local_addr().unwrap());
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&ranges);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &body, manner, &seen);
        }
    });
    Server { base_url, ranges }
}

fn answer(mut stream: TcpStream, body: &[u8], manner: Manner, seen: &Mutex<Vec<String>>) {
    let mut range = String::new();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("range: ") {
            value.clone_into(&mut range);
        }
        if line.is_empty() {
            break;
        }
    }
    let start: usize = range.strip_prefix("bytes=").map_or(0, |r| r.trim_end_matches('-').parse().unwrap());
    seen.lock().unwrap().push(range);
    let (status, sent) = match manner {
        Manner::Ranges if start > 0 => ("206 Partial Content", &body[start..]),
        Manner::NotFound => ("404 Not Found", &b""[..]),
        _ => ("200 OK", body),
    };
    let extra = if manner == Manner::TooLong { &[0; 100_000][..] } else { &[] };
    let length = sent.len() + extra.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nContent-Range: bytes {start}-{}/{}\r\nConnection: close\r\n\r\n",
        body.len() - 1,
        body.len()
    );
    let sent = if manner == Manner::BreaksOff { &sent[..sent.len() / 2] } else { sent };
    // A client that has seen enough closes first.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(sent))
        .and_then(|()| stream.write_all(extra));
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn body() -> Vec<u8> {
    (0..200_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect()
}

fn source(server: &Server, name: &str, body: &[u8]) -> Source {
    let file = RemoteFile { name: name.to_owned(), size_bytes: body.len() as u64, sha256: sha256(body) };
    Source { base_url: server.base_url.clone(), files: vec![file], unpacked: None }
}

fn run(source: &Source, folder: &Path) -> (Result<std::path::PathBuf, DataError>, Vec<u64>) {
    let mut done = Vec::new();
    let result = fetch_from(source, "set", &DataFolders::only(folder), &mut |p| done.push(p.done_bytes));
    (result, done)
}

#[test]
fn a_whole_download_is_checked_and_not_repeated() {
    let (folder, body) = (tempfile::tempdir().unwrap(), body());
    for manner in [Manner::Ranges, Manner::NoRanges] {
        let server = serve(body.clone(), manner);
        let source = source(&server, &format!("file{}", manner as u8), &body);
        let (result, done) = run(&source, folder.path());
        assert_eq!(result.unwrap(), folder.path().join("set"));
        assert_eq!((done[0], *done.last().unwrap()), (0, 200_000));
        assert!(done.is_sorted());
        assert_eq!(std::fs::read(folder.path().join("set").join(&source.files[0].name)).unwrap(), body);
        assert!(run(&source, folder.path()).0.is_ok());
        assert_eq!(*server.ranges.lock().unwrap(), [""], "the second run must not ask again");
    }
    assert_eq!(std::fs::read_dir(folder.path().join("set")).unwrap().count(), 2, "a .part was left");
}

#[test]
fn a_download_goes_on_where_it_stopped() {
    let body = body();
    // (manner, bytes there before, range asked for)
    for (manner, there, asked) in [
        (Manner::Ranges, 100_000, &["bytes=100000-"][..]),
        (Manner::NoRanges, 100_000, &["bytes=100000-"]),
        (Manner::Ranges, 200_000, &[]),
        (Manner::Ranges, 300_000, &[""]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("set")).unwrap();
        let part: Vec<u8> = body.iter().copied().chain(std::iter::repeat(1)).take(there).collect();
        std::fs::write(folder.path().join("set/file.part"), part).unwrap();
        let server = serve(body.clone(), manner);
        run(&source(&server, "file", &body), folder.path()).0.unwrap();
        assert_eq!(std::fs::read(folder.path().join("set/file")).unwrap(), body);
        assert_eq!(*server.ranges.lock().unwrap(), asked);
        assert!(!folder.path().join("set/file.part").exists());
    }
}

#[test]
fn a_broken_download_keeps_what_came_and_resumes() {
    let (folder, body) = (tempfile::tempdir().unwrap(), body());
    let server = serve(body.clone(), Manner::BreaksOff);
    let message = run(&source(&server, "file", &body), folder.path()).0.unwrap_err().to_string();
    assert!(
        message.contains("100000 of 200000 bytes") && message.contains("run the command again"),
        "{message}"
    );
    assert_eq!(std::fs::metadata(folder.path().join("set/file.part")).unwrap().len(), 100_000);
    assert!(!folder.path().join("set/file").exists());
    let server = serve(body.clone(), Manner::Ranges);
    run(&source(&server, "file", &body), folder.path()).0.unwrap();
    assert_eq!(*server.ranges.lock().unwrap(), ["bytes=100000-"]);
}

#[test]
fn wrong_bytes_are_refused_and_removed() {
    let (folder, body) = (tempfile::tempdir().unwrap(), body());
    let mut wrong = body.clone();
    wrong[5] ^= 1;
    let server = serve(wrong, Manner::Ranges);
    let (result, _) = run(&source(&server, "file", &body), folder.path());
    assert!(matches!(result, Err(DataError::Checksum { .. })), "{result:?}");
    assert_eq!(std::fs::read_dir(folder.path().join("set")).unwrap().count(), 0);

    let server = serve(body.clone(), Manner::TooLong);
    let message = run(&source(&server, "file", &body), folder.path()).0.unwrap_err().to_string();
    assert!(message.contains("more than the published 200000 bytes"), "{message}");
    assert_eq!(std::fs::metadata(folder.path().join("set/file.part")).unwrap().len(), 0);

    // A damaged file that lies there under its own name is the user's: it is named, not overwritten.
    std::fs::write(folder.path().join("set/file"), b"other").unwrap();
    let message = run(&source(&server, "file", &body), folder.path()).0.unwrap_err().to_string();
    assert!(message.contains("set/file: SHA-256 is") && message.contains("remove it"), "{message}");
}

#[test]
fn a_server_that_is_gone_or_empty_is_named() {
    let (folder, body) = (tempfile::tempdir().unwrap(), body());
    let server = serve(body.clone(), Manner::NotFound);
    let message = run(&source(&server, "file", &body), folder.path()).0.unwrap_err().to_string();
    assert!(message.starts_with(&server.base_url) && message.contains("answered 404"), "{message}");

    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Server { base_url: format!("http://{address}"), ranges: Arc::default() };
    let message = run(&source(&gone, "file", &body), folder.path()).0.unwrap_err().to_string();
    assert!(message.starts_with(&format!("http://{address}/file: no answer")), "{message}");
}

#[test]
fn one_download_at_a_time() {
    let (folder, body) = (tempfile::tempdir().unwrap(), body());
    std::fs::create_dir(folder.path().join("set")).unwrap();
    let part = std::fs::File::create(folder.path().join("set/file.part")).unwrap();
    part.lock().unwrap();
    let server = serve(body.clone(), Manner::Ranges);
    let message = run(&source(&server, "file", &body), folder.path()).0.unwrap_err().to_string();
    assert!(message.contains("another download"), "{message}");
}

#[test]
fn the_cifar_archive_is_unpacked_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let contents: [Vec<u8>; 6] = std::array::from_fn(|i| vec![i as u8; 1000 + i]);
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(encoder);
    for (file, bytes) in cifar::TEN.files.iter().map(|file| file.name).zip(&contents) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, Path::new(cifar::TEN.folder).join(file), &bytes[..]).unwrap();
    }
    let archive = tar.into_inner().unwrap().finish().unwrap();
    let server = serve(archive.clone(), Manner::Ranges);
    let mut source = source(&server, cifar::TEN.archive, &archive);
    let sums = contents.iter().map(|bytes| sha256(bytes)).collect();
    source.unpacked = Some(Unpacked { cifar: &cifar::TEN, sha256: sums });

    let mut wrong = source.clone();
    wrong.unpacked.as_mut().unwrap().sha256[3] = sha256(b"other");
    assert!(matches!(run(&wrong, folder.path()).0, Err(DataError::Checksum { .. })));
    assert!(!folder.path().join("set").join(cifar::TEN.folder).exists());

    std::fs::remove_file(folder.path().join("set").join(cifar::TEN.archive)).unwrap();
    let set = run(&source, folder.path()).0.unwrap();
    for (file, bytes) in cifar::TEN.files.iter().map(|file| file.name).zip(&contents) {
        assert_eq!(std::fs::read(set.join(cifar::TEN.folder).join(file)).unwrap(), *bytes);
    }
    assert_eq!(std::fs::read_dir(&set).unwrap().count(), 1, "the archive or a part was left");
    assert!(run(&source, folder.path()).0.is_ok());
    assert_eq!(server.ranges.lock().unwrap().len(), 2, "what is there must not be downloaded again");

    std::fs::write(set.join(cifar::TEN.folder).join(cifar::TEN.files[2].name), b"damaged").unwrap();
    let message = run(&source, folder.path()).0.unwrap_err().to_string();
    assert!(message.contains("data_batch_3.bin: SHA-256") && message.contains("remove"), "{message}");
}

#[test]
fn official_sources_are_whole() {
    for (name, n_files) in
        [("mnist", 4), ("fashion-mnist", 4), ("cifar-10", 1), ("cifar-100", 1), ("svhn", 2)]
    {
        let source = Source::official(name).unwrap();
        assert_eq!(source.files.len(), n_files);
        let sums =
            source.files.iter().map(|f| &f.sha256).chain(source.unpacked.iter().flat_map(|u| &u.sha256));
        for sum in sums {
            assert!(sum.len() == 64 && sum.bytes().all(|b| b"0123456789abcdef".contains(&b)), "{sum}");
        }
        assert!(!source.base_url.ends_with('/'));
    }
    assert!(Source::official("digits").unwrap_err().to_string().contains("embedded"));
    assert!(Source::official("minst").unwrap_err().to_string().contains("did you mean `mnist`?"));
}
