//! The published data sets, read from the folder in `INTRAIN_DATA`; without that variable a test says so and ends.

use intrain_data::{DataFolders, Dataset, Part, Split, cifar, fetch, load, summarize};
use std::path::PathBuf;

fn real(name: &str) -> Option<(PathBuf, Dataset)> {
    let folder =
        std::env::var_os("INTRAIN_DATA").map(PathBuf::from).filter(|folder| folder.join(name).is_dir());
    let Some(folder) = folder else {
        eprintln!("skipped: INTRAIN_DATA names no folder with {name}");
        return None;
    };
    let dataset = load(name, &DataFolders::only(&folder)).unwrap();
    assert_eq!(dataset.warnings, [""; 0]);
    Some((folder, dataset))
}

#[test]
fn files_that_differ_from_the_published_ones_are_noted() {
    let changed = tempfile::tempdir().unwrap();
    let notes = |name: &str| load(name, &DataFolders::only(changed.path())).unwrap().warnings;
    if let Some((folder, _)) = real("mnist") {
        let to = changed.path().join("mnist");
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(folder.join("mnist")).unwrap() {
            let from = entry.unwrap().path();
            std::fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
        }
        let packed = to.join("train-images-idx3-ubyte.gz");
        let bytes = std::fs::read(&packed).unwrap();
        let mut images = intrain_data::bounded::gunzip(&bytes, 1 << 30, &packed).unwrap();
        let half = images.len() / 2;
        images[half..].fill(0);
        std::fs::remove_file(packed).unwrap();
        std::fs::write(to.join("train-images-idx3-ubyte"), images).unwrap();
        assert_eq!(notes("mnist").len(), 1);
        assert!(notes("mnist")[0].contains("mnist/train-images-idx3-ubyte: "), "{:?}", notes("mnist"));
    }
    if let Some((folder, _)) = real("cifar-10") {
        let [from, to] = [&folder, changed.path()].map(|f| f.join("cifar-10").join(cifar::TEN.folder));
        std::fs::create_dir_all(&to).unwrap();
        for file in cifar::TEN.files {
            std::fs::copy(from.join(file.name), to.join(file.name)).unwrap();
        }
        let mut batch = std::fs::read(from.join("data_batch_3.bin")).unwrap();
        batch.chunks_exact_mut(3073).take(5_000).for_each(|record| record[1..].fill(0));
        std::fs::write(to.join("data_batch_3.bin"), batch).unwrap();
        let notes = notes("cifar-10");
        assert!(notes.len() == 1 && notes[0].contains("data_batch_3.bin: "), "{notes:?}");
        assert!(notes[0].contains(&format!("remove {} and run", to.display())), "{notes:?}");
    }
}

fn assert_statistics(dataset: &Dataset, mean: &[f64], std: &[f64], n_per_class: [usize; 2]) {
    let summary = summarize(dataset);
    let near =
        |found: &[f64], expected: &[f64]| found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 5e-7);
    assert!(near(&summary.mean, mean) && near(&summary.std, std), "{summary:?}");
    assert_eq!(summary.mean.len(), mean.len());
    if n_per_class[0] > 0 {
        assert_eq!(summary.train_counts, [n_per_class[0]; 10]);
        assert_eq!(summary.test_counts, [n_per_class[1]; 10]);
    }
}

/// Four digits, as the literature gives them.
fn assert_near(found: &[f64], expected: &[f64]) {
    let is_near = found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-4);
    assert!(is_near && found.len() == expected.len(), "{found:?}, expected {expected:?}");
}

