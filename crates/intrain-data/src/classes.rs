//! Classes by their names: what one data set calls 3, another may call 4.

use std::path::Path;

use crate::{DataError, Dataset};

impl Dataset {
    /// Counts classes as a network does whose outputs stand for `names`, which may be more than the data set has; a sentence
    /// where labels have changed or had to be taken on trust. Without names nothing is known, and nothing changes.
    ///
    /// # Errors
    /// A class that the network does not know.
    pub fn count_classes_as(&mut self, names: &[String]) -> Result<Option<String>, DataError> {
        if names.is_empty() || names.starts_with(&self.class_names) {
            return Ok(None);
        }
        let places: Vec<_> =
            self.class_names.iter().map(|class| names.iter().position(|name| name == class)).collect();
        let unknown = places.iter().position(Option::is_none);
        let Some(unknown) = unknown else {
            let places: Vec<u16> =
                places.into_iter().flatten().map(|place| u16::try_from(place).unwrap_or(u16::MAX)).collect();
            for split in [&mut self.train, &mut self.validation, &mut self.test] {
                split.labels.iter_mut().for_each(|label| *label = places[usize::from(*label)]);
            }
            (self.class_names, self.n_classes) = (names.to_vec(), names.len());
            return Ok(Some("its classes are counted as the network counts them, by their names".to_owned()));
        };
        let n = self.class_names.len();
        if n <= names.len() && (are_numbers(&self.class_names) || are_numbers(names)) {
            let (of_data, of_network) = (&self.class_names[n - 1], &names[n - 1]);
            return Ok(Some(format!(
                "only one side names classes, so they are taken in their order: '{}' for the network's '{}', ... '{of_data}' \
                 for '{of_network}'",
                self.class_names[0], names[0]
            )));
        }
        let known: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
        let more = if names.len() > 20 { ", ..." } else { "" };
        let problem = format!("has a class '{}', which the network does not know", self.class_names[unknown]);
        let remedy = format!("name its classes as the network does: {}{more}", known.join(", "));
        Err(DataError::file(Path::new(&self.name), problem, &remedy))
    }
}

/// Whether classes are called by their numbers, as where the source has no names.
fn are_numbers(names: &[String]) -> bool {
    names.iter().enumerate().all(|(i, name)| *name == i.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ImageShape, Split};

    fn data(names: &[&str]) -> Dataset {
        let labels: Vec<u16> = (0..names.len()).map(|i| u16::try_from(i).unwrap()).collect();
        let split = Split { images: vec![0; names.len()], labels, names: vec![] };
        let shape = ImageShape { height: 1, width: 1, channels: 1 };
        let splits = [split.clone(), split];
        let mut data = Dataset::new("here", shape, names.len(), splits, Path::new("here")).unwrap();
        data.class_names = names.iter().map(|&name| name.to_owned()).collect();
        data
    }

    fn counted(data_names: &[&str], names: &[&str]) -> Result<(Vec<u16>, Option<String>), String> {
        let mut data = data(data_names);
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let note = data.count_classes_as(&names).map_err(|error| error.to_string())?;
        assert_eq!(data.train.labels, data.test.labels);
        Ok((data.test.labels, note))
    }

    #[test]
    fn labels_follow_names() {
        let twelve: Vec<String> = (0..12).map(|i| i.to_string()).collect();
        let twelve: Vec<&str> = twelve.iter().map(String::as_str).collect();
        let mut sorted = twelve.clone();
        sorted.sort_unstable();
        let (labels, note) = counted(&sorted, &twelve).unwrap();
        assert_eq!(labels, [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert!(note.unwrap().contains("by their names"));
        assert_eq!(counted(&["cat"], &["ant", "cat"]).unwrap().0, [1]);
        for same in [&["ant", "cat"][..], &["ant"], &["ant", "cat", "dog"]] {
            assert_eq!(counted(same, &["ant", "cat", "dog"]).unwrap().1, None);
        }
        assert_eq!(counted(&["ant"], &[]).unwrap().1, None, "older models name no classes");
    }

    #[test]
    fn what_cannot_be_known_is_told_or_refused() {
        for (data, names) in [(&["0", "1"], &["ant", "cat"]), (&["ant", "cat"], &["0", "1"])] {
            let (labels, note) = counted(data, names).unwrap();
            assert_eq!(labels, [0, 1]);
            assert!(note.unwrap().contains("are taken in their order: '"));
        }
        let message = counted(&["ant", "cow"], &["ant", "cat"]).unwrap_err();
        assert!(message.contains("has a class 'cow', which the network does not know"), "{message}");
        assert!(message.contains("name its classes as the network does: ant, cat"), "{message}");
        assert!(counted(&["ant", "cat", "cow"], &["0", "1"]).is_err(), "more classes than outputs");
    }
}
