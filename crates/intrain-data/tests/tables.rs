//! Tables as data sets: what is read, how it becomes bytes, and what is refused in which words.

use std::path::Path;

use intrain_data::{DataError, DataFolders, Dataset, Encoder, TableRows, load, load_for, npy};
use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            std::fs::write(place.0.path().join(name), text).unwrap();
        }
        place
    }

    fn spec(&self, name: &str) -> String {
        let folder = self.0.path().display().to_string();
        format!("csv:{folder}/{}", name.replace("test=", &format!("test={folder}/")))
    }

    fn load(&self, name: &str) -> Result<Dataset, DataError> {
        load(&self.spec(name), &DataFolders::only("/nowhere"))
    }

    fn load_for(&self, name: &str, encoder: &Encoder) -> Result<Dataset, DataError> {
        load_for(&self.spec(name), &DataFolders::only("/nowhere"), Some(encoder))
    }

    /// What is said against a table, without the folder's name.
    fn refusal(&self, name: &str) -> String {
        let message = self.load(name).unwrap_err().to_string();
        message.replace(&format!("{}/", self.0.path().display()), "")
    }

    fn rows(&self, name: &str, encoder: &Encoder, n: usize) -> Result<TableRows, DataError> {
        self.rows_after("digits", name, encoder, n)
    }

    /// For a network that was trained on `data`.
    fn rows_after(
        &self,
        data: &str,
        name: &str,
        encoder: &Encoder,
        n: usize,
    ) -> Result<TableRows, DataError> {
        TableRows::read(&self.0.path().join(name).to_string_lossy(), data, encoder, n)
    }
}

/// The ranges of an encoder.
fn ranges(dataset: &Dataset) -> Vec<(f64, f64)> {
    dataset.encoder.as_ref().unwrap().ranges().iter().map(|range| (range.low(), range.high())).collect()
}

#[test]
fn ranges_are_those_of_the_rows_to_learn_from() {
    // The second row of each class is for the test, and lies outside of the others.
    let text = "a, b,class\n0,10,x\n1, 20 ,y\n9,-5,x\n0.25,10.5,y\n";
    let place = Place::new(&[("t.csv", text)]);
    let data = place.load("t.csv,label=class").unwrap();
    assert_eq!((data.shape.height, data.shape.width, data.shape.channels), (1, 2, 1));
    assert_eq!((&data.class_names[..], data.n_classes), (&["x".to_owned(), "y".to_owned()][..], 2));
    assert_eq!(ranges(&data), [(0.0, 1.0), (10.0, 20.0)]);
    assert_eq!(data.encoder.as_ref().unwrap().names(), ["a", "b"]);
    assert_eq!((&data.train.images[..], &data.train.labels[..]), (&[0, 0, 255, 255][..], &[0, 1][..]));
    assert_eq!((&data.test.images[..], &data.test.labels[..]), (&[255, 0, 64, 13][..], &[0, 1][..]));
    let notes = data.notes.join("\n");
    assert!(notes.contains("of 2 to 4 rows the last: 2 rows to learn from, 2 to test"), "{notes}");
    assert!(
        notes.contains("2 of 4 values of the test part of csv:")
            && notes.contains("outside of the training part's range"),
        "{notes}"
    );
    assert!(data.warnings.is_empty(), "{:?}", data.warnings);
}

#[test]
fn rows_to_test_may_be_a_file_of_their_own() {
    let train = "a;b;y\n0;0;1\n4;8;10\n2;2;2\n";
    // Its columns stand in another order, and one more is there.
    let test = "y;b;more;a\n10;4;7;1\n2;8;7;4\n";
    let place = Place::new(&[("train.csv", train), ("test.csv", test)]);
    let data = place.load("train.csv,label=y,test=test.csv").unwrap();
    assert_eq!(data.class_names, ["1", "2", "10"], "integers in the order of their values");
    assert_eq!((&data.test.images[..], &data.test.labels[..]), (&[64, 128, 255, 255][..], &[2, 1][..]));
    assert!(data.notes.iter().any(|note| note.contains("are not used: more")), "{:?}", data.notes);
    let place = Place::new(&[("train.csv", train), ("test.csv", "a;b;y\n1;1;3\n")]);
    let message = place.refusal("train.csv,label=y,test=test.csv");
    assert!(
        message.starts_with("test.csv: line 2: class '3' has no row to learn from; the classes are 1, 2, 10"),
        "{message}"
    );
}

