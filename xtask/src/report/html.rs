//! The page: one file, no network, every table and picture in it.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::number::{figure, seconds};
use super::{Section, plot};
use crate::experiment::Row;
use crate::experiment::result::Picture;
use crate::experiment::row::Verdict;

const STYLE: &str = include_str!("page.css");

/// The whole page over `sections`.
///
/// # Errors
/// When a picture that a section names cannot be read.
pub(crate) fn page(sections: &[Section]) -> Result<String> {
    let mut body = String::new();
    for part in sections {
        body += &section(part)?;
    }
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>nnc: papers reproduced</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>Papers reproduced</h1>\n\
         <p class=\"soft\">Each table sets the paper's figures beside ours. A verdict is computed from the rule that \
         opens the note; a paper's figure that we do not reach says so.</p>\n{}{body}</body>\n</html>\n",
        contents(sections)
    ))
}

fn contents(sections: &[Section]) -> String {
    let items: String = sections
        .iter()
        .map(|Section { result, about, .. }| {
            let title = if about.title.is_empty() { &result.experiment } else { &about.title };
            format!(
                "<li><a href=\"#{}\">{}</a> {}</li>\n",
                escape(&result.experiment),
                escape(title),
                summary(&result.rows)
            )
        })
        .collect();
    format!("<nav><ul>\n{items}</ul></nav>\n")
}

/// How many claims hold, coloured.
fn summary(rows: &[Row]) -> String {
    let count = |verdict| rows.iter().filter(|row| row.verdict() == verdict).count();
    let (holds, fails) = (count(Verdict::Holds), count(Verdict::Fails));
    let class = if fails == 0 { "holds" } else { "fails" };
    format!("<span class=\"verdict {class}\">{holds} of {} hold</span>", holds + fails)
}

fn section(section: &Section) -> Result<String> {
    let Section { result, about, .. } = section;
    let title = if about.title.is_empty() { &result.experiment } else { &about.title };
    let mut html = format!("<section id=\"{}\">\n<h2>{}</h2>\n", escape(&result.experiment), escape(title));
    if !about.paper.is_empty() {
        let _ = writeln!(html, "<p class=\"soft\">{}</p>", escape(&about.paper));
    }
    html += &facts(&[
        ("profile", result.profile.word()),
        ("data", &result.data),
        ("seed", &result.seed.to_string()),
        ("time", &seconds(result.seconds)),
        ("machine", &about.machine),
        ("configuration", &result.config_hash),
    ]);
    if !about.command.is_empty() {
        let _ = writeln!(html, "<pre>{}</pre>", escape(&about.command));
    }
    html += &table(&result.rows);
    for picture in &about.plots {
        html += &picture_html(section, picture)?;
    }
    for note in &about.notes {
        let _ = writeln!(html, "<p>{}</p>", escape(note));
    }
    if !about.files.is_empty() {
        let names: Vec<_> = about.files.iter().map(|file| format!("<code>{}</code>", escape(file))).collect();
        let _ = writeln!(html, "<p class=\"soft\">Files beside this result: {}</p>", names.join(", "));
    }
    html += "</section>\n";
    Ok(html)
}

fn facts(pairs: &[(&str, &str)]) -> String {
    let items: String = pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escape(value)))
        .collect();
    format!("<dl>\n{items}</dl>\n")
}

/// The rows, grouped by model in the order they come.
fn table(rows: &[Row]) -> String {
    let mut html = String::from(
        "<div class=\"scroll\"><table>\n<thead><tr><th>metric</th><th class=\"figure\">paper</th>\
         <th class=\"figure\">ours</th><th>unit</th><th>verdict</th><th>note</th></tr></thead>\n<tbody>\n",
    );
    let mut model = "";
    for row in rows {
        if row.model() != model {
            model = row.model();
            let _ = writeln!(html, "<tr class=\"model\"><td colspan=\"6\">{}</td></tr>", escape(model));
        }
        html += &table_row(row);
    }
    html += "</tbody>\n</table></div>\n";
    html
}

