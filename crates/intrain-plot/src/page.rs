//! A page that needs nothing else: one style for all, and a link at each figure that saves it.

use crate::canvas::escaped;
use crate::figure;

/// A page; its parts are HTML but for the title.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Its heading, as text.
    pub title: &'a str,
    /// Style of what this page alone has.
    pub style: &'a str,
    /// What stands below the heading.
    pub main: &'a str,
}

impl Page<'_> {
    /// The page as HTML.
    #[must_use]
    pub fn html(&self) -> String {
        let title = escaped(self.title);
        let (style, figures, save) = (include_str!("page.css"), figure::STYLE, include_str!("save.js"));
        let (own, main) = (self.style, self.main);
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <style>\n{style}{own}</style>\n<style id=\"figures\">\n{figures}</style>\n</head>\n<body>\n<main>\n\
             <h1>{title}</h1>\n{main}</main>\n<script>\n{save}</script>\n</body>\n</html>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_one_file_for_light_and_dark_and_narrow_screens() {
        let html = Page { title: "a <b>", style: ".own {}\n", main: "<p>c</p>\n" }.html();
        for part in
            ["<title>a &lt;b&gt;</title>", "width=device-width", "prefers-color-scheme: dark", ".own {}"]
        {
            assert!(html.contains(part), "{part}");
        }
        for outside in ["http", "src=", "@import", "url(", "<b>"] {
            assert!(!html.contains(outside), "{outside}");
        }
    }

    #[test]
    fn what_a_page_saves_is_what_a_file_is() {
        // The script builds the file of `as_file`; both know the room around a figure and the ground behind it.
        let (script, file) =
            (include_str!("save.js"), crate::as_file("<svg viewBox=\"0 0 10 10\"></svg>", 42.0));
        assert!(file.contains("viewBox=\"-16 -16 42 42\"") && script.contains("const room = 16;"));
        assert!(file.contains("<rect class=\"ground\"") && script.contains("\"ground\""));
    }
}
