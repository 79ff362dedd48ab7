//! The arguments of `waypost completions` and `waypost man`, and what these write.

use std::io;
use std::path::PathBuf;

use clap::{Args, CommandFactory, ValueEnum};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::Cli;

/// Sections of a command's help whose lines are sentences. The lines of others are typed as they
/// are.
const SENTENCES: [&str; 3] = ["Addresses", "Environment", "Exit codes"];
/// Where sentences outside of all sections go.
const NOTES: &str = "NOTES";

/// Flags of `completions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// The shells that completions are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash 4.4 or newer.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
}

/// Flags of `man`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Pages {
    /// The command whose page is printed, such as `policy deploy`; without it, that of `waypost`.
    #[arg(value_name = "COMMAND", conflicts_with = "output")]
    pub command: Vec<String>,
    /// Write the pages of all commands into this folder, which is created if it is missing.
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// A manual page.
#[derive(Debug)]
pub struct Page {
    /// Its file, such as `waypost-run.1`.
    pub file: String,
    /// What `man` reads.
    pub text: String,
}

impl Pages {
    /// The page of the command that is named.
    ///
    /// # Errors
    ///
    /// A sentence about a command that there is none of.
    pub fn page<'p>(&self, pages: &'p [Page]) -> Result<&'p Page, String> {
        let name = ["waypost".to_owned()];
        let words: Vec<String> = name.into_iter().chain(self.command.clone()).collect();
        let file = format!("{}.1", words.join("-"));
        let found = pages.iter().find(|page| page.file == file);
        found.ok_or_else(|| {
            format!(
                "there is no command {:?}; `waypost help` lists them",
                self.command.join(" ")
            )
        })
    }
}

impl Completions {
    /// The script that the shell reads.
    pub fn script(self) -> String {
        let shell = match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "waypost", &mut script);
        String::from_utf8_lossy(&script).into_owned()
    }
}

/// The page of `waypost`, and after it those of all commands.
pub fn pages() -> io::Result<Vec<Page>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    // Names the commands below it.
    root.build();
    let mut pages = Vec::new();
    collect(&root, &mut pages)?;
    Ok(pages)
}

fn collect(command: &clap::Command, pages: &mut Vec<Page>) -> io::Result<()> {
    pages.push(page(command)?);
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
        .try_for_each(|below| collect(below, pages))
}

fn page(command: &clap::Command) -> io::Result<Page> {
    let man = Man::new(command.clone());
    let after = command
        .get_after_long_help()
        .or_else(|| command.get_after_help());
    let after = after.map(ToString::to_string).unwrap_or_default();
    // Each part comes with the same first lines.
    let first = Roff::new().render();
    let mut text = first.clone();
    let mut add = |part: &dyn Fn(&mut dyn io::Write) -> io::Result<()>| {
        let mut bytes = Vec::new();
        part(&mut bytes)?;
        let part = String::from_utf8_lossy(&bytes);
        text.push_str(part.strip_prefix(&first).unwrap_or(&part));
        io::Result::Ok(())
    };
    // A title of the crate's own would leave out the empty date, which moves what follows it.
    let name = command.get_display_name().unwrap_or("waypost");
    let version = env!("CARGO_PKG_VERSION");
    add(&|to| writeln!(to, ".TH {name} 1 \"\" \"waypost {version}\" Waypost"))?;
    add(&|to| man.render_name_section(to))?;
    add(&|to| man.render_synopsis_section(to))?;
    add(&|to| man.render_description_section(to))?;
    add(&|to| man.render_options_section(to))?;
    if command.has_subcommands() {
        add(&|to| man.render_subcommands_section(to))?;
    }
    add(&|to| sections(&after).to_writer(to))?;
    Ok(Page {
        file: man.get_filename(),
        text,
    })
}

