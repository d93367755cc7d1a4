//! In what two configurations differ, key by key.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// The values of a configuration by their path: `recipe.roles.activation`, `model.layer.conv1.out`. Of a list of tables, each is called by
/// its name, or by its number where it has none.
pub(crate) fn flat(table: &Table) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (key, value) in table {
        enter(key, value, &mut all);
    }
    all
}

fn enter(path: &str, value: &Value, all: &mut BTreeMap<String, Value>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                enter(&format!("{path}.{key}"), value, all);
            }
        }
        Value::Array(values) if !values.is_empty() && values.iter().all(Value::is_table) => {
            for (i, value) in values.iter().enumerate() {
                let name = value.get("name").and_then(Value::as_str);
                let name = name.map_or_else(|| (i + 1).to_string(), str::to_owned);
                enter(&format!("{path}.{name}"), value, all);
            }
        }
        value => {
            all.insert(path.to_owned(), value.clone());
        }
    }
}

/// The first key of `before` and `now` that has another value, said with both; keys for which `counts` says no are left out.
pub(crate) fn first(before: &Table, now: &Table, counts: impl Fn(&str) -> bool) -> Option<String> {
    let (before, now) = (flat(before), flat(now));
    let key = before
        .keys()
        .chain(now.keys())
        .filter(|key| counts(key))
        .find(|key| before.get(*key) != now.get(*key))?;
    let said = |table: &BTreeMap<String, Value>| {
        table.get(key).map_or_else(|| "not there".to_owned(), Value::to_string)
    };
    Some(format!("{key} was {} and is {} now", said(&before), said(&now)))
}

#[cfg(test)]
mod tests {
    use super::{first, flat};

    #[test]
    fn keys_have_the_path_of_their_tables_and_names() {
        let text = "a = 1\n[b]\nc = [1, 2]\n[[b.layer]]\nname = 'x'\nout = 3\n[[b.layer]]\nout = 4";
        let keys: Vec<String> = flat(&text.parse().unwrap()).into_keys().collect();
        assert_eq!(keys, ["a", "b.c", "b.layer.2.out", "b.layer.x.name", "b.layer.x.out"]);
    }

    #[test]
    fn the_first_difference_is_said_with_both_values() {
        let [before, now] = ["a = 1\nb = 2", "a = 1\nc = 'x'"].map(|text| text.parse().unwrap());
        assert_eq!(first(&before, &now, |_| true).unwrap(), "b was 2 and is not there now");
        assert_eq!(first(&before, &now, |key| key != "b").unwrap(), "c was not there and is \"x\" now");
        assert_eq!(first(&now, &now, |_| true), None);
    }
}