#[test]
fn mnist() {
    let Some((folder, dataset)) = real("mnist") else { return };
    assert_eq!((dataset.train.len(), dataset.test.len()), (60_000, 10_000));
    assert_eq!(dataset.train.labels[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    assert_eq!(dataset.test.labels[..5], [7, 2, 1, 0, 4]);
    assert_statistics(&dataset, &[0.130_660], &[0.308_108], [0, 0]);

    // The same from files that are not packed.
    let plain = tempfile::tempdir().unwrap();
    std::fs::create_dir(plain.path().join("mnist")).unwrap();
    for entry in std::fs::read_dir(folder.join("mnist")).unwrap() {
        let from = entry.unwrap().path();
        let bytes = intrain_data::bounded::gunzip(&std::fs::read(&from).unwrap(), 1 << 30, &from).unwrap();
        std::fs::write(plain.path().join("mnist").join(from.file_stem().unwrap()), bytes).unwrap();
    }
    assert_eq!(load("mnist", &DataFolders::only(plain.path())).unwrap(), dataset);
}

#[test]
fn fashion_mnist() {
    let Some((_, dataset)) = real("fashion-mnist") else { return };
    assert_eq!(dataset.train.labels[..10], [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]);
    assert_eq!(dataset.class_names[9], "Ankle boot");
    assert_statistics(&dataset, &[0.286_041], &[0.353_024], [6_000, 1_000]);
}

#[test]
fn cifar_10() {
    let Some((folder, dataset)) = real("cifar-10") else { return };
    assert_eq!(dataset.train.labels[..5], [6, 9, 9, 4, 1]);
    assert_eq!(dataset.train.image(dataset.shape, 0)[..6], [59, 62, 63, 43, 46, 45]);
    let (mean, std) = ([0.491_400, 0.482_158, 0.446_531], [0.247_032, 0.243_485, 0.261_588]);
    assert_statistics(&dataset, &mean, &std, [5_000, 1_000]);

    // The same from the archive, if it is there packed.
    let packed = tempfile::tempdir().unwrap();
    std::fs::create_dir(packed.path().join("cifar-10")).unwrap();
    let archive = std::fs::File::create(packed.path().join("cifar-10").join(cifar::TEN.archive)).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(archive, flate2::Compression::none()));
    tar.append_dir_all(cifar::TEN.folder, folder.join("cifar-10").join(cifar::TEN.folder)).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
    assert_eq!(load("cifar-10", &DataFolders::only(packed.path())).unwrap(), dataset);
}

#[test]
fn cifar_100() {
    let Some((_, dataset)) = real("cifar-100") else { return };
    assert_eq!(dataset.class_names[99], "worm");
    let summary = summarize(&dataset);
    assert_eq!((summary.train_counts, summary.test_counts), (vec![500; 100], vec![100; 100]));
    assert_near(&summary.mean, &[0.5071, 0.4865, 0.4409]);
    assert_near(&summary.std, &[0.2673, 0.2564, 0.2762]);
}

#[test]
fn svhn() {
    let Some((_, dataset)) = real("svhn") else { return };
    assert_eq!(dataset.train.labels[..5], [1, 9, 2, 3, 2]);
    assert_eq!(dataset.test.labels[..5], [5, 2, 1, 0, 6]);
    let summary = summarize(&dataset);
    let train = [4_948, 13_861, 10_585, 8_497, 7_458, 6_882, 5_727, 5_595, 5_045, 4_659];
    let test = [1_744, 5_099, 4_149, 2_882, 2_523, 2_384, 1_977, 2_019, 1_660, 1_595];
    assert_eq!((&summary.train_counts[..], &summary.test_counts[..]), (&train[..], &test[..]));
    assert_near(&summary.mean, &[0.4377, 0.4438, 0.4728]);
    assert_near(&summary.std, &[0.1980, 0.2010, 0.1970]);
}

#[test]
fn what_is_there_has_the_published_checksums() {
    for name in ["mnist", "fashion-mnist", "cifar-10", "cifar-100", "svhn"] {
        let Some(folder) =
            std::env::var_os("INTRAIN_DATA").map(PathBuf::from).filter(|f| f.join(name).is_dir())
        else {
            eprintln!("skipped: INTRAIN_DATA names no folder with {name}");
            continue;
        };
        // All of it is there, so nothing is asked of a server.
        assert_eq!(fetch(name, &DataFolders::only(&folder), &mut |_| {}).unwrap(), folder.join(name));
    }
}

#[test]
fn digits_need_no_folder() {
    let dataset = load("digits", &DataFolders::only("/nowhere")).unwrap();
    let is_split = |part: Part, n: usize| dataset.part(part).len() == n;
    assert!(is_split(Part::Train, 1438) && is_split(Part::Test, 359));
    assert_ne!(dataset.train, Split::default());
}