#[test]
fn a_table_without_names_has_numbers() {
    let place = Place::new(&[
        ("t.csv", "5.1,x,1e2\n4.9,x,-1\r\n\n7,y,2\n6,y,3\n"),
        ("u.csv", "\u{feff}1|2\n1|3\n2|4\n2|5\n"),
    ]);
    let data = place.load("t.csv,label=1").unwrap();
    assert_eq!((ranges(&data), data.n_classes), (vec![(5.1, 7.0), (2.0, 100.0)], 2));
    assert!(data.encoder.as_ref().unwrap().names().is_empty());
    assert_eq!(place.load("u.csv,label=0").unwrap().class_names, ["1", "2"]);
    let message = place.refusal("t.csv,label=y");
    assert!(
        message.contains("has no label column 'y'; the first line has numbers and so names none, and its columns are 0 to 2"),
        "{message}"
    );
    assert!(place.refusal("t.csv,label=3").contains("has no label column '3'"));
    // Names of a header in which there are numbers: the label's is one.
    let place = Place::new(&[("t.csv", "2019,2020,kind\n1,2,a\n2,3,a\n2,4,b\n3,3,b\n")]);
    assert_eq!(place.load("t.csv,label=kind").unwrap().encoder.unwrap().names(), ["2019", "2020"]);
}

#[test]
fn what_is_wrong_is_named_by_line_and_column() {
    let table = |rows: &str| format!("width,height,kind\n1,2,a\n2,3,b\n{rows}\n4,5,a\n5,6,b\n");
    for (rows, part) in [
        ("\n3,tall,a", "t.csv: line 5, column 'height': 'tall' is not a number; give each category a number"),
        ("\"3\",4,\"a\nb\"\n3,4x,a", "line 6, column 'height': '4x' is not a number"),
        (
            "3,,a",
            "line 4, column 'height': it is empty; fill in a number, or leave out the row or the column",
        ),
        ("NaN,1,a", "line 4, column 'width': 'NaN' stands for a missing value"),
        ("inf,1,a", "line 4, column 'width': inf is not a number of at most 1e300"),
        ("3,\"4,5\",a", "line 4, column 'height': '4,5' is not a number; write decimals with a point"),
        ("3,4", "line 4 has 2 fields, and the first line 3; give each row a field for each column"),
        ("3,4,a,", "line 4 has 4 fields, and the first line 3"),
        ("3,4, ", "line 4, column 'kind': the class is missing"),
    ] {
        let place = Place::new(&[("t.csv", &table(rows))]);
        let message = place.refusal("t.csv,label=kind");
        assert!(message.contains(part), "{rows}: {message}");
    }
    for (text, name, part) in [
        ("", "t.csv,label=a", "is empty"),
        ("a,b\n", "t.csv,label=a", "has 0 rows below the names of its columns"),
        (
            "a,b\n1,x\n2,y\n",
            "t.csv,label=b",
            "has 2 rows, one for each of its 2 classes; give a class at least 2 rows",
        ),
        (
            "a,b\n1,x\n",
            "t.csv",
            "nothing says which column has the classes; its columns are a, b; write `,label=COLUMN`",
        ),
        ("a,b\n1,x\n", "t.csv,label=A", "has no label column 'A'; its columns are a, b; did you mean 'a'?"),
        ("a,a\n1,x\n", "t.csv,label=a", "two columns are called 'a'"),
        ("a\n1\n", "t.csv,label=a", "has 0 columns of features"),
        (
            "a,b\n1,0.5\n2,1.5\n",
            "t.csv,label=b",
            "line 2: the class is 0.5, and classes are texts or integers",
        ),
    ] {
        let place = Place::new(&[("t.csv", text)]);
        let message = place.refusal(name);
        assert!(message.contains(part), "{text}: {message}");
    }
}

/// What a network knows as the name of a column is one, also where it looks like a number.
#[test]
fn years_can_be_names() {
    let place = Place::new(&[
        ("t.csv", "2019,2020,kind\n0,5,a\n10,7,b\n0,5,a\n10,7,b\n"),
        ("new.csv", "2020,2019\n7,10\n"),
        ("values.csv", "10,7\n0,5\n"),
    ]);
    let encoder = place.load("t.csv,label=kind").unwrap().encoder.unwrap();
    assert_eq!(encoder.names(), ["2019", "2020"]);
    assert_eq!(place.rows("new.csv", &encoder, 2).unwrap().features, [255, 255]);
    assert_eq!(place.rows("values.csv", &encoder, 2).unwrap().features, [255, 255, 0, 0]);
}

/// New rows are read as those were that the network has learned from, or as is said behind their path.
#[test]
fn the_delimiter_is_that_of_the_data_learned_from() {
    let place =
        Place::new(&[("t.data", "a b kind\n0 5 x\n10 7 y\n0 5 x\n10 7 y\n"), ("new.txt", "a b\n10 5\n")]);
    let name = "t.data,label=kind,delimiter=space";
    let encoder = place.load(name).unwrap().encoder.unwrap();
    let features =
        |data: &str, name: &str| place.rows_after(data, name, &encoder, 2).map(|rows| rows.features);
    assert_eq!(features(&format!("csv:{name}"), "new.txt").unwrap(), [255, 0]);
    assert_eq!(features("digits", "new.txt,delimiter=space").unwrap(), [255, 0]);
    assert!(features("digits", "new.txt").is_err());
}

