//! How the test images were answered: each class against each answer, and the surest mistakes.

use std::collections::{BTreeMap, BTreeSet};

use intrain_plot::number;
use minijinja::{Value, context};

/// The test images and their answers.
#[derive(Debug, Clone, Default)]
pub struct Answered {
    /// The names of the classes.
    pub classes: Vec<String>,
    /// Of each image its class and the network's answer.
    pub pairs: Vec<(u16, u16)>,
    /// Images with a wrong answer, the surest first.
    pub mistakes: Vec<Mistake>,
}

/// An image with a wrong answer.
#[derive(Debug, Clone, Default)]
pub struct Mistake {
    /// Its file, or its place in the test set, from 0.
    pub name: String,
    /// Name of its class.
    pub class: String,
    /// Name of the class that it was given.
    pub answer: String,
    /// How far the logit of the answer lies above that of the true class.
    pub lead: f64,
    /// Columns of the image.
    pub width: usize,
    /// Rows of the image.
    pub height: usize,
    /// The image.
    pub png: Vec<u8>,
}

/// More classes than this make no table.
const TABLE_MAX: usize = 20;
/// Confusions that are listed instead.
const LIST_MAX: usize = 15;
/// Strongest colour of a cell in percent, so that its number stays legible.
const SHADE_MAX: f64 = 55.0;

/// What the template shows; nothing where nothing was answered.
pub(super) fn context(answered: &Answered) -> Option<Value> {
    if answered.pairs.is_empty() {
        return None;
    }
    let mut counts = BTreeMap::new();
    answered.pairs.iter().for_each(|pair| *counts.entry(*pair).or_insert(0_u64) += 1);
    let n_wrong = answered.pairs.iter().filter(|(class, answer)| class != answer).count();
    let is_table = answered.classes.len() <= TABLE_MAX;
    Some(context! {
        n => number::grouped(answered.pairs.len() as u64),
        n_wrong => number::grouped(n_wrong as u64),
        answers => Value::from_iter(columns(&answered.classes, &counts).into_iter().map(|(_, name)| name)),
        most => counts.iter().filter(|((class, answer), _)| class != answer).map(|(_, n)| *n).max().unwrap_or(0),
        table => if is_table { table(&answered.classes, &counts) } else { Value::from(()) },
        list => if is_table { Value::from(()) } else { list(&answered.classes, &counts) },
        mistakes => answered.mistakes.iter().map(mistake).collect::<Value>(),
    })
}

type Counts = BTreeMap<(u16, u16), u64>;

/// How many images each class has.
fn sizes(counts: &Counts) -> BTreeMap<u16, u64> {
    let mut sizes = BTreeMap::new();
    counts.iter().for_each(|((class, _), n)| *sizes.entry(*class).or_insert(0) += n);
    sizes
}

#[allow(clippy::cast_precision_loss, reason = "counts of images are far below 2^53")]
fn share(n: u64, of: u64) -> f64 {
    n as f64 / of.max(1) as f64
}

/// What is answered: every class, and further outputs of the network that an image was given.
fn columns(classes: &[String], counts: &Counts) -> Vec<(u16, String)> {
    let mut columns: Vec<(u16, String)> = (0..).zip(classes.iter().cloned()).collect();
    let others: BTreeSet<u16> = counts.keys().map(|(_, answer)| *answer).collect();
    let others = others.into_iter().filter(|answer| usize::from(*answer) >= classes.len());
    columns.extend(others.map(|answer| (answer, format!("output {answer}"))));
    columns
}

/// A row for each class, a cell for each answer.
fn table(classes: &[String], counts: &Counts) -> Value {
    let most = counts.iter().filter(|((c, a), _)| c != a).map(|(_, n)| *n).max().unwrap_or(0);
    let (sizes, columns) = (sizes(counts), columns(classes, counts));
    let row = |(class, name): (u16, &String)| {
        let of_class = sizes.get(&class).copied().unwrap_or(0);
        let cell = |(answer, _): &(u16, String)| {
            let n = counts.get(&(class, *answer)).copied().unwrap_or(0);
            let is_right = class == *answer;
            let shade = SHADE_MAX * share(n, if is_right { of_class } else { most });
            context! { n, is_right, shade => format!("{shade:.0}") }
        };
        let n_right = counts.get(&(class, class)).copied().unwrap_or(0);
        context! {
            class => name,
            cells => columns.iter().map(cell).collect::<Value>(),
            n => number::grouped(of_class),
            error => if of_class == 0 { number::NONE.to_owned() } else { number::percent(share(of_class - n_right, of_class)) },
        }
    };
    (0..).zip(classes).map(row).collect()
}

