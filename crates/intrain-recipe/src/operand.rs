//! The short form `operand`: one row for what the products of a float recipe read, where all three operands have one format.
//!
//! It is a spelling, no role: reading it sets the rows `weight`, `activation` and `error.product`, and a recipe in which those
//! are equal and name a small float is written with it, so that two such recipes lie one row apart.

use crate::role::{Recipe, Role};

/// Its name among the rows.
pub(crate) const NAME: &str = "operand";

/// The rows that it stands for; it is written at the place of the first.
pub(crate) const ROLES: [Role; 3] = [Role::Weight, Role::Activation, Role::ErrorAtProduct];

/// Puts the row `operand` of a table of rows, if it is there, into the place of the three that it stands for: an assignment to it is one
/// to them.
pub fn spread_operand(roles: &mut toml::Table) {
    if let Some(row) = roles.remove(NAME) {
        ROLES.into_iter().for_each(|role| _ = roles.insert(role.name().to_owned(), row.clone()));
    }
}

/// Whether the three rows are one.
pub(crate) fn is_shared(recipe: &Recipe) -> bool {
    let [first, rest @ ..] = ROLES.map(|role| recipe.slot(role));
    first.has_coded() && rest.iter().all(|slot| *slot == first)
}

/// The rows as they are written, each with a role whose slot it shows.
pub(crate) fn written(recipe: &Recipe, is_short: bool) -> impl Iterator<Item = (&'static str, Role)> {
    let is_short = is_short && is_shared(recipe);
    Role::ALL.into_iter().filter_map(move |role| match role {
        Role::Weight if is_short => Some((NAME, role)),
        role if is_short && ROLES.contains(&role) => None,
        role => Some((role.name(), role)),
    })
}

#[cfg(test)]
mod tests {
    use crate::{Exception, Pattern, Recipe, diff, preset};

    #[test]
    fn three_equal_rows_are_one() {
        let mut recipe = preset("mxfp4").unwrap();
        assert!(recipe.to_toml().contains("\"operand\"            = \"mxfp4@even\""), "{}", recipe.to_toml());
        assert!(!recipe.to_toml().contains("\"weight\""));
        let rows = |a: &Recipe, b: &Recipe| diff(a, b).into_iter().map(|d| d.row).collect::<Vec<_>>();
        assert_eq!(rows(&recipe, &preset("mxint8").unwrap()), ["operand"]);
        assert_eq!(rows(&recipe, &preset("float32").unwrap()), ["weight", "activation", "error.product"]);
        assert_eq!(rows(&preset("nvfp4").unwrap(), &recipe), ["weight", "activation", "error.product"]);
        // Exceptions belong to it as long as all three have them.
        let first = |recipe: &mut Recipe, role| {
            let layers = Pattern(Pattern::FIRST.to_owned());
            let quantizer = "bfloat16".parse().unwrap();
            recipe.slot_mut(role).except.push(Exception { layers, from_epoch: 0, quantizer });
        };
        super::ROLES.into_iter().for_each(|role| first(&mut recipe, role));
        let text = recipe.to_toml();
        assert_eq!(text.matches("role = \"operand\"").count(), 1, "{text}");
        assert_eq!(Recipe::from_toml(&text), Ok(recipe.clone()));
        first(&mut recipe, super::Role::Weight);
        let text = recipe.to_toml();
        assert!(!text.contains("operand") && text.contains("role = \"weight\""), "{text}");
        assert_eq!(Recipe::from_toml(&text), Ok(recipe));
    }

    #[test]
    fn it_stands_alone() {
        let good = preset("mxfp4").unwrap().to_toml();
        let both = good.replace("\"accumulator\"", "\"weight\" = \"float32\"\n\"accumulator\"");
        let message = Recipe::from_toml(&both).unwrap_err().to_string();
        assert!(message.contains("row 'operand'") && message.contains("'weight'"), "{message}");
        let bad = good.replace("mxfp4@even", "mxfp4@evn");
        let message = Recipe::from_toml(&bad).unwrap_err().to_string();
        assert!(message.contains("row 'operand'") && message.contains("no rule of its scale"), "{message}");
    }
}