/// What stands after a command's flags, as sections of a manual page.
fn sections(after: &str) -> Roff {
    let mut roff = Roff::new();
    let mut section: Option<&str> = None;
    let mut verbatim = false;
    let mut between = true;
    for line in after.lines() {
        if line.is_empty() {
            between = true;
            continue;
        }
        let name = heading(line);
        let begins = match name {
            Some(_) => name,
            // A sentence at the margin belongs to no section.
            None if between && !line.starts_with(' ') && section != Some(NOTES) => Some(NOTES),
            None => None,
        };
        let typed = name.is_none()
            && line.starts_with(' ')
            && !section.is_some_and(|now| SENTENCES.contains(&now));
        if verbatim && (!typed || begins.is_some()) {
            roff.control("fi", []);
            verbatim = false;
        }
        if let Some(name) = begins {
            section = Some(name);
            roff.control("SH", [title(name).as_str()]);
        } else if between {
            roff.control("PP", []);
        }
        between = false;
        if name.is_some() {
            continue;
        }
        if typed && !verbatim {
            roff.control("nf", []);
            verbatim = true;
        }
        let line = if typed { line } else { line.trim_start() };
        roff.text([roman(line)]);
    }
    if verbatim {
        roff.control("fi", []);
    }
    roff
}

/// The name of the section that this line begins: one or two words and a colon, at the margin.
fn heading(line: &str) -> Option<&str> {
    let name = line.strip_suffix(':')?;
    (!line.starts_with(' ') && name.split(' ').count() <= 2).then_some(name)
}

/// The section's name as manual pages have it.
fn title(name: &str) -> String {
    match name {
        "Exit codes" => "EXIT STATUS".to_owned(),
        name => name.to_uppercase(),
    }
}

pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  For this session:
    source <(waypost completions bash)
    waypost completions fish | source

  For all sessions of one user; the folder may have to be created:
    waypost completions bash > ~/.local/share/bash-completion/completions/waypost
    waypost completions zsh > ~/.zfunc/_waypost
    waypost completions fish > ~/.config/fish/completions/waypost.fish

  For all users, as root:
    waypost completions bash > /usr/share/bash-completion/completions/waypost
    waypost completions zsh > /usr/local/share/zsh/site-functions/_waypost
    waypost completions fish > /etc/fish/completions/waypost.fish

Bash reads its folders if the package bash-completion is installed. Zsh reads ~/.zfunc if ~/.zshrc
says `fpath=(~/.zfunc $fpath)` before it calls `compinit`. New shells have the completions.";

pub(super) const MAN_HELP: &str = "\
Examples:
  To read one:
    waypost man | man -l -
    waypost man run | man -l -

  To install all, for one user or for all:
    waypost man --output ~/.local/share/man/man1 && man waypost-policy-deploy
    sudo waypost man --output /usr/local/share/man/man1

`man` finds ~/.local/share/man where ~/.local/bin is in PATH, else by MANPATH.

Exit codes:
  0 written; 2 there is no such command, or the folder can't be written.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_after_the_flags_becomes_sections() {
        let after = "\
Examples:
  For all:
    waypost x 'a' \\
      .b

  waypost y

A note
of two lines:
  typed = 1

Exit codes:
  0 well;
  1 not well.

Another note.";
        let text = sections(after).render();
        // Without what the format begins with.
        let (_, text) = text.split_at(text.find(".SH EXAMPLES").unwrap());
        let expected = "\
.SH EXAMPLES
.nf
  For all:
    waypost x \\*(Aqa\\*(Aq \\\\
      .b
.PP
  waypost y
.fi
.SH NOTES
A note
of two lines:
.nf
  typed = 1
.fi
.SH \"EXIT STATUS\"
0 well;
1 not well.
.SH NOTES
Another note.
";
        assert_eq!(text, expected);
    }

    #[test]
    fn every_command_has_a_page() {
        let pages = pages().unwrap();
        let files: Vec<&str> = pages.iter().map(|page| page.file.as_str()).collect();
        assert_eq!(files[0], "waypost.1");
        for file in ["waypost-run.1", "waypost-policy-deploy.1", "waypost-man.1"] {
            assert!(files.contains(&file), "{file}: {files:?}");
        }
        for page in &pages[1..] {
            for section in [
                ".SH NAME",
                ".SH SYNOPSIS",
                ".SH DESCRIPTION",
                ".SH EXAMPLES",
            ] {
                assert!(page.text.contains(section), "{}: {section}", page.file);
            }
            let name = page.file.trim_end_matches(".1").replace('-', "\\-");
            let line = format!("\n{name} \\- ");
            assert!(page.text.contains(&line), "{}: {}", page.file, page.text);
            assert_eq!(
                page.text.matches(".ds Aq \\(aq").count(),
                1,
                "{}",
                page.file
            );
        }
    }

    #[test]
    fn every_command_is_in_every_script() {
        for shell in Shell::value_variants() {
            let script = Completions { shell: *shell }.script();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell:?}: {command}");
            }
        }
    }
}