fn table_row(row: &Row) -> String {
    let class = if row.is_headline() { " class=\"headline\"" } else { "" };
    let paper = row.papers_figure().map_or_else(|| "–".to_owned(), figure);
    let verdict = row.verdict().word();
    format!(
        "<tr{class}><td class=\"metric\">{}</td><td class=\"figure\">{paper}</td><td class=\"figure\">{}</td>\
         <td class=\"unit\">{}</td><td class=\"verdict {verdict}\">{verdict}</td><td class=\"note\">{}</td></tr>\n",
        escape(row.what()),
        figure(row.ours()),
        escape(row.unit()),
        escape(row.remark())
    )
}

fn picture_html(section: &Section, picture: &Picture) -> Result<String> {
    // The name comes from a file: it must stay in its folder.
    ensure!(!picture.file.contains(['/', '\\']), "picture `{}`: expected a plain file name", picture.file);
    let path = section.folder.join(&picture.file);
    let svg = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(format!(
        "<figure role=\"img\" aria-label=\"{}\">\n{}\n<figcaption>{}</figcaption>\n</figure>\n",
        escape(&picture.title),
        plot::inline(&svg),
        escape(&picture.caption)
    ))
}

/// `text` with the characters that mean something in HTML written out.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::experiment::result::{About, FORMAT, ResultFile};
    use crate::experiment::{Better, Profile, Rule};

    fn example(folder: &Path) -> Section {
        let result = ResultFile {
            format: FORMAT,
            experiment: "e".into(),
            profile: Profile::Full,
            data: "<script>alert(1)</script>".into(),
            seed: 7,
            config_hash: "0123".into(),
            seconds: 1.0,
            rows: vec![
                Row::new("net/test-error", 1.5, "%", Better::Lower, Rule::AtMost(1.64)).paper(1.64),
                Row::new("net/size", 9.0, "kB", Better::Lower, Rule::AtMost(1.0)).note("<b>too large</b>"),
                Row::new("other/bits", 2.0, "bits", Better::Equal, Rule::Report),
            ],
        };
        let about = About { title: "T & U".into(), ..About::default() };
        Section { result, about, folder: folder.to_owned() }
    }

    #[test]
    fn every_text_is_escaped() {
        assert_eq!(escape(r#"<a href="x">'&'</a>"#), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
        let html = page(&[example(Path::new(""))]).unwrap();
        assert!(!html.contains("<script>") && !html.contains("<b>too"), "{html}");
        assert!(html.contains("T &amp; U") && html.contains("&lt;b&gt;too large"), "{html}");
    }

    #[test]
    fn the_page_shows_rows_verdicts_and_counts_and_needs_no_network() {
        let html = page(&[example(Path::new(""))]).unwrap();
        assert!(html.contains("1 of 2 hold"), "{html}");
        assert_eq!(html.matches("class=\"model\"").count(), 2);
        assert_eq!(html.matches("class=\"headline\"").count(), 1);
        for word in ["verdict holds", "verdict fails", "verdict reported"] {
            assert!(html.contains(word), "{word}: {html}");
        }
        for outside in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
    }

    #[test]
    fn pictures_are_read_from_their_own_folder_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut section = example(dir.path());
        let picture = |file: &str| Picture { file: file.into(), title: "t".into(), caption: "c".into() };
        fs::write(dir.path().join("a.svg"), "<svg></svg>").unwrap();
        section.about.plots = vec![picture("a.svg")];
        assert!(page(std::slice::from_ref(&section)).unwrap().contains("<svg></svg>"));
        for bad in ["missing.svg", "../a.svg"] {
            section.about.plots = vec![picture(bad)];
            assert!(page(std::slice::from_ref(&section)).is_err(), "{bad}");
        }
    }
}