#[test]
fn a_constant_column_is_told() {
    let place = Place::new(&[("t.csv", "a,b,y\n1,7,0\n2,7,0\n3,7,1\n4,8,1\n")]);
    let data = place.load("t.csv,label=y").unwrap();
    assert!(data.warnings[0].contains("become 0: 'b' (7 everywhere); leave them out"), "{:?}", data.warnings);
    assert_eq!((&data.train.images[..], &data.test.images[..]), (&[0, 0, 255, 0][..], &[128, 0, 255, 0][..]));
}

#[test]
fn a_trained_networks_ranges_hold_for_other_data() {
    let place = Place::new(&[
        ("t.csv", "a,b,y\n0,0,n\n10,1,n\n0,0,p\n10,1,p\n0,1,n\n0,1,p\n"),
        ("new.csv", "id,b,a,y\n1,0.5,20,p\n2,1,5,p\n3,0,-1,n\n4,0,0,n\n"),
        ("short.csv", "a,y\n1,p\n"),
        ("plain.csv", "20,0.5\n5,1\n"),
        ("wide.csv", "20,0.5,1\n"),
    ]);
    let encoder = place.load("t.csv,label=y").unwrap().encoder.unwrap();
    let data = place.load_for("new.csv,label=y", &encoder).unwrap();
    assert_eq!(data.encoder.as_ref(), Some(&encoder));
    assert_eq!((data.train.images, data.test.images), (vec![255, 128, 0, 0], vec![128, 255, 0, 0]));
    let notes = data.notes.join("\n");
    assert!(notes.contains("columns that the network does not know are not used: id"), "{notes}");
    assert!(notes.contains("2 of 4 values of the training part of csv:"), "{notes}");
    assert!(notes.contains("outside of the range that the network knows"), "{notes}");

    let rows = place.rows("new.csv", &encoder, 2).unwrap();
    assert_eq!((rows.features, rows.lines), (vec![255, 128, 128, 255, 0, 0, 0, 0], vec![2, 3, 4, 5]));
    assert!(rows.notes.join("\n").contains("2 of 8 values of "), "{:?}", rows.notes);
    assert_eq!(place.rows("plain.csv", &encoder, 2).unwrap().features, [255, 128, 128, 255]);
    for (name, part) in [
        ("short.csv", "has no feature 'b'; its columns are a, y"),
        ("wide.csv", "has 3 columns of features, and the network knows 2"),
    ] {
        let message = place.rows(name, &encoder, 2).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

/// An archive of features `[n, 2]` as float64, the same for both parts.
fn archive(path: &Path, values: &[f64], shape: &[usize]) {
    use std::io::Write;
    let features = npy::to_bytes(shape, npy::Order::C, values.iter().copied()).unwrap();
    let labels = npy::to_bytes(
        &[shape[0]],
        npy::Order::C,
        (0..u32::try_from(shape[0]).unwrap()).map(|i| i64::from(i % 2)),
    )
    .unwrap();
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, bytes) in
        [("x_train", &features), ("y_train", &labels), ("x_test", &features), ("y_test", &labels)]
    {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn arrays_are_encoded_as_the_network_has_it() {
    let place = Place::new(&[("t.csv", "a,b,y\n0,0,0\n10,1,0\n0,0,1\n10,1,1\n0,1,0\n0,1,1\n")]);
    let encoder = place.load("t.csv,label=y").unwrap().encoder.unwrap();
    let path = place.0.path().join("x.npz");
    archive(&path, &[20.0, 0.5, 5.0, -1.0], &[2, 2]);
    let read = |options: &str, encoder| {
        load_for(&format!("npz:{}{options}", path.display()), &DataFolders::only("/nowhere"), encoder)
    };
    let data = read("", Some(&encoder)).unwrap();
    assert_eq!((data.shape.width, &data.train.images[..]), (2, &[255, 128, 128, 0][..]));
    assert!(data.notes[0].contains("2 of 4 values of "), "{:?}", data.notes);
    // What is said wins, and is refused where a value lies outside.
    let own = read(",range=-1..20", Some(&encoder)).unwrap();
    assert_eq!((own.encoder.unwrap().ranges().len(), own.train.images[0]), (1, 255));
    assert!(read("", None).unwrap_err().to_string().contains("value 0 is 20, the limits are 0 and 1"));
    // A range for all values holds what lies outside, once it is a network's.
    archive(&path, &[0.0, 0.5, 1.0, 0.25], &[2, 2]);
    let unit = read("", None).unwrap().encoder.unwrap();
    archive(&path, &[0.0, 0.5, 1.5, 0.25], &[2, 2]);
    assert_eq!(read("", Some(&unit)).unwrap().train.images, [0, 128, 255, 64]);
    archive(&path, &[0.0, 0.5, f64::NAN, 0.25], &[2, 2]);
    assert!(
        read("", Some(&unit)).unwrap_err().to_string().contains("value 2 is NaN, expected a finite number")
    );
    archive(&path, &[0.0; 6], &[2, 3]);
    let message = read("", Some(&encoder)).unwrap_err().to_string();
    assert!(message.contains("has images of 3 values, and the network knows 2 features"), "{message}");
}