/// The most frequent confusions, those of equal frequency in the order of the classes.
fn list(classes: &[String], counts: &Counts) -> Value {
    let sizes = sizes(counts);
    let name = |class: u16| classes.get(usize::from(class)).cloned().unwrap_or_else(|| class.to_string());
    let mut wrong: Vec<_> = counts.iter().filter(|((class, answer), _)| class != answer).collect();
    wrong.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let row = |((class, answer), n): (&(u16, u16), &u64)| {
        let of_class = sizes.get(class).copied().unwrap_or(0);
        context! {
            class => name(*class),
            answer => name(*answer),
            n => number::grouped(*n),
            share => number::percent(share(*n, of_class)),
        }
    };
    wrong.into_iter().take(LIST_MAX).map(row).collect()
}

fn mistake(mistake: &Mistake) -> Value {
    context! {
        name => &mistake.name,
        class => &mistake.class,
        answer => &mistake.answer,
        lead => number::aligned(mistake.lead),
        width => mistake.width,
        height => mistake.height,
        data => base64(&mistake.png),
    }
}

/// RFC 4648, section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word =
            (0..3).fold(0_usize, |word, i| word << 8 | usize::from(three.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let digit = char::from(DIGITS[word >> (18 - 6 * i) & 63]);
            text.push(if i <= three.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Report, render};

    /// RFC 4648, section 10.
    #[test]
    fn base64_gives_the_published_answers() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (text, expected) in cases {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xFB, 0xFF, 0xFE]), "+//+");
    }

    fn page(n_classes: u16, pairs: Vec<(u16, u16)>) -> String {
        let classes = (0..n_classes).map(|class| format!("<{class}>")).collect();
        let mistakes = vec![Mistake {
            name: "1234".to_owned(),
            class: "<1>".to_owned(),
            width: 8,
            height: 6,
            ..Mistake::default()
        }];
        let answered = Some(Answered { classes, pairs, mistakes });
        render(&Report { answered, ..Report::default() }).unwrap()
    }

    #[test]
    fn few_classes_are_a_table() {
        let html = page(3, vec![(0, 0), (0, 1), (0, 1), (0, 2), (1, 1), (1, 1)]);
        for shown in [
            "3 of 6 test images",
            "<td class=\"right\" style=\"--shade:14%\">1</td><td class=\"wrong\" style=\"--shade:55%\">2</td>",
            "<td class=\"wrong\" style=\"--shade:28%\">1</td>",
            "<td class=\"right\" style=\"--shade:55%\">2</td>",
            "75.00 %",
            "&lt;2&gt;",
            "image 1234",
            "width=\"8\" height=\"6\"",
        ] {
            assert!(html.contains(shown), "{shown}\n{html}");
        }
        // A class without test images has no error.
        assert!(html.contains("<td>0</td><td>–</td>"));
        assert!(!html.contains("confusions\""));
    }

    #[test]
    fn answers_that_are_no_class_have_columns_of_their_own() {
        let html = page(2, vec![(0, 0), (1, 7), (1, 7), (1, 4)]);
        assert!(html.contains("<th scope=\"col\">output 4</th><th scope=\"col\">output 7</th>"), "{html}");
        assert!(
            html.contains("<td class=\"wrong\" style=\"--shade:55%\">2</td><td>3</td><td>100.00 %</td>"),
            "{html}"
        );
    }

    #[test]
    fn many_classes_are_a_list_of_the_most_frequent_confusions() {
        let mut pairs: Vec<(u16, u16)> =
            (0..30).flat_map(|class| [(class, class), (class, (class + 1) % 30)]).collect();
        pairs.extend([(7, 20), (7, 20)]);
        let html = page(30, pairs);
        assert_eq!(html.matches("<td class=\"answer\">").count(), LIST_MAX);
        let first = html.split("<td class=\"answer\">").nth(1).unwrap();
        assert!(first.contains("&lt;20&gt;") && first.contains("50.00 %"), "{first}");
        assert!(!html.contains("style=\"--shade"));
    }

    #[test]
    fn nothing_answered_is_nothing_shown_and_no_mistake_is_said() {
        assert!(!render(&Report::default()).unwrap().contains("Test images"));
        let classes = vec!["a".to_owned()];
        let answered = Some(Answered { classes, pairs: vec![(0, 0); 4], mistakes: vec![] });
        let html = render(&Report { answered, ..Report::default() }).unwrap();
        assert!(html.contains("0 of 4 test images") && !html.contains("surest mistakes"));
    }
}
