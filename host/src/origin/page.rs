//! What do the pages say? HTML, made for one origin.

use super::content::TEXT;
use super::escape;

/// The pages, by path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Index,
    One,
    Two,
    Three,
    Four,
    CreateUser,
}

const PICTURE_ONE: &str =
    r#"<p><img src="/image_user_one" width="160" height="160" alt="user one"></p>"#;
const PICTURES: &str = r#"<p><img src="/image_user_one" width="160" height="160" alt="user one">
<img src="/image_user_two" width="160" height="160" alt="user two">
<img src="/image_user_one" width="80" height="80" alt="user one, small">
<img src="/image_user_two" width="80" height="80" alt="user two, small"></p>"#;
const FORM: &str = r#"<form id="form"><label>Nombre <input name="Nombre" required maxlength="256"></label> <button>Create</button></form>
<pre id="told"></pre>
<p>Or: <code>curl -d '{"Nombre": "Ada"}' http://THIS-HOST/createUser</code></p>
<script>
document.getElementById("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ Nombre: event.target.Nombre.value });
  const answer = await fetch("/createUser", { method: "POST", headers: { "content-type": "application/json" }, body });
  document.getElementById("told").textContent = answer.status + " " + await answer.text();
});
</script>"#;

impl Page {
    /// The page of the origin `name`; `files` says whether it has a directory to link.
    pub(super) fn html(self, name: &str, files: bool) -> String {
        let download = format!(
            r#"<p><a href="/bigfile" download="bigfile.txt">A large text</a> ({TEXT} bytes)</p>"#
        );
        let (title, body) = match self {
            Self::Index => ("Index", index(files)),
            Self::One => ("Page one: a picture", PICTURE_ONE.to_owned()),
            Self::Two => ("Page two: several pictures", PICTURES.to_owned()),
            Self::Three => ("Page three: a large download", download),
            Self::Four => (
                "Page four: a large download and several pictures",
                format!("{download}\n{PICTURES}"),
            ),
            Self::CreateUser => ("Create a user", FORM.to_owned()),
        };
        whole(title, &body, name)
    }
}

/// A whole page around `body`, which is HTML; `title` and `name` are text.
pub(super) fn whole(title: &str, body: &str, name: &str) -> String {
    let (title, name) = (escape::html(title), escape::html(name));
    format!(
        r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }}
td {{ padding-right: 2em }} footer {{ margin-top: 2em; color: #666 }}</style></head>
<body>
<h1>{title}</h1>
{body}
<footer>Answered by origin <b>{name}</b>. <a href="/">Index</a></footer>
</body>
</html>
"#
    )
}

fn index(files: bool) -> String {
    let mut links = vec![
        ("/page_one", "a page with a picture"),
        ("/page_two", "a page with several pictures"),
        ("/page_three", "a page with a large download"),
        (
            "/page_four",
            "a page with a large download and several pictures",
        ),
        ("/image_user_one", "user one, a PNG"),
        ("/image_user_two", "user two, an SVG"),
        ("/bigfile", "a large text"),
        ("/createUser", "create a user"),
    ];
    if files {
        links.push(("/files/", "a directory"));
    }
    let items = links
        .iter()
        .map(|(path, told)| format!("<li><a href=\"{path}\">{path}</a>: {told}</li>\n"));
    format!("<ul>\n{}</ul>", items.collect::<String>())
}
